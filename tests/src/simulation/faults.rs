//! What breaks, and how it is mended. Each run has a subset of the kinds (see `plan`).

use std::time::Duration;

use super::{
    engines::Step,
    event::Event,
    node::{EngineKey, Node},
    plan::{Fault, SLOW_MAX, WORK_BEGINS, WORK_ENDS},
    sockets::Side,
    world::World,
};

/// What is to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mend {
    Coordinator,
    Server(usize),
    /// A server that shuts down has said its farewells.
    Shutdown(usize),
    Cut(Node, Node),
    Slow(Node, Node),
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        let at = WORK_BEGINS + self.faults.millis(1_000, 4_000);
        self.net.queue.push(at, Event::Break);
        self.net.queue.push(WORK_ENDS, Event::Heal);
    }

    /// Something breaks, and after a while something else does.
    pub(super) fn break_something(&mut self) {
        if self.net.now() >= WORK_ENDS {
            return;
        }
        let kinds: Vec<Fault> = self.plan.faults.iter().copied().collect();
        if let Some(fault) = self.faults.pick(&kinds) {
            self.inflict(fault);
        }
        let wait = self.faults.millis(300, 4_000);
        self.net.after(wait, Event::Break);
    }

    pub(super) fn mend(&mut self, what: Mend) {
        match what {
            Mend::Coordinator if self.coordinator.core.is_none() => self.start_coordinator(),
            Mend::Server(index) if self.servers[index].core.is_none() => self.start_server(index),
            Mend::Shutdown(index) => self.stop_server(index, 50),
            Mend::Cut(a, b) if self.net.is_cut(a, b) => {
                self.net.say(a, format!("reaches {b} again"));
                self.net.heal_path(a, b);
                self.checkers.path_changed(self.net.now(), a, b, false);
            }
            Mend::Slow(a, b) => {
                self.net.set_slow(a, b, Duration::ZERO);
                let cut = self.net.is_cut(a, b);
                self.checkers.path_changed(self.net.now(), a, b, cut);
            }
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

    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::CoordinatorRestart => {
                let notice = [100, 5_000, 20_000][self.faults.below(3)];
                self.stop_coordinator(notice);
                let wait = self.faults.millis(1_000, 8_000);
                self.net.after(wait, Event::Mend(Mend::Coordinator));
            }
            Fault::ServerCrash => {
                let index = self.faults.below(self.plan.servers);
                // The process, or the whole machine: then the coordinator waits for a pong.
                let notice = [50, 30_000][self.faults.below(2)];
                self.stop_server(index, notice);
                let wait = self.faults.millis(200, 8_000);
                self.net.after(wait, Event::Mend(Mend::Server(index)));
            }
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
            Fault::PathCut => {
                let (a, b) = self.some_path();
                self.net.say(a, format!("is cut off from {b}"));
                self.net.cut_path(a, b);
                self.checkers.path_changed(self.net.now(), a, b, true);
                let longest = [500, 10_000, 30_000][self.faults.below(3)];
                let wait = self.faults.millis(50, longest);
                self.net.after(wait, Event::Mend(Mend::Cut(a, b)));
            }
            Fault::PeerDeath => {
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
            Fault::PathSlow => {
                let (a, b) = self.some_path();
                let slow = self.faults.between(Duration::ZERO, SLOW_MAX);
                self.net
                    .say(a, format!("is slow to reach {b}, by {slow:?}"));
                self.net.set_slow(a, b, slow);
                let cut = self.net.is_cut(a, b);
                self.checkers.path_changed(self.net.now(), a, b, cut);
                let wait = self.faults.millis(50, 5_000);
                self.net.after(wait, Event::Mend(Mend::Slow(a, b)));
            }
            // All the time: see `Plan::loss`, and the authenticator.
            Fault::Loss | Fault::SlowVerdicts => {}
            Fault::SlowConsumer => {
                let index = self.faults.below(self.plan.servers);
                let peers: Vec<_> = self.servers[index].engines.keys().copied().collect();
                if let Some(peer) = self.faults.pick(&peers) {
                    self.net
                        .say(Node::Server(index), format!("finds peer {peer} slow"));
                    self.declare_slow(index, peer);
                }
            }
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

    /// Between two servers, or a member and a server.
    fn some_path(&mut self) -> (Node, Node) {
        let server = self.faults.below(self.plan.servers);
        let other = if self.plan.servers > 1 && self.faults.percent(50) {
            let step = 1 + self.faults.below(self.plan.servers - 1);
            Node::Server((server + step) % self.plan.servers)
        } else {
            Node::Member(self.faults.below(self.plan.members()))
        };
        (Node::Server(server), other)
    }
}
