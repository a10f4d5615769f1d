//! Chunks that the association has taken and of which no message was read: it keeps them until
//! what they wait for comes, the rest of a message or an earlier one. A message is told by its
//! stream, number and length alone, so this follows which chunks it was made of.

use std::collections::VecDeque;

use super::is_before;
use crate::sctp::packet::Data;

/// Chunks that wait, in the order of their TSNs.
#[derive(Debug, Default)]
pub(super) struct Unread {
    parts: VecDeque<Part>,
    /// Bytes of user data.
    payload: usize,
    /// The other side gave up everything up to there: what of it waits may be gone.
    forwarded: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    data: Data,
    cost: u16,
}

impl Unread {
    /// Bytes of user data: as the association counts them, or more.
    pub(super) fn payload(&self) -> usize {
        self.payload
    }

    /// Notes a chunk; none with its TSN is here.
    pub(super) fn insert(&mut self, data: Data, packet_bytes: usize) {
        let places = if data.begins {
            MESSAGE_BYTES
        } else {
            PART_BYTES
        };
        let cost = u16::try_from(packet_bytes + places).unwrap_or(u16::MAX);
        let part = Part { data, cost };
        if self
            .parts
            .back()
            .is_none_or(|last| is_before(last.data.tsn, data.tsn))
        {
            self.parts.push_back(part);
        } else {
            let at = self.place(data.tsn);
            self.parts.insert(at, part);
        }
        self.payload += usize::from(data.bytes);
    }

    /// A message was read: so many chunks and bytes, with that number in its stream.
    pub(super) fn remove(&mut self, stream: u16, turn: u16, chunks: usize, bytes: usize) {
        let starts = 0..(self.parts.len() + 1).saturating_sub(chunks);
        let start = starts.into_iter().find(|start| {
            let run = || self.parts.range(*start..*start + chunks).map(|p| p.data);
            let whole = run().next().is_some_and(|first| first.begins)
                && run().next_back().is_some_and(|last| last.ends);
            whole
                && run().all(|each| each.stream == stream && (each.unordered || each.turn == turn))
                && run().map(|each| usize::from(each.bytes)).sum::<usize>() == bytes
        });
        if let Some(start) = start {
            self.parts.drain(start..start + chunks);
            self.payload -= bytes;
            self.give_back();
        }
    }

    /// The other side gives up everything up to a TSN.
    pub(super) fn note_forward(&mut self, tsn: u32) {
        if self.forwarded.is_none_or(|before| is_before(before, tsn)) {
            self.forwarded = Some(tsn);
        }
    }

    /// The association says how many bytes it holds in fact. What was given up is believed to be
    /// gone when the rest accounts for all of them.
    pub(super) fn reconcile(&mut self, payload: usize) {
        if payload == 0 {
            self.parts.clear();
            self.payload = 0;
        }
        if let Some(forwarded) = self.forwarded.take() {
            let gone = self.place(forwarded.wrapping_add(1));
            let lengths = self.parts.range(..gone).map(|part| part.data.bytes);
            let gone_bytes: usize = lengths.map(usize::from).sum();
            if self.payload - gone_bytes >= payload {
                self.parts.drain(..gone);
                self.payload -= gone_bytes;
            }
        }
        self.give_back();
    }

    /// What those up to a TSN take.
    pub(super) fn cost_up_to(&self, contiguous: u32) -> usize {
        let parts = self.parts.iter();
        parts
            .take_while(|part| !is_before(contiguous, part.data.tsn))
            .map(|part| usize::from(part.cost))
            .sum()
    }

    /// Where the first part at or behind a TSN stands.
    fn place(&self, tsn: u32) -> usize {
        self.parts
            .partition_point(|part| is_before(part.data.tsn, tsn))
    }

    /// The memory of a burst.
    fn give_back(&mut self) {
        if self.parts.is_empty() && self.parts.capacity() > KEPT_PARTS {
            self.parts = VecDeque::new();
        }
    }
}

/// What a message's first chunk takes in the association's tables, besides its packet, and what
/// another one takes; measured in `tests/bounds.rs`.
const MESSAGE_BYTES: usize = 704;
const PART_BYTES: usize = 400;
/// Places that stay: what one packet fills and empties.
const KEPT_PARTS: usize = 16;
