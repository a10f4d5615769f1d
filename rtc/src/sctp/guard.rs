//! What `rtc-sctp` would let a hostile peer do to us, kept from it.
//!
//! Looks at the chunks of each decrypted packet before the association does. Without this one
//! datagram can keep the association busy for minutes (a FORWARD TSN far ahead), and messages that
//! are never whole or never in their turn, or chunks far ahead of a gap, take memory without bound.

mod ahead;
mod unread;

use bytes::Bytes;

use self::ahead::Ahead;
use self::unread::Unread;
use super::packet::{
    self, ABORT, Chunk, DATA, DATA_HEADER_BYTES, ERROR, FORWARD_TSN, INIT, INIT_ACK, RE_CONFIG,
    SACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, chunks, data,
};

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give it to the association.
    Pass,
    /// Give it what [`Guard::trim`] leaves of it.
    Trim,
    /// As if it had been lost.
    Drop,
    /// The other side says goodbye; give it to the association all the same.
    Farewell,
    /// Nobody who means well sends this.
    Violation,
}

/// What it remembers of an association.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The highest TSN below which we have everything, as our last SACK said.
    acknowledged: Option<u32>,
    /// The same, as of now.
    contiguous: u32,
    /// That SACK offered no window.
    window_shut: bool,
    /// Bytes that came since, although it did not.
    overrun: usize,
    /// Stream resets that the other side asked for.
    resets: usize,
    /// Bytes of user data that the association holds at the most.
    buffer_bytes: usize,
    /// What may wait although it came in sequence.
    parts_bytes_max: usize,
    ahead: Ahead,
    unread: Unread,
}

impl Guard {
    /// For an association that holds so much user data, of messages up to a length.
    pub(crate) fn new(buffer_bytes: u32, message_bytes_max: usize) -> Self {
        Self {
            acknowledged: None,
            contiguous: 0,
            window_shut: false,
            overrun: 0,
            resets: 0,
            buffer_bytes: usize::try_from(buffer_bytes).unwrap_or(usize::MAX),
            parts_bytes_max: parts_bytes_max(message_bytes_max),
            ahead: Ahead::default(),
            unread: Unread::default(),
        }
    }

    /// Looks at a packet from the other side, when the association may hold so much.
    pub(crate) fn inspect_received(&mut self, packet: &[u8], room: usize) -> Verdict {
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
            Verdict::Pass if has_data => self.admit_data(packet, room),
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

    /// For the fuzz targets, which aim at the edge of the window.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn contiguous(&self) -> u32 {
        self.contiguous
    }

