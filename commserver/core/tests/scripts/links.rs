//! Links: who dials, who stays when there are two, what they tell each other.

use std::time::Duration;

use bytes::Bytes;
use commserver_core::{Config, Drop, Input, PeerId};
use proto::{
    AuthMessage, ConnectMessage, ConnectionRefusedMessage, InterestMessage, Lane, Message,
    MessageType, ReadyMessage, Reason, RenamedMessage, Role, frame,
};

use crate::server::{INSTANCE, OWN, Server, auth};

/// A server above us, so that it dials, and one below, so that we do.
pub(crate) const HIGHER: u64 = OWN + 1;
pub(crate) const LOWER: u64 = OWN - 1;

pub(crate) fn dials(server: &mut Server) -> Vec<u64> {
    let connects: Vec<ConnectMessage> = server.take_signals(MessageType::Connect);
    connects.iter().map(|connect| connect.to_alias).collect()
}

/// The peer of the last dial, with its reliable lane open and our AUTH sent.
pub(crate) fn dialed(server: &mut Server) -> PeerId {
    let mut opened = server.opened.iter().rev();
    let &(peer, ..) = opened.find(|(_, _, dial)| *dial).expect("a dial");
    server.input(Input::PeerOpened { peer });
    peer
}

fn ready(instance: u64) -> ReadyMessage {
    ReadyMessage {
        r#type: MessageType::Ready.into(),
        capabilities: frame::capabilities(true),
        instance,
        proof: Bytes::from_static(b"theirs"),
        ..ReadyMessage::default()
    }
}

/// A server that we dialed, with the link current.
pub(crate) fn dial_link(server: &mut Server, instance: u64) -> PeerId {
    let peer = dialed(server);
    server.take(peer);
    server.say(peer, &ready(instance));
    server.input(Input::ProofVerified { peer, valid: true });
    peer
}

pub(crate) fn interests(server: &mut Server, link: PeerId) -> Vec<InterestMessage> {
    server.take_kind(link, MessageType::Interest)
}

pub(crate) fn interest(version: u64, add: &[&str], remove: &[&str]) -> InterestMessage {
    let owned = |topics: &[&str]| topics.iter().map(ToString::to_string).collect();
    InterestMessage {
        r#type: MessageType::Interest.into(),
        version,
        add: owned(add),
        remove: owned(remove),
        ..InterestMessage::default()
    }
}

pub(crate) fn snapshot(version: u64, add: &[&str]) -> InterestMessage {
    InterestMessage {
        snapshot_begin: true,
        snapshot_end: true,
        ..interest(version, add, &[])
    }
}

// --- who dials ---

#[test]
fn the_higher_alias_dials() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER, OWN, HIGHER]);
    assert_eq!(dials(&mut server), [LOWER]);
    assert_eq!(server.opened.len(), 1);
    assert_eq!((server.opened[0].1, server.opened[0].2), (LOWER, true));
}

#[test]
fn welcome_lists_servers_until_servers_does() {
    let mut server = Server::new(Config::new(INSTANCE, 1));
    server.input(Input::UplinkOpened);
    server.welcome(OWN, &[LOWER]);
    assert_eq!(dials(&mut server), [LOWER]);
    server.servers(1, &[LOWER - 1]);
    assert_eq!(dials(&mut server), [LOWER - 1]);
    server.servers(1, &[LOWER - 2]);
    assert_eq!(dials(&mut server), [], "no news");
}

#[test]
fn the_lower_dials_after_three_pauses() {
    let mut server = Server::welcomed();
    server.servers(1, &[HIGHER]);
    let min = Config::new(1, 1).timings.redial_min;
    server.pass(min.mul_f64(0.5 + 1.0 + 2.0) - Duration::from_millis(1));
    assert_eq!(dials(&mut server), []);
    server.pass(min.mul_f64(0.5 + 1.0 + 2.0));
    assert_eq!(dials(&mut server), [HIGHER]);
}

