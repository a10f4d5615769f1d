//! How peers end, stay alive, move, and wait for what comes late.

mod link;

use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, DIALER, Impair, LOSSLESS, Pair, addrs, configs};
use rtc_peer::{CloseReason, Config, Input, Lane, Role, SendError, Signal, SignalKind};

#[test]
fn a_close_is_seen_by_the_other_side_at_once() {
    for from in [ACCEPTOR, DIALER] {
        let mut pair = Pair::connected(1, LOSSLESS);
        let last = Bytes::from_static(b"last words");
        pair.send(from, Lane::Reliable, &last).unwrap();
        pair.input(from, Input::Close);
        assert_eq!(pair.told[from].closed, [CloseReason::Local]);
        assert_eq!(pair.peers[from].next_deadline(), None);
        assert_eq!(
            pair.send(from, Lane::Reliable, &last),
            Err(SendError::NotOpen)
        );
        pair.run_for(LOSSLESS.delay);
        assert_eq!(pair.told[1 - from].closed, [CloseReason::Remote]);
        assert_eq!(
            pair.got(1 - from, Lane::Reliable),
            [last],
            "sent before the close"
        );
        pair.run_for(Duration::from_secs(60));
        assert_eq!(
            pair.told.each_ref().map(|told| told.closed.len()),
            [1, 1],
            "said once"
        );
    }
}

#[test]
fn a_close_can_say_why() {
    for code in [0, 11, u16::MAX] {
        for from in [ACCEPTOR, DIALER] {
            let mut pair = Pair::connected(1, LOSSLESS);
            pair.input(from, Input::CloseWith(code));
            pair.run_for(LOSSLESS.delay);
            assert_eq!(pair.told[from].closed, [CloseReason::Local]);
            assert_eq!(pair.told[1 - from].closed, [CloseReason::RemoteCode(code)]);
        }
    }
}

/// Ahead of everything that waits, to one who has not read for long.
#[test]
fn a_close_says_why_even_to_one_who_does_not_read() {
    let mut pair = Pair::connected(1, LOSSLESS);
    let now = pair.now;
    for lane in Lane::ALL {
        pair.peers[DIALER].set_paused(now, lane, true);
    }
    let packet = Bytes::from(vec![7; 1000]);
    for _ in 0..100 {
        for lane in Lane::ALL {
            while pair.send(ACCEPTOR, lane, &packet).is_ok() {}
        }
        pair.run_for(Duration::from_millis(100));
    }
    pair.input(ACCEPTOR, Input::CloseWith(11));
    pair.run_for(LOSSLESS.delay);
    assert_eq!(pair.told[DIALER].closed, [CloseReason::RemoteCode(11)]);
}

#[test]
fn one_of_two_farewells_is_enough() {
    for lost in [0, 1] {
        let mut pair = Pair::connected(2, LOSSLESS);
        let mut farewells = 0;
        pair.run_for(Duration::from_secs(1));
        pair.drop = Box::new(move |side, _| {
            farewells += usize::from(side == DIALER);
            side == DIALER && farewells == lost + 1
        });
        pair.input(DIALER, Input::Close);
        pair.run_for(LOSSLESS.delay);
        assert_eq!(
            pair.told[ACCEPTOR].closed,
            [CloseReason::Remote],
            "without {lost}"
        );
    }
}

#[test]
fn an_idle_pair_lives_on() {
    for ice_lite in [true, false] {
        let mut configs = configs(3);
        configs[ACCEPTOR].role = Role::Acceptor { ice_lite };
        let mut pair = Pair::with(3, Impair::loss(0.05), configs);
        pair.connect();
        let sent = pair.told.each_ref().map(|told| told.sent_datagrams);
        pair.run_for(Duration::from_secs(600));
        assert!(pair.told.iter().all(|told| told.closed.is_empty()));
        pair.send(
            ACCEPTOR,
            Lane::Unreliable,
            &Bytes::from_static(b"still there"),
        )
        .unwrap();
        pair.send(DIALER, Lane::Reliable, &Bytes::from_static(b"yes"))
            .unwrap();
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.got(ACCEPTOR, Lane::Reliable).len(), 1);
        for (told, sent) in pair.told.iter().zip(sent) {
            let rate = (told.sent_datagrams - sent) / 600;
            assert!(rate <= 1, "{rate} datagrams per second of nothing");
        }
    }
}

