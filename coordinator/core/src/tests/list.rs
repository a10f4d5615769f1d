//! Aliases, and the lists of servers that sessions are given.

use std::time::Duration;

use super::*;
use crate::{
    lists::ANNOUNCE_INTERVAL,
    waiting::{BATCH_INTERVAL, BATCH_MAX},
};

fn aliases(servers: &ServersMessage) -> Vec<u64> {
    servers.entries.iter().map(|entry| entry.alias).collect()
}

#[test]
fn aliases_rise_across_roles_and_are_not_given_again() {
    let mut cast = Cast::new();
    let (first, one) = cast.client();
    let (_, two) = cast.server();
    cast.close(first);
    let (_, three) = cast.client();
    assert_eq!(one, ((1_000 << 16) + 1) << 6);
    assert!(one < two && two < three, "{one} {two} {three}");
}

#[test]
fn a_client_is_given_at_most_four_servers() {
    for count in [0, 3, 4, 5] {
        let mut cast = Cast::new();
        let servers: Vec<u64> = (0..count).map(|_| cast.server().1).collect();
        let (_, welcome) = cast.join(Role::Client, false);
        assert_eq!(welcome.available_servers.len(), count.min(4));
        for server in welcome.available_servers {
            assert!(servers.contains(&server));
        }
    }
}

