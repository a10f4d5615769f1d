//! The paths between nodes: how long they take, and what is the matter with them.

use std::time::Duration;

use super::{clock::At, engines::Step, event::Event, network::Network, node::Node};

/// Between two nodes.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// One way, at least.
    delay: Duration,
    /// More of it, by a fault.
    slow: Duration,
    /// Nothing that sets out before then arrives before then.
    clogged_until: At,
    /// Nothing gets through: from the lesser node to the greater one, and back.
    cut: [bool; 2],
}

/// Which way something is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
    Both,
}

impl Path {
    fn is_whole(&self, now: At) -> bool {
        self.cut == [false; 2] && self.slow == Duration::ZERO && self.clogged_until <= now
    }
}

impl Network {
    /// How long something takes that sets out now, once the way is free.
    pub(super) fn delay(&mut self, a: Node, b: Node) -> Duration {
        let path = self.path(a, b);
        let (delay, slow) = (path.delay, path.slow);
        delay + slow + self.dice.between(Duration::ZERO, delay / 2)
    }

    /// When the way is free: now, unless it is clogged.
    pub(super) fn free_at(&self, a: Node, b: Node) -> At {
        let path = self.paths.get(&ends(a, b));
        path.map_or(At::ZERO, |path| path.clogged_until)
            .max(self.now())
    }

    /// When something arrives that sets out now.
    pub(super) fn arrival(&mut self, a: Node, b: Node) -> At {
        self.free_at(a, b) + self.delay(a, b)
    }

    /// Whether what one node sends does not reach the other.
    pub(super) fn is_cut(&self, from: Node, to: Node) -> bool {
        let path = self.paths.get(&ends(from, to));
        path.is_some_and(|path| path.cut[usize::from(from > to)])
    }

    /// Whether something between two nodes does not arrive, or not in time.
    pub(super) fn is_blocked(&self, a: Node, b: Node) -> bool {
        let cut = self.is_cut(a, b) || self.is_cut(b, a);
        let still = |node| self.is_frozen(node) || !self.is_reading(node);
        cut || self.free_at(a, b) > self.now() || still(a) || still(b)
    }

    /// Nothing gets through from now on.
    pub(super) fn cut_path(&mut self, a: Node, b: Node, way: Way) {
        let path = self.path(a, b);
        let (there, back) = (usize::from(a > b), usize::from(b > a));
        path.cut[there] |= way != Way::Back;
        path.cut[back] |= way != Way::There;
        for key in self.engines_between(a, b) {
            if self.is_path_cut(key) {
                self.deafen(key);
            }
        }
    }

    /// Everything gets through again.
    pub(super) fn heal_path(&mut self, a: Node, b: Node) {
        self.path(a, b).cut = [false; 2];
        for key in self.engines_between(a, b) {
            self.hear_again(key);
            let wait = self.delay(a, b);
            self.after(wait, Event::Engine(key, Step::Flush));
        }
    }

    /// What sets out from now on arrives after a while only.
    pub(super) fn clog(&mut self, a: Node, b: Node, wait: Duration) {
        let until = self.now() + wait;
        let path = self.path(a, b);
        path.clogged_until = path.clogged_until.max(until);
    }

    pub(super) fn set_slow(&mut self, a: Node, b: Node, slow: Duration) {
        self.path(a, b).slow = slow;
    }

    /// Paths with which something is the matter.
    pub(super) fn troubled(&self) -> Vec<(Node, Node)> {
        let now = self.now();
        let troubled = self.paths.iter().filter(|(_, path)| !path.is_whole(now));
        troubled.map(|(&ends, _)| ends).collect()
    }

    fn path(&mut self, a: Node, b: Node) -> &mut Path {
        let (delay_max, dice) = (self.delay_max, &mut self.dice);
        self.paths.entry(ends(a, b)).or_insert_with(|| Path {
            delay: dice.between(Duration::from_micros(50), delay_max),
            ..Path::default()
        })
    }
}

fn ends(a: Node, b: Node) -> (Node, Node) {
    if a < b { (a, b) } else { (b, a) }
}
