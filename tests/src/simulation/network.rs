//! The simulated network: time, what is due, and what lies between the nodes.

use std::{collections::BTreeMap, time::Duration};

use super::{
    clock::{At, Clock, Queue},
    dice::Dice,
    engines::Engine,
    event::Event,
    node::{Life, Node},
    plan::Plan,
    sabotage::Sabotage,
    sockets::Socket,
    trace::{Trace, What},
};

/// Everything between the nodes. `sockets` and `engines` hold its two kinds of ways.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) clock: Clock,
    pub(super) queue: Queue<Event>,
    pub(super) trace: Trace,
    pub(super) dice: Dice,
    pub(super) sockets: Vec<Socket>,
    pub(super) engines: Vec<Engine>,
    paths: BTreeMap<(Node, Node), Path>,
    delay_max: Duration,
    pub(super) loss: u32,
    pub(super) sabotage: Option<Sabotage>,
    /// Packets that were reordered, lost or the like on purpose.
    pub(super) sabotaged: u64,
}

/// Between two nodes.
#[derive(Debug, Default)]
struct Path {
    /// One way, at least.
    delay: Duration,
    /// More of it, by a fault.
    slow: Duration,
    cut: bool,
}

impl Network {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            clock: Clock::new(),
            queue: Queue::new(),
            trace: Trace::new(plan.trace_max),
            dice: Dice::new(plan.seed, "network"),
            sockets: Vec::new(),
            engines: Vec::new(),
            paths: BTreeMap::new(),
            delay_max: plan.delay_max,
            loss: plan.loss,
            sabotage: plan.sabotage,
            sabotaged: 0,
        }
    }

    pub(super) const fn now(&self) -> At {
        self.clock.now()
    }

    /// Something happens after a while.
    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now() + wait, event);
    }

    pub(super) fn note(&mut self, what: What) {
        self.trace.note(self.now(), what);
    }

    pub(super) fn say(&mut self, node: Node, words: impl Into<std::sync::Arc<str>>) {
        self.note(What::Words(node, words.into()));
    }

    /// How long something takes that sets out now.
    pub(super) fn delay(&mut self, a: Node, b: Node) -> Duration {
        let (delay, slow) = {
            let path = self.path(a, b);
            (path.delay, path.slow)
        };
        delay + slow + self.dice.between(Duration::ZERO, delay / 2)
    }

    pub(super) fn is_cut(&self, a: Node, b: Node) -> bool {
        self.paths.get(&ends(a, b)).is_some_and(|path| path.cut)
    }

    pub(super) fn set_cut(&mut self, a: Node, b: Node, cut: bool) {
        self.path(a, b).cut = cut;
    }

    pub(super) fn set_slow(&mut self, a: Node, b: Node, slow: Duration) {
        self.path(a, b).slow = slow;
    }

    /// Paths that are cut or slow.
    pub(super) fn troubled(&self) -> Vec<(Node, Node)> {
        let troubled = self
            .paths
            .iter()
            .filter(|(_, path)| path.cut || path.slow > Duration::ZERO);
        troubled.map(|(&ends, _)| ends).collect()
    }

    fn path(&mut self, a: Node, b: Node) -> &mut Path {
        let (delay_max, dice) = (self.delay_max, &mut self.dice);
        self.paths.entry(ends(a, b)).or_insert_with(|| Path {
            delay: dice.between(Duration::from_micros(50), delay_max),
            ..Path::default()
        })
    }

    /// Whether the sabotage is on and strikes this time.
    pub(super) fn strikes(&mut self, sabotage: Sabotage, percent: u32) -> bool {
        let strikes = self.sabotage == Some(sabotage) && self.dice.percent(percent);
        self.sabotaged += u64::from(strikes);
        strikes
    }
}

/// What happened on the network, for a node to be told.
#[derive(Debug)]
pub(super) struct Told<T> {
    pub(super) life: Life,
    pub(super) what: T,
}

fn ends(a: Node, b: Node) -> (Node, Node) {
    if a < b { (a, b) } else { (b, a) }
}
