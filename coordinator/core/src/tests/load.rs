//! How servers are doing, and who is sent where.

use std::{collections::BTreeMap, time::Duration};

use super::{cast::connect, *};
use crate::load::Standing;

const LIVE: ServerState = ServerState::Live;
const FULL: ServerState = ServerState::Full;
const DRAINING: ServerState = ServerState::Draining;

fn with(selector: Selector) -> Cast {
    Cast::with(|config| config.selector = selector)
}

#[test]
fn full_and_draining_servers_are_not_offered_while_another_is_there() {
    for (_, selector) in Selector::ALL {
        let mut cast = with(selector);
        let servers = [(); 4].map(|()| cast.server());
        cast.load(servers[0].0, FULL, [1, 10]);
        cast.load(servers[1].0, DRAINING, [1, 10]);
        cast.load(servers[2].0, LIVE, [10, 10]);
        for _ in 0..20 {
            assert_eq!(cast.offered(), [servers[3].1], "{selector:?}");
        }
        cast.load(servers[0].0, LIVE, [9, 10]);
        cast.load(servers[1].0, LIVE, [0, 10]);
        cast.load(servers[2].0, LIVE, [9, 10]);
        assert_eq!(cast.offered().len(), 4, "{selector:?}");
    }
}

#[test]
fn silence_makes_stale_and_a_word_is_enough() {
    for (_, selector) in Selector::ALL {
        let mut cast = with(selector);
        let (silent, _) = cast.server();
        let (never, never_alias) = cast.server();
        cast.load(silent, LIVE, [1, 10]);
        cast.pass(Duration::from_millis(9_999));
        assert_eq!(cast.offered().len(), 2);
        assert_eq!(cast.coordinator.stats().servers_stale, 0);
        let at = cast.coordinator.next_deadline().expect("it will be stale");
        assert_eq!(at, cast.now + Duration::from_millis(1));
        cast.pass(Duration::from_millis(1));
        assert_eq!(cast.coordinator.stats().servers_stale, 1);
        assert_eq!(cast.coordinator.next_deadline(), None);
        assert_eq!(cast.offered(), [never_alias]);
        // The other servers are not told: its links stand.
        assert_eq!(cast.unread(never), 0);
        cast.load(silent, LIVE, [1, 10]);
        assert_eq!(cast.coordinator.stats().servers_stale, 0);
        assert_eq!(cast.offered().len(), 2);
    }
}

#[test]
fn how_long_silence_may_last_is_told() {
    let mut cast = Cast::with(|config| config.stale_after = Duration::from_secs(3));
    let (server, _) = cast.server();
    cast.load(server, LIVE, [0, 10]);
    cast.pass(Duration::from_millis(2_999));
    assert_eq!(cast.offered().len(), 1);
    cast.pass(Duration::from_millis(1));
    assert_eq!(cast.offered(), [0_u64; 0]);
}

#[test]
fn when_all_are_full_ours_wait_until_one_has_room() {
    let mut cast = Cast::new();
    let servers = [(); 2].map(|()| cast.server());
    for (session, _) in servers {
        cast.load(session, FULL, [10, 10]);
    }
    assert_eq!(
        cast.offered(),
        [0_u64; 0],
        "a 2019 client gets an empty list"
    );
    let (client, welcome) = cast.join(Role::Client, true);
    assert!(welcome.available_servers.is_empty());
    assert_eq!(cast.coordinator.stats().waiting, 1);
    cast.load(servers[0].0, FULL, [10, 10]);
    assert_eq!(cast.unread(client), 0);
    cast.load(servers[1].0, LIVE, [9, 10]);
    let list = cast.received::<ServersMessage>(client);
    assert_eq!(list.entries.len(), 1);
    assert_eq!(list.entries[0].alias, servers[1].1);
    assert_eq!(cast.coordinator.stats().waiting, 0);
}

#[test]
fn no_more_are_told_than_there_is_room_for() {
    let mut cast = Cast::new();
    let (server, _) = cast.server();
    cast.load(server, FULL, [10, 10]);
    let clients: Vec<SessionId> = (0..5).map(|_| cast.client().0).collect();
    cast.forget();
    let told = |cast: &Cast| clients.iter().filter(|id| cast.unread(**id) > 0).count();
    cast.load(server, LIVE, [8, 10]);
    assert_eq!(told(&cast), 2, "its last places");
    cast.pass(Duration::from_secs(1));
    assert_eq!(told(&cast), 2);
    assert_eq!(cast.offered(), [0_u64; 0]);
    cast.load(server, LIVE, [7, 10]);
    assert_eq!(told(&cast), 5);
    assert_eq!(cast.coordinator.stats().waiting, 0);
}

