//! SUBSCRIPTION, SUBSCRIBE, UNSUBSCRIBE and their answers, and how fast they may come.

use std::time::Duration;

use commserver_core::{Config, Drop, Limits, PeerId};
use proto::{
    AckMessage, ErrorMessage, Format, Lane, Message, MessageType, Reason, SubscribeMessage,
    SubscriptionEntry, SubscriptionMessage, UnsubscribeMessage, topic_list,
};

use crate::server::{INSTANCE, Server};

fn limited(limits: Limits) -> Server {
    Server::welcomed_with(Config {
        limits,
        ..Config::new(INSTANCE, 1)
    })
}

fn entries(topics: &[&str]) -> Vec<SubscriptionEntry> {
    let entry = |topic: &&str| SubscriptionEntry {
        topic: (*topic).to_owned(),
        options: None,
    };
    topics.iter().map(entry).collect()
}

fn subscribe(server: &mut Server, peer: PeerId, id: u32, topics: &[&str]) {
    server.say(
        peer,
        &SubscribeMessage {
            r#type: MessageType::Subscribe.into(),
            id,
            entries: entries(topics),
        },
    );
}

fn unsubscribe(server: &mut Server, peer: PeerId, id: u32, topics: &[&str]) {
    server.say(
        peer,
        &UnsubscribeMessage {
            r#type: MessageType::Unsubscribe.into(),
            id,
            entries: entries(topics),
        },
    );
}

/// The topics whose packets reach this peer, of those asked about.
fn reached(server: &mut Server, from: PeerId, to: PeerId, topics: &[&'static str]) -> Vec<String> {
    server.take(to);
    for topic in topics {
        server.publish(from, Lane::Reliable, topic, "x");
    }
    let got = server.take_kind::<proto::TopicFwMessage>(to, MessageType::TopicFw);
    got.into_iter().map(|packet| packet.topic).collect()
}

#[test]
fn subscription_replaces_the_set() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    for (list, expected) in [("a b", &["a", "b"][..]), ("b c", &["b", "c"]), ("", &[])] {
        server.subscription(ann, list);
        assert_eq!(reached(&mut server, bob, ann, &["a", "b", "c"]), expected);
    }
    let gzip = SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: Format::Gzip.into(),
        topics: topic_list::compress(b"a c"),
    };
    server.say(ann, &gzip);
    assert_eq!(reached(&mut server, bob, ann, &["a", "b", "c"]), ["a", "c"]);
    assert_eq!(server.broker.stats().subscriptions, 2);
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    server.subscription(ann, "a");
    for (format, topics) in [
        (Format::Gzip.into(), &b"not gzip"[..]),
        (9, b"b"),
        (Format::Plain.into(), b"\xff"),
    ] {
        server.say(
            ann,
            &SubscriptionMessage {
                r#type: MessageType::Subscription.into(),
                format,
                topics: topics.into(),
            },
        );
        let errors = server.take_errors(ann);
        assert_eq!(errors, [(Reason::BadTopicList, String::new())]);
        assert_eq!(reached(&mut server, bob, ann, &["a", "b"]), ["a"]);
    }
}

#[test]
fn a_bad_topic_is_named_the_others_count() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    server.subscription(ann, "a $b \u{7} c");
    assert_eq!(
        server.take_errors(ann),
        [(Reason::BadTopic, "$b".to_owned())]
    );
    assert_eq!(server.broker.stats().dropped(Drop::BadTopic), 2);
    assert_eq!(reached(&mut server, bob, ann, &["a", "c"]), ["a", "c"]);

    subscribe(&mut server, ann, 7, &["d", "no topic", "e"]);
    let errors = server.take_kind::<ErrorMessage>(ann, MessageType::Error);
    assert_eq!((errors[0].id, errors[0].topic.as_str()), (7, "no topic"));
    assert_eq!(reached(&mut server, bob, ann, &["d", "e"]), ["d", "e"]);
}