    fn inspect_chunk(&mut self, chunk: &Chunk<'_>) -> Verdict {
        match chunk.kind {
            INIT | INIT_ACK => self.inspect_init(chunk),
            DATA => self.inspect_data(chunk),
            FORWARD_TSN => match chunk.u32_at(0).filter(|tsn| self.is_in_window(*tsn)) {
                Some(tsn) => {
                    self.unread.note_forward(tsn);
                    Verdict::Pass
                }
                None => Verdict::Violation,
            },
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

    /// Where the other side begins. It says so once, or the same again (RFC 9260 section 5.2.1): the
    /// association believes some of them and not others, so all must say the same.
    fn inspect_init(&mut self, chunk: &Chunk<'_>) -> Verdict {
        let Some(tsn) = chunk.u32_at(12) else {
            return Verdict::Pass;
        };
        let contiguous = tsn.wrapping_sub(1);
        if self.acknowledged.is_none() {
            self.contiguous = contiguous;
            self.acknowledged = Some(contiguous);
        }
        if self.contiguous == contiguous {
            Verdict::Pass
        } else {
            Verdict::Drop
        }
    }

    fn inspect_data(&mut self, chunk: &Chunk<'_>) -> Verdict {
        if !chunk.u32_at(0).is_some_and(|tsn| self.is_in_window(tsn)) {
            return Verdict::Drop;
        }
        // No message has such a part (RFC 9260 section 6.2), and it would count as nothing.
        if chunk.value.len() == DATA_HEADER_BYTES {
            return Verdict::Violation;
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
    fn is_in_window(&self, tsn: u32) -> bool {
        let ahead = tsn.wrapping_sub(self.contiguous);
        self.acknowledged.is_some() && (ahead <= TSN_WINDOW || ahead > u32::MAX / 2)
    }

    /// Takes a packet with data if what the association holds stays within bounds. What is next in
    /// sequence lets go of the rest, and finds room where nothing else does.
    fn admit_data(&self, packet: &[u8], room: usize) -> Verdict {
        let mut contiguous = self.contiguous;
        let mut ahead = 0;
        for data in data(packet) {
            match data.tsn.wrapping_sub(contiguous) {
                1 => contiguous = data.tsn,
                2..=TSN_WINDOW => ahead += 1,
                // It is here already.
                _ => {}
            }
        }
        let held = self.held_bytes();
        let cost = packet.len() + ahead * ahead::CHUNK_BYTES;
        let fits_ahead =
            self.ahead.total() + cost <= AHEAD_BYTES_MAX && held + cost + SEQUENCE_BYTES <= room;
        if held + packet.len() > room {
            Verdict::Drop
        } else if ahead == 0 || fits_ahead {
            Verdict::Pass
        } else if contiguous != self.contiguous {
            Verdict::Trim
        } else {
            Verdict::Drop
        }
    }

    /// What is taken of a packet that would hold too much behind a gap.
    pub(crate) fn trim(&self, packet: &[u8]) -> Bytes {
        packet::in_sequence(packet, self.contiguous)
    }

    /// The association has looked at so many of a packet's DATA chunks. It does not take one that is
    /// damaged or that holds something it does not know: nothing came in sequence then.
    pub(crate) fn note_taken(&mut self, packet: &[u8], chunks: usize) {
        let mut last_ahead = None;
        for data in data(packet).take(chunks) {
            let tsn = data.tsn;
            if self.unread.payload() >= self.buffer_bytes && !self.ahead.reaches_beyond(tsn) {
                // It has no room, and fills no gap.
                continue;
            }
            match tsn.wrapping_sub(self.contiguous) {
                1 => self.contiguous = self.ahead.release(tsn),
                2..=TSN_WINDOW if self.ahead.insert(tsn) => last_ahead = last_ahead.max(Some(tsn)),
                _ => continue,
            }
            self.unread.insert(data, packet.len());
        }
        if let Some(tsn) = last_ahead {
            // The chunks share the packet's memory: the last one lets go of it.
            self.ahead.charge(tsn, packet.len());
        }
    }

    /// A message of so many chunks and bytes was read.
    pub(crate) fn note_read(&mut self, stream: u16, turn: u16, chunks: usize, bytes: usize) {
        self.unread.remove(stream, turn, chunks, bytes);
    }

    /// What the association holds of what came.
    pub(crate) fn held_bytes(&self) -> usize {
        self.ahead.total() + self.unread.cost_up_to(self.contiguous)
    }

    /// Whether not even a packet that is next in sequence finds room.
    pub(crate) fn is_full(&self, room: usize) -> bool {
        let packet = usize::try_from(super::PACKET_BYTES_MAX).unwrap_or_default();
        self.held_bytes() + packet > room
    }

    /// Whether what came in sequence is held within bounds, when all messages were read. It is part
    /// of one that is not whole yet, for those who keep to the rules.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.unread.cost_up_to(self.contiguous) <= self.parts_bytes_max
    }

    /// Looks at a packet that the association has just made: what it acknowledges, and the window
    /// that it offers.
    pub(crate) fn inspect_made(&mut self, packet: &[u8]) {
        let Some(Some(chunk)) = chunks(packet).next().filter(is_sack) else {
            return;
        };
        if let (Some(tsn), Some(window)) = (chunk.u32_at(0), chunk.u32_at(4)) {
            self.acknowledged = Some(tsn);
            self.contiguous = self.ahead.release(tsn);
            let window = usize::try_from(window).unwrap_or(usize::MAX);
            self.unread
                .reconcile(self.buffer_bytes.saturating_sub(window));
            self.window_shut = window == 0;
            if window > 0 {
                self.overrun = 0;
            }
        }
    }
}

/// Whether one TSN comes before another: they wrap round.
fn is_before(one: u32, other: u32) -> bool {
    let distance = other.wrapping_sub(one);
    distance != 0 && distance <= u32::MAX / 2
}

/// What parts of messages may take that came in sequence and wait for the rest: thrice the largest
/// message, for each part has a place in the tables, and some share a packet, which counts for each.
pub(super) const fn parts_bytes_max(message_bytes_max: usize) -> usize {
    3 * message_bytes_max + 4096
}

fn is_sack(chunk: &Option<Chunk<'_>>) -> bool {
    chunk.as_ref().is_some_and(|chunk| chunk.kind == SACK)
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
/// What may wait behind a gap, tables included: more than a whole window of full packets, or 1000
/// small ones; those beyond are sent again later.
pub(super) const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Kept free for what comes in sequence: the largest message, in parts.
const SEQUENCE_BYTES: usize = 96 * 1024;
/// With the window shut and nothing to read, the association still takes what may complete a
/// message: twice the largest is enough for everyone who keeps to the maximum.
const OVERRUN_BYTES_MAX: usize = 128 * 1024;
/// Two lanes close once each, and each request may be repeated.
const RESETS_MAX: usize = 64;