#[test]
fn clients_are_spread_over_the_servers() {
    let mut cast = Cast::new();
    let servers = [cast.server().1, cast.server().1];
    let mut assigned = [0, 0];
    for _ in 0..200 {
        let (_, welcome) = cast.join(Role::Client, false);
        let at = servers
            .iter()
            .position(|&s| s == welcome.available_servers[0]);
        assigned[at.expect("a server")] += 1;
    }
    assert!(assigned.iter().all(|&count| count > 60), "{assigned:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut cast = Cast::with(|config| config.seed = seed);
        for _ in 0..8 {
            cast.server();
        }
        let joins = (0..8).map(|_| cast.join(Role::Client, true).1);
        joins.collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_server_is_told_all_others_ascending() {
    let mut cast = Cast::new();
    let servers: Vec<u64> = (0..6).map(|_| cast.server().1).collect();
    cast.client();
    let (_, welcome) = cast.join(Role::CommunicationServer, false);
    assert_eq!(welcome.available_servers, servers);
    let (_, hub) = cast.join(Role::CommunicationServerHub, false);
    assert_eq!(hub.available_servers.len(), 7, "a hub is a server");
    assert_eq!(hub.available_servers[6], welcome.alias);
}

#[test]
fn servers_of_ours_hear_of_every_change() {
    let mut cast = Cast::new();
    let (first, welcome) = cast.join(Role::CommunicationServer, true);
    let alone = cast.received::<ServersMessage>(first);
    assert_eq!(
        (alone.r#type(), alone.entries.len()),
        (MessageType::Servers, 0)
    );

    cast.pass(ANNOUNCE_INTERVAL);
    let (second, second_welcome) = cast.join(Role::CommunicationServerHub, true);
    assert_eq!(second_welcome.available_servers, [welcome.alias]);
    let to_first = cast.received::<ServersMessage>(first);
    let to_second = cast.received::<ServersMessage>(second);
    assert_eq!(aliases(&to_first), [second_welcome.alias]);
    assert_eq!(to_first.entries[0].role(), Role::CommunicationServerHub);
    assert_eq!(to_first.entries[0].state(), ServerState::Live);
    assert_eq!(aliases(&to_second), [welcome.alias]);
    assert_eq!(to_first.version, to_second.version);
    assert!(to_first.version > alone.version);

    cast.pass(ANNOUNCE_INTERVAL);
    cast.close(second);
    let after = cast.received::<ServersMessage>(first);
    assert!(after.entries.is_empty() && after.version > to_first.version);
    assert_eq!(cast.unread(first), 0);
}

#[test]
fn changes_that_come_close_together_are_announced_together() {
    let mut cast = Cast::new();
    let (first, alias) = cast.server();
    let (second, _) = cast.server();
    // The first at once, the others a moment later.
    cast.join(Role::CommunicationServer, false);
    let at_once = cast.received::<ServersMessage>(first);
    assert_eq!(at_once.entries.len(), 2);
    let (third, welcome) = cast.join(Role::CommunicationServer, true);
    assert_eq!(
        welcome.available_servers.len(),
        3,
        "who comes is told at once"
    );
    assert_eq!(cast.received::<ServersMessage>(third).entries.len(), 3);
    cast.close(second);
    assert_eq!(cast.unread(first), 0);
    let at = cast.coordinator.next_deadline().expect("more to tell");
    assert_eq!(at, cast.now + ANNOUNCE_INTERVAL);
    cast.pass(ANNOUNCE_INTERVAL);
    let later = cast.received::<ServersMessage>(first);
    assert_eq!(later.version, at_once.version + 2);
    assert_eq!(later.entries.len(), 2);
    assert_eq!(aliases(&cast.received::<ServersMessage>(third))[0], alias);
    assert_eq!((cast.unread(first), cast.unread(third)), (0, 0));
}

#[test]
fn who_comes_and_goes_is_known_to_all_others_in_no_time() {
    let mut cast = Cast::new();
    let mut servers = Vec::new();
    for _ in 0..30 {
        let (session, welcome) = cast.join(Role::CommunicationServer, true);
        servers.push((session, welcome.alias));
    }
    let known = |cast: &mut Cast, servers: &[(SessionId, u64)]| {
        cast.pass(ANNOUNCE_INTERVAL);
        for &(session, alias) in servers {
            let lists = cast.unread(session);
            assert!((1..4).contains(&lists), "{lists} of {}", servers.len());
            let last = (0..lists)
                .map(|_| cast.received::<ServersMessage>(session))
                .last();
            let others = servers.iter().map(|&(_, other)| other);
            let others: Vec<u64> = others.filter(|&other| other != alias).collect();
            assert_eq!(aliases(&last.expect("one")), others);
        }
    };
    known(&mut cast, &servers);
    for (session, _) in servers.drain(10..) {
        cast.close(session);
    }
    known(&mut cast, &servers);
    assert!(ANNOUNCE_INTERVAL < Duration::from_secs(1));
}

#[test]
fn who_was_told_of_what_has_changed_back_is_told_that_too() {
    let mut cast = Cast::new();
    let (first, _) = cast.server();
    let (second, _) = cast.server();
    cast.join(Role::CommunicationServer, false);
    // Now announcements pause.
    let resume = cast.resume(second);
    cast.close(second);
    let (third, _) = cast.join(Role::CommunicationServer, true);
    assert_eq!(cast.received::<ServersMessage>(third).entries.len(), 2);
    let (second, _) = cast.come_back(Role::CommunicationServer, resume);
    cast.received::<ServersMessage>(second);
    cast.pass(ANNOUNCE_INTERVAL);
    let entries = cast.received::<ServersMessage>(third).entries;
    assert_eq!(entries.len(), 3, "{entries:?}");
    cast.close(first);
}

#[test]
fn sessions_of_2019_get_no_lists_and_clients_hear_of_no_change() {
    let mut cast = Cast::new();
    let (old_server, _) = cast.join(Role::CommunicationServer, false);
    let (old_client, _) = cast.join(Role::Client, false);
    let (client, welcome) = cast.join(Role::Client, true);
    assert!(!welcome.capabilities.is_empty());
    cast.server();
    cast.join(Role::CommunicationServer, true);
    for session in [old_server, old_client, client] {
        assert_eq!(cast.unread(session), 0, "{session:?}");
    }
}

#[test]
fn a_client_that_found_no_server_is_told_when_there_is_one() {
    let mut cast = Cast::new();
    let (old, _) = cast.join(Role::Client, false);
    let (client, welcome) = cast.join(Role::Client, true);
    assert!(welcome.available_servers.is_empty());
    assert_eq!(cast.coordinator.stats().waiting, 1);
    let (_, server) = cast.join(Role::CommunicationServer, false);
    let servers = cast.received::<ServersMessage>(client);
    assert_eq!(aliases(&servers), [server.alias]);
    assert!(servers.version > 0);
    assert_eq!(cast.coordinator.stats().waiting, 0);
    assert_eq!(cast.unread(old), 0, "a 2019 client would not understand");
    cast.join(Role::CommunicationServer, false);
    assert_eq!(cast.unread(client), 0, "once");
}

#[test]
fn a_client_that_left_is_not_waited_for() {
    let mut cast = Cast::new();
    let (client, _) = cast.join(Role::Client, true);
    cast.close(client);
    cast.server();
    assert_eq!(cast.unread(client), 0);
}

#[test]
fn a_crowd_that_waits_is_spread_over_the_servers_that_return() {
    let mut cast = Cast::new();
    let crowd = 2 * BATCH_MAX + 1;
    let clients: Vec<SessionId> = (0..crowd).map(|_| cast.client().0).collect();
    cast.forget();
    let told = |cast: &Cast| clients.iter().filter(|id| cast.unread(**id) > 0).count();

    let (first, _) = cast.join(Role::CommunicationServer, false);
    assert_eq!(told(&cast), BATCH_MAX);
    let at = cast.coordinator.next_deadline().expect("more to tell");
    assert_eq!(at, cast.now + BATCH_INTERVAL);
    cast.pass(BATCH_INTERVAL - Duration::from_millis(1));
    assert_eq!(told(&cast), BATCH_MAX, "not yet");

    // Nothing is promised while there is no server.
    cast.close(first);
    cast.pass(ANNOUNCE_INTERVAL);
    assert_eq!(cast.coordinator.next_deadline(), None);
    cast.pass(BATCH_INTERVAL);
    assert_eq!(told(&cast), BATCH_MAX);

    cast.join(Role::CommunicationServer, false);
    assert_eq!(told(&cast), 2 * BATCH_MAX);
    cast.pass(BATCH_INTERVAL);
    assert_eq!(told(&cast), crowd);
    cast.pass(ANNOUNCE_INTERVAL);
    assert_eq!(cast.coordinator.next_deadline(), None);
}

#[test]
fn sessions_have_their_limits_by_kind() {
    let mut cast = Cast::with(|config| {
        config.limits.clients_max = 2;
        config.limits.servers_max = 1;
    });
    let (first, _) = cast.client();
    cast.client();
    let refused = cast.open(Role::Client, true);
    assert_eq!(cast.closed.get(&refused), Some(&Reason::Overloaded));
    assert_eq!(cast.unread(refused), 0, "no WELCOME");
    cast.server();
    let refused = cast.open(Role::CommunicationServerHub, true);
    assert_eq!(cast.closed.get(&refused), Some(&Reason::Overloaded));
    cast.close(refused);
    assert_eq!(cast.coordinator.stats().refused, 2);

    cast.close(first);
    cast.client();
    assert_eq!(cast.coordinator.stats().clients, 2);
}
