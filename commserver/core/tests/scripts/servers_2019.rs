//! Servers that speak only the 2019 protocol.

use std::time::Duration;

use commserver_core::{Config, Drop};
use proto::{
    Lane, Message, MessageType, Reason, Role, SubscriptionMessage, frame, limits, topic_list,
};

use crate::{
    links::{HIGHER, LOWER, dialed},
    server::{INSTANCE, Server, auth},
};

fn with_2019() -> Config {
    Config {
        allow_2019_servers: true,
        trust_unstamped_servers: true,
        ..Config::new(INSTANCE, 1)
    }
}

#[test]
fn a_2019_server_that_we_dial_says_nothing() {
    for allowed in [true, false] {
        let mut server = Server::welcomed_with(Config {
            allow_2019_servers: allowed,
            ..Config::new(INSTANCE, 1)
        });
        server.servers(1, &[LOWER]);
        let peer = dialed(&mut server);
        server.subscription(peer, "a");
        server.pass(Duration::from_millis(1_999));
        assert_eq!(
            (server.closed(peer), server.broker.stats().links),
            (None, 0)
        );
        server.pass(Duration::from_millis(1));
        assert_eq!(server.broker.stats().links, usize::from(allowed));
        assert_eq!(
            server.closed(peer),
            (!allowed).then_some(Reason::ProofFailed)
        );
        assert_eq!(
            server.broker.stats().topics,
            usize::from(allowed),
            "its list was held"
        );
    }
}

#[test]
fn a_2019_server_gets_lists() {
    let mut server = Server::welcomed_with(with_2019());
    let ann = server.client(1);
    server.subscription(ann, "b a");
    server.pass(Duration::from_secs(1));
    let link = server.arrive(HIGHER, Role::UnknownRole);
    server.say(link, &auth(Role::CommunicationServer, Vec::new(), 0));
    server.verdict(link, Ok(""));
    let list: Vec<SubscriptionMessage> = server.take_kind(link, MessageType::Subscription);
    assert_eq!((list[0].format, &list[0].topics[..]), (1, &b"a b"[..]));

    let many: Vec<String> = (0..1_000).map(|n| format!("topic/{n}")).collect();
    server.subscription(ann, &many.join(" "));
    server.pass(Duration::from_secs(1));
    let list: Vec<SubscriptionMessage> = server.take_kind(link, MessageType::Subscription);
    assert_eq!(list[0].format, 2, "GZIP");
    let read = topic_list::decode(2, &list[0].topics, 100_000).expect("a list");
    assert_eq!(read.topics().count(), 1_000);
    assert_eq!(server.broker.stats().topics_unannounced, 0);

    server.subscription(link, "a");
    server.take(link);
    let bob = server.client(2);
    for (size, relayed) in [(5_000, 1), (5_200, 0)] {
        let body = vec![1; size].into();
        server.packet(bob, Lane::Reliable, frame::publish("a", body, 1, false));
        assert_eq!(
            server.take(link).len(),
            relayed,
            "it reads no more than 5,120 bytes"
        );
    }
    assert_eq!(server.broker.stats().dropped(Drop::RecipientLimit), 1);
}

#[test]
fn a_2019_server_gets_what_fits() {
    let mut server = Server::welcomed_with(with_2019());
    let link = server.arrive(HIGHER, Role::UnknownRole);
    server.say(link, &auth(Role::CommunicationServer, Vec::new(), 0));
    server.verdict(link, Ok(""));
    server.take(link);
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{state:x}")
    };
    let many: Vec<String> = (0..900).map(|_| random()).collect();
    let ann = server.client(1);
    let list = topic_list::compress(many.join(" ").as_bytes());
    let format = proto::Format::Gzip.into();
    server.say(
        ann,
        &SubscriptionMessage {
            r#type: MessageType::Subscription.into(),
            format,
            topics: list,
        },
    );
    server.pass(Duration::from_secs(1));
    let (_, frame) = server.take(link).pop().expect("a list");
    assert!(frame.len() <= limits::PACKET_BYTES_MAX_2019);
    let list = SubscriptionMessage::decode(frame).expect("SUBSCRIPTION");
    let read = topic_list::decode(list.format, &list.topics, 100_000).expect("a list");
    let missing = 900 - read.topics().count();
    assert!(missing > 0);
    assert_eq!(server.broker.stats().topics_unannounced, missing);
    assert_eq!(server.closed(link), None);
}

#[test]
fn a_2019_server_is_not_let_in_unasked() {
    let mut server = Server::welcomed();
    let link = server.arrive(HIGHER, Role::CommunicationServer);
    server.say(link, &auth(Role::CommunicationServer, Vec::new(), 0));
    assert_eq!(server.closed(link), Some(Reason::Forbidden));
}
