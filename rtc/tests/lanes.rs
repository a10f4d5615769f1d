//! What the lanes carry.

mod link;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, DIALER, Impair, LOSSLESS, Pair, configs};
use rtc_peer::{CloseReason, Input, Lane, Output, SendError};

/// Between the messages of a thin stream.
const EVERY: Duration = Duration::from_millis(10);
/// First byte of a DTLS record.
const APPLICATION_DATA: u8 = 23;

#[test]
fn both_lanes_open_on_both_sides() {
    let pair = Pair::connected(1, LOSSLESS);
    for told in &pair.told {
        assert_eq!(told.open, Lane::ALL);
        assert!(told.closed.is_empty());
    }
    let [acceptor, dialer] = pair
        .peers
        .each_ref()
        .map(|peer| peer.fingerprints().unwrap());
    assert_eq!((acceptor.0, acceptor.1), (dialer.1, dialer.0));
}

#[test]
fn messages_of_all_sizes_arrive_whole_on_both_lanes() {
    let mut pair = Pair::connected(2, LOSSLESS);
    let sizes = [0, 1, 2, 3, 1131, 1132, 1133, 16 * 1024, 65_535, 65_536];
    for lane in Lane::ALL {
        for from in [ACCEPTOR, DIALER] {
            let messages: Vec<Bytes> = sizes
                .iter()
                .map(|size| (0..*size).map(|i| u8::try_from(i % 251).unwrap()).collect())
                .collect();
            for message in &messages {
                pair.send(from, lane, message).unwrap();
            }
            let arrived = pair.run(Duration::from_secs(20), |pair| {
                pair.got(1 - from, lane).len() == sizes.len()
            });
            assert!(
                arrived,
                "{lane:?} from {from}: {}",
                pair.got(1 - from, lane).len()
            );
            assert_eq!(pair.got(1 - from, lane), messages);
            pair.told[1 - from].packets.clear();
        }
    }
}

/// Numbered messages, one at a time; returns when each number arrived, in order of arrival.
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "part of the tests"
)]
fn stream(
    pair: &mut Pair,
    from: usize,
    lane: Lane,
    count: u32,
    every: Duration,
) -> Vec<(u32, Duration)> {
    let mut sent = Vec::new();
    for number in 0..count {
        sent.push(pair.now);
        let mut message = number.to_be_bytes().to_vec();
        message.resize(100, 0);
        pair.send(from, lane, &message.into()).unwrap();
        pair.run_for(every);
    }
    pair.run_for(Duration::from_secs(10));
    let packets = &pair.told[1 - from].packets;
    packets
        .iter()
        .map(|(at, on, bytes)| {
            assert_eq!(*on, lane);
            let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            (number, *at - sent[usize::try_from(number).unwrap()])
        })
        .collect()
}

#[test]
fn the_unreliable_lane_never_waits_and_never_repeats_in_either_direction() {
    for from in [ACCEPTOR, DIALER] {
        let mut pair = Pair::connected(3, Impair::loss(0.05));
        let arrived = stream(&mut pair, from, Lane::Unreliable, 1000, EVERY);
        // Some were lost and stayed lost: 5 %, within chance.
        assert!((920..=975).contains(&arrived.len()), "{}", arrived.len());
        // And none that arrived was late, though others were lost before it.
        for (number, after) in &arrived {
            assert_eq!(*after, LOSSLESS.delay, "message {number} waited");
        }
    }
}

/// What a server sends to a client of a busy room: several losses in one round trip are the rule.
#[test]
fn the_unreliable_lane_never_waits_where_much_is_under_way() {
    let delay = Duration::from_millis(20);
    for from in [ACCEPTOR, DIALER] {
        for loss in [0.01, 0.04] {
            let mut pair = Pair::connected(8, Impair { delay, ..LOSSLESS });
            pair.impair.loss = loss;
            let every = Duration::from_millis(2);
            let arrived = stream(&mut pair, from, Lane::Unreliable, 4000, every);
            for (number, after) in &arrived {
                assert_eq!(*after, delay, "message {number} waited at {loss}");
            }
        }
    }
}

#[test]
fn two_losses_in_one_round_trip_hold_nothing_up() {
    for from in [ACCEPTOR, DIALER] {
        let mut pair = Pair::connected(9, LOSSLESS);
        let mut sent = 0;
        pair.drop = Box::new(move |side, datagram| {
            sent += u32::from(side == from && datagram.first() == Some(&APPLICATION_DATA));
            side == from && [100, 103].contains(&sent)
        });
        let every = Duration::from_millis(1);
        let arrived = stream(&mut pair, from, Lane::Unreliable, 2000, every);
        assert_eq!(arrived.len(), 1998);
        for (number, after) in &arrived {
            assert_eq!(*after, LOSSLESS.delay, "message {number} waited");
        }
    }
}

