//! Losses that are repaired before SCTP's own timeout of a second.

#![expect(
    clippy::indexing_slicing,
    reason = "clippy knows #[test] functions, not what they call"
)]

mod link;

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, DIALER, Impair, LOSSLESS, Pair};
use rtc_peer::Lane;

const SIDES: [usize; 2] = [ACCEPTOR, DIALER];

/// A pair that knows how long the way is: some packets went in each direction.
fn acquainted(seed: u64) -> Pair {
    let mut pair = Pair::connected(seed, LOSSLESS);
    for _ in 0..4 {
        for from in SIDES {
            send(&mut pair, from, 0);
        }
        pair.run_for(Duration::from_millis(10));
    }
    pair.run_for(Duration::from_secs(1));
    for told in &mut pair.told {
        told.packets.clear();
    }
    assert_eq!(repairs(&pair), [0, 0]);
    pair
}

#[expect(clippy::unwrap_used, reason = "part of the tests")]
fn send(pair: &mut Pair, from: usize, number: u8) {
    let packet = Bytes::from(vec![number; 100]);
    pair.send(from, Lane::Reliable, &packet).unwrap();
    pair.drain();
}

fn repairs(pair: &Pair) -> [u64; 2] {
    pair.peers.each_ref().map(|peer| peer.stats().repairs)
}

/// Loses the next datagrams of a side, so many.
fn lose(pair: &mut Pair, from: usize, count: u32) {
    let left = Cell::new(count);
    pair.drop = Box::new(move |side, datagram| {
        // A record of application data.
        let lost = side == from && datagram[0] == 23 && left.get() > 0;
        left.set(left.get() - u32::from(lost));
        lost
    });
}

/// How long a packet takes that is the last one, when the first so many sendings are lost.
fn tail(from: usize, lost: u32) -> (Duration, u64) {
    let mut pair = acquainted(1);
    lose(&mut pair, from, lost);
    let sent = pair.now;
    send(&mut pair, from, 1);
    let arrived = pair.run(Duration::from_secs(10), |pair| {
        !pair.told[1 - from].packets.is_empty()
    });
    assert!(arrived);
    (pair.now - sent, repairs(&pair)[from])
}

#[test]
fn a_lost_tail_takes_an_acknowledgements_time_and_not_a_second() {
    for from in SIDES {
        // What the other side may hold its acknowledgement back for, a round trip or two, the way.
        let (once, repairs) = tail(from, 1);
        assert!(once < Duration::from_millis(300), "{once:?}");
        assert_eq!(repairs, 1);
        let (twice, repairs) = tail(from, 2);
        assert!(twice < Duration::from_millis(600), "{twice:?}");
        assert_eq!(repairs, 2);
    }
}

#[test]
fn a_burst_with_a_lost_end_does_not_wait_for_a_held_back_acknowledgement() {
    for from in SIDES {
        let mut pair = acquainted(1);
        lose(&mut pair, from, 2);
        let sent = pair.now;
        for number in 0..3 {
            let packet = Bytes::from(vec![number; 1000]);
            pair.send(from, Lane::Reliable, &packet).expect("room");
        }
        pair.run(Duration::from_secs(10), |pair| {
            pair.told[1 - from].packets.len() == 3
        });
        // The third arrived, so the others are missing.
        let took = pair.now - sent;
        assert!(took < Duration::from_millis(60), "{took:?}");
        assert_eq!(repairs(&pair)[from], 2);
    }
}

#[test]
fn a_thin_stream_repairs_a_gap_at_the_next_packet() {
    for from in SIDES {
        let mut pair = acquainted(1);
        lose(&mut pair, from, 1);
        let sent = pair.now;
        for number in 0..10 {
            send(&mut pair, from, number);
            pair.run_for(Duration::from_millis(100));
        }
        let packets = &pair.told[1 - from].packets;
        let numbers: Vec<u8> = packets.iter().map(|(_, _, bytes)| bytes[0]).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        // The second was sent after 100 ms, its acknowledgement takes 20, the repair a moment and 10.
        let took = packets[0].0 - sent;
        assert!(took <= Duration::from_millis(140), "{took:?}");
        assert_eq!(repairs(&pair)[from], 1);
    }
}

#[test]
fn a_dense_stream_never_waits_for_a_timeout() {
    for from in SIDES {
        let impair = Impair {
            delay: Duration::from_millis(20),
            ..LOSSLESS
        };
        let mut pair = Pair::connected(3, impair);
        pair.impair.loss = 0.02;
        let mut sent = Vec::new();
        for number in 0..8_000_u32 {
            sent.push(pair.now);
            let mut packet = number.to_be_bytes().to_vec();
            packet.resize(100, 0);
            pair.send(from, Lane::Reliable, &packet.into())
                .expect("room");
            pair.run_for(Duration::from_millis(3));
        }
        pair.run_for(Duration::from_secs(5));
        let packets = &pair.told[1 - from].packets;
        assert_eq!(packets.len(), sent.len());
        let late = packets
            .iter()
            .zip(&sent)
            .map(|((at, ..), sent)| *at - *sent);
        // Whatever was lost, and lost again: round trips of 40 ms.
        let latest = late.max().expect("some");
        assert!(latest < Duration::from_millis(400), "{latest:?}");
    }
}

#[test]
fn nothing_is_sent_again_where_nothing_is_lost() {
    for every in [7, 30, 100, 250, 1000] {
        let impair = Impair {
            jitter: Duration::from_millis(2),
            ..LOSSLESS
        };
        let mut pair = Pair::connected(2, impair);
        for number in 0..50 {
            for from in SIDES {
                send(&mut pair, from, number);
            }
            pair.run_for(Duration::from_millis(every));
        }
        assert_eq!(repairs(&pair), [0, 0], "every {every} ms");
    }
}

#[test]
fn what_is_sent_again_to_nobody_is_little() {
    for from in SIDES {
        let mut pair = acquainted(1);
        pair.drop = Box::new(|_, _| true);
        for number in 0..100 {
            send(&mut pair, from, number);
        }
        pair.run_for(Duration::from_secs(14));
        // The last one alone, and three times at most: the association's timeouts count.
        assert!(
            (1..=3).contains(&repairs(&pair)[from]),
            "{:?}",
            repairs(&pair)
        );
    }
}

#[test]
fn the_unreliable_lane_repairs_nothing_even_beside_the_reliable_one() {
    for from in SIDES {
        let mut pair = acquainted(1);
        lose(&mut pair, from, 1);
        for (lane, number) in [(Lane::Unreliable, 1), (Lane::Reliable, 2)] {
            let packet = Bytes::from(vec![number; 100]);
            pair.send(from, lane, &packet).expect("room");
        }
        pair.run_for(Duration::from_secs(5));
        let packets = &pair.told[1 - from].packets;
        let got: Vec<_> = packets.iter().map(|(_, lane, b)| (*lane, b[0])).collect();
        assert_eq!(got, [(Lane::Reliable, 2)]);
        assert_eq!(repairs(&pair)[from], 1);
    }
}
