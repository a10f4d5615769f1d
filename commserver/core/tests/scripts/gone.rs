//! PEER_GONE: the coordinator says that a client's session has ended.

use std::time::Duration;

use commserver_core::{Config, GoneHint, Input, PeerId, Timings};
use proto::{Lane, MessageType, PeerGoneMessage, Reason, Role};

use crate::server::{INSTANCE, Server};

const WITHIN: Duration = Duration::from_secs(3);

fn server() -> Server {
    Server::welcomed_with(Config {
        timings: Timings {
            gone_timeout: WITHIN,
            ..Timings::default()
        },
        ..Config::new(INSTANCE, 1)
    })
}

fn gone(server: &mut Server, alias: u64) {
    server.signal(&PeerGoneMessage {
        r#type: MessageType::PeerGone.into(),
        alias,
    });
}

fn hints(server: &Server, hint: GoneHint) -> u64 {
    let hints = &server.broker.stats().gone_hints;
    hints.get(&hint).copied().unwrap_or_default()
}

fn falls_silent(server: &mut Server, peer: PeerId) {
    let reason = Reason::IdleTimeout;
    server.input(Input::PeerClosed { peer, reason });
}

#[test]
fn the_peer_is_listened_to_and_told() {
    let mut server = server();
    let peer = server.client(5);
    gone(&mut server, 5);
    assert_eq!(server.expected, [(peer, WITHIN)]);
    let frames = server.inbox[&peer].clone();
    assert!(frames.iter().all(|(lane, _)| *lane == Lane::Reliable));
    let told: Vec<PeerGoneMessage> = server.take_kind(peer, MessageType::PeerGone);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].alias, 5, "about itself");
    assert_eq!(hints(&server, GoneHint::Probed), 1);
    assert_eq!(
        server.closed(peer),
        None,
        "that is for the transport to find"
    );
}

#[test]
fn a_2019_client_is_left_alone() {
    let mut server = server();
    let peer = server.client_2019(5);
    gone(&mut server, 5);
    assert_eq!((server.expected.len(), server.take(peer).len()), (0, 0));
    assert_eq!(hints(&server, GoneHint::Speaks2019), 1);
}

#[test]
fn it_is_about_clients_that_were_let_in() {
    let mut server = server();
    let link = server.link(2_000, 9);
    server.take(link);
    let early = server.arrive(6, Role::Client);
    for alias in [2_000, 6, 7, 0] {
        gone(&mut server, alias);
    }
    assert_eq!(server.expected, []);
    assert_eq!((server.take(link).len(), server.take(early).len()), (0, 0));
    assert_eq!(hints(&server, GoneHint::NoPeer), 4);
}

#[test]
fn who_is_gone_through_it_is_counted() {
    for (silence, counted) in [
        (WITHIN, 1),
        (WITHIN + Duration::from_secs(1), 1),
        // It has answered meanwhile, and is gone for another reason.
        (WITHIN + Duration::from_secs(2), 0),
    ] {
        let mut server = server();
        let (doubted, other) = (server.client(5), server.client(6));
        gone(&mut server, 5);
        server.pass(silence);
        falls_silent(&mut server, doubted);
        falls_silent(&mut server, other);
        let stats = server.broker.stats();
        assert_eq!(stats.gone_closed, counted, "{silence:?}");
        assert_eq!(stats.peers_closed[&Reason::IdleTimeout], 2);
    }
    let mut server = server();
    let leaves = server.client(5);
    gone(&mut server, 5);
    server.input(Input::PeerClosed {
        peer: leaves,
        reason: Reason::TransportClosed,
    });
    assert_eq!(server.broker.stats().gone_closed, 0, "it has said goodbye");
}