/// What is passed over is whole messages: nothing else is lost, and no part is left lying about.
#[test]
fn what_is_sent_in_parts_is_lost_alone_and_leaves_nothing() {
    let mut pair = Pair::connected(10, LOSSLESS);
    // Of the small ones, and of those in three parts.
    let (small, large) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let lost = [&small, &large].map(Rc::clone);
    let (mut sent, mut parts, mut whole) = (0_u32, 0_u32, true);
    pair.drop = Box::new(move |side, datagram| {
        let is_data = datagram.first() == Some(&APPLICATION_DATA) && datagram.len() > 130;
        if side != ACCEPTOR || !is_data {
            return false;
        }
        sent += 1;
        // Pairs in one round trip among them, and all three places in a message of three parts.
        let drop = sent % 37 == 0 || sent % 41 == 0;
        let [small, large] = &lost;
        if datagram.len() < 300 {
            small.set(small.get() + u32::from(drop));
            return drop;
        }
        parts += 1;
        whole &= !drop;
        if parts % 3 == 0 {
            large.set(large.get() + u32::from(!whole));
            whole = true;
        }
        drop
    });
    for number in 0..4000_u32 {
        let size = if number % 20 == 0 { 3000 } else { 100 };
        pair.send(ACCEPTOR, Lane::Unreliable, &vec![0; size].into())
            .unwrap();
        pair.run_for(Duration::from_millis(2));
    }
    pair.run_for(Duration::from_secs(3));
    let got = pair.got(DIALER, Lane::Unreliable);
    let count = |size| got.iter().filter(|message| message.len() == size).count();
    assert!(small.get() > 100 && large.get() > 10);
    assert_eq!(count(100), 3800 - usize::try_from(small.get()).unwrap());
    assert_eq!(count(3000), 200 - usize::try_from(large.get()).unwrap());
    assert_eq!(count(100) + count(3000), got.len());
    assert!(pair.peers[ACCEPTOR].stats().skips > 0);
    assert_eq!(pair.peers[DIALER].received_bytes(), 0);
}

#[test]
fn the_unreliable_lane_does_not_restore_order() {
    for from in [ACCEPTOR, DIALER] {
        let impair = Impair {
            jitter: Duration::from_millis(50),
            ..LOSSLESS
        };
        let mut pair = Pair::connected(4, impair);
        let arrived = stream(&mut pair, from, Lane::Unreliable, 500, EVERY);
        assert_eq!(arrived.len(), 500);
        assert!(!arrived.is_sorted_by_key(|(number, _)| *number));
        for (number, after) in &arrived {
            assert!(
                *after <= impair.delay + impair.jitter,
                "{number} after {after:?}"
            );
        }
    }
}

