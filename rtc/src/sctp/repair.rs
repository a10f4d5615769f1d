//! Losses repaired before the association notices them. It waits a second at least for a lost tail
//! (the least timeout of RFC 9260), as long for a retransmission that was lost, and for three later
//! acknowledgements after a gap, which a thin stream takes long to bring.
//!
//! After RFC 8985: a packet that is missing although a later one arrived is sent once more after a
//! moment in which it may still come, and the last one of all is sent once more when a round trip or
//! two have brought nothing. To the other side it is a repetition like any other. What the
//! association does itself is left to it: it is the one that sees congestion.

mod skip;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::skip::Skip;
use super::packet::{self, Sack};

/// What went out lately and is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Repair {
    sent: VecDeque<Sent>,
    /// Streams that promise delivery: nothing of another is ever sent again here.
    reliable: Vec<u16>,
    /// The highest TSN that went out.
    last_tsn: Option<u32>,
    /// When one of `sent` was sent or acknowledged last.
    progress: Option<Instant>,
    /// When to look again; not later than needed, but maybe sooner.
    wake: Option<Instant>,
    /// What the other side has room for.
    window: usize,
    round_trip: RoundTrip,
    burst: Burst,
    skip: Skip,
}

/// What was done about losses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repaired {
    /// Packets sent again.
    pub(crate) again: u64,
    /// FORWARD TSNs of our own.
    pub(crate) skips: u64,
}

/// A packet with data of a reliable stream.
#[derive(Debug)]
struct Sent {
    /// Of that data, the first TSN and the last.
    first: u32,
    last: u32,
    packet: Bytes,
    at: Instant,
    /// How often it was sent again.
    again: u32,
    /// Later ones arrived: when it is to be sent again, if nothing comes of it until then.
    missing_at: Option<Instant>,
}

impl Repair {
    /// Whether a stream's data must arrive.
    pub(super) fn set_reliable(&mut self, stream: u16, reliable: bool) {
        self.reliable.retain(|known| *known != stream);
        if reliable {
            self.reliable.push(stream);
        }
    }

    /// The association sends a packet.
    pub(super) fn note_sent(&mut self, now: Instant, sent: &Bytes) {
        let (mut newest, mut ends) = (None, None);
        for data in packet::data(sent) {
            newest = Some(data.tsn);
            let reliable = self.reliable.contains(&data.stream);
            if self.last_tsn.is_none_or(|known| is_after(data.tsn, known)) {
                self.skip.note_sent(sent, data, reliable);
            }
            if reliable {
                let (first, _) = ends.unwrap_or((data.tsn, data.tsn));
                ends = Some((first, data.tsn));
            }
        }
        let Some(newest) = newest else { return };
        let known = self.last_tsn.is_some_and(|known| !is_after(newest, known));
        if !known {
            self.last_tsn = Some(newest);
        }
        let Some((first, last)) = ends else { return };
        if known {
            self.note_sent_again(now, first, last);
            return;
        }
        if self.sent.len() >= PACKETS_MAX {
            // One that is missing is worth more than one that is only old.
            let known = self
                .sent
                .iter()
                .position(|sent| sent.again == 0 && sent.missing_at.is_none());
            self.sent.remove(known.unwrap_or_default());
        }
        self.sent.push_back(Sent {
            first,
            last,
            packet: sent.clone(),
            at: now,
            again: 0,
            missing_at: None,
        });
        self.progress = Some(now);
        if self.wake.is_none() {
            self.wake = self.quiet_until();
        }
    }

    /// The association's own retransmission: ours waits for what becomes of it.
    fn note_sent_again(&mut self, now: Instant, first: u32, last: u32) {
        for sent in &mut self.sent {
            if !is_after(first, sent.last) && !is_after(sent.first, last) {
                sent.at = now;
                sent.again += 1;
                sent.missing_at = None;
            }
        }
    }

    /// Takes the acknowledgements out of a packet from the other side.
    pub(super) fn note_received(&mut self, now: Instant, received: &[u8]) {
        if let Some(sack) = packet::sacks(received).last() {
            self.take(now, &sack);
        }
    }

    fn take(&mut self, now: Instant, sack: &Sack<'_>) {
        self.skip.take(now, sack, self.round_trip.smoothed);
        self.window = usize::try_from(sack.window).unwrap_or(usize::MAX);
        let (mut newest, mut arrived) = (None, 0_u32);
        self.sent.retain(|sent| {
            // It arrives whole, or sent again with nothing but this data.
            let here = sack.holds(sent.first) && sack.holds(sent.last);
            if here {
                arrived += 1;
                newest = Some(sent.at).filter(|_| sent.again == 0).max(newest);
            }
            !here
        });
        let highest = sack.highest();
        if let Some(at) = newest {
            // One alone may have been acknowledged late, in the hope of another.
            let prompt = arrived > 1 || highest != sack.cumulative;
            self.round_trip.add(now - at, prompt);
        }
        if arrived > 0 {
            self.progress = Some(now);
        }
        if self.sent.is_empty() {
            self.wake = None;
            return;
        }
        let Some(round_trip) = self.round_trip.smoothed else {
            return;
        };
        for sent in &mut self.sent {
            if is_after(sent.last, highest) {
                break;
            }
            // A moment for what came out of order, a round trip for what was sent again.
            let patience = if sent.again == 0 {
                (round_trip / 4).max(REORDERED)
            } else {
                (round_trip * 3 / 2).max(QUIET_MIN) * (1 << (sent.again - 1).min(AGAIN_MAX))
            };
            let since = if sent.again == 0 { now } else { sent.at };
            let missing_at = *sent.missing_at.get_or_insert(since + patience);
            self.wake = Some(self.wake.map_or(missing_at, |wake| wake.min(missing_at)));
        }
        if self.wake.is_none() {
            self.wake = self.quiet_until();
        }
    }