#[test]
fn silence_closes_after_the_idle_timeout() {
    let mut pair = Pair::connected(4, LOSSLESS);
    pair.run_for(Duration::from_secs(60));
    let cut = pair.now;
    pair.drop = Box::new(|_, _| true);
    // A consent check comes every 3 s, so the last sign of life is at most that old.
    let idle = Config::IDLE_TIMEOUT;
    let closed = |pair: &Pair| pair.told.iter().any(|told| !told.closed.is_empty());
    assert!(!pair.run(idle - Duration::from_secs(4), closed));
    assert!(pair.run(Duration::from_secs(5), closed));
    pair.run_for(Duration::from_secs(4));
    assert!(pair.now - cut <= idle + Duration::from_secs(5));
    for told in &pair.told {
        assert_eq!(told.closed, [CloseReason::IdleTimeout]);
    }
}

#[test]
fn data_that_is_not_acknowledged_does_not_end_a_peer_before_the_idle_timeout() {
    let mut pair = Pair::connected(5, LOSSLESS);
    // Checks pass, DTLS does not.
    pair.drop = Box::new(|_, datagram| datagram[0] >= 20);
    pair.send(
        ACCEPTOR,
        Lane::Reliable,
        &Bytes::from_static(b"lost for long"),
    )
    .unwrap();
    pair.run_for(Duration::from_secs(120));
    assert!(pair.told[ACCEPTOR].closed.is_empty(), "{:?}", pair.told);
    pair.drop = Box::new(|_, _| false);
    pair.run_for(Duration::from_secs(61));
    assert_eq!(pair.got(DIALER, Lane::Reliable).len(), 1);
}

#[test]
fn a_shorter_idle_timeout_counts_from_the_last_sign_of_life() {
    let mut pair = Pair::connected(6, LOSSLESS);
    pair.run_for(Duration::from_secs(30));
    pair.drop = Box::new(|_, _| true);
    pair.run_for(Duration::from_secs(1));
    let now = pair.now;
    pair.peers[ACCEPTOR].set_idle_timeout(now, Duration::from_secs(5));
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.told[ACCEPTOR].closed, [CloseReason::IdleTimeout]);
    assert!(pair.told[DIALER].closed.is_empty());
}

const WITHIN: Duration = Duration::from_secs(2);

fn expect_traffic(pair: &mut Pair, within: Duration) {
    let now = pair.now;
    pair.peers[ACCEPTOR].expect_traffic(now, within);
}

/// A pair whose acceptor hears nothing any more; a moment later, so that it is not yet late.
fn cut_off(seed: u64) -> Pair {
    let mut pair = Pair::connected(seed, LOSSLESS);
    pair.run_for(Duration::from_secs(30));
    pair.drop = Box::new(|from, _| from == DIALER);
    pair.run_for(LOSSLESS.delay);
    pair
}

#[test]
fn expected_traffic_that_does_not_come_closes_at_its_deadline() {
    let mut pair = cut_off(12);
    expect_traffic(&mut pair, WITHIN);
    pair.run_for(WITHIN - Duration::from_nanos(1));
    assert!(pair.told[ACCEPTOR].closed.is_empty(), "one moment before");
    pair.run_for(Duration::from_nanos(1));
    assert_eq!(pair.told[ACCEPTOR].closed, [CloseReason::IdleTimeout]);
    pair.run_for(LOSSLESS.delay);
    assert_eq!(
        pair.told[DIALER].closed,
        [CloseReason::Remote],
        "it was there, and is told"
    );
}

