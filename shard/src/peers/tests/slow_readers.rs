//! Slow readers: 10,000 packets to one who reads nothing while two others read everything, under
//! each policy, on each lane. Whatever does not reach the one is counted, by reason; the others get
//! all of it at the same times as without the one; what waits for the one is bounded; and whoever
//! is closed for it learns why.

use std::sync::LazyLock;

use super::network::{Network, config};
use super::*;
use crate::outbox::{self, Policy};

const SERVER: usize = 0;
const SLOW: usize = 1;
const READERS: [usize; 2] = [2, 3];
const COUNT: u32 = 10_000;
const LEN: usize = 100;
/// What the owner closes a slow consumer with.
const CODE: u16 = 11;

/// What became of it all.
#[derive(Debug)]
struct Outcome {
    /// Packets that reached the slow reader's engine.
    delivered: usize,
    /// By counted reason.
    dropped: Vec<(DropReason, u64)>,
    /// Most that waited for it in its outbox and its engine together.
    waiting_most: usize,
    /// When and why it learnt that it was closed.
    learnt: Option<(Duration, CloseReason)>,
    /// When each packet arrived at each reader.
    read: [Vec<(Duration, u32)>; 2],
}

fn numbered(n: u32) -> Bytes {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(LEN, 0);
    bytes.into()
}

fn outbox(policy: Policy) -> outbox::Config {
    let sizes = match policy {
        Policy::Buffered => outbox::Config::RELIABLE,
        Policy::FixedQueue | Policy::Discard => outbox::Config::UNRELIABLE,
    };
    outbox::Config { policy, ..sizes }
}

struct Play {
    network: Network,
    slow: [PeerKey; 2],
    readers: [[PeerKey; 2]; 2],
    lane: Lane,
}

impl Play {
    fn new(policy: Policy, lane: Lane, reads: bool) -> Self {
        let mut server = config(1);
        match lane {
            Lane::Reliable => server.reliable = outbox(policy),
            Lane::Unreliable => server.unreliable = outbox(policy),
        }
        let others = (2..=4).map(config);
        let mut network = Network::new([server].into_iter().chain(others));
        let slow = network.connect(SERVER, SLOW);
        let readers = READERS.map(|reader| network.connect(SERVER, reader));
        let mut play = Self {
            network,
            slow,
            readers,
            lane,
        };
        if !reads {
            play.read(false);
        }
        play
    }

    /// The slow reader stops, or goes on.
    fn read(&mut self, reads: bool) {
        let now = self.network.now;
        let [_, theirs] = self.slow;
        for lane in Lane::ALL {
            let (index, seat) = self.network.peers(SLOW).seats.find(theirs).unwrap();
            seat.peer.set_paused(now, lane, !reads);
            self.network.peers(SLOW).touch(index);
        }
    }

    fn send(&mut self, n: u32) {
        let (now, lane) = (self.network.now, self.lane);
        let to = [self.slow[0], self.readers[0][0], self.readers[1][0]];
        for key in to {
            self.network
                .peers(SERVER)
                .send(now, key, lane, &numbered(n));
        }
    }

    /// The owner closes whom the shard calls slow, as a server does.
    fn close_slow(&mut self) {
        let [ours, _] = self.slow;
        let told = self.network.told((SERVER, ours)).into_iter();
        let slow = told.filter(|(_, event)| matches!(event, Event::SlowConsumer { .. }));
        if slow.count() > 0 {
            let now = self.network.now;
            self.network.peers(SERVER).close_with(now, ours, CODE);
        }
    }

    /// All packets, 1000 a second, and then the time for the grace to end.
    fn play(mut self) -> Outcome {
        let start = self.network.now;
        let mut waiting_most = 0;
        for n in 0..COUNT {
            self.send(n);
            self.network.run_for(Duration::from_millis(1));
            self.close_slow();
            let waiting = self
                .network
                .peers(SERVER)
                .waiting_bytes(self.slow[0], self.lane);
            waiting_most = waiting_most.max(waiting);
        }
        for _ in 0..10 {
            self.network.run_for(Duration::from_secs(1));
            self.close_slow();
        }
        let [ours, theirs] = self.slow;
        let learnt = self.network.closed((SLOW, theirs));
        let learnt = learnt.map(|(at, reason)| (at - start, reason));
        let now = self.network.now;
        if learnt.is_none() {
            // It says no more than what it has, and is not asked for the rest.
            self.network.peers(SERVER).close(now, ours);
            self.network.run_for(Duration::from_secs(1));
        }
        let stats = Arc::clone(&self.network.peers(SERVER).stats);
        let dropped = DropReason::ALL.map(|reason| (reason, stats.dropped(reason)));
        // Its own goodbye finds nobody any more: a datagram, no packet.
        let dropped = dropped
            .into_iter()
            .filter(|(reason, count)| *count > 0 && *reason != DropReason::UnknownAddress);
        Outcome {
            delivered: self.arrived((SLOW, theirs), start).len(),
            dropped: dropped.collect(),
            waiting_most,
            learnt,
            read: [0, 1].map(|n| self.arrived((READERS[n], self.readers[n][1]), start)),
        }
    }