#[test]
fn a_burst_between_two_reports_is_spread() {
    for selector in [Selector::LeastLoaded, Selector::TwoChoices] {
        let mut cast = with(selector);
        let servers: Vec<(SessionId, u64)> = (0..4).map(|_| cast.server()).collect();
        // One has just started, and is by far the least used.
        for (at, &(session, _)) in servers.iter().enumerate() {
            let peers = if at == 0 { 0 } else { 400 };
            cast.load(session, LIVE, [peers, 1_000]);
        }
        let mut assigned = [0; 4];
        for _ in 0..2_000 {
            let (_, welcome) = cast.join(Role::Client, false);
            let first = welcome.available_servers[0];
            let at = servers.iter().position(|&(_, alias)| alias == first);
            assigned[at.expect("a server")] += 1;
        }
        // Together 3,200 clients: 800 for each.
        let all = [
            assigned[0],
            assigned[1] + 400,
            assigned[2] + 400,
            assigned[3] + 400,
        ];
        assert!(
            all.iter().all(|&count| (790..=810).contains(&count)),
            "{all:?}"
        );
    }
}

#[test]
fn a_busy_thread_counts_as_much_as_taken_places() {
    let mut cast = with(Selector::LeastLoaded);
    let (busy, _) = cast.server();
    let (crowded, crowded_alias) = cast.server();
    let load = LoadMessage {
        r#type: MessageType::Load.into(),
        state: LIVE.into(),
        peers: 1,
        peers_max: 1_000,
        packets_per_s: 100_000,
        cpu_permille: 900,
    };
    cast.signal(busy, &load);
    cast.load(crowded, LIVE, [800, 1_000]);
    assert_eq!(cast.offered()[0], crowded_alias);
}

#[test]
fn clients_that_leave_make_room_at_a_server_that_does_not_speak() {
    let mut cast = with(Selector::LeastLoaded);
    let servers = [(); 2].map(|()| cast.join(Role::CommunicationServer, false).1.alias);
    let mut clients = BTreeMap::from(servers.map(|alias| (alias, Vec::new())));
    for _ in 0..10 {
        let (client, welcome) = cast.join(Role::Client, false);
        let at = clients.get_mut(&welcome.available_servers[0]);
        at.expect("a server").push(client);
    }
    assert!(clients.values().all(|clients| clients.len() == 5));
    for client in clients.remove(&servers[1]).expect("five") {
        cast.close(client);
    }
    for _ in 0..5 {
        let (_, welcome) = cast.join(Role::Client, false);
        assert_eq!(welcome.available_servers[0], servers[1]);
    }
}

#[test]
fn where_a_client_goes_counts_and_not_where_it_was_sent() {
    let mut cast = with(Selector::LeastLoaded);
    let servers = [(); 2].map(|()| cast.server().1);
    // All are sent somewhere, and all go to the first.
    for _ in 0..10 {
        let (client, _) = cast.client();
        cast.signal(client, &connect(servers[0]));
        cast.signal(client, &connect(servers[0]));
    }
    for _ in 0..10 {
        let (_, welcome) = cast.join(Role::Client, false);
        assert_eq!(welcome.available_servers[0], servers[1]);
    }
    let (_, welcome) = cast.join(Role::Client, false);
    let fresh = welcome.available_servers[0];
    assert!(servers.contains(&fresh), "now they are even");
}

#[test]
fn those_who_are_back_count_when_they_want_a_server() {
    let mut before = Cast::new();
    let held: Vec<Resume> = (0..50)
        .map(|_| {
            let (client, _) = before.client();
            before.resume(client)
        })
        .collect();
    // A restart: all of them come back, most with their peers.
    let mut cast = Cast::new();
    let (server, alias) = cast.server();
    cast.load(server, LIVE, [8, 10]);
    let back: Vec<SessionId> = held
        .into_iter()
        .map(|resume| {
            let (session, welcome) = cast.come_back(Role::Client, resume);
            assert_eq!(welcome.available_servers, [alias]);
            session
        })
        .collect();
    assert_eq!(
        cast.offered(),
        [alias],
        "one place taken, which it gives back"
    );
    cast.load(server, LIVE, [8, 10]);
    cast.signal(back[7], &connect(alias));
    assert_eq!(cast.coordinator.stats().servers_live, 1);
    cast.signal(back[9], &connect(alias));
    assert_eq!(cast.coordinator.stats().servers_full, 1);
    assert_eq!(cast.offered(), [0_u64; 0]);
}

