//! A set of slots: one bit for each, from the first that is in it on.

use std::ops::Range;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    /// Place of the first word: who came late has none for what was before.
    first: usize,
    words: Vec<u64>,
}

impl Slots {
    /// Adds a slot; false when it is in already.
    pub(crate) fn insert(&mut self, slot: u32) -> bool {
        let (place, bit) = place_of(slot);
        let Some(word) = self.word_mut(place) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes a slot out again.
    pub(crate) fn remove(&mut self, slot: u32) {
        let (place, bit) = place_of(slot);
        let at = place.checked_sub(self.first);
        if let Some(word) = at.and_then(|at| self.words.get_mut(at)) {
            *word &= !bit;
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, slot: u32) -> bool {
        let (place, bit) = place_of(slot);
        self.word(place) & bit != 0
    }

    /// The 64 slots at a place, as bits.
    pub(super) fn word(&self, place: usize) -> u64 {
        let at = place.checked_sub(self.first);
        at.and_then(|at| self.words.get(at)).copied().unwrap_or(0)
    }

    /// The places that may hold something.
    pub(super) fn places(&self) -> Range<usize> {
        self.first..self.first + self.words.len()
    }

    fn word_mut(&mut self, place: usize) -> Option<&mut u64> {
        if self.words.is_empty() {
            self.first = place;
        }
        if place < self.first {
            let missing = self.first - place;
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = place;
        }
        let at = place - self.first;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        self.words.get_mut(at)
    }
}

/// The bits of the word at a place whose slots are in a range.
pub(super) fn mask(place: usize, slots: &Range<u32>) -> u64 {
    let first = u64::try_from(place).unwrap_or(u64::MAX).saturating_mul(64);
    let below = |slot: u32| match u64::from(slot).checked_sub(first) {
        None => 0,
        Some(bits @ 0..64) => (1_u64 << bits) - 1,
        Some(_) => u64::MAX,
    };
    below(slots.end) & !below(slots.start)
}

/// Which places a range of slots touches.
pub(super) fn places(slots: &Range<u32>) -> Range<usize> {
    let place = |slot: u32| usize::try_from(slot / 64).unwrap_or(usize::MAX);
    place(slots.start)..place(slots.end).saturating_add(1)
}

fn place_of(slot: u32) -> (usize, u64) {
    let place = usize::try_from(slot / 64).unwrap_or(usize::MAX);
    (place, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn slots_at_the_edges_of_words() {
        let mut slots = Slots::default();
        for slot in [0, 63, 64, 127, 128, 1_000] {
            assert!(slots.insert(slot) && !slots.insert(slot) && slots.contains(slot));
        }
        assert!(!slots.contains(1) && !slots.contains(65) && !slots.contains(5_000));
    }

    #[test]
    fn who_comes_late_pays_for_nothing_before() {
        let mut slots = Slots::default();
        slots.insert(1_000_000);
        assert_eq!(slots.words.len(), 1);
        // Overtaken by it, and so there later.
        assert!(slots.insert(999_900));
        assert!(slots.contains(999_900) && slots.contains(1_000_000));
        assert_eq!(slots.words.len(), 3);
    }

    proptest! {
        #[test]
        fn is_a_set(changes: Vec<(bool, u16)>) {
            let (mut slots, mut model) = (Slots::default(), BTreeSet::new());
            for (add, slot) in changes {
                let slot = u32::from(slot % 500);
                if add {
                    prop_assert_eq!(slots.insert(slot), model.insert(slot));
                } else {
                    slots.remove(slot);
                    model.remove(&slot);
                }
            }
            for slot in 0..600 {
                prop_assert_eq!(slots.contains(slot), model.contains(&slot));
            }
        }

        #[test]
        fn a_mask_has_the_slots_of_the_range(start in 0..300_u32, length in 0..300_u32) {
            let range = start..start + length;
            let mut found = Vec::new();
            for place in places(&range) {
                let bits = mask(place, &range);
                let first = u32::try_from(place * 64).expect("small");
                found.extend((0..64).filter(|bit| bits & (1 << bit) != 0).map(|bit| first + bit));
            }
            prop_assert_eq!(found, range.collect::<Vec<_>>());
        }
    }
}