#[test]
fn redials_for_ever_ever_slower() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let timings = Config::new(1, 1).timings;
    let mut longest = Duration::ZERO;
    for attempt in 0..50 {
        assert_eq!(dials(&mut server), [LOWER], "attempt {attempt}");
        let &(peer, ..) = server.opened.last().expect("a dial");
        let reason = Reason::TransportClosed;
        server.input(Input::PeerClosed { peer, reason });
        let due = server.broker.next_deadline().expect("a redial");
        longest = longest.max(due - server.now);
        server.pass(due - server.now);
    }
    assert!(longest <= timings.redial_max && longest > timings.redial_max / 2);
    server.servers(2, &[]);
    let &(peer, ..) = server.opened.last().expect("a dial");
    server.input(Input::PeerClosed {
        peer,
        reason: Reason::TransportClosed,
    });
    assert_eq!(
        server.broker.next_deadline(),
        None,
        "not listed, not dialed"
    );
}

#[test]
fn a_refused_dial_is_made_again() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let (peer, ..) = server.opened[0];
    server.signal(&ConnectionRefusedMessage {
        r#type: MessageType::ConnectionRefused.into(),
        from_alias: LOWER,
        code: Reason::ShuttingDown.number().into(),
        ..ConnectionRefusedMessage::default()
    });
    assert_eq!(server.closed(peer), Some(Reason::ShuttingDown));
    server.signals.clear();
    server.pass(Duration::from_secs(1));
    assert_eq!(dials(&mut server), [LOWER]);
}

#[test]
fn a_dial_of_nobody_is_given_up() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let (peer, ..) = server.opened[0];
    server.input(Input::Signal(
        Reason::PeerUnavailable.error_about_peer(LOWER),
    ));
    assert_eq!(server.closed(peer), Some(Reason::PeerUnavailable));
    server.signals.clear();
    server.pass(Duration::from_secs(1));
    assert_eq!(dials(&mut server), [LOWER], "for now");
}

#[test]
fn no_dial_while_the_coordinator_is_away() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let link = dial_link(&mut server, 3);
    server.input(Input::UplinkClosed);
    server.signals.clear();
    server.input(Input::PeerClosed {
        peer: link,
        reason: Reason::IdleTimeout,
    });
    server.pass(Duration::from_secs(60));
    assert_eq!(dials(&mut server), []);
    server.input(Input::UplinkOpened);
    server.welcome(OWN, &[LOWER]);
    server.pass(Duration::from_millis(1));
    assert_eq!(dials(&mut server), [LOWER]);
}

#[test]
fn on_glare_the_higher_dial_wins() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let (ours, ..) = server.opened[0];
    server.connect(LOWER, Role::CommunicationServer);
    assert_eq!(server.opened.len(), 1, "theirs is ignored");
    assert_eq!(server.closed(ours), None);

    let mut server = Server::welcomed();
    server.servers(1, &[HIGHER]);
    server.pass(Duration::from_secs(3));
    let (ours, _, dial) = server.opened[0];
    assert!(dial);
    server.connect(HIGHER, Role::CommunicationServer);
    assert_eq!(server.closed(ours), Some(Reason::Replaced));
    assert!(!server.opened[1].2, "theirs is taken");
}

// --- letting servers in ---

#[test]
fn a_dialer_proves_itself_and_asks_for_proof() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let peer = dialed(&mut server);
    let auth: Vec<AuthMessage> = server.take_kind(peer, MessageType::Auth);
    assert_eq!(auth[0].body, format!("proof {OWN} {LOWER}"));
    assert_eq!(
        (auth[0].role(), auth[0].instance),
        (Role::CommunicationServer, INSTANCE)
    );
    assert!(!auth[0].capabilities.is_empty());

    server.say(peer, &ready(3));
    let (asked, proof, pair) = server.proofs[0].clone();
    assert_eq!((asked, &proof[..]), (peer, &b"theirs"[..]));
    assert_eq!((pair.dialer, pair.acceptor), (OWN, LOWER));
    assert_eq!(
        server.broker.stats().links,
        0,
        "not before the proof is checked"
    );
    server.say(peer, &snapshot(0, &["a"]));
    server.input(Input::ProofVerified { peer, valid: true });
    assert_eq!(server.broker.stats().links, 1);
    assert_eq!(interests(&mut server, peer).len(), 1, "our snapshot");
    assert_eq!(server.broker.stats().topics, 1, "and theirs was held");
    server.pass(Duration::from_secs(100));
    assert_eq!(dials(&mut server), [LOWER], "once");
}