#[test]
fn requests_are_answered() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    subscribe(&mut server, ann, 7, &["a", "b"]);
    let acks = server.take_kind::<AckMessage>(ann, MessageType::Ack);
    assert_eq!(acks[0].id, 7);
    subscribe(&mut server, ann, 8, &["b"]);
    unsubscribe(&mut server, ann, 9, &["a", "never"]);
    let acks = server.take_kind::<AckMessage>(ann, MessageType::Ack);
    let ids: Vec<u32> = acks.iter().map(|ack| ack.id).collect();
    assert_eq!(ids, [8, 9]);
    assert_eq!(reached(&mut server, bob, ann, &["a", "b"]), ["b"]);
}

#[test]
fn topics_of_a_peer_are_limited() {
    for (topics, fits) in [("a b", true), ("a b c", true), ("a b c d", false)] {
        let mut server = limited(Limits {
            subscriptions_max: 3,
            ..Limits::default()
        });
        let ann = server.client(1);
        server.subscription(ann, topics);
        let refused = (Reason::TooManySubscriptions, "d".to_owned());
        let refused = [refused];
        let expected = if fits { &[] } else { &refused[..] };
        assert_eq!(server.take_errors(ann), expected);
    }
    let mut server = limited(Limits {
        subscriptions_max: 3,
        ..Limits::default()
    });
    let ann = server.client(1);
    server.subscription(ann, "a b c");
    server.subscription(ann, "c d e");
    subscribe(&mut server, ann, 1, &["d"]);
    assert_eq!(
        server.take_errors(ann),
        [],
        "what goes makes room for what comes"
    );
    subscribe(&mut server, ann, 2, &["f"]);
    assert_eq!(server.take_errors(ann)[0].0, Reason::TooManySubscriptions);
    let stats = server.broker.stats();
    assert_eq!(stats.dropped(Drop::TooManySubscriptions), 1);
}

#[test]
fn topics_of_the_server_are_limited() {
    let mut server = limited(Limits {
        topics_max: 3,
        ..Limits::default()
    });
    let (ann, bob) = (server.client(1), server.client(2));
    server.subscription(ann, "a b c");
    server.subscription(bob, "c");
    assert_eq!(
        server.take_errors(bob),
        [],
        "a topic that is there takes no room"
    );
    server.subscription(bob, "c d");
    assert_eq!(
        server.take_errors(bob),
        [(Reason::TooManyTopics, "d".to_owned())]
    );
    server.subscription(ann, "a");
    server.subscription(bob, "c d");
    assert_eq!(server.take_errors(bob), []);
    assert_eq!(server.broker.stats().dropped(Drop::TooManyTopics), 1);
}

#[test]
fn topics_are_limited_in_length() {
    let mut server = limited(Limits {
        topic_bytes_max: 5,
        ..Limits::default()
    });
    let ann = server.client(1);
    server.subscription(ann, "1234 12345 123456");
    assert_eq!(
        server.take_errors(ann),
        [(Reason::BadTopic, "123456".to_owned())]
    );
    assert_eq!(server.broker.stats().topics, 2);
}

#[test]
fn a_long_topic_is_named_by_its_start() {
    let mut server = Server::welcomed();
    let ann = server.client(1);
    let long = "ü".repeat(5_000);
    subscribe(&mut server, ann, 1, &[&long]);
    assert_eq!(
        server.take_errors(ann),
        [(Reason::BadTopic, "ü".repeat(128))]
    );
}

#[test]
fn requests_that_cannot_be_read_are_told() {
    let mut server = Server::welcomed();
    let ann = server.client(1);
    for kind in [MessageType::Subscribe, MessageType::Unsubscribe] {
        let kind = u8::try_from(i32::from(kind)).expect("a small number");
        server.packet(ann, Lane::Reliable, vec![0x08, kind, 0x1a, 0x05, 0x00]);
        assert_eq!(
            server.take_errors(ann),
            [(Reason::Malformed, String::new())]
        );
    }
    let wrong = SubscribeMessage::default().encode_to_vec();
    server.packet(ann, Lane::Reliable, wrong);
    assert_eq!(
        server.broker.stats().dropped(Drop::UnknownType),
        1,
        "type 0"
    );
}

