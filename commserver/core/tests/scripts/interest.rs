//! What servers tell each other about their clients' interest.

use std::time::Duration;

use commserver_core::{Config, Input};
use proto::{InterestMessage, Message, MessageType, Reason, limits};

use crate::{
    links::{HIGHER, interest, interests, snapshot},
    server::{INSTANCE, Server},
};

#[test]
fn changes_within_a_window_are_one_announcement() {
    let mut server = Server::welcomed();
    let link = server.link(HIGHER, 9);
    let (ann, bob) = (server.client(1), server.client(2));
    server.take(link);
    server.subscription(ann, "a b c");
    server.subscription(bob, "b");
    server.subscription(ann, "c b");
    assert_eq!(server.take(link), []);
    let window = Config::new(1, 1).timings.interest_window;
    server.pass(window);
    assert_eq!(
        interests(&mut server, link),
        [interest(1, &["b", "c"], &[])]
    );
    server.subscription(ann, "d");
    server.pass(window);
    assert_eq!(interests(&mut server, link), [interest(2, &["d"], &["c"])]);
    server.input(Input::PeerClosed {
        peer: ann,
        reason: Reason::TransportClosed,
    });
    server.pass(window);
    assert_eq!(interests(&mut server, link), [interest(3, &[], &["d"])]);
    server.subscription(bob, "");
    server.subscription(bob, "b");
    server.pass(window);
    assert_eq!(interests(&mut server, link), [], "it came to nothing");
    let late = server.link(HIGHER + 1, 10);
    assert_eq!(interests(&mut server, late), [snapshot(0, &["b"])]);
}

#[test]
fn only_what_local_clients_want_is_announced() {
    let mut server = Server::welcomed();
    let (near, far) = (server.link(HIGHER, 9), server.link(HIGHER + 1, 10));
    server.say(near, &snapshot(0, &["theirs"]));
    server.take(far);
    server.pass(Duration::from_secs(1));
    assert_eq!(server.take(far), []);
    // A topic that a server wanted before is announced when a client wants it too.
    let ann = server.client(1);
    server.subscription(ann, "theirs");
    server.pass(Duration::from_secs(1));
    assert_eq!(interests(&mut server, far), [interest(1, &["theirs"], &[])]);
}

#[test]
fn large_snapshots_come_in_chunks() {
    let mut server = Server::welcomed();
    let topics: Vec<String> = (0..1_000).map(|n| format!("{n:0>250}")).collect();
    let ann = server.client(1);
    for topics in topics.chunks(50) {
        let entries = topics.iter().map(|topic| proto::SubscriptionEntry {
            topic: topic.clone(),
            options: None,
        });
        server.say(
            ann,
            &proto::SubscribeMessage {
                r#type: MessageType::Subscribe.into(),
                id: 1,
                entries: entries.collect(),
            },
        );
    }
    server.pass(Duration::from_secs(1));
    let link = server.link(HIGHER, 9);
    let frames = server.take(link);
    let largest = frames.iter().map(|(_, frame)| frame.len()).max();
    assert!(largest.is_some_and(|largest| largest <= limits::INTEREST_CHUNK_BYTES_MAX));
    let decoded = frames[1..].iter();
    let chunks: Vec<_> = decoded
        .map(|(_, frame)| InterestMessage::decode(frame.clone()).expect("INTEREST"))
        .collect();
    assert!(chunks.len() > 1);
    let all: Vec<&String> = chunks.iter().flat_map(|chunk| &chunk.add).collect();
    assert_eq!(all, topics.iter().collect::<Vec<_>>());

    // And the other side takes them.
    let mut other = Server::welcomed();
    let link = other.link(HIGHER, 9);
    for chunk in &chunks {
        other.say(link, chunk);
    }
    assert_eq!(other.broker.stats().topics, 1_000);
    let next = chunks[0].version + 1;
    other.say(link, &interest(next, &["more"], &[]));
    assert_eq!(other.broker.stats().topics, 1_001);
    assert_eq!(other.closed(link), None);
}

#[test]
fn announcements_wait_for_the_other_side() {
    let mut server = Server::welcomed_with(Config {
        limits: commserver_core::Limits {
            subscriptions_max: 10_000,
            ..commserver_core::Limits::default()
        },
        ..Config::new(INSTANCE, 1)
    });
    let ann = server.client(1);
    let topics: Vec<String> = (0..4_000).map(|n| format!("{n:0>100}")).collect();
    for topics in topics.chunks(100) {
        let entries = topics.iter().map(|topic| proto::SubscriptionEntry {
            topic: topic.clone(),
            options: None,
        });
        server.say(
            ann,
            &proto::SubscribeMessage {
                r#type: MessageType::Subscribe.into(),
                id: 1,
                entries: entries.collect(),
            },
        );
    }
    server.pass(Duration::from_secs(1));
    let link = server.link(HIGHER, 9);
    let first = interests(&mut server, link);
    assert_eq!(
        first.len(),
        8,
        "256 KiB, and no more before they are taken in"
    );
    server.subscription(ann, "late");
    server.pass(Duration::from_secs(1));
    assert_eq!(interests(&mut server, link), []);
    let ack = proto::AckMessage {
        r#type: MessageType::Ack.into(),
        id: 0,
    };
    let mut all = first;
    loop {
        server.say(link, &ack);
        match interests(&mut server, link).as_slice() {
            [] => break,
            [next] => all.push(next.clone()),
            more => panic!("{} for one ACK", more.len()),
        }
    }
    // The other side follows, and acknowledges each.
    let mut other = Server::welcomed();
    let link = other.link(HIGHER, 9);
    other.take(link);
    for message in &all {
        other.say(link, message);
    }
    let acks = other.take_kind::<proto::AckMessage>(link, MessageType::Ack);
    assert_eq!((other.closed(link), acks.len()), (None, all.len()));
    assert_eq!(other.broker.stats().topics, 1);
}

#[test]
fn a_link_that_takes_nothing_in_is_closed() {
    let mut server = Server::welcomed();
    let link = server.link(HIGHER, 9);
    let ann = server.client(1);
    let window = Config::new(1, 1).timings.interest_window;
    for round in 0..3_000 {
        server.subscription(ann, &format!("{round}"));
        server.pass(window);
        if let Some(reason) = server.closed(link) {
            assert_eq!(reason, Reason::SlowConsumer);
            assert!(round > 2_000, "{round}");
            return;
        }
    }
    panic!("it was never closed");
}

#[test]
fn a_gap_closes_the_link() {
    for wrong in [
        interest(2, &[], &[]),
        interest(4, &[], &[]),
        InterestMessage {
            snapshot_end: true,
            ..interest(3, &[], &[])
        },
    ] {
        let mut server = Server::welcomed();
        let link = server.link(HIGHER, 9);
        server.say(link, &snapshot(2, &["a"]));
        server.say(link, &wrong);
        assert_eq!(server.closed(link), Some(Reason::ProtocolViolation));
        assert_eq!(server.broker.stats().topics, 0);
    }
    let mut server = Server::welcomed();
    let link = server.link(HIGHER, 9);
    server.say(link, &interest(1, &["a"], &[]));
    assert_eq!(
        server.closed(link),
        Some(Reason::ProtocolViolation),
        "no snapshot yet"
    );
}