#[test]
fn a_false_server_is_left() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let peer = dialed(&mut server);
    server.say(peer, &ready(3));
    server.input(Input::ProofVerified { peer, valid: false });
    assert_eq!(server.closed(peer), Some(Reason::ProofFailed));
    assert_eq!(server.broker.stats().links_closed[&Reason::ProofFailed], 1);
    assert!(server.broker.next_deadline().is_some(), "and tried again");
}

#[test]
fn an_acceptor_proves_itself_in_ready() {
    let mut server = Server::welcomed();
    let link = server.link(HIGHER, 9);
    let frames = server.take(link);
    let ready = ReadyMessage::decode(frames[0].1.clone()).expect("READY, first");
    assert_eq!(&ready.proof[..], b"proof of the acceptor");
    assert_eq!(ready.instance, INSTANCE);
    let snapshot = InterestMessage::decode(frames[1].1.clone()).expect("INTEREST, then");
    assert!(snapshot.snapshot_begin && snapshot.snapshot_end && snapshot.add.is_empty());
    assert_eq!(frames.len(), 2);
}

#[test]
fn we_are_no_link_of_our_own() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let peer = dialed(&mut server);
    server.say(peer, &ready(INSTANCE));
    assert_eq!(server.closed(peer), Some(Reason::Forbidden));
    let peer = server.arrive(HIGHER, Role::CommunicationServer);
    server.say(
        peer,
        &auth(
            Role::CommunicationServer,
            frame::capabilities(true),
            INSTANCE,
        ),
    );
    assert_eq!(server.closed(peer), Some(Reason::Forbidden));
}

// --- two links to one server ---

#[test]
fn the_younger_link_of_one_dialer_replaces_the_older() {
    let mut server = Server::welcomed();
    let first = server.link(HIGHER, 9);
    server.say(first, &snapshot(0, &["a"]));
    let second = server.link(HIGHER + 5, 9);
    assert_eq!(server.closed(first), Some(Reason::Replaced));
    assert_eq!(server.broker.stats().links, 1);
    server.take(first);
    let ann = server.client(1);
    server.publish(ann, Lane::Reliable, "a", "x");
    assert_eq!(
        server.take(first),
        [],
        "what it wanted is forgotten with it"
    );
    server.say(second, &snapshot(0, &["a"]));
    server.take(second);
    server.publish(ann, Lane::Reliable, "a", "x");
    assert_eq!(server.take(second).len(), 1);
}

#[test]
fn of_two_dialers_the_higher_instance_wins() {
    for (theirs, ours_stays) in [(INSTANCE - 1, true), (INSTANCE + 1, false)] {
        for ours_first in [true, false] {
            let mut server = Server::welcomed();
            server.servers(1, &[LOWER]);
            let (ours, their);
            if ours_first {
                ours = dial_link(&mut server, theirs);
                their = server.link(HIGHER, theirs);
            } else {
                their = server.link(HIGHER, theirs);
                ours = dial_link(&mut server, theirs);
            }
            let case = format!("instance {theirs}, ours first: {ours_first}");
            let replaced = Some(Reason::Replaced);
            assert_eq!(
                server.closed(ours),
                replaced.filter(|_| !ours_stays),
                "{case}"
            );
            assert_eq!(
                server.closed(their),
                replaced.filter(|_| ours_stays),
                "{case}"
            );
            assert_eq!(server.broker.stats().links, 1, "{case}");
            assert_eq!(server.broker.stats().links_replaced, 1, "{case}");
        }
    }
}

#[test]
fn a_link_that_the_other_side_has_lost_makes_way() {
    for (age_ms, makes_way) in [(2_999, false), (3_000, true)] {
        let mut server = Server::welcomed();
        server.servers(1, &[LOWER]);
        // By instance, the one that we dialed would stay.
        let ours = dial_link(&mut server, INSTANCE - 1);
        server.pass(Duration::from_millis(age_ms));
        let their = server.link(HIGHER, INSTANCE - 1);
        let replaced = Some(Reason::Replaced);
        assert_eq!(
            server.closed(ours),
            replaced.filter(|_| makes_way),
            "{age_ms}"
        );
        assert_eq!(
            server.closed(their),
            replaced.filter(|_| !makes_way),
            "{age_ms}"
        );
    }
}

