//! Who gets a packet, in which form.

use bytes::Bytes;
use commserver_core::Drop;
use proto::{
    AuthMessage, Lane, Message, MessageType, Reason, Role, TopicFwMessage, TopicIdentityFwMessage,
    TopicIdentityMessage, TopicMessage, frame, limits,
};

use crate::server::Server;

fn interest(server: &mut Server, link: commserver_core::PeerId, topics: &[&str]) {
    let add = topics.iter().map(ToString::to_string).collect();
    server.say(
        link,
        &proto::InterestMessage {
            r#type: MessageType::Interest.into(),
            add,
            snapshot_begin: true,
            snapshot_end: true,
            ..proto::InterestMessage::default()
        },
    );
}

#[test]
fn to_subscribers_but_never_back() {
    let mut server = Server::welcomed();
    let [ann, bob, eve, old] = [
        server.client(1),
        server.client(2),
        server.client(3),
        server.client_2019(4),
    ];
    for peer in [ann, bob, old] {
        server.subscription(peer, "a");
    }
    server.subscription(eve, "b");
    for lane in Lane::ALL {
        server.packet(ann, lane, frame::publish("a", "hi".into(), 9, false));
        assert_eq!(server.take(ann), [], "no echo");
        assert_eq!(server.take(eve), [], "not subscribed");
        let (on, bytes) = server.take(bob).remove(0);
        let got = TopicFwMessage::decode(bytes.clone()).expect("TOPIC_FW");
        assert_eq!((on, got.from_alias, &got.body[..]), (lane, 1, &b"hi"[..]));
        assert_eq!((got.topic.as_str(), got.seq), ("a", 9));
        let (on, short) = server.take(old).remove(0);
        let got = TopicFwMessage::decode(short.clone()).expect("TOPIC_FW");
        assert_eq!((on, got.from_alias, &got.body[..]), (lane, 1, &b"hi"[..]));
        assert_eq!((got.topic.as_str(), got.seq), ("", 0), "the form of 2019");
        assert_eq!(bytes.slice(..short.len()), short);
        assert_eq!(bytes.as_ptr(), short.as_ptr(), "encoded once");
    }
}

#[test]
fn a_client_that_has_moved_here_does_not_hear_itself() {
    let mut server = Server::welcomed();
    let (ann, bob, old) = (server.client(1), server.client(2), server.client_2019(3));
    for peer in [ann, bob, old] {
        server.subscription(peer, "a");
    }
    let link = server.link(2_000, 9);
    // Published at another server, and still on its way.
    for alias in [1, 3] {
        let packet = TopicMessage {
            r#type: MessageType::Topic.into(),
            from_alias: alias,
            topic: "a".into(),
            body: "late".into(),
            ..TopicMessage::default()
        };
        server.say(link, &packet);
    }
    let count = |server: &mut Server, peer| server.take(peer).len();
    assert_eq!(count(&mut server, ann), 1, "from the other");
    assert_eq!(count(&mut server, bob), 2);
    assert_eq!(count(&mut server, old), 1, "from the other");
}

#[test]
fn identity_is_ours_to_tell() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    server.subscription(bob, "a");
    let claim = TopicIdentityMessage {
        r#type: MessageType::TopicIdentity.into(),
        from_alias: 666,
        topic: "a".into(),
        identity: "root".into(),
        role: Role::CommunicationServer.into(),
        body: "hi".into(),
        hops: 9,
        seq: 1,
    };
    server.say(ann, &claim);
    let got: Vec<TopicIdentityFwMessage> = server.take_kind(bob, MessageType::TopicIdentityFw);
    assert_eq!((got[0].from_alias, &got[0].identity[..]), (1, &b"ann"[..]));
    assert_eq!(got[0].role(), Role::Client);
}

#[test]
fn one_hop() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    let (near, far) = (server.link(2_000, 8), server.link(2_001, 9));
    server.subscription(bob, "a");
    interest(&mut server, near, &["a", "b"]);
    interest(&mut server, far, &["b"]);
    for peer in [bob, near, far] {
        server.take(peer);
    }

    server.publish(ann, Lane::Unreliable, "a", "from ann");
    let relayed = server.take(near);
    assert_eq!(relayed[0].0, Lane::Unreliable);
    let relayed = TopicMessage::decode(relayed[0].1.clone()).expect("TOPIC");
    assert_eq!((relayed.from_alias, relayed.topic.as_str()), (1, "a"));
    assert_eq!((&relayed.body[..], relayed.seq), (&b"from ann"[..], 1));
    assert_eq!(server.take(far), [], "it has no interest in it");
    server.take(bob);

    let packet = TopicMessage {
        r#type: MessageType::Topic.into(),
        from_alias: 77,
        topic: "a".into(),
        body: "from afar".into(),
        ..TopicMessage::default()
    };
    server.say(far, &packet);
    let got: Vec<TopicFwMessage> = server.take_kind(bob, MessageType::TopicFw);
    assert_eq!(
        (got[0].from_alias, &got[0].body[..]),
        (77, &b"from afar"[..])
    );
    assert_eq!(
        server.take(near),
        [],
        "what came from a link goes to clients only"
    );

    for (hops, arrives) in [(1, 1), (2, 0)] {
        server.say(
            far,
            &TopicMessage {
                hops,
                ..packet.clone()
            },
        );
        assert_eq!(server.take(bob).len(), arrives, "{hops} hops");
    }
    assert_eq!(server.broker.stats().dropped(Drop::HopLimit), 1);
}

