//! What the association holds of data that did not come in sequence: as long as something before it
//! is missing, even what was read stays in its tables.

use std::collections::VecDeque;

use super::is_before;

/// Chunks behind a gap, and what they take.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// In the order of their TSNs, each once.
    chunks: VecDeque<Chunk>,
    total: usize,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    tsn: u32,
    cost: u32,
}

impl Ahead {
    /// What they take, tables included.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Whether something is held that comes after a TSN.
    pub(super) fn reaches_beyond(&self, tsn: u32) -> bool {
        self.chunks
            .back()
            .is_some_and(|last| is_before(tsn, last.tsn))
    }

    /// Notes a chunk; `false` when it is here already.
    pub(super) fn insert(&mut self, tsn: u32) -> bool {
        let at = self.chunks.partition_point(|held| is_before(held.tsn, tsn));
        if self.chunks.get(at).is_some_and(|held| held.tsn == tsn) {
            return false;
        }
        self.chunks.insert(at, Chunk { tsn, cost: 0 });
        self.charge(tsn, CHUNK_BYTES);
        true
    }

    /// A chunk that is here takes so much more.
    pub(super) fn charge(&mut self, tsn: u32, bytes: usize) {
        let at = self.chunks.partition_point(|held| is_before(held.tsn, tsn));
        if let (Some(chunk), Ok(cost)) = (self.chunks.get_mut(at), u32::try_from(bytes))
            && chunk.tsn == tsn
        {
            chunk.cost += cost;
            self.total += bytes;
        }
    }

    /// Everything up to a TSN came in sequence; says as far as it did with what was held.
    pub(super) fn release(&mut self, contiguous: u32) -> u32 {
        let mut contiguous = contiguous;
        while let Some(first) = self.chunks.front()
            && !is_before(contiguous.wrapping_add(1), first.tsn)
        {
            if is_before(contiguous, first.tsn) {
                contiguous = first.tsn;
            }
            self.total -= usize::try_from(first.cost).unwrap_or_default();
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() {
            // The memory of a burst is given back.
            *self = Self::default();
        }
        contiguous
    }
}

/// What a chunk takes in the association's tables, besides its packet; measured in
/// `tests/bounds.rs`.
pub(super) const CHUNK_BYTES: usize = 1024;
