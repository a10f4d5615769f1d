//! What a client may do with topics, and what becomes of the rest.

use std::time::Duration;

use bytes::Bytes;
use commserver_core::{Config, Drop, Identity, Input, Limits, PeerId};
use proto::{
    ErrorMessage, Lane, MessageType, Reason, Role, SubscribeMessage, SubscriptionEntry,
    filter::{Filters, Grants},
    frame,
};

use crate::server::{INSTANCE, Server, auth};

fn only(publish: &[&str], subscribe: &[&str]) -> Identity {
    let filters = |texts: &[&str]| Filters::parse(texts.iter().copied()).expect("filters");
    Identity {
        grants: Grants {
            publish: filters(publish),
            subscribe: filters(subscribe),
        },
        ..Identity::everything(Bytes::from_static(b"ann"))
    }
}

/// A client of ours, let in as this.
fn client(server: &mut Server, alias: u64, identity: Identity) -> PeerId {
    let peer = server.arrive(alias, Role::Client);
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    server.input(Input::Authenticated {
        peer,
        result: Ok(identity),
        proof: Bytes::new(),
    });
    server.take(peer);
    peer
}

fn subscribe(server: &mut Server, peer: PeerId, id: u32, topics: &[&str]) {
    let entry = |topic: &&str| SubscriptionEntry {
        topic: (*topic).to_owned(),
        options: None,
    };
    server.say(
        peer,
        &SubscribeMessage {
            r#type: MessageType::Subscribe.into(),
            id,
            entries: topics.iter().map(entry).collect(),
        },
    );
}

/// What a peer was forwarded since the last look.
fn got(server: &mut Server, peer: PeerId) -> Vec<String> {
    let packets = server.take_kind::<proto::TopicFwMessage>(peer, MessageType::TopicFw);
    packets.into_iter().map(|packet| packet.topic).collect()
}

#[test]
fn a_publication_that_is_not_granted_reaches_nobody() {
    let mut server = Server::welcomed();
    let bob = server.client(2);
    server.subscription(bob, "room/1/chat room/1/secret room");
    let ann = client(&mut server, 1, only(&["room/+/chat"], &[]));
    // Twice each: the second time the filters are not asked.
    for lane in [Lane::Reliable, Lane::Unreliable] {
        for topic in ["room/1/chat", "room/1/secret", "room"] {
            server.publish(ann, lane, topic, "x");
        }
        assert_eq!(got(&mut server, bob), ["room/1/chat"], "{lane:?}");
        let refused = |topic: &str| (Reason::TopicForbidden, topic.to_owned());
        let errors = server.take_errors(ann);
        assert_eq!(errors, [refused("room/1/secret"), refused("room")]);
    }
    let stats = server.broker.stats();
    assert_eq!(stats.dropped(Drop::TopicForbidden), 4);
    assert_eq!(stats.published, [1, 1]);
}

#[test]
fn an_identity_does_not_get_a_publication_past_its_grants() {
    let mut server = Server::welcomed();
    let bob = server.client(2);
    server.subscription(bob, "a b");
    let ann = client(&mut server, 1, only(&["a"], &[]));
    for topic in ["a", "b"] {
        server.packet(
            ann,
            Lane::Reliable,
            frame::publish(topic, "x".into(), 1, true),
        );
    }
    let packets =
        server.take_kind::<proto::TopicIdentityFwMessage>(bob, MessageType::TopicIdentityFw);
    assert_eq!(packets.len(), 1);
    // The authenticator's word, whatever the packet said.
    assert_eq!(packets[0].identity, "ann");
}

#[test]
fn a_link_may_bring_what_its_clients_may_not() {
    let mut server = Server::welcomed();
    let ann = client(&mut server, 1, only(&[], &["a"]));
    subscribe(&mut server, ann, 1, &["a"]);
    server.take(ann);
    let link = server.link(2_000, 8);
    server.publish(link, Lane::Reliable, "a", "x");
    assert_eq!(got(&mut server, ann), ["a"]);
}