/// What counts is not what the traffic is, but that it is authenticated: a check alone, and a DTLS
/// record alone, end the doubt; whatever a stranger sends does not.
#[test]
fn authenticated_traffic_ends_the_doubt_and_other_traffic_does_not() {
    for (name, first, packet) in [("checks", 0..=3_u8, false), ("records", 20..=63, true)] {
        let mut pair = cut_off(13);
        expect_traffic(&mut pair, Duration::from_secs(4));
        pair.drop = Box::new(move |from, datagram| from == DIALER && !first.contains(&datagram[0]));
        if packet {
            let bytes = Bytes::from_static(b"here I am");
            pair.send(DIALER, Lane::Unreliable, &bytes).unwrap();
        }
        pair.run_for(Duration::from_secs(4));
        assert!(pair.told[ACCEPTOR].closed.is_empty(), "{name}");
        pair.drop = Box::new(|_, _| false);
        pair.run_for(Duration::from_secs(60));
        assert!(pair.told[ACCEPTOR].closed.is_empty(), "{name}: for good");
    }

    let mut pair = cut_off(13);
    expect_traffic(&mut pair, WITHIN);
    let [local, remote] = addrs();
    for first in 0..=255 {
        let mut bytes = [first; 100];
        bytes[1] = 0;
        let from_the_peers_own_address = Input::Datagram {
            local,
            remote,
            bytes: &bytes,
        };
        pair.input(ACCEPTOR, from_the_peers_own_address);
    }
    pair.run_for(WITHIN);
    assert_eq!(pair.told[ACCEPTOR].closed, [CloseReason::IdleTimeout]);
}

#[test]
fn expected_again_the_earlier_deadline_holds() {
    for (again, closes_after) in [
        (Duration::from_secs(60), WITHIN),
        (
            Duration::from_millis(500),
            Duration::from_secs(1) + Duration::from_millis(500),
        ),
    ] {
        let mut pair = cut_off(14);
        let start = pair.now;
        expect_traffic(&mut pair, WITHIN);
        pair.run_for(Duration::from_secs(1));
        expect_traffic(&mut pair, again);
        pair.run(WITHIN, |pair| !pair.told[ACCEPTOR].closed.is_empty());
        assert_eq!(pair.now - start, closes_after);
    }
}

/// The idle timeout stays the longest silence: what is expected later than that changes nothing.
#[test]
fn expected_traffic_does_not_lengthen_the_idle_timeout() {
    let mut pair = cut_off(15);
    let (cut, mut heard) = (pair.now, pair.now - Duration::from_secs(4));
    expect_traffic(&mut pair, Duration::from_secs(3600));
    pair.run(Duration::from_secs(60), |pair| {
        !pair.told[ACCEPTOR].closed.is_empty()
    });
    heard += Config::IDLE_TIMEOUT;
    assert!((heard..=cut + Config::IDLE_TIMEOUT).contains(&pair.now));
}

/// Before the lanes are open it holds too, and is no handshake that took too long.
#[test]
fn expected_traffic_holds_during_the_handshake() {
    let mut pair = Pair::new(16, LOSSLESS);
    pair.drop = Box::new(|_, _| true);
    expect_traffic(&mut pair, WITHIN);
    pair.run_for(WITHIN);
    assert_eq!(pair.told[ACCEPTOR].closed, [CloseReason::IdleTimeout]);
    pair.run_for(Config::HANDSHAKE_TIMEOUT);
    assert_eq!(pair.told[DIALER].closed, [CloseReason::HandshakeTimeout]);
}

#[test]
fn a_handshake_that_does_not_complete_times_out() {
    let mut pair = Pair::new(7, LOSSLESS);
    pair.drop = Box::new(|_, datagram| datagram[0] >= 20);
    let timeout = Config::HANDSHAKE_TIMEOUT;
    pair.run_for(timeout - Duration::from_millis(1));
    assert!(pair.told.iter().all(|told| told.closed.is_empty()));
    pair.run_for(Duration::from_millis(1));
    for told in &pair.told {
        assert_eq!(told.closed, [CloseReason::HandshakeTimeout]);
    }
}

