//! What strangers send, who know addresses and user names but no secrets, changes nothing.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows #[test] functions, not what they call"
)]

mod link;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, DIALER, LOSSLESS, Pair, Random, addrs};
use rtc_peer::{CloseReason, Input, Lane, Signal, SignalKind, stun_local_ufrag};

fn stranger() -> SocketAddr {
    "198.51.100.66:666".parse().unwrap()
}

/// Everything that side 1 sent to side 0 during a handshake and a little talk.
fn capture() -> (Pair, Vec<Vec<u8>>) {
    let captured = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let mut pair = Pair::new(1, LOSSLESS);
    let tap = std::rc::Rc::clone(&captured);
    pair.drop = Box::new(move |side, datagram| {
        if side == DIALER {
            tap.borrow_mut().push(datagram.to_vec());
        }
        false
    });
    pair.connect();
    pair.send(DIALER, Lane::Reliable, &Bytes::from_static(b"talk"))
        .unwrap();
    pair.run_for(Duration::from_secs(5));
    pair.drop = Box::new(|_, _| false);
    let captured = captured.take();
    (pair, captured)
}

/// The pair still talks to each other, and only to each other.
fn assert_unharmed(pair: &mut Pair) {
    for told in &mut pair.told {
        assert!(told.closed.is_empty(), "{:?}", told.closed);
        told.packets.clear();
    }
    for lane in Lane::ALL {
        for from in [ACCEPTOR, DIALER] {
            pair.send(from, lane, &Bytes::from_static(b"alive"))
                .unwrap();
        }
    }
    pair.run_for(LOSSLESS.delay);
    for side in [ACCEPTOR, DIALER] {
        assert_eq!(pair.told[side].packets.len(), 2, "side {side}");
        assert_eq!(pair.peers[side].stats().rebinds, 0);
    }
}

fn datagram(pair: &mut Pair, side: usize, remote: SocketAddr, bytes: &[u8]) {
    let local = addrs()[side];
    pair.input(
        side,
        Input::Datagram {
            local,
            remote,
            bytes,
        },
    );
}

#[test]
fn a_check_without_the_password_is_nothing() {
    let (mut pair, captured) = capture();
    let check = captured.iter().find(|datagram| datagram[0] < 4).unwrap();
    let ufrag = pair.peers[ACCEPTOR].local_ufrag().to_owned();
    assert_eq!(stun_local_ufrag(check), Some(&ufrag[..]));
    assert!(pair.peers[ACCEPTOR].accepts_stun(check));

    // Another transaction, another priority, USE-CANDIDATE put in: whatever is changed shows.
    let before = *pair.peers[ACCEPTOR].stats();
    for at in 0..check.len() - 8 {
        let mut forged = check.clone();
        forged[at] ^= 1;
        assert!(!pair.peers[ACCEPTOR].accepts_stun(&forged), "byte {at}");
        datagram(&mut pair, ACCEPTOR, stranger(), &forged);
    }
    let after = *pair.peers[ACCEPTOR].stats();
    assert_eq!(
        after.datagrams_sent, before.datagrams_sent,
        "no reply to a stranger"
    );
    let forged = u64::try_from(check.len()).unwrap() - 8;
    let dropped = |stats: rtc_peer::Stats| stats.dropped_stun + stats.dropped_unknown;
    let unproven = after.dropped_unproven - before.dropped_unproven;
    assert_eq!(dropped(after) - dropped(before) + unproven, forged);
    assert_unharmed(&mut pair);
}

#[test]
fn a_check_of_another_peer_is_nothing() {
    let (_, captured) = capture();
    let mut other = Pair::connected(3, LOSSLESS);
    for check in captured.iter().filter(|datagram| datagram[0] < 4) {
        assert!(!other.peers[ACCEPTOR].accepts_stun(check));
        datagram(&mut other, ACCEPTOR, stranger(), check);
    }
    assert_unharmed(&mut other);
}

#[test]
fn dtls_from_an_address_that_proved_nothing_is_nothing() {
    let (mut pair, captured) = capture();
    for record in captured.iter().filter(|datagram| datagram[0] >= 20) {
        datagram(&mut pair, ACCEPTOR, stranger(), record);
    }
    let stats = pair.peers[ACCEPTOR].stats();
    let records = captured.iter().filter(|datagram| datagram[0] >= 20).count();
    assert_eq!(stats.dropped_unproven, u64::try_from(records).unwrap());
    assert_unharmed(&mut pair);
}

