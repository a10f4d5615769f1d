//! Programs that die, between two inputs or in the middle of what they do, and come back.

use std::{collections::BTreeMap, time::Duration};

use super::Mend;
use crate::simulation::{
    clock::At,
    event::Event,
    node::Node,
    plan::{AWAY, Fault},
    world::World,
};

/// Who dies after how many more outputs: a crash comes in the middle of a step as well, when some of
/// what it was to do is done.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Fuses(BTreeMap<Node, u32>);

impl Fuses {
    pub(in crate::simulation) fn clear(&mut self) {
        self.0.clear();
    }

    /// One more output; says whether the fuse has burnt down by it.
    fn burns_down(&mut self, node: Node) -> bool {
        let Some(left) = self.0.get_mut(&node) else {
            return false;
        };
        *left = left.saturating_sub(1);
        let down = *left == 0;
        if down {
            self.0.remove(&node);
        }
        down
    }
}

impl World {
    /// A node is about to do something: it may die before it does.
    pub(in crate::simulation) fn dies_midway(&mut self, node: Node) -> bool {
        let dies = self.fuses.burns_down(node);
        if dies {
            self.net.say(node, "dies midway");
            self.reach("times a step is cut short".into(), 1);
            self.crash(node);
        }
        dies
    }

    pub(super) fn crash_coordinator(&mut self) {
        self.crash_now_or_soon(Node::Coordinator);
    }

    pub(super) fn crash_some_server(&mut self) {
        let index = self.faults.below(self.plan.servers);
        self.crash_now_or_soon(Node::Server(index));
    }

    pub(super) fn crash_some_client(&mut self) {
        let index = self.faults.below(self.plan.sessions);
        self.crash_now_or_soon(Node::Member(index));
    }

    /// For an hour nobody can be assigned, introduced or renamed.
    pub(super) fn send_coordinator_away(&mut self) {
        let notice = [100, 20_000][self.faults.below(2)];
        self.stop_coordinator(notice);
        self.away_until = self.net.now() + AWAY;
        self.net.after(AWAY, Event::Mend(Mend::Coordinator));
    }

    /// The coordinator is in the middle of its hour: everything else happens more rarely.
    pub(in crate::simulation) fn is_hour_passing(&self) -> bool {
        self.plan.has(Fault::CoordinatorAway)
            && self.net.now() + MARGIN < self.away_until
            && self.net.now() + AWAY > self.away_until + MARGIN
    }

    fn crash_now_or_soon(&mut self, node: Node) {
        if self.faults.percent(60) {
            self.crash(node);
        } else {
            let outputs = 1 + u32::try_from(self.faults.below(12)).unwrap_or_default();
            self.fuses.0.insert(node, outputs);
        }
    }

    /// It dies, and comes back.
    fn crash(&mut self, node: Node) {
        match node {
            Node::Coordinator => {
                let notice = [100, 5_000, 20_000][self.faults.below(3)];
                self.stop_coordinator(notice);
                let wait = self.faults.millis(1_000, 8_000);
                self.net.after(wait, Event::Mend(Mend::Coordinator));
            }
            Node::Server(index) => {
                // The process, or the whole machine: then the coordinator waits for a pong.
                let notice = [50, 30_000][self.faults.below(2)];
                self.stop_server(index, notice);
                let wait = self.faults.millis(200, 8_000);
                self.net.after(wait, Event::Mend(Mend::Server(index)));
            }
            Node::Member(index) => {
                let notice = [50, 30_000][self.faults.below(2)];
                self.crash_member(index, notice);
                let wait = self.faults.millis(100, 8_000);
                self.net.after(wait, Event::Join(index));
            }
        }
    }
}

/// Of the hour, so much at either end is as busy as any other time.
const MARGIN: At = Duration::from_secs(10);
