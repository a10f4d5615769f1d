//! Losses of an unreliable stream, passed over before they hold anything up.
//!
//! The association gives up a message that is missing when three acknowledgements have said so. But
//! while it recovers from one loss it counts another only when the first is over (RFC 9260 section
//! 7.2.4), so with two losses in one round trip the second one often stays, until the timeout of a
//! second, which leaves a congestion window of one packet: what is sent next waits for round trips.
//! So after a while the other side is told, by a FORWARD TSN of our own, to wait no longer (RFC
//! 3758). What it acknowledges then is an acknowledgement like any other; that there was a
//! congestion the association knows from the first loss.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::is_after;
use crate::sctp::packet::{self, Data, Sack};

/// What went out and is not acknowledged, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Skip {
    runs: VecDeque<Run>,
    /// Up to where the other side is to be told not to wait, and when.
    next: Option<(u32, Instant)>,
    /// Of a packet of ours.
    header: [u8; packet::COMMON_HEADER_BYTES],
}

/// Neighbours of one kind.
#[derive(Debug)]
struct Run {
    first: u32,
    last: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A whole message of a stream that may lose it.
    Unreliable,
    /// A part of one: whoever passes over it passes over what the others are of.
    Part,
    Reliable,
}

impl Skip {
    /// Data goes out for the first time.
    pub(super) fn note_sent(&mut self, sent: &[u8], data: Data, reliable: bool) {
        let kind = match (reliable, data.begins && data.ends) {
            (true, _) => Kind::Reliable,
            (false, true) => Kind::Unreliable,
            (false, false) => Kind::Part,
        };
        if let Some(run) = self.runs.back_mut()
            && run.kind == kind
            && run.last.wrapping_add(1) == data.tsn
        {
            run.last = data.tsn;
            return;
        }
        if let Some(header) = sent.first_chunk() {
            self.header = *header;
        }
        if self.runs.len() >= RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(Run {
            first: data.tsn,
            last: data.tsn,
            kind,
        });
    }

    /// Takes an acknowledgement.
    pub(super) fn take(&mut self, now: Instant, sack: &Sack<'_>, round_trip: Option<Duration>) {
        let is_past = |tsn| !is_after(tsn, sack.cumulative);
        while self.runs.front().is_some_and(|run| is_past(run.last)) {
            self.runs.pop_front();
        }
        if self.next.is_some_and(|(tsn, _)| is_past(tsn)) {
            self.next = None;
        }
        if self.next.is_none()
            && let Some(tsn) = self.reach(sack)
        {
            let patience = round_trip.map_or(PATIENCE, |time| (time * 3 / 2).max(PATIENCE_MIN));
            self.next = Some((tsn, now + patience));
        }
    }

    /// When [`Skip::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.map(|(_, at)| at)
    }

    /// What tells the other side, when it is time. Should that be lost, the next acknowledgement is
    /// reason enough for another.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Bytes> {
        let (tsn, _) = self.next.take_if(|(_, at)| *at <= now)?;
        Some(packet::forward_tsn(&self.header, tsn))
    }

    /// The end of the last gap up to which nothing is missing but whole unreliable messages, and
    /// nothing is here of which a part may be missing.
    fn reach(&self, sack: &Sack<'_>) -> Option<u32> {
        let (mut reach, mut next) = (None, sack.cumulative.wrapping_add(1));
        for (first, last) in sack.ranges().take(GAPS_MAX) {
            if !self.are(next, first.wrapping_sub(1), |kind| kind == Kind::Unreliable) {
                break;
            }
            reach = Some(first.wrapping_sub(1));
            if !self.are(first, last, |kind| kind != Kind::Part) {
                break;
            }
            next = last.wrapping_add(1);
        }
        reach
    }

    /// Whether all of these are known, and of such a kind.
    fn are(&self, first: u32, last: u32, kind: impl Fn(Kind) -> bool) -> bool {
        let mut next = first;
        for run in &self.runs {
            if is_after(next, run.last) {
                continue;
            }
            if is_after(run.first, next) || !kind(run.kind) {
                return false;
            }
            if !is_after(last, run.last) {
                return true;
            }
            next = run.last.wrapping_add(1);
        }
        false
    }
}

