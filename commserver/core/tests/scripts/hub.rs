//! The hub of a star: what it passes on, to whom, and what is written on it.

use std::time::Duration;

use bytes::Bytes;
use commserver_core::{Config, Drop, Input, PeerId};
use proto::{
    AuthMessage, Lane, Message, MessageType, Reason, Role, SubscriptionMessage, TopicFwMessage,
    TopicIdentityMessage, TopicMessage, frame,
};

use crate::{
    links::{HIGHER, LOWER, dialed, interest, interests, snapshot},
    server::{INSTANCE, Server, auth},
};

pub(crate) fn hub() -> Server {
    Server::welcomed_with(Config {
        hub: true,
        allow_2019_servers: true,
        ..Config::new(INSTANCE, 1)
    })
}

/// A leaf that wants these topics.
fn leaf(server: &mut Server, number: u64, topics: &[&str]) -> PeerId {
    let link = server.link(HIGHER + number, 100 + number);
    server.say(link, &snapshot(0, topics));
    server.take(link);
    link
}

fn leaf_of_2019(server: &mut Server, number: u64) -> PeerId {
    let link = server.arrive(HIGHER + number, Role::CommunicationServer);
    server.say(link, &auth(Role::CommunicationServer, Vec::new(), 0));
    server.verdict(link, Ok(""));
    link
}