#[test]
fn topics_have_so_many_levels() {
    let mut server = Server::welcomed_with(Config {
        limits: Limits {
            topic_levels_max: 3,
            ..Limits::default()
        },
        ..Config::new(INSTANCE, 1)
    });
    let peer = server.client(5);
    for (topic, good) in [
        ("a/b", true),
        ("a/b/c", true),
        ("a/b/c/d", false),
        ("///", false),
    ] {
        server.subscription(peer, topic);
        server.publish(peer, Lane::Reliable, topic, "hello");
        let errors = server.take_errors(peer);
        let expected = if good { 0 } else { 2 };
        assert_eq!(errors.len(), expected, "{topic} {errors:?}");
        assert!(
            errors
                .iter()
                .all(|(why, named)| { (*why, named.as_str()) == (Reason::BadTopic, topic) })
        );
    }
}

/// Five topics a second, and twelve at once: twice as many as one may have.
fn unhurried() -> Server {
    limited(Limits {
        subscriptions_max: 6,
        topic_changes_per_s: 5,
        ..Limits::default()
    })
}

#[test]
fn topics_are_counted_and_not_requests() {
    let names: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (more, waits_ms) in [(5, None), (6, None), (7, Some(200))] {
        let mut server = unhurried();
        let (ann, bob) = (server.client(1), server.client(2));
        subscribe(&mut server, ann, 1, &names);
        let again: Vec<&str> = names.iter().copied().cycle().take(more).collect();
        unsubscribe(&mut server, ann, 2, &again);
        let until = waits_ms.map(|ms| (ann, server.now + Duration::from_millis(ms)));
        assert_eq!(server.unread, Vec::from_iter(until), "{more}");
        // It has its answers all the same, and others have rates of their own.
        let acks = server.take_kind::<AckMessage>(ann, MessageType::Ack);
        assert_eq!(acks.len(), 2);
        server.unread.clear();
        subscribe(&mut server, bob, 1, &names);
        assert!(server.unread.is_empty(), "{more}");
    }
}

/// They would all come at once, with a thousand topics each.
#[test]
fn those_who_are_too_fast_together_go_on_one_after_the_other() {
    let mut server = unhurried();
    let peers = [1, 2, 3].map(|alias| server.client(alias));
    for peer in peers {
        let names = ["a"; 13];
        unsubscribe(&mut server, peer, 1, &names);
    }
    let until = server.now + Duration::from_millis(200);
    let turn = Duration::from_micros(5) * 13;
    let [ann, bob, cid] = peers;
    let expected = [(ann, until), (bob, until + turn), (cid, until + turn * 2)];
    assert_eq!(server.unread, expected);
}

#[test]
fn a_long_list_is_read_as_far_as_it_can_be_meant() {
    for (topics, refused) in [(11, 5), (12, 6), (13, 7)] {
        let mut server = unhurried();
        let (ann, bob) = (server.client(1), server.client(2));
        let list: Vec<String> = (0..topics).map(|n| n.to_string()).collect();
        server.subscription(ann, &list.join(" "));
        assert_eq!(reached(&mut server, bob, ann, &["0", "5", "6"]), ["0", "5"]);
        let dropped = server.broker.stats().dropped(Drop::TooManySubscriptions);
        assert_eq!(dropped, refused, "{topics}");
        // What is not looked at costs nothing.
        assert!(server.unread.is_empty(), "{topics}");
    }
    // A topic that stands beyond is as if it were not there.
    let mut server = unhurried();
    let (ann, bob) = (server.client(1), server.client(2));
    server.subscription(ann, "last");
    server.subscription(ann, &format!("{}last", "a ".repeat(12)));
    assert_eq!(reached(&mut server, bob, ann, &["a", "last"]), ["a"]);
}

#[test]
fn what_has_to_be_inflated_costs_too() {
    let spaces = |kib: usize| SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: Format::Gzip.into(),
        topics: topic_list::compress(&vec![b' '; kib * 1024]),
    };
    let mut server = unhurried();
    let peer = server.client(1);
    for (kib, waits_ms) in [
        (3, None),
        (1, Some(800)),
        (257, Some(206_400)),
        (258, Some(412_000)),
    ] {
        server.unread.clear();
        server.say(peer, &spaces(kib));
        let until = waits_ms.map(|ms| (peer, server.now + Duration::from_millis(ms)));
        assert_eq!(server.unread, Vec::from_iter(until), "{kib}");
    }
    let errors = server.take_errors(peer);
    assert_eq!(errors, [(Reason::BadTopicList, String::new())], "too large");
}
