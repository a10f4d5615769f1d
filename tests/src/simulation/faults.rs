//! What breaks, and how it is mended. Each run has a subset of the kinds (see `plan`).

mod crashes;
mod partitions;
mod pauses;

use std::time::Duration;

use super::{
    engines::Step,
    event::Event,
    node::{EngineKey, Node},
    plan::{Fault, SLOW_MAX, WORK_BEGINS},
    sockets::Side,
    world::World,
};

pub(super) use crashes::Fuses;

/// What is to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mend {
    Coordinator,
    Server(usize),
    /// A server that shuts down has said its farewells.
    Shutdown(usize),
    Cut(Node, Node),
    Clog(Node, Node),
    Slow(Node, Node),
    /// A program goes on that stood still.
    Freeze(Node),
    /// A client reads again.
    Reader(usize),
    /// Servers have waited long enough for a client that does not read.
    Patience(usize),
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        let at = WORK_BEGINS + self.faults.millis(1_000, 4_000);
        self.net.queue.push(at, Event::Break);
        if self.plan.has(Fault::CoordinatorAway) {
            let at = WORK_BEGINS + self.faults.millis(4_000, 12_000);
            self.net
                .queue
                .push(at, Event::Strike(Fault::CoordinatorAway));
        }
        self.net.queue.push(self.plan.work_ends(), Event::Heal);
    }

    /// Something breaks, and after a while something else does.
    pub(super) fn break_something(&mut self) {
        if self.is_work_over() {
            return;
        }
        let kinds = self.plan.faults.iter().copied();
        // That one strikes once: see `plan_faults`.
        let kinds: Vec<Fault> = kinds
            .filter(|&kind| kind != Fault::CoordinatorAway)
            .collect();
        if let Some(fault) = self.faults.pick(&kinds) {
            self.inflict(fault);
        }
        let longest = if self.is_hour_passing() {
            300_000
        } else {
            4_000
        };
        let wait = self.faults.millis(300, longest);
        self.net.after(wait, Event::Break);
    }

    pub(super) fn mend(&mut self, what: Mend) {
        match what {
            Mend::Coordinator
                if self.coordinator.core.is_none() && self.net.now() >= self.away_until =>
            {
                self.start_coordinator();
            }
            Mend::Server(index) if self.servers[index].core.is_none() => self.start_server(index),
            Mend::Shutdown(index) => self.stop_server(index, 50),
            Mend::Cut(a, b) => self.mend_cut(a, b),
            Mend::Clog(a, b) => self.path_changed(a, b),
            Mend::Slow(a, b) => {
                self.net.set_slow(a, b, Duration::ZERO);
                self.path_changed(a, b);
            }
            Mend::Freeze(node) => self.thaw(node),
            Mend::Reader(index) => self.read_again(index),
            Mend::Patience(index) => self.lose_patience(index),
            _ => {}
        }
    }

    /// A server that shuts down ends after its farewells, and after a while there is another one.
    pub(super) fn start_again_soon(&mut self, index: usize) {
        let wait = self.faults.millis(1, 500);
        self.net.after(wait, Event::Mend(Mend::Shutdown(index)));
        let wait = self.faults.millis(500, 5_000);
        self.net.after(wait, Event::Mend(Mend::Server(index)));
    }

    /// Everything is whole from now on, and everybody is here.
    pub(super) fn heal_everything(&mut self) {
        self.net.loss = 0;
        self.fuses.clear();
        self.away_until = self.net.now();
        for node in self.net.frozen_nodes() {
            self.thaw(node);
        }
        for index in 0..self.plan.members() {
            self.read_again(index);
        }
        self.mend(Mend::Coordinator);
        for index in 0..self.plan.servers {
            self.mend(Mend::Server(index));
        }
        for (a, b) in self.net.troubled() {
            self.mend(Mend::Slow(a, b));
            self.mend(Mend::Cut(a, b));
        }
        for index in 0..self.plan.sessions {
            self.prepare_for_probes(index);
        }
    }

    /// What a fault does. Those that are there all the time are in `plan`, `lanes` and
    /// `authenticator`.
    pub(super) fn inflict(&mut self, fault: Fault) {
        self.reach(format!("times {fault:?}"), 1);
        match fault {
            Fault::CoordinatorRestart => self.crash_coordinator(),
            Fault::CoordinatorAway => self.send_coordinator_away(),
            Fault::ServerCrash => self.crash_some_server(),
            Fault::ClientCrash => self.crash_some_client(),
            Fault::ServerShutdown => {
                let index = self.faults.below(self.plan.servers);
                self.shut_server_down(index);
                self.start_again_soon(index);
            }
            Fault::ServerDrain => {
                let index = self.faults.below(self.plan.servers);
                self.drain_server(index);
            }
            Fault::SignallingCut => self.cut_some_socket(),
            Fault::PathCut => self.cut_some_path(),
            Fault::Partition => self.part_the_nodes(),
            Fault::PathClog => self.clog_some_path(),
            Fault::PeerDeath => self.kill_some_peer(),
            Fault::PathSlow => {
                let (a, b) = self.some_path();
                let slow = self.faults.between(Duration::ZERO, SLOW_MAX);
                self.net
                    .say(a, format!("is slow to reach {b}, by {slow:?}"));
                self.net.set_slow(a, b, slow);
                self.path_changed(a, b);
                let wait = self.faults.millis(50, 5_000);
                self.net.after(wait, Event::Mend(Mend::Slow(a, b)));
            }
            Fault::SlowConsumer => {
                let index = self.faults.below(self.plan.servers);
                let peers: Vec<_> = self.servers[index].engines.keys().copied().collect();
                if let Some(peer) = self.faults.pick(&peers) {
                    self.net
                        .say(Node::Server(index), format!("finds peer {peer} slow"));
                    self.declare_slow(index, peer);
                }
            }
            Fault::SlowReader => self.stop_reading(),
            Fault::Freeze => self.freeze_something(),
            Fault::ClockJump => self.jump_some_clock(),
            Fault::Loss | Fault::SlowVerdicts => {}
        }
    }

    fn cut_some_socket(&mut self) {
        let open: Vec<_> = (0..self.net.sockets.len())
            .map(super::node::SocketKey)
            .filter(|&socket| !self.net.is_closed(socket, Side::Node))
            .collect();
        if let Some(socket) = self.faults.pick(&open) {
            let slowest = [100, 10_000][self.faults.below(2)];
            self.net.break_socket(socket, [slowest, slowest * 2]);
        }
    }

    fn kill_some_peer(&mut self) {
        let index = self.faults.below(self.plan.servers);
        let engines: Vec<_> = self.servers[index].engines.values().copied().collect();
        let remote = |&key: &EngineKey| self.net.engines[key.0].remote;
        let mut joined: Vec<_> = engines.iter().filter_map(remote).collect();
        joined.extend(engines.iter().filter(|key| remote(key).is_some()));
        if let Some(key) = self.faults.pick(&joined) {
            self.net
                .after(Duration::ZERO, Event::Engine(key, Step::Die));
        }
    }

    /// Something changed about a path; the checkers expect nothing of it for a while.
    fn path_changed(&mut self, a: Node, b: Node) {
        let blocked = self.net.is_blocked(a, b);
        self.checkers.path_changed(self.net.now(), a, b, blocked);
    }

    /// The same for all paths of a node.
    fn paths_changed(&mut self, node: Node) {
        for other in self.nodes() {
            if other != node {
                self.path_changed(node, other);
            }
        }
    }

    /// Everybody, whether here or not.
    fn nodes(&self) -> Vec<Node> {
        let servers = (0..self.plan.servers).map(Node::Server);
        let members = (0..self.plan.members()).map(Node::Member);
        [Node::Coordinator]
            .into_iter()
            .chain(servers)
            .chain(members)
            .collect()
    }
}