#[test]
fn a_list_with_a_forbidden_topic_applies_the_others() {
    let mut server = Server::welcomed();
    let bob = server.client(2);
    let ann = client(&mut server, 1, only(&[], &["room/#"]));
    let publish_all = |server: &mut Server| {
        for topic in ["room", "room/1", "hall", "room/2"] {
            server.publish(bob, Lane::Reliable, topic, "x");
        }
    };
    subscribe(&mut server, ann, 7, &["room", "hall", "room/1"]);
    let errors = server.take_kind::<ErrorMessage>(ann, MessageType::Error);
    let [error] = &errors[..] else {
        panic!("one answer: {errors:?}");
    };
    assert_eq!(error.code, u32::from(Reason::TopicForbidden.number()));
    assert_eq!((error.id, error.topic.as_str()), (7, "hall"));
    publish_all(&mut server);
    assert_eq!(got(&mut server, ann), ["room", "room/1"]);

    // The same in the words of 2019.
    server.subscription(ann, "hall room/2");
    let errors = server.take_errors(ann);
    assert_eq!(errors, [(Reason::TopicForbidden, "hall".to_owned())]);
    publish_all(&mut server);
    assert_eq!(got(&mut server, ann), ["room/2"]);
    assert_eq!(server.broker.stats().dropped(Drop::TopicForbidden), 2);
}

#[test]
fn a_token_lowers_the_limit_of_subscriptions_and_never_raises_it() {
    for (servers, tokens, fits) in [(4, 2, 2), (4, 3, 3), (2, 3, 2), (2, 0, 0)] {
        let mut server = Server::welcomed_with(Config {
            limits: Limits {
                subscriptions_max: servers,
                ..Limits::default()
            },
            ..Config::new(INSTANCE, 1)
        });
        let identity = Identity {
            subscriptions_max: Some(tokens),
            ..Identity::everything(Bytes::new())
        };
        let ann = client(&mut server, 1, identity);
        server.subscription(ann, "a b c d e");
        let refused = server.broker.stats().dropped(Drop::TooManySubscriptions);
        assert_eq!(refused, 5 - fits, "{servers} and {tokens}");
        let errors = server.take_errors(ann);
        assert_eq!(errors[0].0, Reason::TooManySubscriptions);
        assert_eq!(errors.len(), 1);
    }
}

#[test]
fn a_flood_of_forbidden_publications_is_counted_and_hardly_answered() {
    const COUNT: u64 = 10_000;
    let mut server = Server::welcomed();
    let ann = client(&mut server, 1, only(&["a"], &[]));
    for _ in 0..COUNT {
        server.publish(ann, Lane::Reliable, "b", "x");
    }
    let drops = server.broker.stats().dropped(Drop::TopicForbidden);
    assert_eq!(drops, COUNT);
    assert_eq!(server.take_errors(ann).len(), 8);
    server.pass(Duration::from_secs(1));
    for _ in 0..COUNT {
        server.publish(ann, Lane::Reliable, "b", "x");
    }
    assert_eq!(server.take_errors(ann).len(), 2, "one for each half second");
    assert_eq!(server.closed(ann), None);
}

#[test]
fn a_long_list_of_forbidden_topics_is_refused_without_a_look_at_each() {
    let mut server = Server::welcomed_with(Config {
        limits: Limits {
            subscriptions_max: 3,
            ..Limits::default()
        },
        ..Config::new(INSTANCE, 1)
    });
    let ann = client(&mut server, 1, only(&[], &["a/#"]));
    // Three are looked at and refused; what stands behind them is not even looked at.
    server.subscription(ann, "b c d a/1");
    assert_eq!(server.broker.stats().dropped(Drop::TopicForbidden), 4);
    assert_eq!(server.broker.stats().subscriptions, 0);
    server.subscription(ann, "b c a/1");
    assert_eq!(server.broker.stats().subscriptions, 1);
}
