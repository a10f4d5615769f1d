//! Virtual time: the moment, counted from the beginning of the run, and what is due when.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// A moment, as time since the beginning of the run.
pub(super) type At = Duration;

/// The cores want an `Instant`, which cannot be made from a number: one is taken at the beginning,
/// and only the distance from it ever counts.
#[derive(Debug)]
pub(super) struct Clock {
    base: Instant,
    now: At,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            base: Instant::now(),
            now: At::ZERO,
        }
    }

    pub(super) const fn now(&self) -> At {
        self.now
    }

    /// The moment as the cores have it.
    pub(super) fn instant(&self) -> Instant {
        self.base + self.now
    }

    /// A core's moment as ours.
    pub(super) fn at(&self, instant: Instant) -> At {
        instant.saturating_duration_since(self.base)
    }

    pub(super) fn advance(&mut self, to: At) {
        assert!(to >= self.now, "time runs backwards");
        self.now = to;
    }
}

/// What is due, earliest first; what is due at the same moment, in the order in which it was pushed.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Due<E>>>,
    pushed: u64,
}

#[derive(Debug)]
struct Due<E> {
    at: At,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            pushed: 0,
        }
    }

    pub(super) fn push(&mut self, at: At, event: E) {
        let sequence = self.pushed;
        self.pushed += 1;
        self.heap.push(Reverse(Due {
            at,
            sequence,
            event,
        }));
    }

    pub(super) fn pop(&mut self) -> Option<(At, E)> {
        self.heap.pop().map(|Reverse(due)| (due.at, due.event))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
