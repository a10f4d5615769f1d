//! What `rtc-sctp` would let a hostile peer do to us, kept from it.
//!
//! Looks at the chunks of each decrypted packet before the association does. Without this one
//! datagram can keep the association busy for minutes (a FORWARD TSN far ahead), and a message
//! that never ends, or chunks far ahead of a gap, take memory without bound.

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
    /// That SACK offered no window.
    window_shut: bool,
    /// Bytes that came since, although it did not.
    overrun: usize,
    /// Stream resets that the other side asked for.
    resets: usize,
}

impl Guard {
    /// Looks at a packet from the other side.
    pub(crate) fn inspect_received(&mut self, packet: &[u8]) -> Verdict {
        let Some(mut rest) = packet.get(COMMON_HEADER_BYTES..) else {
            return Verdict::Drop;
        };
        let mut verdict = Verdict::Pass;
        while !rest.is_empty() {
            let Some(chunk) = Chunk::first(rest) else {
                return Verdict::Drop;
            };
            match self.inspect_chunk(&chunk) {
                Verdict::Pass => {}
                Verdict::Farewell => verdict = Verdict::Farewell,
                ends => return ends,
            }
            rest = rest.get(chunk.padded..).unwrap_or_default();
        }
        verdict
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
                    self.acknowledged = Some(tsn.wrapping_sub(1));
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
            ABORT | SHUTDOWN | SHUTDOWN_ACK => Verdict::Farewell,
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

    /// Not too far ahead of what we have acknowledged; behind is harmless.
    fn is_in_window(&self, tsn: Option<u32>) -> bool {
        match (self.acknowledged, tsn) {
            (Some(acknowledged), Some(tsn)) => {
                let ahead = tsn.wrapping_sub(acknowledged);
                ahead <= TSN_WINDOW || ahead > u32::MAX / 2
            }
            _ => false,
        }
    }

    /// Looks at a packet of ours: what we acknowledge, and the window that we offer.
    pub(crate) fn inspect_sent(&mut self, packet: &[u8]) {
        let chunk = packet.get(COMMON_HEADER_BYTES..).and_then(Chunk::first);
        let Some(chunk) = chunk.filter(|chunk| chunk.kind == SACK) else {
            return;
        };
        if let (Some(tsn), Some(window)) = (chunk.u32_at(0), chunk.u32_at(4)) {
            self.acknowledged = Some(tsn);
            self.window_shut = window == 0;
            if window > 0 {
                self.overrun = 0;
            }
        }
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

struct Chunk<'a> {
    kind: u8,
    value: &'a [u8],
    /// Length with header and padding.
    padded: usize,
}

impl<'a> Chunk<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let [kind, _, l0, l1] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        Some(Self {
            kind,
            value: bytes.get(4..length)?,
            padded: length.next_multiple_of(4),
        })
    }

    fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes = self.value.get(offset..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

const COMMON_HEADER_BYTES: usize = 12;
// Chunk types (RFC 9260 section 3.2, RFC 6525, RFC 3758).
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const ERROR: u8 = 9;
const RE_CONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;

/// Chunks that may wait behind a gap, or for our next SACK. Each costs some 200 bytes besides what
/// it carries, so this bounds what chunks of one byte can take.
const TSN_WINDOW: u32 = 16 * 1024;
/// With the window shut and nothing to read, the association still takes what may complete a
/// message: twice the largest is enough for everyone who keeps to the maximum.
const OVERRUN_BYTES_MAX: usize = 128 * 1024;
/// Two lanes close once each, and each request may be repeated.
const RESETS_MAX: usize = 64;
