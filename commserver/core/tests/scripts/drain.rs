//! Going away: who is asked to go, how long they are waited for, and who comes no more.

use std::time::Duration;

use commserver_core::{Config, Drain, Input, PeerId};
use proto::{
    ConnectionRefusedMessage, Lane, LoadMessage, MessageType, MigrateMessage, Reason, Role,
    ServerState, TopicFwMessage,
};

use crate::{
    links::{HIGHER, LOWER},
    server::{INSTANCE, Server},
};

const TIMEOUT: Duration = Duration::from_secs(20);
const WITHIN: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(1);

/// Alone, as far as it knows.
fn alone() -> Server {
    let drain = Drain {
        timeout: TIMEOUT,
        within: WITHIN,
    };
    Server::welcomed_with(Config {
        drain,
        ..Config::new(INSTANCE, 1)
    })
}

/// With another server, which takes clients.
fn in_company() -> Server {
    let mut server = alone();
    server.servers(1, &[HIGHER]);
    server
}

fn leaves(server: &mut Server, peer: PeerId) {
    let reason = Reason::TransportClosed;
    server.input(Input::PeerClosed { peer, reason });
}

fn migrates(server: &mut Server, peer: PeerId) -> Vec<MigrateMessage> {
    server.take_kind(peer, MessageType::Migrate)
}

fn refusals(server: &mut Server) -> Vec<u32> {
    let refused = server.take_signals::<ConnectionRefusedMessage>(MessageType::ConnectionRefused);
    refused.iter().map(|refused| refused.code).collect()
}

#[test]
fn who_can_go_elsewhere_is_asked_to_once() {
    let mut server = in_company();
    let (ours, old, link) = (
        server.client(1),
        server.client_2019(2),
        server.link(HIGHER, 9),
    );
    server.take(link);
    server.input(Input::Drain);
    let frames = server.inbox[&ours].clone();
    assert!(frames.iter().all(|(lane, _)| *lane == Lane::Reliable));
    let asked = migrates(&mut server, ours);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].within_ms, 5_000);
    assert_eq!((server.take(old).len(), server.take(link).len()), (0, 0));
    assert_eq!(server.broker.stats().migrations_asked, 1);
    assert!(server.broker.stats().draining);
    server.input(Input::Drain);
    assert_eq!(migrates(&mut server, ours), []);
    assert_eq!(server.drained, 0, "they are waited for");
}

#[test]
fn it_is_over_when_nobody_is_left() {
    let mut server = in_company();
    let clients = [server.client(1), server.client_2019(2)];
    server.link(HIGHER, 9);
    server.input(Input::Drain);
    leaves(&mut server, clients[0]);
    server.pass(TIMEOUT / 2);
    assert_eq!(server.drained, 0);
    leaves(&mut server, clients[1]);
    assert_eq!(server.drained, 1, "links are not waited for");
    server.pass(TIMEOUT);
    assert_eq!(server.drained, 1);

    let mut server = in_company();
    server.input(Input::Drain);
    assert_eq!(server.drained, 1, "nobody was there");
}

#[test]
fn it_is_over_when_the_time_is() {
    let mut server = in_company();
    let old = server.client_2019(1);
    server.input(Input::Drain);
    server.pass(TIMEOUT - MOMENT);
    assert_eq!(server.drained, 0, "who cannot be asked holds it up");
    server.pass(MOMENT);
    assert_eq!((server.drained, server.closed(old)), (1, None));
    server.input(Input::Shutdown);
    assert_eq!(server.closed(old), Some(Reason::ShuttingDown));
    assert_eq!(server.broker.next_deadline(), None);
}

#[test]
fn without_time_nobody_is_asked() {
    let mut server = Server::welcomed_with(Config {
        drain: Drain {
            timeout: Duration::ZERO,
            within: WITHIN,
        },
        ..Config::new(INSTANCE, 1)
    });
    server.servers(1, &[HIGHER]);
    let client = server.client(1);
    server.input(Input::Drain);
    assert_eq!(
        (server.drained, migrates(&mut server, client).len()),
        (1, 0)
    );
}