#[test]
fn what_was_captured_and_comes_again_is_nothing() {
    let (mut pair, captured) = capture();
    let talked = pair.got(ACCEPTOR, Lane::Reliable).len();
    for record in captured.iter().filter(|datagram| datagram[0] >= 20) {
        datagram(&mut pair, ACCEPTOR, addrs()[DIALER], record);
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.got(ACCEPTOR, Lane::Reliable).len(),
        talked,
        "nothing arrives twice"
    );
    assert_unharmed(&mut pair);
}

#[test]
fn damaged_records_from_the_right_address_are_nothing() {
    let (mut pair, captured) = capture();
    let mut random = Random(1);
    for record in captured.iter().filter(|datagram| datagram[0] >= 20) {
        for _ in 0..20 {
            let mut damaged = record.clone();
            let at = usize::try_from(random.next()).unwrap() % damaged.len();
            damaged[at] ^= u8::try_from(random.next() % 255).unwrap() + 1;
            datagram(&mut pair, ACCEPTOR, addrs()[DIALER], &damaged);
            let cut = usize::try_from(random.next()).unwrap() % damaged.len();
            datagram(&mut pair, ACCEPTOR, addrs()[DIALER], &damaged[..cut]);
        }
    }
    assert_unharmed(&mut pair);
}

#[test]
fn garbage_is_nothing_at_any_time() {
    for when in 0..30 {
        let mut pair = Pair::new(4, LOSSLESS);
        pair.run_for(Duration::from_millis(5 * when));
        let mut random = Random(when);
        for side in [ACCEPTOR, DIALER] {
            datagram(&mut pair, side, stranger(), &[]);
            for first in 0..=255_u8 {
                let length = usize::try_from(random.next() % 200).unwrap();
                let mut garbage = vec![first];
                garbage.extend((0..length).map(|_| random.next().to_le_bytes()[0]));
                datagram(&mut pair, side, stranger(), &garbage);
            }
            let stats = pair.peers[side].stats();
            assert!(stats.dropped_unknown >= 1 + 256 - 4 - 44, "{stats:?}");
        }
        pair.connect();
        assert_unharmed(&mut pair);
    }
}

#[test]
fn signals_out_of_place_are_ignored_and_counted() {
    let mut pair = Pair::connected(5, LOSSLESS);
    let again = Signal {
        kind: SignalKind::Answer,
        data: r#"{"type":"answer","sdp":""}"#.into(),
    };
    let offer = Signal {
        kind: SignalKind::Offer,
        ..again.clone()
    };
    let candidate = Signal {
        kind: SignalKind::Candidate,
        data: "[]".into(),
    };
    for side in [ACCEPTOR, DIALER] {
        for signal in [&again, &offer, &candidate] {
            pair.input(side, Input::Signal(signal.clone()));
        }
        assert_eq!(pair.peers[side].stats().dropped_signals, 3);
    }
    assert_unharmed(&mut pair);
}

#[test]
fn a_description_that_cannot_be_used_closes() {
    for data in [
        "",
        "{}",
        r#"{"type":"offer","sdp":"v=0\r\n"}"#,
        r#"{"type":"answer","sdp":"v=0\r\n"}"#,
    ] {
        let mut pair = Pair::new(6, LOSSLESS);
        let signal = Signal {
            kind: SignalKind::Answer,
            data: data.into(),
        };
        pair.input(ACCEPTOR, Input::Signal(signal));
        assert_eq!(
            pair.told[ACCEPTOR].closed,
            [CloseReason::BadDescription],
            "{data}"
        );
    }
}

#[test]
fn two_lite_sides_are_refused() {
    let mut pair = Pair::new(7, LOSSLESS);
    pair.tamper = Box::new(|from, json| {
        if from == DIALER {
            json.replace("t=0 0", "t=0 0\\r\\na=ice-lite")
        } else {
            json
        }
    });
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.told[ACCEPTOR].closed, [CloseReason::BadDescription]);
}