#[test]
fn three_forms_are_three_deliveries() {
    let mut server = Server::welcomed();
    let ann = server.client(1);
    for alias in 10..60 {
        let peer = server.client(alias);
        server.subscription(peer, "a");
        let peer = server.client_2019(alias + 100);
        server.subscription(peer, "a");
    }
    let link = server.link(2_000, 8);
    interest(&mut server, link, &["a"]);
    server.deliveries = 0;
    server.publish(ann, Lane::Reliable, "a", "x");
    assert_eq!(server.deliveries, 3);
    assert_eq!(server.broker.stats().delivered, [100, 0]);
    assert_eq!(server.broker.stats().relayed_out, [1, 0]);
}

#[test]
fn ping_comes_back_as_it_was() {
    let mut server = Server::welcomed();
    let ann = server.client(1);
    let ping = Bytes::from_static(b"\x08\x06\x11\0\0\0\0\0\0\xf0\x3f\xc2\x3e\x03and");
    for lane in Lane::ALL {
        server.packet(ann, lane, ping.clone());
        assert_eq!(server.take(ann), [(lane, ping.clone())]);
    }
}

#[test]
fn packet_size_is_limited() {
    let mut server = Server::welcomed();
    let (ann, bob) = (server.client(1), server.client(2));
    server.subscription(bob, "a");
    let empty = frame::publish("a", Bytes::new(), 1, false).len();
    let overhead = empty + 1 + 2;
    for (size, fits) in [(-1, true), (0, true), (1, false)] {
        let length = limits::PACKET_BYTES_MAX.strict_add_signed(size) - overhead;
        let packet = frame::publish("a", vec![7; length].into(), 1, false);
        assert_eq!(
            packet.len(),
            limits::PACKET_BYTES_MAX.strict_add_signed(size)
        );
        server.packet(ann, Lane::Reliable, packet);
        let errors: &[_] = &[(Reason::PacketTooLarge, String::new())];
        assert_eq!(server.take_errors(ann), if fits { &[] } else { errors });
        assert_eq!(server.take(bob).len(), usize::from(fits));
        assert_eq!(server.closed(ann), None, "the channel stays");
    }
    assert_eq!(server.broker.stats().dropped(Drop::PacketTooLarge), 1);
}

#[test]
fn oddities_are_counted() {
    let mut server = Server::welcomed();
    let ann = server.client(1);
    server.packet(ann, Lane::Reliable, vec![0x08, 0x63]);
    server.packet(ann, Lane::Reliable, Vec::new());
    server.say(
        ann,
        &AuthMessage {
            r#type: MessageType::Auth.into(),
            ..AuthMessage::default()
        },
    );
    assert_eq!(
        server.take(ann),
        [],
        "types that we have no use for are skipped"
    );
    assert_eq!(server.broker.stats().dropped(Drop::UnknownType), 2);
    assert_eq!(server.broker.stats().dropped(Drop::AuthNotDue), 1);
    server.packet(ann, Lane::Reliable, vec![0xff; 20]);
    server.packet(
        ann,
        Lane::Reliable,
        vec![0x08, 0x09, 0x1a, 0x02, 0xff, 0xfe],
    );
    let malformed = (Reason::Malformed, String::new());
    assert_eq!(server.take_errors(ann), [malformed.clone(), malformed]);
    server.publish(ann, Lane::Reliable, "no topic", "x");
    server.publish(ann, Lane::Reliable, "$to/1", "x");
    let bad = |topic: &str| (Reason::BadTopic, topic.to_owned());
    assert_eq!(server.take_errors(ann), [bad("no topic"), bad("$to/1")]);
    let subscription = proto::SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        ..proto::SubscriptionMessage::default()
    };
    server.packet(ann, Lane::Unreliable, subscription.encode_to_vec());
    assert_eq!(
        server.take_errors(ann),
        [(Reason::WrongLane, String::new())]
    );
    assert_eq!(server.closed(ann), None);
}