#[test]
fn who_has_nowhere_to_go_is_not_waited_for() {
    use ServerState::{Draining, Full, Live, UnknownServerState};
    for (others, waits) in [
        (&[][..], false),
        (&[Full, Draining], false),
        (&[Full, Live], true),
        // One that does not say.
        (&[UnknownServerState], true),
    ] {
        let mut server = alone();
        let aliases = (LOWER - 10..).zip(others.iter().copied());
        server.servers_in(1, &aliases.collect::<Vec<_>>(), &[]);
        let client = server.client(1);
        server.input(Input::Drain);
        assert_eq!(server.drained, usize::from(!waits), "{others:?}");
        let asked = migrates(&mut server, client).len();
        assert_eq!(asked, usize::from(waits), "{others:?}");
    }
}

#[test]
fn a_hub_takes_no_clients_but_stands_for_those_who_do() {
    use ServerState::{Draining, Live};
    for (others, hub, waits) in [
        // A leaf is told of nobody else.
        (&[][..], Live, true),
        (&[], Draining, false),
        (&[(LOWER, Draining)], Live, false),
        (&[(LOWER, Live)], Draining, true),
    ] {
        let mut server = alone();
        server.servers_in(1, others, &[(HIGHER, hub)]);
        server.client(1);
        server.input(Input::Drain);
        let case = format!("{others:?}, hub {hub:?}");
        assert_eq!(server.drained, usize::from(!waits), "{case}");
    }
}

#[test]
fn it_is_over_when_the_others_go_too() {
    let mut server = in_company();
    server.client(1);
    server.link(HIGHER, 9);
    server.input(Input::Drain);
    assert_eq!(server.drained, 0);
    server.servers_in(2, &[(HIGHER, ServerState::Draining)], &[]);
    assert_eq!(server.drained, 1);
}

#[test]
fn a_restarted_coordinator_does_not_end_it() {
    let mut server = in_company();
    server.client(1);
    let link = server.link(HIGHER, 9);
    server.input(Input::Drain);
    // The others are not back yet.
    server.resume(crate::server::OWN, &[]);
    server.servers(1, &[]);
    assert_eq!(server.drained, 0, "they are linked, so they are there");
    leaves(&mut server, link);
    assert_eq!(server.drained, 1, "that one is not");
}

#[test]
fn clients_come_no_more_and_links_do() {
    let mut server = in_company();
    let ann = server.client(1);
    server.subscription(ann, "a");
    server.input(Input::Drain);
    let down = u32::from(Reason::ShuttingDown.number());
    server.connect(2, Role::Client);
    // Not even with a place here already.
    server.connect(1, Role::Client);
    assert_eq!(refusals(&mut server), [down, down]);

    let link = server.link(HIGHER, 9);
    server.take(ann);
    let packet = proto::frame::publish("a", "still here".into(), 1, false);
    server.packet(link, Lane::Reliable, packet);
    let got: Vec<TopicFwMessage> = server.take_kind(ann, MessageType::TopicFw);
    assert_eq!(got.len(), 1, "who is still here is served");
}

#[test]
fn who_is_at_the_door_begins_anew_elsewhere() {
    let mut server = in_company();
    server.client(1);
    server.connect(2, Role::Client);
    let (knocks, ..) = server.opened[server.opened.len() - 1];
    let waits = server.arrive(3, Role::Client);
    let dialer = server.arrive(HIGHER, Role::CommunicationServer);
    server.signals.clear();
    server.input(Input::Drain);
    let down = Reason::ShuttingDown;
    assert_eq!(refusals(&mut server), [u32::from(down.number())]);
    assert_eq!(server.closed(knocks), Some(down));
    assert_eq!(server.take_errors(waits), [(down, String::new())]);
    assert_eq!(server.closed(waits), Some(down));
    assert_eq!(server.closed(dialer), None, "links are welcome");
}

#[test]
fn the_coordinator_is_told_at_once() {
    let mut server = in_company();
    server.welcome_to_report();
    server.servers(1, &[HIGHER]);
    server.client(1);
    server.signals.clear();
    server.input(Input::Drain);
    let reports: Vec<LoadMessage> = server.take_signals(MessageType::Load);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].state(), ServerState::Draining);
}
