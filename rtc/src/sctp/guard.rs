//! What `rtc-sctp` would let a hostile peer do to us, kept from it.
//!
//! Looks at the chunks of each decrypted packet before the association does. Without this one
//! datagram can keep the association busy for minutes (a FORWARD TSN far ahead), and a message
//! that never ends, or chunks far ahead of a gap, take memory without bound.

use super::packet::{
    ABORT, Chunk, DATA, ERROR, FORWARD_TSN, INIT, INIT_ACK, RE_CONFIG, SACK, SHUTDOWN,
    SHUTDOWN_ACK, SHUTDOWN_COMPLETE, chunks, data,
};

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give it to the association.
    Pass,
    /// As if it had been lost.
    Drop,
    /// The other side says goodbye; give it to the association all the same.
    Farewell,
    /// Nobody who means well sends this.
    Violation,
}

/// What it remembers of an association.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The highest TSN below which we have everything, as our last SACK said.
    acknowledged: Option<u32>,
    /// As far as data came in sequence since.
    contiguous: u32,
    /// DATA chunks of the last packet that passed.
    passed: u64,
    /// That SACK offered no window.
    window_shut: bool,
    /// Bytes that came since, although it did not.
    overrun: usize,
    /// Stream resets that the other side asked for.
    resets: usize,
    ahead: Ahead,
    /// Parts of messages that are not whole yet, or were not at the last look.
    fragments: usize,
}

impl Guard {
    /// Looks at a packet from the other side; `full` when no more data can be held.
    pub(crate) fn inspect_received(&mut self, packet: &[u8], full: bool) -> Verdict {
        let mut verdict = Verdict::Pass;
        let mut has_data = false;
        for chunk in chunks(packet) {
            let Some(chunk) = chunk else {
                return Verdict::Drop;
            };
            has_data |= chunk.kind == DATA;
            match self.inspect_chunk(&chunk) {
                Verdict::Pass => {}
                Verdict::Farewell => verdict = Verdict::Farewell,
                ends => return ends,
            }
        }
        match verdict {
            Verdict::Pass if has_data && full => Verdict::Drop,
            Verdict::Pass if has_data => self.admit_data(packet),
            verdict => verdict,
        }
    }

    /// Whether a chunk of this kind ends the association.
    pub(crate) fn is_farewell(kind: u8) -> bool {
        matches!(kind, ABORT | SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE)
    }

    /// For tests that aim at the edge of the window.
    #[cfg(test)]
    pub(crate) fn acknowledged(&self) -> Option<u32> {
        self.acknowledged
    }

    fn inspect_chunk(&mut self, chunk: &Chunk<'_>) -> Verdict {
        match chunk.kind {
            INIT | INIT_ACK => {
                if let (None, Some(tsn)) = (self.acknowledged, chunk.u32_at(12)) {
                    self.contiguous = tsn.wrapping_sub(1);
                    self.acknowledged = Some(self.contiguous);
                }
                Verdict::Pass
            }
            DATA => self.inspect_data(chunk),
            FORWARD_TSN if self.is_in_window(chunk.u32_at(0)) => Verdict::Pass,
            FORWARD_TSN => Verdict::Violation,
            SACK if gaps_ascend(chunk.value) => Verdict::Pass,
            SACK => Verdict::Violation,
            RE_CONFIG => {
                self.resets += 1;
                if self.resets > RESETS_MAX {
                    Verdict::Violation
                } else {
                    Verdict::Pass
                }
            }
            kind if Self::is_farewell(kind) => Verdict::Farewell,
            // The association would end by it; what it reports is never fatal (RFC 9260 3.3.10).
            ERROR => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }

    fn inspect_data(&mut self, chunk: &Chunk<'_>) -> Verdict {
        if !self.is_in_window(chunk.u32_at(0)) {
            return Verdict::Drop;
        }
        if self.window_shut {
            self.overrun += chunk.value.len();
        }
        if self.overrun > OVERRUN_BYTES_MAX {
            return Verdict::Violation;
        }
        Verdict::Pass
    }

    /// Not too far ahead of what came in sequence; behind is harmless.
    fn is_in_window(&self, tsn: Option<u32>) -> bool {
        match (self.acknowledged, tsn) {
            (Some(_), Some(tsn)) => {
                let ahead = tsn.wrapping_sub(self.contiguous);
                ahead <= TSN_WINDOW || ahead > u32::MAX / 2
            }
            _ => false,
        }
    }

    /// Takes a packet with data if what the association holds stays within bounds. What is next in
    /// sequence always does: it is what lets go of the rest.
    fn admit_data(&mut self, packet: &[u8]) -> Verdict {
        let (mut contiguous, mut highest) = (self.contiguous, None);
        let (mut ahead, mut fragments, mut passed) = (0, 0, 0);
        for data in data(packet) {
            passed += 1;
            let distance = data.tsn.wrapping_sub(contiguous);
            match distance {
                1 => contiguous = data.tsn,
                2..=TSN_WINDOW => {
                    ahead += 1;
                    highest = highest.max(Some(distance));
                }
                // It is here already.
                _ => continue,
            }
            fragments += usize::from(data.is_fragment);
        }
        let in_sequence = contiguous != self.contiguous;
        let cost = packet.len() + ahead * CHUNK_BYTES;
        let broken = fragments > 0 && self.fragments + fragments > FRAGMENTS_MAX;
        let too_far = ahead > 0 && self.ahead.total + cost > AHEAD_BYTES_MAX;
        if broken && in_sequence {
            return Verdict::Violation;
        }
        if broken || (too_far && !in_sequence) {
            return Verdict::Drop;
        }
        if let Some(distance) = highest {
            // The chunks share the packet's memory: the last one lets go of it.
            self.ahead.add(self.contiguous.wrapping_add(distance), cost);
        }
        self.ahead.release(self.contiguous, contiguous);
        self.contiguous = contiguous;
        self.fragments += fragments;
        self.passed = passed;
        Verdict::Pass
    }

    /// What the association made of the packet that passed. It does not take one that is damaged or
    /// that holds something it does not know: then the sequence did not get as far as it seemed.
    pub(crate) fn note_taken(&mut self, chunks: u64) {
        if chunks < std::mem::take(&mut self.passed)
            && let Some(acknowledged) = self.acknowledged
        {
            self.contiguous = acknowledged;
        }
    }

    /// A message of so many chunks was read.
    pub(crate) fn note_read(&mut self, chunks: usize) {
        if chunks > 1 {
            self.fragments = self.fragments.saturating_sub(chunks);
        }
    }

    /// Looks at a packet of ours: what we acknowledge, and the window that the association offers.
    pub(crate) fn inspect_sent(&mut self, packet: &[u8]) {
        let Some(Some(chunk)) = chunks(packet).next().filter(is_sack) else {
            return;
        };
        if let (Some(tsn), Some(window)) = (chunk.u32_at(0), chunk.u32_at(4)) {
            let gaps = chunk.value.get(8..10).is_some_and(|count| count != [0, 0]);
            if gaps {
                self.ahead.release(self.contiguous, tsn);
            } else {
                self.ahead.clear();
                if window >= super::RECEIVE_BUFFER_BYTES {
                    self.fragments = 0;
                }
            }
            self.acknowledged = Some(tsn);
            self.contiguous = tsn;
            self.window_shut = window == 0;
            if window > 0 {
                self.overrun = 0;
            }
        }
    }
}

fn is_sack(chunk: &Option<Chunk<'_>>) -> bool {
    chunk.as_ref().is_some_and(|chunk| chunk.kind == SACK)
}

/// What the association holds of data that did not come in sequence: as long as something before it
/// is missing, even what was read stays in its tables. In steps of [`STEP_TSNS`], from above: what a step
/// cost is let go of when the sequence has passed it.
#[derive(Debug)]
struct Ahead {
    /// By step, wrapping round.
    steps: [u32; STEPS],
    total: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            steps: [0; STEPS],
            total: 0,
        }
    }
}

