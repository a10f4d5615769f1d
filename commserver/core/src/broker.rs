//! The broker: takes inputs apart and moves things between the modules.

use std::{collections::VecDeque, time::Instant};

use crate::{Config, Input, Output, Stats};

/// One communication server. See the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Broker {
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Broker {
    /// A server without peers, whose coordinator is not reached yet.
    #[must_use]
    pub fn new(_now: Instant, _config: Config) -> Self {
        Self {
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes something that happened. Never fails; bad bytes are counted.
    pub fn handle_input(&mut self, _now: Instant, _input: Input) {}

    /// The next thing to do. To be called until `None` after every input or batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Tick` is due, if ever.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Our alias: the one of the last WELCOME.
    #[must_use]
    pub const fn alias(&self) -> Option<u64> {
        None
    }

    /// Walks the whole state.
    ///
    /// # Panics
    /// When something does not hold that must.
    pub const fn check_invariants(&self) {}
}