#[test]
fn states_are_announced_at_once_and_numbers_never() {
    let mut cast = Cast::new();
    let (server, alias) = cast.server();
    let (other, _) = cast.server();
    let (client, _) = cast.client();
    cast.forget();
    for peers in 0..5 {
        cast.load(server, LIVE, [peers, 10]);
    }
    assert_eq!(cast.unread(other), 0);
    // Nor do they hold up what is news.
    for state in [FULL, DRAINING, LIVE] {
        cast.load(server, state, [5, 10]);
        let list = cast.received::<ServersMessage>(other);
        assert_eq!(
            (list.entries[0].alias, list.entries[0].state()),
            (alias, state)
        );
        cast.settle_quietly();
    }
    assert_eq!((cast.unread(server), cast.unread(client)), (0, 0));
    assert_eq!(cast.coordinator.stats().loads, 8);
}

#[test]
fn a_server_that_toggles_is_announced_now_and_then() {
    let mut cast = Cast::new();
    let (server, _) = cast.server();
    let (other, _) = cast.server();
    for at in 0..100 {
        cast.load(server, if at % 2 == 0 { FULL } else { LIVE }, [1, 10]);
        cast.pass(Duration::from_millis(1));
    }
    assert!(cast.unread(other) <= 2, "{}", cast.unread(other));
    cast.pass(Duration::from_secs(1));
    let lists = cast.unread(other);
    let last = (0..lists)
        .map(|_| cast.received::<ServersMessage>(other))
        .last();
    assert_eq!(last.expect("one").entries[0].state(), LIVE);
}

#[test]
fn load_is_for_servers_to_send() {
    let mut cast = Cast::new();
    let (server, _) = cast.server();
    let (client, _) = cast.client();
    cast.load(client, FULL, [10, 10]);
    assert_eq!(cast.dropped().server_only, 1);
    let mut load = LoadMessage {
        r#type: MessageType::Load.into(),
        ..Default::default()
    };
    for state in [0, 4, -1] {
        load.state = state;
        cast.signal(server, &load);
    }
    assert_eq!(cast.dropped().bad_load, 3);
    // LOAD whose numbers are strings.
    cast.bytes(server, vec![0x08, 43, 0x1a, 1, b'x']);
    assert_eq!(cast.dropped().undecodable, 1);
    assert_eq!(cast.coordinator.stats().loads, 0);
    assert_eq!(cast.offered().len(), 1);
}

#[test]
fn a_server_that_takes_its_own_place_is_as_it_was() {
    let mut cast = Cast::new();
    let (first, _) = cast.server();
    let (watcher, _) = cast.server();
    cast.load(first, DRAINING, [1, 10]);
    cast.settle();
    let resume = cast.resume(first);
    let (second, _) = cast.come_back(Role::CommunicationServer, resume);
    assert_eq!(cast.unread(watcher), 0);
    assert_eq!(cast.offered().len(), 1, "it is about to go");
    cast.pass(Duration::from_secs(10));
    assert_eq!(cast.coordinator.stats().servers_stale, 1);
    cast.load(second, LIVE, [1, 10]);
    assert_eq!(cast.offered().len(), 2);
}

#[test]
fn one_that_comes_back_after_its_end_begins_anew() {
    let mut cast = Cast::new();
    let (server, _) = cast.server();
    cast.load(server, FULL, [10, 10]);
    let (client, welcome) = cast.join(Role::Client, true);
    assert!(welcome.available_servers.is_empty());
    let resume = cast.resume(server);
    cast.close(server);
    cast.come_back(Role::CommunicationServer, resume);
    assert_eq!(cast.received::<ServersMessage>(client).entries.len(), 1);
}

#[test]
fn everybody_is_counted_once() {
    let mut cast = Cast::new();
    let servers = [(); 4].map(|()| cast.server().0);
    cast.join(Role::CommunicationServerHub, true);
    cast.load(servers[0], FULL, [10, 10]);
    cast.load(servers[1], DRAINING, [1, 10]);
    let stats = cast.coordinator.stats();
    assert_eq!(
        (
            stats.servers,
            stats.hubs,
            stats.servers_live,
            stats.servers_full
        ),
        (5, 1, 2, 1)
    );
    assert_eq!((stats.servers_draining, stats.servers_stale), (1, 0));
    let loads = cast.coordinator.registry.servers();
    let standing = |server: &Session| {
        let load = &server.server.load;
        load.standing(cast.now, Duration::from_secs(10))
    };
    let live = loads.filter(|server| standing(server) == Standing::Live);
    assert_eq!(live.count(), 3, "the hub is well, and not for clients");
}