    /// When [`Repair::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.wake.into_iter().chain(self.skip.deadline()).min()
    }

    /// Adds what is to be sent.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        packets: &mut VecDeque<Bytes>,
    ) -> Repaired {
        let skip = self.skip.handle_timeout(now);
        let mut done = Repaired {
            skips: skip.is_some().into(),
            ..Repaired::default()
        };
        packets.extend(skip);
        if self.wake.is_none_or(|wake| wake > now) {
            return done;
        }
        for index in 0..self.sent.len() {
            let missing = self.sent.get(index).and_then(|sent| sent.missing_at);
            if missing.is_some_and(|at| at <= now) {
                done.again += u64::from(self.send_again(now, index, packets));
            }
        }
        let quiet = self.quiet_until().is_some_and(|at| at <= now);
        if quiet && let Some(last) = self.sent.len().checked_sub(1) {
            self.progress = Some(now);
            done.again += u64::from(self.send_again(now, last, packets));
        }
        self.wake = self.next_wake();
        done
    }

    fn send_again(&mut self, now: Instant, index: usize, packets: &mut VecDeque<Bytes>) -> bool {
        let (Some(sent), Some(round_trip)) = (self.sent.get_mut(index), self.round_trip.smoothed)
        else {
            return false;
        };
        // Without room over there it would be dropped: the association probes a shut window.
        if sent.again >= AGAIN_MAX || self.window < sent.packet.len() {
            sent.missing_at = None;
            return false;
        }
        if let Err(until) = self.burst.admit(now, round_trip) {
            sent.missing_at = Some(until);
            return false;
        }
        sent.at = now;
        sent.again += 1;
        sent.missing_at = None;
        let reliable = &self.reliable;
        let again = packet::data_again(&sent.packet, |stream| reliable.contains(&stream));
        packets.extend(again);
        true
    }

    /// Until when silence is no sign of a loss, if anything can be done about one.
    fn quiet_until(&self) -> Option<Instant> {
        let round_trip = self.round_trip.smoothed?;
        let last = self.sent.back().filter(|last| last.again < AGAIN_MAX)?;
        let mut patience = (round_trip * 2).max(QUIET_MIN) * (1 << last.again);
        if self.sent.len() == 1 {
            patience += SACK_DELAY_MAX;
        }
        Some(self.progress?.max(last.at) + patience)
    }

    fn next_wake(&self) -> Option<Instant> {
        let missing = self.sent.iter().filter_map(|sent| sent.missing_at);
        missing.chain(self.quiet_until()).min()
    }
}

/// How long an acknowledgement takes.
#[derive(Debug, Default)]
struct RoundTrip {
    smoothed: Option<Duration>,
    /// All that is known are acknowledgements that may have been late.
    rough: bool,
}

impl RoundTrip {
    fn add(&mut self, sample: Duration, prompt: bool) {
        self.smoothed = match self.smoothed {
            None => Some(sample),
            Some(known) if self.rough && (prompt || sample < known) => Some(sample),
            Some(known) if prompt || sample < known => Some((known * 7 + sample) / 8),
            known => known,
        };
        self.rough = !prompt && (self.rough || self.smoothed == Some(sample));
    }
}

/// Keeps repairs from adding to a congestion: the association does not count them.
#[derive(Debug, Default)]
struct Burst {
    since: Option<Instant>,
    packets: u32,
}

impl Burst {
    /// `Err` is when there is room for another packet.
    fn admit(&mut self, now: Instant, round_trip: Duration) -> Result<(), Instant> {
        let round_trip = round_trip.max(REORDERED);
        match self.since.map(|since| since + round_trip) {
            Some(end) if end > now => {
                if self.packets >= BURST_PACKETS_MAX {
                    return Err(end);
                }
                self.packets += 1;
            }
            _ => {
                self.since = Some(now);
                self.packets = 1;
            }
        }
        Ok(())
    }
}

/// In serial number arithmetic (RFC 1982).
fn is_after(tsn: u32, other: u32) -> bool {
    tsn != other && tsn.wrapping_sub(other) <= u32::MAX / 2
}

/// Packets that are remembered: where more are under way there are acknowledgements enough for the
/// association to find a loss by itself, and the tail is the newest.
const PACKETS_MAX: usize = 64;
/// What they hold, and their places; and what is remembered for `skip`.
pub(crate) const BYTES_MAX: usize = PACKETS_MAX * 1536 + skip::BYTES_MAX;
/// Least silence that is a sign: timers and threads are late by some milliseconds.
const QUIET_MIN: Duration = Duration::from_millis(30);
/// Least time that a packet may be out of order.
const REORDERED: Duration = Duration::from_millis(5);
/// How long an acknowledgement of a single packet may be held back (RFC 9260 section 6.2).
const SACK_DELAY_MAX: Duration = Duration::from_millis(200);
/// How often a packet is sent again; then it is the association's.
const AGAIN_MAX: u32 = 3;
/// Packets sent again in one round trip: what a sender without any news may begin with.
const BURST_PACKETS_MAX: u32 = 4;