#[test]
fn an_answer_that_comes_after_checks_and_dtls_is_waited_for() {
    let mut pair = Pair::new(8, LOSSLESS);
    pair.signal_delay[ACCEPTOR] = Duration::from_millis(200);
    pair.connect();
    // Offer 5 ms, answer 200 ms; the dialer's first flight waits at the acceptor meanwhile, so
    // what is left are one and a half round trips of DTLS, two of SCTP, one of DCEP.
    assert!(
        pair.elapsed() <= Duration::from_millis(205 + 90),
        "{:?}",
        pair.elapsed()
    );
    assert_eq!(pair.peers[ACCEPTOR].stats().dropped_early, 0);
}

#[test]
fn what_is_held_for_a_description_is_bounded() {
    let mut pair = Pair::new(9, LOSSLESS);
    pair.signal_delay[ACCEPTOR] = Duration::from_secs(12);
    pair.run_for(Duration::from_secs(11));
    let stats = *pair.peers[ACCEPTOR].stats();
    // The ClientHello is repeated with doubling pauses: fewer than what is held.
    assert_eq!(stats.dropped_early, 0);
    let candidate = Signal {
        kind: SignalKind::Candidate,
        data: r#"{"candidate":"candidate:1 1 udp 1 192.0.2.9 9 typ host","sdpMid":"0"}"#.into(),
    };
    for _ in 0..100 {
        pair.input(ACCEPTOR, Input::Signal(candidate.clone()));
    }
    let [local, remote] = addrs();
    for _ in 0..100 {
        pair.input(
            ACCEPTOR,
            Input::Datagram {
                local,
                remote,
                bytes: &[22; 100],
            },
        );
    }
    let dropped = pair.peers[ACCEPTOR].stats().dropped_early;
    assert!(
        (100 - 32 + 100 - 8..=100 - 32 + 100).contains(&dropped),
        "{dropped}"
    );
    pair.run_for(Duration::from_secs(3));
    assert!(pair.is_connected(), "and does no harm: {:?}", pair.told);
}

#[test]
fn candidates_before_the_description_are_used() {
    let mut pair = Pair::new(10, LOSSLESS);
    // The offer says nothing of the acceptor's address, which comes on its own, and first.
    pair.tamper = Box::new(|_, json| json.replace("typ host", "typ unknown"));
    let candidate = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 7000 typ host"}"#;
    let end = r#"{"candidate":"","sdpMid":"0","sdpMLineIndex":0}"#;
    for data in [candidate, end] {
        let signal = Signal {
            kind: SignalKind::Candidate,
            data: data.into(),
        };
        pair.input(DIALER, Input::Signal(signal));
    }
    pair.connect();
}

#[test]
fn an_address_that_changes_is_followed() {
    for ice_lite in [true, false] {
        let mut configs = configs(11);
        configs[ACCEPTOR].role = Role::Acceptor { ice_lite };
        let mut pair = Pair::with(11, LOSSLESS, configs);
        pair.connect();
        pair.run_for(Duration::from_secs(10));
        // The dialer's NAT forgets: from now on it is seen from elsewhere.
        for port in [40_000, 40_001, 40_002] {
            pair.addrs[DIALER] = format!("203.0.113.5:{port}").parse().unwrap();
            pair.run_for(Duration::from_secs(10));
            pair.told[DIALER].packets.clear();
            pair.send(
                ACCEPTOR,
                Lane::Unreliable,
                &Bytes::from_static(b"found you"),
            )
            .unwrap();
            pair.run_for(LOSSLESS.delay);
            assert_eq!(
                pair.got(DIALER, Lane::Unreliable).len(),
                1,
                "lite {ice_lite}: {port}"
            );
        }
        assert_eq!(pair.peers[ACCEPTOR].stats().rebinds, 3);
        assert!(pair.told.iter().all(|told| told.closed.is_empty()));
    }
}