impl Ahead {
    fn add(&mut self, tsn: u32, cost: usize) {
        if let (Some(step), Ok(cost)) = (self.step(tsn / STEP_TSNS), u32::try_from(cost)) {
            *step += cost;
            self.total += usize::try_from(cost).unwrap_or_default();
        }
    }

    /// Everything up to a TSN came in sequence, which was so up to another before.
    fn release(&mut self, before: u32, contiguous: u32) {
        if self.total == 0 || contiguous.wrapping_sub(before) > u32::MAX / 2 {
            return;
        }
        let steps = contiguous.wrapping_sub(before - before % STEP_TSNS) / STEP_TSNS;
        // More steps than there are: a skip over all of them.
        if usize::try_from(steps).is_ok_and(|steps| steps < STEPS) {
            for step in 0..steps {
                let number = (before / STEP_TSNS).wrapping_add(step);
                let cost = self.step(number).map(std::mem::take).unwrap_or_default();
                self.total -= usize::try_from(cost).unwrap_or_default();
            }
        } else {
            self.clear();
        }
    }

    fn clear(&mut self) {
        if self.total > 0 {
            *self = Self::default();
        }
    }

    fn step(&mut self, number: u32) -> Option<&mut u32> {
        let index = usize::try_from(number).unwrap_or_default() % STEPS;
        self.steps.get_mut(index)
    }
}

/// Gap blocks as a receiver that keeps its own books makes them; the association walks every TSN
/// that they name, again for each block that overlaps.
fn gaps_ascend(sack: &[u8]) -> bool {
    let Some(([.., n0, n1, _, _], blocks)) = sack.split_first_chunk::<12>() else {
        return false;
    };
    let count = usize::from(u16::from_be_bytes([*n0, *n1]));
    let mut last = 0;
    blocks
        .as_chunks::<4>()
        .0
        .iter()
        .take(count)
        .all(|[s0, s1, e0, e1]| {
            let (start, end) = (
                u16::from_be_bytes([*s0, *s1]),
                u16::from_be_bytes([*e0, *e1]),
            );
            let ascends = start > last && end >= start;
            last = end;
            ascends
        })
}

/// How far ahead of what came in sequence a chunk may be.
const TSN_WINDOW: u32 = 4032;
/// So many TSNs are accounted together.
const STEP_TSNS: u32 = 64;
/// Enough for [`TSN_WINDOW`], wherever in a step it begins.
const STEPS: usize = 64;
/// What a chunk takes in the association's tables, besides its packet; measured in
/// `tests/memory.rs`.
const CHUNK_BYTES: usize = 1024;
/// What may wait behind a gap, tables included: more than a whole window of full packets, or 1000
/// small ones; those beyond are sent again later.
pub(super) const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Parts of messages that may wait for the rest. The window holds 225 that fill their packets, and
/// nobody makes many that do not; nobody keeps to tiny ones, whose tables would take a hundred times
/// the window.
pub(super) const FRAGMENTS_MAX: usize = 640;
/// A whole datagram for a byte, and the tables.
pub(super) const FRAGMENT_BYTES: usize = 2048 + 512;
/// With the window shut and nothing to read, the association still takes what may complete a
/// message: twice the largest is enough for everyone who keeps to the maximum.
const OVERRUN_BYTES_MAX: usize = 128 * 1024;
/// Two lanes close once each, and each request may be repeated.
const RESETS_MAX: usize = 64;
