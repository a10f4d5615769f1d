//! Peers without a network: whatever is done to them, each that was opened closes exactly once,
//! says nothing afterwards, and leaves nothing behind.

use std::collections::HashMap;

use proptest::prelude::*;
use rtc_peer::{Certificate, CloseReason, SignalKind};

use super::*;
use crate::{batch::Batch, handler::Event, socket::Datagram};

mod budgets;
mod garbage;
mod network;
mod room;
mod silence;
mod slow_readers;

const PEERS_MAX: usize = 4;

fn peers() -> Peers {
    let mut config = network::config(1);
    config.peers_max = PEERS_MAX;
    let local = ([127, 0, 0, 1], 7000).into();
    Peers::new(config, vec![local], Arc::default())
}

/// One thing done to the peers. Numbers choose among the keys seen so far, stale ones included.
#[derive(Debug, Clone)]
enum Step {
    Open(Role),
    Close(usize),
    Send(usize, Lane, usize),
    Signal(usize, SignalKind, Vec<u8>),
    Datagram(u16, Vec<u8>),
    IdleTimeout(usize, u64),
    ExpectTraffic(usize, u64),
    Wait(u64),
    /// Part of a pass: this many events, then perhaps a flush.
    Poll(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![
        Just(Role::Dialer),
        any::<bool>().prop_map(|ice_lite| Role::Acceptor { ice_lite }),
    ];
    let lane = prop_oneof![Just(Lane::Reliable), Just(Lane::Unreliable)];
    let kind = prop_oneof![
        Just(SignalKind::Offer),
        Just(SignalKind::Answer),
        Just(SignalKind::Candidate)
    ];
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        4 => role.prop_map(Step::Open),
        2 => (0usize..20).prop_map(Step::Close),
        2 => (0usize..20, lane, 0usize..2000).prop_map(|(k, lane, len)| Step::Send(k, lane, len)),
        2 => (0usize..20, kind, bytes()).prop_map(|(k, kind, data)| Step::Signal(k, kind, data)),
        2 => (any::<u16>(), bytes()).prop_map(|(port, bytes)| Step::Datagram(port, bytes)),
        1 => (0usize..20, 0u64..30).prop_map(|(k, s)| Step::IdleTimeout(k, s)),
        1 => (0usize..20, 0u64..30).prop_map(|(k, s)| Step::ExpectTraffic(k, s)),
        2 => (0u64..20).prop_map(Step::Wait),
        4 => (0usize..6, any::<bool>()).prop_map(|(events, flush)| Step::Poll(events, flush)),
    ]
}

/// What is known of the keys: `None` while alive, why it closed afterwards.
#[derive(Debug, Default)]
struct Lives {
    keys: Vec<PeerKey>,
    ends: HashMap<PeerKey, Option<CloseReason>>,
}

impl Lives {
    fn key(&self, n: usize) -> Option<PeerKey> {
        let n = n.checked_rem(self.keys.len())?;
        Some(self.keys[n])
    }

    fn note(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let end = self
            .ends
            .get_mut(&event.peer())
            .expect("a peer that was opened");
        prop_assert_eq!(*end, None, "{:?} after the end", event);
        if let Event::Closed { reason, .. } = event {
            *end = Some(*reason);
        }
        Ok(())
    }

    fn alive(&self) -> usize {
        self.ends.values().filter(|end| end.is_none()).count()
    }
}

fn flush(peers: &mut Peers, batch: &mut Batch) {
    while peers.flush_peer(batch) {}
    peers.end_flush();
    batch.advance(batch.len());
}

