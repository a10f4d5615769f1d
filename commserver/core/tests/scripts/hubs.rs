//! More ways than one: several hubs, by mistake or because another took over, or a hub in a mesh.
//! Nothing comes twice.

use std::time::Duration;

use commserver_core::PeerId;
use proto::{ConnectionRefusedMessage, MessageType, Reason, Role, frame};

use crate::{
    hub::hub,
    links::{HIGHER, LOWER, dial_link, dials},
    server::{OWN, Server, auth},
};

const HUB: Role = Role::CommunicationServerHub;

fn refusals(server: &mut Server) -> Vec<Reason> {
    let kind = MessageType::ConnectionRefused;
    let refused: Vec<ConnectionRefusedMessage> = server.take_signals(kind);
    let codes = refused
        .iter()
        .map(|refused| Reason::from_number(refused.code));
    codes.map(|reason| reason.expect("a reason")).collect()
}

/// A leaf whose link to a hub with a higher alias is current.
fn leaf_of(hub: u64) -> (Server, PeerId) {
    let mut server = Server::welcomed();
    server.servers_and_hubs(1, &[], &[hub]);
    let link = server.link_as(HUB, hub, 9);
    (server, link)
}

#[test]
fn a_hub_has_no_link_to_a_hub() {
    let mut server = hub();
    server.servers_and_hubs(1, &[LOWER], &[LOWER - 1]);
    assert_eq!(dials(&mut server), [LOWER]);
    server.connect(HIGHER, HUB);
    assert_eq!(refusals(&mut server), [Reason::HubTaken]);
    // A coordinator of 2019 does not say who is one, but it says so itself.
    let mut server = Server::welcomed_with(commserver_core::Config {
        hub: true,
        trust_unstamped_servers: true,
        ..commserver_core::Config::new(7, 1)
    });
    let peer = server.arrive(HIGHER, Role::UnknownRole);
    server.say(peer, &auth(HUB, frame::capabilities(true), 9));
    assert_eq!(server.closed(peer), Some(Reason::HubTaken));
}

#[test]
fn of_two_hubs_the_higher_one_is_it() {
    let mut server = Server::welcomed();
    server.servers_and_hubs(1, &[], &[LOWER - 1, LOWER]);
    assert_eq!(dials(&mut server), [LOWER]);
    dial_link(&mut server, 3);
    server.pass(Duration::from_secs(100));
    assert_eq!(dials(&mut server), []);
    server.connect(LOWER - 1, HUB);
    assert_eq!(refusals(&mut server), [Reason::HubTaken]);
    server.connect(LOWER - 2, Role::CommunicationServer);
    assert_eq!(refusals(&mut server), [], "a server is not meant");
}

#[test]
fn the_old_hub_is_left_when_the_new_one_is_linked() {
    let (mut server, old) = leaf_of(HIGHER);
    server.servers_and_hubs(2, &[], &[LOWER]);
    server.pass(Duration::from_secs(2));
    assert_eq!(dials(&mut server), [LOWER]);
    assert_eq!(server.closed(old), None, "not before there is another one");
    dial_link(&mut server, 3);
    assert_eq!(server.closed(old), Some(Reason::HubTaken));
    assert_eq!(server.broker.stats().links, 1);
}

#[test]
fn a_hub_that_is_listed_again_under_another_alias_stays() {
    let (mut server, link) = leaf_of(HIGHER);
    server.servers_and_hubs(2, &[], &[HIGHER + 5]);
    server.say(
        link,
        &proto::RenamedMessage {
            r#type: MessageType::Renamed.into(),
            alias: HIGHER + 5,
        },
    );
    server.pass(Duration::from_secs(100));
    assert_eq!(server.closed(link), None);
    assert_eq!(server.opened.len(), 1);
}

#[test]
fn a_hub_that_we_dialed_is_left_too() {
    let mut server = Server::welcomed();
    server.servers_and_hubs(1, &[], &[OWN - 2]);
    let old = dial_link(&mut server, 3);
    server.servers_and_hubs(2, &[], &[HIGHER]);
    let new = server.link_as(HUB, HIGHER, 9);
    assert_eq!(server.closed(old), Some(Reason::HubTaken));
    assert_eq!(server.closed(new), None);
}

#[test]
fn in_a_mesh_other_servers_stay_beside_a_hub() {
    let mut server = Server::welcomed();
    server.servers_and_hubs(1, &[HIGHER + 1], &[HIGHER]);
    let hub = server.link_as(HUB, HIGHER, 9);
    let other = server.link(HIGHER + 1, 10);
    assert_eq!((server.closed(hub), server.closed(other)), (None, None));
}

#[test]
fn two_that_came_before_the_list_are_one_after_it() {
    let mut server = Server::welcomed();
    let lower = server.link_as(HUB, HIGHER, 9);
    let higher = server.link_as(HUB, HIGHER + 1, 10);
    assert_eq!((server.closed(lower), server.closed(higher)), (None, None));
    server.servers_and_hubs(1, &[], &[HIGHER, HIGHER + 1]);
    assert_eq!(server.closed(lower), Some(Reason::HubTaken));
    assert_eq!(server.closed(higher), None);

    // The list in WELCOME does not say what they are.
    let mut server = Server::welcomed();
    server.welcome(OWN, &[LOWER]);
    let dialed = dial_link(&mut server, 3);
    let higher = server.link_as(HUB, HIGHER, 9);
    server.servers_and_hubs(1, &[], &[LOWER, HIGHER]);
    assert_eq!(server.closed(dialed), Some(Reason::HubTaken));
    assert_eq!(server.closed(higher), None);
}

/// What of these passed-on packets reaches a client: those that say so many hops.
fn taken(server: &mut Server, link: PeerId) -> Vec<u32> {
    let ann = server.client(1);
    server.subscription(ann, "t");
    let hops = [0, 1, 2].into_iter().filter(|&hops| {
        server.say(link, &crate::hub::packet("t", hops));
        !server.take(ann).is_empty()
    });
    hops.collect()
}

#[test]
fn in_a_mesh_a_hubs_copies_are_not_taken() {
    // A hub alone, a hub beside another server, and a coordinator that does not say who is one.
    let lists = [
        (&[][..], &[HIGHER][..], &[0, 1][..]),
        (&[HIGHER + 1], &[HIGHER], &[0]),
        (&[HIGHER, HIGHER + 1], &[], &[0, 1]),
    ];
    for (servers, hubs, expected) in lists {
        let mut server = Server::welcomed();
        server.servers_and_hubs(1, servers, hubs);
        let link = server.link_as(HUB, HIGHER, 9);
        assert_eq!(taken(&mut server, link), expected, "{servers:?} {hubs:?}");
    }
}

#[test]
fn links_of_a_mesh_end_in_a_star_when_the_hub_is_there() {
    let mut server = Server::welcomed();
    server.servers(1, &[HIGHER]);
    let other = server.link(HIGHER, 9);
    server.servers_and_hubs(2, &[], &[HIGHER + 1]);
    assert_eq!(server.closed(other), None);
    let hub = server.link_as(HUB, HIGHER + 1, 10);
    assert_eq!(server.closed(other), Some(Reason::Replaced));
    assert_eq!(server.closed(hub), None);
}
