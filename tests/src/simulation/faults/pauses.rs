//! Programs that stand still, clocks that jump, clients that do not read.

use std::time::Duration;

use super::Mend;
use crate::simulation::{engines::Step, event::Event, node::Node, world::World};

impl World {
    /// A program stands still, as one does that is stopped or whose machine is suspended. What comes
    /// meanwhile waits for it.
    pub(super) fn freeze_something(&mut self) {
        let node = match self.faults.below(8) {
            0 => Node::Coordinator,
            _ => self.somebody(),
        };
        let longest = [2_000, 10_000, 40_000][self.faults.below(3)];
        let wait = self.faults.millis(50, longest);
        let until = (self.net.now() + wait).min(self.plan.work_ends());
        if self.net.freeze(node, until) {
            self.net.say(node, "stands still");
            self.paths_changed(node);
            self.net.queue.push(until, Event::Mend(Mend::Freeze(node)));
        }
    }

    pub(in crate::simulation) fn thaw(&mut self, node: Node) {
        if self.net.thaw(node) {
            self.net.say(node, "goes on");
            self.paths_changed(node);
        }
    }

    /// A node's clock goes on somewhere else, up to an hour ahead.
    pub(super) fn jump_some_clock(&mut self) {
        let node = match self.faults.below(4) {
            0 => Node::Coordinator,
            _ => self.somebody(),
        };
        let longest = [1_000, 20_000, 3_600_000][self.faults.below(3)];
        let by = self.faults.millis(1, longest);
        self.net.say(node, format!("has a clock that jumps {by:?}"));
        self.net.jump_clock(node, by);
        // Its peers were not heard for so long, by this clock.
        if by >= IDLE_TIMEOUT {
            for key in self.net.engines_of(node) {
                if self.faults.percent(50) {
                    self.net
                        .after(Duration::ZERO, Event::Engine(key, Step::Die));
                }
            }
        }
        self.tick(node);
    }

    /// A client's application, or its network, takes nothing more.
    pub(super) fn stop_reading(&mut self) {
        let index = self.faults.below(self.plan.members());
        let longest = [1_000, 8_000, 20_000][self.faults.below(3)];
        let wait = self.faults.millis(50, longest);
        let node = Node::Member(index);
        self.net.say(node, "does not read");
        self.net.stop_reading(node);
        self.paths_changed(node);
        self.net.after(wait, Event::Mend(Mend::Reader(index)));
        self.net.after(GRACE, Event::Mend(Mend::Patience(index)));
    }

    pub(super) fn read_again(&mut self, index: usize) {
        let node = Node::Member(index);
        if self.net.read_again(node) {
            self.net.say(node, "reads again");
            self.paths_changed(node);
        }
    }

    /// As a server's shell does whose outbox for a peer is full for too long.
    pub(super) fn lose_patience(&mut self, index: usize) {
        if self.net.is_reading(Node::Member(index)) {
            return;
        }
        for server in 0..self.plan.servers {
            let engines = self.servers[server].engines.iter();
            let waited_for = engines.filter(|&(_, &key)| {
                let remote = self.net.engines[key.0].remote;
                remote.is_some_and(|remote| {
                    let remote = &self.net.engines[remote.0];
                    remote.life.node == Node::Member(index) && !remote.stalled.is_empty()
                })
            });
            let slow: Vec<_> = waited_for.map(|(&peer, _)| peer).collect();
            for peer in slow {
                self.declare_slow(server, peer);
            }
        }
    }
}

/// How long an outbox may be full.
const GRACE: Duration = Duration::from_secs(5);
/// As the engines have it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