/// A signal or datagram may be nonsense; what it does to a peer is the engine's to say.
fn take_step(
    peers: &mut Peers,
    lives: &mut Lives,
    now: &mut Instant,
    step: Step,
) -> Result<(), TestCaseError> {
    match step {
        Step::Open(role) => {
            let room = peers.len() < PEERS_MAX;
            let opened = peers.open(*now, role);
            prop_assert_eq!(opened.is_ok(), room);
            if let Ok(key) = opened {
                prop_assert!(lives.ends.insert(key, None).is_none(), "the same key again");
                lives.keys.push(key);
            }
        }
        Step::Close(n) => {
            if let Some(key) = lives.key(n) {
                peers.close(*now, key);
                let late = peers.send(*now, key, Lane::Reliable, &Bytes::new());
                prop_assert_eq!(late, Sent::Dropped(DropReason::PeerGone));
            }
        }
        Step::Send(n, lane, len) => {
            if let Some(key) = lives.key(n) {
                let sent = peers.send(*now, key, lane, &vec![0; len].into());
                prop_assert!(matches!(sent, Sent::Dropped(_)), "no lane is open");
            }
        }
        Step::Signal(n, kind, data) => {
            if let Some(key) = lives.key(n) {
                let data = data.into();
                peers.handle_signal(*now, key, Signal { kind, data });
            }
        }
        Step::Datagram(port, bytes) => {
            let datagram = Datagram {
                local: ([127, 0, 0, 1], 7000).into(),
                remote: ([127, 0, 0, 1], port).into(),
                bytes: &bytes,
            };
            peers.handle_datagram(*now, datagram);
        }
        Step::IdleTimeout(n, seconds) => {
            if let Some(key) = lives.key(n) {
                peers.set_idle_timeout(*now, key, Duration::from_secs(seconds));
            }
        }
        Step::ExpectTraffic(n, seconds) => {
            if let Some(key) = lives.key(n) {
                peers.expect_traffic(*now, key, Duration::from_secs(seconds));
            }
        }
        Step::Wait(seconds) => {
            *now += Duration::from_secs(seconds);
            while peers.handle_deadline(*now) {}
        }
        Step::Poll(events, flushes) => {
            for _ in 0..events {
                if let Some(event) = peers.poll_event(*now) {
                    lives.note(&event)?;
                }
            }
            if flushes {
                flush(peers, &mut Batch::default());
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_peer_closes_once_and_leaves_nothing(steps in prop::collection::vec(step(), 1..80)) {
        let mut peers = peers();
        let mut lives = Lives::default();
        let mut now = Instant::now();
        for step in steps {
            take_step(&mut peers, &mut lives, &mut now, step)?;
            prop_assert!(peers.len() <= PEERS_MAX && peers.len() >= lives.alive());
        }
        peers.close_all(now);
        while let Some(event) = peers.poll_event(now) {
            lives.note(&event)?;
        }
        flush(&mut peers, &mut Batch::default());
        prop_assert_eq!(lives.alive(), 0);
        prop_assert!(peers.is_empty());
        prop_assert!(peers.demux.is_empty());
        prop_assert_eq!(peers.next_deadline(), None);
        let (opened, closed) = (&peers.stats.peers_opened, &peers.stats.peers_closed);
        prop_assert_eq!(opened.value(), closed.value());
        prop_assert_eq!(count(lives.keys.len()), opened.value());
    }
}

/// A peer's own clock ends it, once, when nobody answers.
#[test]
fn an_unanswered_peer_ends_by_the_clock() {
    let mut peers = peers();
    let start = Instant::now();
    let key = peers
        .open(start, Role::Acceptor { ice_lite: true })
        .unwrap();
    let mut now = start;
    let mut ends = Vec::new();
    while let Some(deadline) = {
        while let Some(event) = peers.poll_event(now) {
            if let Event::Closed { peer, reason } = event {
                ends.push((peer, reason, now - start));
            }
        }
        flush(&mut peers, &mut Batch::default());
        peers.next_deadline()
    } {
        now = now.max(deadline);
        while peers.handle_deadline(now) {}
    }
    let timeout = peers.config.peer.handshake_timeout;
    assert_eq!(ends, [(key, CloseReason::HandshakeTimeout, timeout)]);
    assert!(peers.is_empty());
}
