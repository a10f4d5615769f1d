//! An owner who does not read a lane for a while: the sender is slowed down, nothing is lost.

mod link;

use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, DIALER, Impair, LOSSLESS, Pair};
use rtc_peer::{Input, Lane, Peer, SendError};

const COUNT: u32 = 20_000;

fn numbered(number: u32, len: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len, 0);
    bytes.into()
}

fn pause(pair: &mut Pair, lane: Lane, paused: bool) {
    let now = pair.now;
    pair.peers[ACCEPTOR].set_paused(now, lane, paused);
    pair.drain();
}

/// Sends from `next` on, as many as the dialer takes within the time; returns the number of the
/// next.
fn send_for(pair: &mut Pair, time: Duration, len: usize, mut next: u32) -> u32 {
    let end = pair.now + time;
    while pair.now < end {
        while next < COUNT {
            let sent = pair.send(DIALER, Lane::Reliable, &numbered(next, len));
            match sent {
                Ok(()) => next += 1,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        pair.run_for(Duration::from_millis(50));
    }
    next
}

#[test]
fn a_paused_lane_holds_the_sender_back_and_loses_nothing() {
    for (len, impair) in [
        (1000, LOSSLESS),
        (100, LOSSLESS),
        (4, LOSSLESS),
        (1000, Impair::loss(0.02)),
        (60_000, LOSSLESS),
    ] {
        let mut pair = Pair::connected(1, impair);
        pair.run_for(Duration::from_secs(1));
        pause(&mut pair, Lane::Reliable, true);
        let next = send_for(&mut pair, Duration::from_secs(60), len, 0);
        assert!(pair.told[ACCEPTOR].packets.is_empty());
        // What the window takes and what the sender buffers.
        let sent = usize::try_from(next).unwrap() * len;
        assert!(sent <= 3 * 256 * 1024 + len, "{len}: {sent} bytes went");

        pause(&mut pair, Lane::Reliable, false);
        let least = next + 10.min(COUNT - next);
        let next = send_for(&mut pair, Duration::from_secs(5), len, next);
        assert!(next >= least, "{len}: it goes on at once");
        pair.run_for(Duration::from_secs(30));
        let got = pair.got(ACCEPTOR, Lane::Reliable);
        let expected = (0..next).map(|number| numbered(number, len));
        assert!(
            got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| *a == b),
            "{len}: {} of {next}, in order",
            got.len()
        );
        assert!(pair.told.iter().all(|told| told.closed.is_empty()));
    }
}

/// Little waits on the paused lane: there is window left, and everything else goes on.
#[test]
fn the_other_lane_and_the_other_direction_go_on() {
    let mut pair = Pair::connected(2, LOSSLESS);
    pause(&mut pair, Lane::Reliable, true);
    let held = Bytes::from_static(b"held back");
    pair.send(DIALER, Lane::Reliable, &held).unwrap();
    for number in 0..600 {
        let packet = numbered(number, 100);
        pair.send(DIALER, Lane::Unreliable, &packet).unwrap();
        for lane in Lane::ALL {
            pair.send(ACCEPTOR, lane, &packet).unwrap();
        }
        // An hour in all: checks and acknowledgements pass too.
        pair.run_for(Duration::from_secs(6));
    }
    assert_eq!(pair.got(ACCEPTOR, Lane::Unreliable).len(), 600);
    assert_eq!(pair.got(ACCEPTOR, Lane::Reliable).len(), 0);
    for lane in Lane::ALL {
        assert_eq!(pair.got(DIALER, lane).len(), 600);
        assert_eq!(pair.peers[ACCEPTOR].buffered_bytes(lane), 0, "acknowledged");
    }
    pause(&mut pair, Lane::Reliable, false);
    assert_eq!(pair.got(ACCEPTOR, Lane::Reliable), [held], "at once");
}

/// For hours, if need be: a sender probes a shut window, and is answered.
#[test]
fn a_shut_window_ends_nobody() {
    let mut pair = Pair::connected(3, LOSSLESS);
    pause(&mut pair, Lane::Reliable, true);
    let mut next = send_for(&mut pair, Duration::from_secs(10), 1000, 0);
    // Its probes are taken in until no more is held.
    for _ in 0..100 {
        pair.run_for(Duration::from_secs(10));
        next = send_for(&mut pair, Duration::from_millis(50), 1000, next);
    }
    let sent = pair.told.each_ref().map(|told| told.sent_datagrams);
    pair.run_for(Duration::from_secs(3 * 3600));
    for (told, sent) in pair.told.iter().zip(sent) {
        assert!(told.closed.is_empty());
        let rate = (told.sent_datagrams - sent) / (3 * 3600);
        assert!(rate <= 2, "{rate} datagrams per second of nothing");
    }
    let stats = pair.peers[ACCEPTOR].stats();
    assert!(stats.dropped_sctp > 0, "it was full: {stats:?}");
    pause(&mut pair, Lane::Reliable, false);
    pair.run_for(Duration::from_secs(70));
    let got = pair.got(ACCEPTOR, Lane::Reliable);
    assert_eq!(got.len(), usize::try_from(next).unwrap());
}

/// What was acknowledged was promised.
#[test]
fn a_close_hands_on_what_was_held() {
    for by in [ACCEPTOR, DIALER] {
        let mut pair = Pair::connected(4, LOSSLESS);
        pause(&mut pair, Lane::Reliable, true);
        let next = send_for(&mut pair, Duration::from_millis(100), 100, 0);
        pair.run_for(Duration::from_secs(5));
        pair.input(by, Input::Close);
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.told[ACCEPTOR].closed.len(), 1);
        let got = pair.got(ACCEPTOR, Lane::Reliable);
        assert!(
            got.len() > 1000 && got.len() <= usize::try_from(next).unwrap(),
            "{} of {next}",
            got.len()
        );
    }
}

/// However small the packets: what it holds is bounded, its engine's tables included.
#[test]
fn what_a_paused_peer_holds_is_bounded() {
    for len in [4, 100, 1000, 60_000] {
        let mut pair = Pair::connected(5, LOSSLESS);
        pair.run_for(Duration::from_secs(1));
        // The tables that SCTP keeps for good.
        send_for(&mut pair, Duration::from_secs(1), 1000, 0);
        pair.run_for(Duration::from_secs(10));
        pair.told[ACCEPTOR].packets = Vec::new();

        pause(&mut pair, Lane::Reliable, true);
        send_for(&mut pair, Duration::from_secs(60), len, 0);
        // Read all at once, which moves what it held to the test's own list.
        let held = allocation_counter::measure(|| {
            pause(&mut pair, Lane::Reliable, false);
            pair.told[ACCEPTOR].packets = Vec::new();
        });
        let held = usize::try_from(-held.bytes_current).unwrap();
        println!("packets of {len} bytes: {held} bytes held");
        let most = Peer::HELD_BYTES_MAX + 64 * 1024;
        assert!(held <= most, "{len}: {held}");
    }
}
