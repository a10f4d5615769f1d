//! When each peer wants to be woken: an indexed binary heap with at most one entry per slot, so
//! that it never holds more than `peers_max` entries however often a deadline moves.

use std::time::Instant;

/// The earliest deadline over slots that are small integers.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Vec<Entry>,
    /// Where each slot stands in `heap`; [`ABSENT`] when it has no deadline.
    positions: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: Instant,
    slot: usize,
}

impl Deadlines {
    /// Sets, moves or (with `None`) removes the deadline of `slot`.
    pub(crate) fn set(&mut self, slot: usize, deadline: Option<Instant>) {
        if self.positions.len() <= slot {
            if deadline.is_none() {
                return;
            }
            self.positions.resize(slot + 1, ABSENT);
        }
        let position = self.position(slot);
        match (deadline, position) {
            (None, ABSENT) => {}
            (None, position) => self.remove(position),
            (Some(deadline), ABSENT) => {
                let position = self.heap.len();
                self.heap.push(Entry { deadline, slot });
                self.place(position);
                self.sift_up(position);
            }
            (Some(deadline), position) => {
                if let Some(entry) = self.heap.get_mut(position) {
                    entry.deadline = deadline;
                }
                let position = self.sift_up(position);
                self.sift_down(position);
            }
        }
    }

    /// Takes one slot whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        self.remove(0);
        Some(first.slot)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    fn position(&self, slot: usize) -> usize {
        self.positions.get(slot).copied().unwrap_or(ABSENT)
    }

    fn remove(&mut self, position: usize) {
        let removed = self.heap.swap_remove(position);
        if let Some(place) = self.positions.get_mut(removed.slot) {
            *place = ABSENT;
        }
        if position < self.heap.len() {
            self.place(position);
            let position = self.sift_up(position);
            self.sift_down(position);
        }
    }

    /// Writes down where the entry at `position` stands.
    fn place(&mut self, position: usize) {
        if let Some(entry) = self.heap.get(position)
            && let Some(place) = self.positions.get_mut(entry.slot)
        {
            *place = position;
        }
    }

    fn before(&self, a: usize, b: usize) -> bool {
        match (self.heap.get(a), self.heap.get(b)) {
            (Some(a), Some(b)) => a.deadline < b.deadline,
            _ => false,
        }
    }

    fn exchange(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.place(a);
        self.place(b);
    }

    fn sift_up(&mut self, mut position: usize) -> usize {
        while position > 0 {
            let parent = (position - 1) / 2;
            if !self.before(position, parent) {
                break;
            }
            self.exchange(position, parent);
            position = parent;
        }
        position
    }

    fn sift_down(&mut self, mut position: usize) {
        loop {
            let left = 2 * position + 1;
            let right = left + 1;
            let child = if self.before(right, left) {
                right
            } else {
                left
            };
            if !self.before(child, position) {
                return;
            }
            self.exchange(position, child);
            position = child;
        }
    }
}

const ABSENT: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moved_deadline_counts_once() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        for ms in [50, 10, 90, 30] {
            deadlines.set(3, Some(start + Duration::from_millis(ms)));
        }
        assert_eq!(deadlines.next(), Some(start + Duration::from_millis(30)));
        assert_eq!(deadlines.pop_due(start + Duration::from_millis(29)), None);
        assert_eq!(
            deadlines.pop_due(start + Duration::from_millis(30)),
            Some(3)
        );
        assert_eq!(deadlines.next(), None);
        assert!(deadlines.heap.is_empty());
    }

    proptest! {
        /// Against a map from slot to deadline: the next deadline is the smallest, everything due
        /// comes out once, in order, and nothing else does.
        #[test]
        fn agrees_with_a_map(
            steps in prop::collection::vec((0usize..12, prop::option::of(0u64..50), 0u64..50), 1..200)
        ) {
            let start = Instant::now();
            let at = |ms: u64| start + Duration::from_millis(ms);
            let mut deadlines = Deadlines::default();
            let mut model = BTreeMap::new();
            for (slot, deadline, now) in steps {
                deadlines.set(slot, deadline.map(at));
                match deadline {
                    Some(ms) => model.insert(slot, ms),
                    None => model.remove(&slot),
                };
                prop_assert_eq!(deadlines.next(), model.values().min().copied().map(at));
                if now % 4 == 0 {
                    let mut last = 0;
                    while let Some(slot) = deadlines.pop_due(at(now)) {
                        let ms = model.remove(&slot).expect("the model has it too");
                        prop_assert!(ms <= now && ms >= last);
                        last = ms;
                    }
                    prop_assert!(model.values().all(|ms| *ms > now));
                }
                prop_assert_eq!(deadlines.heap.len(), model.len());
            }
        }
    }
}
