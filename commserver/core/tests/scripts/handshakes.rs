//! How many clients may be on their way in at once.

use std::time::Duration;

use commserver_core::{Config, Input, Limits};
use proto::{ConnectionRefusedMessage, Lane, MessageType, Reason, Role};

use crate::server::{INSTANCE, Server};

fn with_room_for(handshakes_max: usize) -> Server {
    let limits = Limits {
        handshakes_max,
        ..Limits::default()
    };
    Server::welcomed_with(Config {
        limits,
        ..Config::new(INSTANCE, 1)
    })
}

fn refused(server: &mut Server) -> Vec<(u64, u32)> {
    let kind = MessageType::ConnectionRefused;
    let refused: Vec<ConnectionRefusedMessage> = server.take_signals(kind);
    let refused = refused.into_iter();
    refused.map(|told| (told.to_alias, told.code)).collect()
}

#[test]
fn a_rush_keeps_its_places() {
    let mut server = with_room_for(2);
    let (ann, bob) = (server.client(10), server.client(11));
    server.subscription(bob, "a");
    let opened = server.opened.len();
    server.connect(1, Role::Client);
    server.connect(2, Role::UnknownRole);
    assert_eq!(refused(&mut server), []);
    assert_eq!(server.broker.stats().handshakes, 2);
    server.pass(Duration::from_millis(2_999));
    server.connect(3, Role::Client);
    let full = u32::from(Reason::ServerFull.number());
    assert_eq!(refused(&mut server), [(3, full)]);
    assert_eq!(server.broker.stats().refusals[&Reason::ServerFull], 1);
    assert_eq!(server.closed, [], "nobody makes way that soon");
    server.publish(ann, Lane::Reliable, "a", "x");
    assert_eq!(server.take(bob).len(), 1, "those who are in do not notice");
    // Servers have a limit of their own.
    server.connect(100, Role::CommunicationServer);
    assert_eq!(refused(&mut server), []);
    // Whoever comes again takes its own place.
    server.connect(2, Role::UnknownRole);
    assert_eq!(refused(&mut server), []);
    assert_eq!(server.broker.stats().handshakes, 2);

    let (first, ..) = server.opened[opened];
    server.input(Input::PeerOpened { peer: first });
    assert_eq!(server.broker.stats().handshakes, 1);
    server.connect(3, Role::Client);
    assert_eq!(refused(&mut server), [], "an open lane is no handshake");
    assert_eq!(server.broker.stats().handshakes_evicted, 0);
}

#[test]
fn who_takes_long_makes_way() {
    let mut server = with_room_for(2);
    server.connect(1, Role::Client);
    server.connect(2, Role::Client);
    let (first, ..) = server.opened[0];
    let (second, ..) = server.opened[1];
    server.pass(Duration::from_secs(3));
    server.connect(3, Role::Client);
    assert_eq!(server.closed, [(first, Reason::HandshakeTimeout)]);
    assert_eq!(refused(&mut server), []);
    server.connect(4, Role::Client);
    assert_eq!(server.closed[1..], [(second, Reason::HandshakeTimeout)]);
    // Those two have only just come.
    server.connect(5, Role::Client);
    assert_eq!(refused(&mut server).len(), 1);
    let stats = server.broker.stats();
    assert_eq!((stats.handshakes, stats.handshakes_evicted), (2, 2));
}