#[test]
fn the_reliable_lane_is_complete_and_in_order_under_loss() {
    for from in [ACCEPTOR, DIALER] {
        let impair = Impair {
            loss: 0.05,
            jitter: Duration::from_millis(20),
            duplicate: 0.05,
            ..LOSSLESS
        };
        let mut pair = Pair::connected(5, impair);
        let arrived = stream(&mut pair, from, Lane::Reliable, 1000, EVERY);
        let numbers: Vec<u32> = arrived.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn large_messages_are_whole_under_loss() {
    let mut pair = Pair::connected(6, Impair::loss(0.05));
    for index in 0..20_u8 {
        for lane in Lane::ALL {
            let message: Bytes = vec![index; 40_000].into();
            while pair.send(ACCEPTOR, lane, &message) == Err(SendError::Full) {
                pair.run_for(Duration::from_secs(1));
            }
        }
        pair.run_for(Duration::from_secs(1));
    }
    let arrived = pair.run(Duration::from_secs(60), |pair| {
        pair.got(DIALER, Lane::Reliable).len() == 20
    });
    assert!(arrived);
    for (index, message) in pair.got(DIALER, Lane::Reliable).iter().enumerate() {
        assert_eq!(message, &vec![u8::try_from(index).unwrap(); 40_000]);
    }
    let unreliable = pair.got(DIALER, Lane::Unreliable);
    assert!(unreliable.len() < 20, "36 datagrams each: most lose one");
    for message in unreliable {
        assert!(message.len() == 40_000 && message.iter().all(|byte| *byte == message[0]));
    }
}

#[test]
fn send_refuses_when_full_and_says_when_it_takes_again() {
    for from in [ACCEPTOR, DIALER] {
        for [lane, other] in [Lane::ALL, [Lane::Unreliable, Lane::Reliable]] {
            let mut configs = configs(7);
            configs[from].send_buffer_bytes = 100_000;
            let mut pair = Pair::with(7, LOSSLESS, configs);
            pair.connect();
            let message: Bytes = vec![1; 10_000].into();
            for _ in 0..10 {
                pair.send(from, lane, &message).unwrap();
            }
            assert_eq!(
                pair.peers[from].buffered_bytes(lane),
                100_000,
                "exactly full"
            );
            assert_eq!(pair.send(from, lane, &message), Err(SendError::Full));
            assert_eq!(pair.send(from, lane, &Bytes::new()), Err(SendError::Full));
            assert_eq!(pair.peers[from].stats().sends_refused, 2);
            // The other lane has a buffer of its own.
            pair.send(from, other, &Bytes::from_static(b"x")).unwrap();

            let writable = |pair: &Pair| pair.told[from].writable == [lane];
            assert!(pair.run(Duration::from_secs(5), writable));
            assert!(pair.peers[from].buffered_bytes(lane) <= 50_000);
            pair.send(from, lane, &message).unwrap();
            pair.run_for(Duration::from_secs(5));
            assert_eq!(pair.peers[from].buffered_bytes(lane), 0);
            assert_eq!(pair.told[from].writable, [lane], "said once");
            assert_eq!(pair.got(1 - from, lane).len(), 11);
        }
    }
}

#[test]
fn send_refuses_what_the_other_side_does_not_receive() {
    let mut configs = configs(9);
    configs[DIALER].message_bytes_max = 20_000;
    let mut pair = Pair::with(9, LOSSLESS, configs);
    let early = pair.send(ACCEPTOR, Lane::Reliable, &Bytes::from_static(b"early"));
    assert_eq!(early, Err(SendError::NotOpen));
    pair.connect();
    for (size, sent) in [(20_000, Ok(())), (20_001, Err(SendError::TooLarge))] {
        assert_eq!(
            pair.send(ACCEPTOR, Lane::Reliable, &vec![0; size].into()),
            sent,
            "{size}"
        );
    }
    for (size, sent) in [(65_536, Ok(())), (65_537, Err(SendError::TooLarge))] {
        assert_eq!(
            pair.send(DIALER, Lane::Reliable, &vec![0; size].into()),
            sent,
            "{size}"
        );
    }
}

#[test]
fn a_message_over_the_advertised_maximum_closes() {
    for from in [ACCEPTOR, DIALER] {
        let mut pair = Pair::new(10, LOSSLESS);
        // The sender believes that more is received than is.
        pair.tamper =
            Box::new(|_, json| json.replace("max-message-size:65536", "max-message-size:262144"));
        pair.connect();
        pair.send(from, Lane::Reliable, &vec![0; 65_536].into())
            .unwrap();
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.got(1 - from, Lane::Reliable).len(), 1);
        pair.send(from, Lane::Reliable, &vec![0; 65_537].into())
            .unwrap();
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.told[1 - from].closed, [CloseReason::MessageTooLarge]);
        assert_eq!(pair.told[from].closed, [CloseReason::Remote]);
        assert_eq!(pair.got(1 - from, Lane::Reliable).len(), 1);
    }
}

#[test]
fn what_is_sent_between_two_drains_is_bundled() {
    let mut pair = Pair::connected(11, LOSSLESS);
    pair.run_for(Duration::from_secs(1));
    let before = pair.peers[ACCEPTOR].stats().datagrams_sent;
    for _ in 0..9 {
        pair.send(ACCEPTOR, Lane::Unreliable, &vec![0; 100].into())
            .unwrap();
    }
    pair.drain();
    assert_eq!(pair.peers[ACCEPTOR].stats().datagrams_sent - before, 1);
    pair.run_for(Duration::from_millis(20));
    assert_eq!(pair.got(DIALER, Lane::Unreliable).len(), 9);
}

/// An owner hears what has come and answers it before it drains.
#[test]
fn an_answer_after_a_silence_brings_the_acknowledgement_along() {
    let mut pair = Pair::connected(12, LOSSLESS);
    let records = Rc::new(Cell::new(0));
    let count = Rc::clone(&records);
    pair.drop = Box::new(move |side, datagram| {
        let counts = side == ACCEPTOR && datagram.first() == Some(&APPLICATION_DATA);
        count.set(count.get() + u32::from(counts));
        false
    });
    for _ in 0..3 {
        pair.run_for(Duration::from_secs(2));
        records.set(0);
        let ping = Bytes::from_static(b"ping");
        pair.send(DIALER, Lane::Reliable, &ping).unwrap();
        let Some(Output::Transmit(sent)) = pair.peers[DIALER].poll_output() else {
            panic!("nothing is sent");
        };
        let datagram = Input::Datagram {
            local: sent.remote,
            remote: sent.local,
            bytes: &sent.bytes,
        };
        pair.peers[ACCEPTOR].handle_input(pair.now, datagram);
        pair.send(ACCEPTOR, Lane::Reliable, &ping).unwrap();
        pair.run_for(Duration::from_secs(1));
        assert_eq!(records.get(), 1);
    }
}