/// Runs that are remembered; where both lanes take turns, each is a packet. What is older is the
/// association's.
const RUNS_MAX: usize = 128;
/// What they take, and as much again while they are given more room.
pub(super) const BYTES_MAX: usize = 3 * RUNS_MAX * size_of::<Run>();
/// Gaps that are looked at, of those that an acknowledgement tells.
const GAPS_MAX: usize = 64;
/// Least time that a message may be out of order.
const PATIENCE_MIN: Duration = Duration::from_millis(30);
/// The same where no round trip is known.
const PATIENCE: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many chunks of each kind, from TSN 1 on.
    fn sent(kinds: &[(u32, Kind)]) -> Skip {
        let (mut skip, mut tsn) = (Skip::default(), 0);
        for (count, kind) in kinds {
            for _ in 0..*count {
                tsn += 1;
                let data = Data {
                    tsn,
                    stream: 1,
                    turn: 0,
                    bytes: 100,
                    unordered: true,
                    begins: true,
                    ends: *kind != Kind::Part,
                };
                skip.note_sent(&[7; 12], data, *kind == Kind::Reliable);
            }
        }
        skip
    }

    /// What is passed over when a SACK says this.
    fn reach(skip: &Skip, cumulative: u32, blocks: &[[u16; 2]]) -> Option<u32> {
        let packet = packet::sack_of(cumulative, blocks);
        let sack = packet::sacks(&packet).next().expect("a SACK");
        skip.reach(&sack)
    }

    #[test]
    fn gaps_of_whole_unreliable_messages_are_passed_over() {
        let skip = sent(&[(20, Kind::Unreliable)]);
        assert_eq!(reach(&skip, 4, &[[2, 3]]), Some(5));
        assert_eq!(reach(&skip, 4, &[[2, 3], [6, 9]]), Some(9));
        assert_eq!(reach(&skip, 4, &[]), None);
        assert_eq!(reach(&skip, 18, &[[2, 3]]), Some(19), "beyond is not ours");
    }

    #[test]
    fn nothing_else_is() {
        let skip = sent(&[
            (5, Kind::Unreliable),
            (1, Kind::Reliable),
            (4, Kind::Unreliable),
            (3, Kind::Part),
            (7, Kind::Unreliable),
        ]);
        assert_eq!(reach(&skip, 5, &[[2, 3]]), None, "6 must arrive");
        assert_eq!(reach(&skip, 4, &[[3, 3]]), None, "6 must arrive");
        assert_eq!(reach(&skip, 4, &[[2, 2], [4, 4]]), Some(7), "and has");
        assert_eq!(reach(&skip, 10, &[[2, 3]]), None, "11 is a part");
        assert_eq!(
            reach(&skip, 9, &[[2, 3], [6, 6]]),
            Some(10),
            "what 11 and 12 are parts of may yet be whole"
        );
        let mut forgotten = skip;
        forgotten.runs.pop_front();
        assert_eq!(reach(&forgotten, 2, &[[2, 9]]), None, "3 is not known");
    }

    #[test]
    fn it_waits_a_round_trip_and_a_half_and_tells_once_an_acknowledgement() {
        let (mut skip, now) = (sent(&[(20, Kind::Unreliable)]), Instant::now());
        let packet = packet::sack_of(4, &[[2, 3]]);
        let sack = packet::sacks(&packet).next().expect("a SACK");
        skip.take(now, &sack, Some(Duration::from_millis(40)));
        let at = now + Duration::from_millis(60);
        assert_eq!(skip.deadline(), Some(at));
        assert_eq!(skip.handle_timeout(at - Duration::from_millis(1)), None);
        let told = skip.handle_timeout(at).expect("a packet");
        let chunk = packet::chunks(&told).next().flatten().expect("a chunk");
        assert_eq!(
            (chunk.kind, chunk.u32_at(0)),
            (packet::FORWARD_TSN, Some(5))
        );
        assert_eq!(skip.handle_timeout(at), None);
        skip.take(at, &sack, None);
        assert_eq!(skip.deadline(), Some(at + PATIENCE), "it was lost");
        let packet = packet::sack_of(7, &[]);
        let sack = packet::sacks(&packet).next().expect("a SACK");
        skip.take(at, &sack, None);
        assert_eq!(skip.deadline(), None, "it has arrived");
        assert_eq!(skip.runs.front().map(|run| run.first), Some(1));
    }

    #[test]
    fn so_much_is_remembered() {
        let kinds = [Kind::Unreliable, Kind::Reliable].map(|kind| (1, kind));
        for (pairs, first) in [(63, 1), (64, 1), (65, 3)] {
            let skip = sent(&kinds.repeat(pairs));
            assert_eq!(skip.runs.front().map(|run| run.first), Some(first));
            assert!(skip.runs.len() <= RUNS_MAX);
        }
    }
}