/// As the first server writes it: of a client of its own.
pub(crate) fn packet(topic: &str, hops: u32) -> TopicMessage {
    TopicMessage {
        r#type: MessageType::Topic.into(),
        from_alias: 77,
        topic: topic.to_owned(),
        body: "from afar".into(),
        hops,
        seq: 9,
    }
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

#[test]
fn it_passes_on_to_the_others_that_want_it_and_never_back() {
    let mut server = hub();
    let [from, wants, wants_other] = [
        leaf(&mut server, 0, &["t"]),
        leaf(&mut server, 1, &["t"]),
        leaf(&mut server, 2, &["u"]),
    ];
    let ann = server.client(1);
    server.subscription(ann, "t");
    for lane in Lane::ALL {
        server.packet(from, lane, encoded(&packet("t", 0)));
        let passed_on = TopicMessage {
            hops: 1,
            ..packet("t", 0)
        };
        assert_eq!(server.take(wants), [(lane, encoded(&passed_on))]);
        assert_eq!(server.take(from), []);
        assert_eq!(server.take(wants_other), []);
        let got: Vec<TopicFwMessage> = server.take_kind(ann, MessageType::TopicFw);
        assert_eq!((got[0].from_alias, got[0].seq), (77, 9));
    }
    assert_eq!(server.broker.stats().forwarded, [1, 1]);
    assert_eq!(server.broker.stats().relayed_out, [0, 0]);
    assert_eq!(server.broker.stats().relayed_in, [1, 1]);
}

#[test]
fn who_published_it_stays_the_first_servers_word() {
    let mut server = hub();
    let from = leaf(&mut server, 0, &[]);
    let to = leaf(&mut server, 1, &["t"]);
    let claim = TopicIdentityMessage {
        r#type: MessageType::TopicIdentity.into(),
        from_alias: 77,
        topic: "t".into(),
        identity: "ann".into(),
        role: Role::Client.into(),
        body: "hi".into(),
        hops: 0,
        seq: 3,
    };
    server.say(from, &claim);
    let passed_on: Vec<TopicIdentityMessage> = server.take_kind(to, MessageType::TopicIdentity);
    assert_eq!(passed_on, [TopicIdentityMessage { hops: 1, ..claim }]);
}

/// Whom a packet reaches that says it has crossed so many links: clients, and the servers with
/// which number.
#[test]
fn each_server_writes_how_many_links_were_crossed() {
    let cases = [
        (true, 0, true, Some(1)),
        (true, 1, true, None),
        (true, 2, false, None),
        (true, u32::MAX, false, None),
        (false, 0, true, None),
        (false, 1, true, None),
        (false, 2, false, None),
        (false, u32::MAX, false, None),
    ];
    for (is_hub, hops, to_clients, to_servers) in cases {
        let case = format!("hub: {is_hub}, {hops} hops");
        let mut server = if is_hub { hub() } else { Server::welcomed() };
        let from = leaf(&mut server, 0, &["t"]);
        let other = leaf(&mut server, 1, &["t"]);
        let ann = server.client(1);
        server.subscription(ann, "t");
        server.say(from, &packet("t", hops));
        assert_eq!(server.take(ann).len(), usize::from(to_clients), "{case}");
        let passed_on: Vec<TopicMessage> = server.take_kind(other, MessageType::Topic);
        let numbers: Vec<u32> = passed_on.iter().map(|packet| packet.hops).collect();
        assert_eq!(numbers, Vec::from_iter(to_servers), "{case}");
        assert_eq!(server.take(from), [], "{case}");
        // One drop, whether of the whole packet or of the way on.
        let whole = !to_clients || (is_hub && to_servers.is_none());
        let dropped = server.broker.stats().dropped(Drop::HopLimit);
        assert_eq!(dropped, u64::from(whole), "{case}");
    }
}

#[test]
fn a_packet_that_goes_nowhere_else_is_no_drop() {
    let mut server = hub();
    let from = leaf(&mut server, 0, &["t"]);
    server.say(from, &packet("t", 1));
    server.say(from, &packet("nobody's", 1));
    assert_eq!(server.broker.stats().dropped(Drop::HopLimit), 0);
}

/// It sends everything that it gets back to where it came from, as if it were new.
#[test]
fn a_leaf_that_reflects_makes_no_storm() {
    let mut server = hub();
    let (ann, rogue) = (leaf(&mut server, 0, &["t"]), leaf(&mut server, 1, &["t"]));
    let bob = leaf(&mut server, 2, &["t"]);
    for round in 0..100 {
        server.say(ann, &packet("t", 0));
        let to_rogue: Vec<TopicMessage> = server.take_kind(rogue, MessageType::Topic);
        assert_eq!(to_rogue.len(), 1, "round {round}: nothing comes back to it");
        for packet in to_rogue {
            server.say(rogue, &TopicMessage { hops: 0, ..packet });
        }
        // The original and the reflection for one, the reflection for the other: that is all.
        assert_eq!(server.take(bob).len(), 2, "round {round}");
        assert_eq!(server.take(ann).len(), 1, "round {round}");
    }
    assert_eq!(server.take(rogue), []);
}

#[test]
fn it_serves_clients_of_its_own_like_any_server() {
    let mut server = hub();
    let (ann, bob) = (server.client(1), server.client(2));
    let leaf = leaf(&mut server, 0, &["t"]);
    server.subscription(bob, "t");
    // What a client says about hops does not count.
    server.say(ann, &packet("t", 7));
    let got: Vec<TopicFwMessage> = server.take_kind(bob, MessageType::TopicFw);
    assert_eq!((got[0].from_alias, got[0].seq), (1, 9));
    let relayed: Vec<TopicMessage> = server.take_kind(leaf, MessageType::Topic);
    assert_eq!((relayed[0].from_alias, relayed[0].hops), (1, 0));
    assert_eq!(server.broker.stats().relayed_out, [1, 0]);
    assert_eq!(server.broker.stats().forwarded, [0, 0]);
    let ping = Bytes::from_static(b"\x08\x06");
    server.packet(ann, Lane::Unreliable, ping.clone());
    assert_eq!(server.take(ann), [(Lane::Unreliable, ping)]);
}

#[test]
fn it_says_what_it_is() {
    let mut server = hub();
    server.servers(1, &[LOWER]);
    let peer = dialed(&mut server);
    let auth: Vec<AuthMessage> = server.take_kind(peer, MessageType::Auth);
    assert_eq!(auth[0].role(), Role::CommunicationServerHub);
}

#[test]
fn a_frame_that_a_2019_leaf_cannot_read_is_not_passed_on() {
    let mut server = hub();
    let from = leaf(&mut server, 0, &[]);
    let old = leaf_of_2019(&mut server, 1);
    server.subscription(old, "t");
    server.take(old);
    for (size, arrives) in [(5_000, 1), (5_200, 0)] {
        let body = vec![1; size].into();
        server.packet(from, Lane::Reliable, frame::publish("t", body, 1, false));
        assert_eq!(server.take(old).len(), arrives, "{size}");
    }
    assert_eq!(server.broker.stats().dropped(Drop::RecipientLimit), 1);
}

// --- what the leaves are told ---

/// A leaf changes what it wants.
fn wants(server: &mut Server, leaf: PeerId, version: u64, add: &[&str], remove: &[&str]) {
    server.say(leaf, &interest(version, add, remove));
}

/// What each of these has been told since the last time, after the window has passed.
fn told<const N: usize>(server: &mut Server, links: [PeerId; N]) -> [Vec<(bool, String)>; N] {
    server.pass(Duration::from_millis(20));
    links.map(|link| {
        let messages = interests(server, link);
        let ack = proto::AckMessage {
            r#type: MessageType::Ack.into(),
            id: 0,
        };
        for _ in &messages {
            server.say(link, &ack);
        }
        let changes = messages.into_iter().flat_map(|message| {
            assert!(!message.snapshot_begin && !message.snapshot_end);
            let removed = message.remove.into_iter().map(|topic| (false, topic));
            removed.chain(message.add.into_iter().map(|topic| (true, topic)))
        });
        changes.collect()
    })
}

#[test]
fn a_leaf_is_told_what_somebody_else_wants() {
    let mut server = hub();
    let links = [0, 1, 2].map(|number| leaf(&mut server, number, &[]));
    let [one, two, three] = links;
    let (on, off) = (
        || vec![(true, "t".to_owned())],
        || vec![(false, "t".to_owned())],
    );
    let nothing = Vec::new;
    // Who begins to want it or ceases to, and what the three are told then.
    wants(&mut server, one, 1, &["t"], &[]);
    assert_eq!(
        told(&mut server, links),
        [nothing(), on(), on()],
        "not its own echo"
    );
    wants(&mut server, two, 1, &["t"], &[]);
    assert_eq!(told(&mut server, links), [on(), nothing(), nothing()]);
    wants(&mut server, three, 1, &["t"], &[]);
    assert_eq!(told(&mut server, links), [nothing(), nothing(), nothing()]);
    wants(&mut server, one, 2, &[], &["t"]);
    assert_eq!(told(&mut server, links), [nothing(), nothing(), nothing()]);
    wants(&mut server, two, 2, &[], &["t"]);
    assert_eq!(
        told(&mut server, links),
        [nothing(), nothing(), off()],
        "it is the last"
    );
    // From one to another within a window.
    wants(&mut server, three, 2, &[], &["t"]);
    wants(&mut server, one, 3, &["t"], &[]);
    assert_eq!(told(&mut server, links), [off(), nothing(), on()]);
    wants(&mut server, one, 4, &[], &["t"]);
    assert_eq!(told(&mut server, links), [nothing(), off(), off()]);

    let ann = server.client(1);
    server.subscription(ann, "t");
    assert_eq!(told(&mut server, links), [on(), on(), on()]);
    wants(&mut server, one, 5, &["t"], &[]);
    server.subscription(ann, "");
    assert_eq!(told(&mut server, links), [off(), nothing(), nothing()]);
    assert_eq!(server.broker.stats().forwarded, [0, 0]);
}

#[test]
fn a_leaf_that_goes_takes_along_what_only_it_wanted() {
    let mut server = hub();
    let [one, two, three] = [
        leaf(&mut server, 0, &["only", "both"]),
        leaf(&mut server, 1, &["both"]),
        leaf(&mut server, 2, &[]),
    ];
    told(&mut server, [one, two, three]);
    server.input(Input::PeerClosed {
        peer: one,
        reason: Reason::TransportClosed,
    });
    let [two, three] = told(&mut server, [two, three]);
    let off = |topic: &str| (false, topic.to_owned());
    let mut two = two;
    two.sort();
    assert_eq!(two, [off("both"), off("only")]);
    assert_eq!(three, [off("only")]);
}

#[test]
fn a_new_leaf_is_told_everything_at_once() {
    let mut server = hub();
    leaf(&mut server, 0, &["t"]);
    server.pass(Duration::from_millis(20));
    let late = server.link(HIGHER + 1, 101);
    assert_eq!(interests(&mut server, late), [snapshot(0, &["t"])]);
}

#[test]
fn a_server_that_is_no_hub_tells_nobody_what_servers_want() {
    let mut server = Server::welcomed();
    let links = [0, 1].map(|number| leaf(&mut server, number, &["t"]));
    assert_eq!(told(&mut server, links), [Vec::new(), Vec::new()]);
}

#[test]
fn a_2019_leaf_gets_a_list_of_what_others_want() {
    let mut server = hub();
    let ours = leaf(&mut server, 0, &["b"]);
    server.pass(Duration::from_millis(20));
    let [old, older] = [1, 2].map(|number| leaf_of_2019(&mut server, number));
    let lists = |server: &mut Server| {
        server.pass(Duration::from_millis(20));
        [old, older].map(|link| {
            let kind = MessageType::Subscription;
            let lists: Vec<SubscriptionMessage> = server.take_kind(link, kind);
            lists
                .last()
                .map(|list| String::from_utf8(list.topics.to_vec()).expect("PLAIN"))
        })
    };
    let list = |topics: &str| Some(topics.to_owned());
    assert_eq!(lists(&mut server), [list("b"), list("b")]);
    server.subscription(old, "a b");
    assert_eq!(lists(&mut server), [None, list("a b")]);
    wants(&mut server, ours, 1, &[], &["b"]);
    assert_eq!(
        lists(&mut server),
        [list(""), None],
        "b is only its own by now"
    );
    server.subscription(older, "a");
    assert_eq!(lists(&mut server), [list("a"), None]);
    assert_eq!(server.broker.stats().topics_unannounced, 0);
}
