//! Credentials that end: REFRESH, a new AUTH on the same peer, and the close of who has none.

use std::time::Duration;

use bytes::Bytes;
use commserver_core::{Drop, Identity, Input, PeerId};
use proto::{
    Lane, MessageType, ReadyMessage, Reason, RefreshMessage, Role,
    filter::{Filters, Grants},
    frame,
};

use crate::server::{Server, auth};

const SECOND: Duration = Duration::from_secs(1);

/// As the authenticator finds one whose credentials are good for so long.
fn ann(server: &Server, lasts: Duration) -> Identity {
    Identity {
        expires: Some(server.now + lasts),
        ..Identity::everything(Bytes::from_static(b"ann"))
    }
}

fn judged(server: &mut Server, peer: PeerId, result: Result<Identity, Reason>) {
    server.input(Input::Authenticated {
        peer,
        result,
        proof: Bytes::new(),
    });
}

/// Let in, by credentials that are good for so long.
fn client(server: &mut Server, alias: u64, lasts: Duration) -> PeerId {
    let peer = server.arrive(alias, Role::Client);
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    let identity = ann(server, lasts);
    judged(server, peer, Ok(identity));
    server.take(peer);
    peer
}

fn refreshes(server: &mut Server, peer: PeerId) -> Vec<u32> {
    let refreshes = server.take_kind::<RefreshMessage>(peer, MessageType::Refresh);
    refreshes.iter().map(|refresh| refresh.within_ms).collect()
}

/// Shows new credentials; whether the authenticator is asked.
fn renew(server: &mut Server, peer: PeerId) -> bool {
    let before = server.asked.len();
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    server.asked.len() > before
}

#[test]
fn a_client_is_told_before_its_credentials_end_and_closed_when_it_has_no_new_ones() {
    let mut server = Server::welcomed();
    let peer = client(&mut server, 1, 600 * SECOND);
    server.pass(539 * SECOND);
    assert!(refreshes(&mut server, peer).is_empty());
    server.pass(SECOND);
    assert_eq!(refreshes(&mut server, peer), [60_000]);
    server.pass(59 * SECOND);
    assert_eq!(server.closed(peer), None);
    server.pass(SECOND);
    assert_eq!(server.closed(peer), Some(Reason::TokenExpired));
    assert_eq!(
        server.take_errors(peer),
        [(Reason::TokenExpired, String::new())]
    );
    assert_eq!(server.broker.stats().refreshes, 1);
    assert_eq!(server.broker.stats().peers_closed[&Reason::TokenExpired], 1);
}

#[test]
fn one_who_is_asked_late_has_the_time_to_answer() {
    for (lasts, asked_after, within_ms) in [(0, 1, 10_000), (4, 2, 10_000), (60, 30, 30_000)] {
        let mut server = Server::welcomed();
        let peer = client(&mut server, 1, lasts * SECOND);
        server.pass(asked_after * SECOND - Duration::from_millis(1));
        assert!(refreshes(&mut server, peer).is_empty(), "{lasts}");
        server.pass(Duration::from_millis(1));
        assert_eq!(refreshes(&mut server, peer), [within_ms], "{lasts}");
        let within = Duration::from_millis(within_ms.into());
        server.pass(within - Duration::from_millis(1));
        assert_eq!(server.closed(peer), None, "{lasts}");
        server.pass(Duration::from_millis(1));
        assert_eq!(server.closed(peer), Some(Reason::TokenExpired), "{lasts}");
    }
}

#[test]
fn new_credentials_keep_the_peer_and_its_subscriptions() {
    let mut server = Server::welcomed();
    let bob = server.client(2);
    let peer = client(&mut server, 1, 60 * SECOND);
    server.subscription(peer, "a");
    for round in 1..=3 {
        server.pass(30 * SECOND);
        assert_eq!(refreshes(&mut server, peer), [30_000]);
        assert!(renew(&mut server, peer), "{round}");
        let identity = ann(&server, 60 * SECOND);
        judged(&mut server, peer, Ok(identity));
        let ready = server.take_kind::<ReadyMessage>(peer, MessageType::Ready);
        assert_eq!(ready[0].alias, 1);
        server.publish(bob, Lane::Reliable, "a", "x");
        assert_eq!(server.take(peer).len(), 1);
        assert_eq!(server.broker.stats().renewals, round);
    }
    let identity = Identity::everything(Bytes::from_static(b"ann"));
    server.pass(30 * SECOND);
    assert!(renew(&mut server, peer));
    judged(&mut server, peer, Ok(identity));
    server.pass(3_600 * SECOND);
    assert_eq!(server.closed(peer), None);
    assert_eq!(server.broker.next_deadline(), None);
}

