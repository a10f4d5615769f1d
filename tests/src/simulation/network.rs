//! The simulated network: time, what is due, and what lies between the nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    clock::{At, Clock, Queue},
    dice::Dice,
    engines::Engine,
    event::Event,
    node::{Life, Node},
    paths::Path,
    plan::Plan,
    sabotage::Sabotage,
    sockets::Socket,
    trace::{Trace, What},
};

/// Everything between the nodes. `sockets` and `engines` hold its two kinds of ways, `paths` and
/// `stillness` what is the matter with them.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) clock: Clock,
    pub(super) queue: Queue<Event>,
    pub(super) trace: Trace,
    pub(super) dice: Dice,
    pub(super) sockets: Vec<Socket>,
    pub(super) engines: Vec<Engine>,
    pub(super) paths: BTreeMap<(Node, Node), Path>,
    /// Who stands still, and until when.
    pub(super) frozen: BTreeMap<Node, At>,
    pub(super) not_reading: BTreeSet<Node>,
    /// By how much clocks have jumped.
    pub(super) ahead: BTreeMap<Node, Duration>,
    pub(super) delay_max: Duration,
    pub(super) loss: u32,
    pub(super) sabotage: Option<Sabotage>,
    /// Packets that were reordered, lost or the like on purpose.
    pub(super) sabotaged: u64,
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
            frozen: BTreeMap::new(),
            not_reading: BTreeSet::new(),
            ahead: BTreeMap::new(),
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