#[test]
fn a_restarted_server_is_another() {
    let mut server = Server::welcomed();
    let before = server.link(HIGHER, 9);
    let after = server.link(HIGHER + 1, 10);
    assert_eq!((server.closed(before), server.closed(after)), (None, None));
    assert_eq!(server.broker.stats().links, 2);
}

// --- new aliases ---

#[test]
fn a_renamed_server_is_not_dialed_again() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let link = dial_link(&mut server, 3);
    dials(&mut server);
    // The coordinator restarts, and lists it before its own word is here.
    server.input(Input::UplinkClosed);
    server.input(Input::UplinkOpened);
    server.take(link);
    server.welcome(OWN + 10, &[OWN + 9]);
    let renamed: Vec<RenamedMessage> = server.take_kind(link, MessageType::Renamed);
    assert_eq!(renamed[0].alias, OWN + 10, "and we tell it ours");
    server.pass(Duration::from_millis(500));
    server.say(
        link,
        &RenamedMessage {
            r#type: MessageType::Renamed.into(),
            alias: OWN + 9,
        },
    );
    server.pass(Duration::from_secs(100));
    assert_eq!(dials(&mut server), []);
    assert_eq!(server.closed(link), None);
    server.input(Input::PeerClosed {
        peer: link,
        reason: Reason::IdleTimeout,
    });
    server.pass(Duration::from_secs(1));
    assert_eq!(dials(&mut server), [OWN + 9], "by its new alias");
}

#[test]
fn a_rename_ends_the_dial_that_it_makes_pointless() {
    let mut server = Server::welcomed();
    let link = server.link(LOWER - 1, 3);
    server.servers(1, &[LOWER]);
    server.pass(Duration::from_secs(1));
    assert_eq!(dials(&mut server), [LOWER]);
    let &(pointless, ..) = server.opened.last().expect("a dial");
    server.say(
        link,
        &RenamedMessage {
            r#type: MessageType::Renamed.into(),
            alias: LOWER,
        },
    );
    assert_eq!(server.closed(pointless), Some(Reason::Replaced));
    assert_eq!(server.broker.next_deadline(), None);
}

#[test]
fn a_link_under_an_older_alias_of_ours_hears_the_new_one() {
    let mut server = Server::welcomed();
    let peer = server.arrive(HIGHER, Role::CommunicationServer);
    server.welcome(OWN + 10, &[]);
    server.say(
        peer,
        &auth(Role::CommunicationServer, frame::capabilities(true), 9),
    );
    assert_eq!(
        server.asked[0].3.acceptor, OWN,
        "the proof is about the alias it dialed"
    );
    server.verdict(peer, Ok(""));
    let renamed: Vec<RenamedMessage> = server.take_kind(peer, MessageType::Renamed);
    assert_eq!(renamed[0].alias, OWN + 10);
}

#[test]
fn clients_may_not_rename_or_announce() {
    let mut server = Server::welcomed();
    let ann = server.client(1);
    server.say(ann, &snapshot(0, &["a"]));
    server.say(
        ann,
        &RenamedMessage {
            r#type: MessageType::Renamed.into(),
            alias: 2,
        },
    );
    assert_eq!(server.broker.stats().dropped(Drop::NotAllowed), 2);
    assert_eq!(server.broker.stats().topics, 0);
}

#[test]
fn a_new_alias_ends_the_dials_under_the_old_one() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let (before, ..) = server.opened[0];
    server.signals.clear();
    server.welcome(OWN + 10, &[LOWER]);
    assert_eq!(server.closed(before), Some(Reason::Replaced));
    server.pass(Duration::from_secs(1));
    let connects: Vec<ConnectMessage> = server.take_signals(MessageType::Connect);
    assert_eq!(
        (connects[0].from_alias, connects[0].to_alias),
        (OWN + 10, LOWER)
    );
}

#[test]
fn links_are_limited() {
    for (count, fits) in [(2, true), (3, true), (4, false)] {
        let mut server = Server::welcomed_with(Config {
            limits: commserver_core::Limits {
                links_max: 3,
                ..commserver_core::Limits::default()
            },
            ..Config::new(INSTANCE, 1)
        });
        for n in 0..count {
            server.connect(HIGHER + n, Role::CommunicationServer);
        }
        let refused: Vec<ConnectionRefusedMessage> =
            server.take_signals(MessageType::ConnectionRefused);
        assert_eq!(refused.is_empty(), fits, "{count} links");
    }
}