#[test]
fn new_credentials_bring_their_own_grants() {
    let mut server = Server::welcomed();
    let bob = server.client(2);
    server.subscription(bob, "a b");
    let peer = client(&mut server, 1, 60 * SECOND);
    server.subscription(peer, "c b a");
    server.pass(30 * SECOND);
    assert!(renew(&mut server, peer));
    server.take(peer);
    let only = |topic| Filters::parse([topic]).expect("filters");
    let identity = Identity {
        grants: Grants {
            publish: only("b"),
            subscribe: only("a"),
        },
        ..ann(&server, 60 * SECOND)
    };
    judged(&mut server, peer, Ok(identity));
    let gone = |topic: &str| (Reason::SubscriptionEnded, topic.to_owned());
    assert_eq!(server.take_errors(peer), [gone("b"), gone("c")]);
    for topic in ["a", "b", "c"] {
        server.publish(bob, Lane::Reliable, topic, "x");
        server.publish(peer, Lane::Reliable, topic, "x");
    }
    let told = |server: &mut Server, peer| {
        let packets = server.take_kind::<proto::TopicFwMessage>(peer, MessageType::TopicFw);
        packets
            .into_iter()
            .map(|packet| packet.topic)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut server, bob), ["b"]);
    assert_eq!(told(&mut server, peer), ["a"]);
}

#[test]
fn new_credentials_that_are_not_good_end_the_peer() {
    let ben = |server: &Server| Identity {
        identity: Bytes::from_static(b"ben"),
        ..ann(server, 60 * SECOND)
    };
    for (result, reason) in [
        (Err(Reason::Unauthenticated), Reason::Unauthenticated),
        (Err(Reason::Forbidden), Reason::Forbidden),
        // Nobody becomes somebody else on the way.
        (Ok(()), Reason::Forbidden),
    ] {
        let mut server = Server::welcomed();
        let peer = client(&mut server, 1, 60 * SECOND);
        server.pass(30 * SECOND);
        assert!(renew(&mut server, peer));
        let result = result.map(|()| ben(&server));
        judged(&mut server, peer, result);
        assert_eq!(server.closed(peer), Some(reason));
    }
    let mut server = Server::welcomed();
    let peer = client(&mut server, 1, 60 * SECOND);
    server.pass(30 * SECOND);
    server.say(
        peer,
        &auth(Role::CommunicationServer, frame::capabilities(true), 9),
    );
    assert_eq!(server.closed(peer), Some(Reason::Forbidden));
}

#[test]
fn while_nobody_can_tell_the_old_credentials_serve_on_to_their_end() {
    let mut server = Server::welcomed();
    let start = server.now;
    let peer = client(&mut server, 1, 600 * SECOND);
    server.pass(540 * SECOND);
    let mut asked = 0;
    while server.closed(peer).is_none() {
        if let [_] = refreshes(&mut server, peer)[..] {
            asked += 1;
            assert!(renew(&mut server, peer));
            judged(&mut server, peer, Err(Reason::AuthUnavailable));
        }
        server.pass(SECOND);
    }
    assert_eq!(server.now, start + 600 * SECOND);
    assert_eq!(server.closed(peer), Some(Reason::TokenExpired));
    // After 30 s, 15 s, 7.5 s, and so on, down to one second.
    assert_eq!(asked, 6);
}

#[test]
fn the_authenticator_is_not_asked_faster_than_answers_serve() {
    let mut server = Server::welcomed();
    let peer = client(&mut server, 1, 60 * SECOND);
    assert!(!renew(&mut server, peer), "it was let in just now");
    server.pass(SECOND);
    assert!(renew(&mut server, peer), "whoever wants may come sooner");
    server.pass(SECOND);
    assert!(!renew(&mut server, peer), "one at a time");
    let identity = ann(&server, 60 * SECOND);
    judged(&mut server, peer, Ok(identity));
    assert!(!renew(&mut server, peer), "that was just now");
    server.pass(SECOND);
    assert!(renew(&mut server, peer));
    assert_eq!(server.broker.stats().dropped(Drop::AuthNotDue), 3);
    assert_eq!(server.closed(peer), None);
}

#[test]
fn a_verdict_that_nobody_asked_for_changes_nothing() {
    let mut server = Server::welcomed();
    let peer = client(&mut server, 1, 60 * SECOND);
    judged(&mut server, peer, Err(Reason::Unauthenticated));
    assert_eq!(server.closed(peer), None);
    assert_eq!(server.broker.stats().dropped(Drop::StalePeer), 1);
}

#[test]
fn a_2019_client_is_not_asked_and_closed_at_the_end() {
    let mut server = Server::welcomed();
    let peer = server.arrive(1, Role::Client);
    server.say(peer, &auth(Role::Client, Vec::new(), 0));
    let identity = ann(&server, 60 * SECOND);
    judged(&mut server, peer, Ok(identity));
    server.pass(59 * SECOND);
    assert!(refreshes(&mut server, peer).is_empty());
    assert_eq!(server.closed(peer), None);
    server.pass(SECOND);
    assert_eq!(server.closed(peer), Some(Reason::TokenExpired));
}