    fn arrived(&self, seat: (usize, PeerKey), start: Instant) -> Vec<(Duration, u32)> {
        let told = self.network.told(seat).into_iter();
        told.filter_map(|(at, event)| match event {
            Event::Packet { bytes, .. } => {
                let n = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                Some((*at - start, n))
            }
            _ => None,
        })
        .collect()
    }
}

/// Each policy on each lane, played once for all tests.
static OUTCOMES: LazyLock<Vec<(Policy, Lane, Outcome)>> = LazyLock::new(|| {
    let policies = [Policy::Buffered, Policy::FixedQueue, Policy::Discard];
    let cases = policies.map(|policy| Lane::ALL.map(|lane| (policy, lane)));
    let cases = cases.into_iter().flatten();
    cases
        .map(|(policy, lane)| (policy, lane, Play::new(policy, lane, false).play()))
        .collect()
});

#[test]
fn each_packet_to_a_slow_reader_arrives_or_is_counted() {
    for (policy, lane, outcome) in OUTCOMES.iter() {
        let Outcome {
            delivered, dropped, ..
        } = outcome;
        println!(
            "{policy:?} {lane:?}: {delivered} delivered, {dropped:?}, at most {} bytes waited, \
             told {:?}",
            outcome.waiting_most, outcome.learnt
        );
        let all: u64 = dropped.iter().map(|(_, count)| count).sum();
        let all = all + count(*delivered);
        // One that was on its way when it was closed may be both.
        let counted = u64::from(COUNT)..=u64::from(COUNT) + 1;
        assert!(counted.contains(&all), "{policy:?} {lane:?}: {all}");
        assert!(*delivered < 4000, "it did not read");
        let expected: &[DropReason] = match policy {
            Policy::Buffered => &[
                DropReason::PeerGone,
                DropReason::SlowConsumer,
                DropReason::Unsent,
                DropReason::Unacknowledged,
            ],
            Policy::FixedQueue => &[
                DropReason::Evicted,
                DropReason::Unsent,
                DropReason::Unacknowledged,
            ],
            Policy::Discard => &[DropReason::Discarded, DropReason::Unacknowledged],
        };
        assert!(
            dropped.iter().all(|(reason, _)| expected.contains(reason)),
            "{policy:?} {lane:?}: {dropped:?}"
        );
        let limits = config(1);
        let waits = match policy {
            Policy::Discard => 0,
            _ => outbox(*policy).bytes_max,
        };
        let most = waits + limits.peer.send_buffer_bytes;
        assert!(
            outcome.waiting_most <= most,
            "{} of {most}",
            outcome.waiting_most
        );
    }
}

#[test]
fn the_others_get_everything_as_if_nobody_were_slow() {
    let alone = Lane::ALL.map(|lane| Play::new(Policy::Buffered, lane, true).play().read);
    for (policy, lane, beside) in OUTCOMES.iter() {
        for reader in &beside.read {
            assert!(
                reader.iter().map(|(_, n)| *n).eq(0..COUNT),
                "{policy:?} {lane:?}"
            );
        }
        let same = alone.contains(&beside.read);
        assert!(same, "{policy:?} {lane:?}: at other times");
    }
}

/// The one policy that leaves no gaps ends in a close; the reason arrives though nothing else does.
#[test]
fn with_buffered_the_slow_reader_is_told_why_it_is_closed() {
    for (policy, lane, outcome) in OUTCOMES.iter() {
        if *policy == Policy::Buffered {
            let (at, reason) = outcome.learnt.expect("it is closed");
            assert_eq!(reason, CloseReason::RemoteCode(CODE));
            // Half of the outbox after some 9 s, and the grace of 5 s.
            let seconds = at.as_secs_f32();
            assert!(
                (9.0..15.5).contains(&seconds),
                "{policy:?} {lane:?}: {at:?}"
            );
        } else {
            assert_eq!(outcome.learnt, None, "{policy:?} {lane:?}");
        }
    }
}

/// At once more than its outbox holds: there is no grace for that.
#[test]
fn an_overrun_closes_at_once() {
    let mut play = Play::new(Policy::Buffered, Lane::Reliable, false);
    let start = play.network.now;
    for n in 0..2 * COUNT {
        play.send(n);
    }
    play.network.run_for(Duration::from_millis(1));
    play.close_slow();
    play.network.run_for(Duration::from_millis(100));
    let (at, reason) = play.network.closed((SLOW, play.slow[1])).unwrap();
    assert_eq!(reason, CloseReason::RemoteCode(CODE));
    assert!(at - start < Duration::from_millis(100));
}

/// Late, but not too late: nothing is lost, and nobody is closed.
#[test]
fn who_reads_again_within_the_grace_gets_everything() {
    let mut play = Play::new(Policy::Buffered, Lane::Reliable, false);
    let start = play.network.now;
    for n in 0..COUNT {
        play.send(n);
        play.network.run_for(Duration::from_millis(1));
    }
    play.read(true);
    play.network.run_for(Duration::from_secs(10));
    play.close_slow();
    assert_eq!(play.network.closed((SLOW, play.slow[1])), None);
    let got = play.arrived((SLOW, play.slow[1]), start);
    assert!(got.iter().map(|(_, n)| *n).eq(0..COUNT), "{}", got.len());
}
