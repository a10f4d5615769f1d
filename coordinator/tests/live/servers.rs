//! Which servers sessions are told of, as servers come, go, and say how they are doing.

use std::time::Duration;

use coordinator::{Selector, Topology};
use proto::{
    ConnectMessage, ErrorMessage, LoadMessage, MessageType, Reason, SUBPROTOCOL, ServerState,
    ServersMessage, WelcomeMessage,
};

use crate::harness::{Running, Socket};

async fn load(server: &mut Socket, state: ServerState, [peers, peers_max]: [u32; 2]) {
    let load = LoadMessage {
        r#type: MessageType::Load.into(),
        state: state.into(),
        peers,
        peers_max,
        ..Default::default()
    };
    server.send(&load).await;
}

fn by_state(state: &str, count: u32) -> String {
    format!("coordinator_servers_by_state{{state=\"{state}\"}} {count}\n")
}

/// Reads lists until one is as it should be.
async fn listed(socket: &mut Socket, is_it: impl Fn(&ServersMessage) -> bool) -> ServersMessage {
    loop {
        let list = socket.receive::<ServersMessage>().await;
        if is_it(&list) {
            return list;
        }
    }
}

fn aliases(list: &ServersMessage) -> Vec<u64> {
    list.entries.iter().map(|entry| entry.alias).collect()
}

/// The servers that a client is told of that comes now.
async fn offered(running: &Running) -> Vec<u64> {
    let (_client, welcome) = running.old_client().await;
    welcome.available_servers
}

#[tokio::test]
async fn who_comes_and_goes_is_known_to_all_others() {
    let running = Running::start().await;
    let mut servers = Vec::new();
    for count in 0..8 {
        let (mut socket, welcome) = running.server().await;
        assert_eq!(welcome.available_servers.len(), count);
        listed(&mut socket, |list| list.entries.len() == count).await;
        for (other, _) in &mut servers {
            listed(other, |list| aliases(list).contains(&welcome.alias)).await;
        }
        servers.push((socket, welcome.alias));
    }
    while let Some((socket, alias)) = servers.pop() {
        drop(socket);
        for (other, _) in &mut servers {
            listed(other, |list| !aliases(list).contains(&alias)).await;
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_full_server_is_for_nobody_until_it_has_room() {
    let running = Running::start().await;
    let (mut watcher, watcher_welcome) = running.server().await;
    watcher.receive::<ServersMessage>().await;
    load(&mut watcher, ServerState::Draining, [1, 10]).await;
    running.metric(&by_state("draining", 1)).await;
    let (mut server, welcome) = running.server().await;
    let list = server.receive::<ServersMessage>().await;
    assert_eq!(list.entries[0].state(), ServerState::Draining);
    assert_eq!(offered(&running).await, [welcome.alias]);

    load(&mut server, ServerState::Full, [10, 10]).await;
    let state_of = |list: &ServersMessage| {
        let mut entries = list.entries.iter();
        let entry = entries.find(|entry| entry.alias == welcome.alias);
        entry.map(|entry| entry.state())
    };
    let is_full = |list: &ServersMessage| state_of(list) == Some(ServerState::Full);
    listed(&mut watcher, is_full).await;
    running.metric(&by_state("full", 1)).await;
    assert_eq!(offered(&running).await, [0_u64; 0]);
    let (mut client, client_welcome) = running.client().await;
    assert!(client_welcome.available_servers.is_empty());
    running.metric("coordinator_clients_waiting 1\n").await;

    load(&mut server, ServerState::Live, [9, 10]).await;
    let told = client.receive::<ServersMessage>().await;
    assert_eq!(aliases(&told), [welcome.alias]);
    assert_ne!(aliases(&told), [watcher_welcome.alias]);
    running.metric("coordinator_loads_total 3\n").await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_for_nobody_until_it_speaks() {
    let running = Running::with(|config| config.timeouts.stale = Duration::from_millis(200)).await;
    let (mut server, welcome) = running.server().await;
    load(&mut server, ServerState::Live, [1, 10]).await;
    running.metric(&by_state("stale", 1)).await;
    assert_eq!(offered(&running).await, [0_u64; 0]);
    let (mut client, _) = running.client().await;
    load(&mut server, ServerState::Live, [1, 10]).await;
    let told = client.receive::<ServersMessage>().await;
    assert_eq!(aliases(&told), [welcome.alias]);
    // One that never speaks is never missed.
    let (_old, old) = Socket::join(running.server_request()).await;
    running.metric(&by_state("stale", 1)).await;
    assert_eq!(offered(&running).await, [old.alias]);
    running.stop().await;
}

#[tokio::test]
async fn load_is_for_servers_to_send() {
    let running = Running::start().await;
    let (_server, welcome) = running.server().await;
    let (mut client, _) = running.client().await;
    load(&mut client, ServerState::Full, [10, 10]).await;
    let dropped = "coordinator_signals_dropped_total{reason=\"server_only\"} 1\n";
    running.metric(dropped).await;
    assert_eq!(offered(&running).await, [welcome.alias]);
    running.stop().await;
}

#[tokio::test]
async fn a_burst_goes_to_the_least_loaded_and_is_spread() {
    let running = Running::with(|config| config.selector = Selector::LeastLoaded).await;
    let (mut busy, busy_welcome) = running.server().await;
    let (mut idle, idle_welcome) = running.server().await;
    load(&mut busy, ServerState::Live, [5, 100]).await;
    load(&mut idle, ServerState::Live, [0, 100]).await;
    running.metric("coordinator_loads_total 2\n").await;
    let mut clients = Vec::new();
    let mut firsts = Vec::new();
    for _ in 0..15 {
        let (client, welcome) = running.client().await;
        clients.push(client);
        firsts.push(welcome.available_servers[0]);
    }
    assert!(firsts[..5].iter().all(|first| *first == idle_welcome.alias));
    let count = |alias| firsts.iter().filter(|first| **first == alias).count();
    assert_eq!(count(busy_welcome.alias), 5, "{firsts:?}");
    running.stop().await;
}

#[tokio::test]
async fn regions_stand_in_the_url() {
    let running = Running::with(|config| config.selector = Selector::Region).await;
    let join = async |path: &str| {
        let request = running.server_request_at(path);
        Socket::join(request.with_sub_protocol(SUBPROTOCOL)).await
    };
    let (mut watcher, _) = join("/discover").await;
    let (_eu, eu) = join("/discover?region=eu-west.1&role=COMMUNICATION_SERVER").await;
    let (_us, us) = join("/discover?role=COMMUNICATION_SERVER&region=us").await;
    // As if it were not there.
    let long = "x".repeat(65);
    join("/discover?region=eu%20west").await;
    join(&format!("/discover?region={long}")).await;
    let list = listed(&mut watcher, |list| list.entries.len() >= 2).await;
    assert_eq!(list.entries[0].region, "eu-west.1");
    assert_eq!(list.entries[1].region, "us");
    assert!(
        list.entries
            .iter()
            .skip(2)
            .all(|entry| entry.region.is_empty())
    );

    for _ in 0..5 {
        for (region, expected) in [("eu-west.1", &eu), ("us", &us)] {
            let request = running.request(&format!("/connect?region={region}"));
            let (_client, welcome) = Socket::join(request).await;
            assert_eq!(welcome.available_servers[0], expected.alias, "{region}");
        }
    }
    let request = running.request("/connect?region=mars");
    let (_client, welcome) = Socket::join(request).await;
    assert!(!welcome.available_servers.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_star_is_told_and_signalled_along_its_rays() {
    let running = Running::with(|config| config.topology = Topology::Star).await;
    let (mut first, first_welcome) = running.server().await;
    let (_second, second_welcome) = running.server().await;
    assert!(second_welcome.available_servers.is_empty());
    let (mut hub, hub_welcome) = hub(&running, None).await;
    let leaves = [first_welcome.alias, second_welcome.alias];
    assert_eq!(hub_welcome.available_servers, leaves);
    let told = listed(&mut first, |list| !list.entries.is_empty()).await;
    assert_eq!(aliases(&told), [hub_welcome.alias]);
    let mut for_clients = offered(&running).await;
    for_clients.sort_unstable();
    assert_eq!(for_clients, leaves);

    let connect = |to_alias| ConnectMessage {
        r#type: MessageType::Connect.into(),
        to_alias,
        ..Default::default()
    };
    first.send(&connect(second_welcome.alias)).await;
    let error = first.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::PeerUnavailable.number()));
    first.send(&connect(hub_welcome.alias)).await;
    let list = hub.receive::<ServersMessage>().await;
    assert_eq!(aliases(&list), leaves);
    let told = hub.receive::<ConnectMessage>().await;
    assert_eq!(told.from_alias, first_welcome.alias);
    running.metric("coordinator_hubs 1\n").await;
    running.stop().await;
}

#[tokio::test]
async fn a_second_hub_is_refused_and_the_first_may_come_back() {
    let running = Running::with(|config| config.topology = Topology::Star).await;
    let (_leaf, _) = running.server().await;
    let (_first, welcome) = hub(&running, None).await;
    let request = running.hub_request().with_sub_protocol(SUBPROTOCOL);
    let mut second = Socket::open(request).await.expect("an upgrade");
    let error = second.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::HubTaken.number()));
    assert!(error.retryable);
    assert_eq!(u16::from(second.closed().await.code), 4021);
    let ended = "coordinator_sessions_closed_total{role=\"Hub\",reason=\"HubTaken\"} 1\n";
    running.metric(ended).await;

    let (_again, resumed) = hub(&running, Some(&welcome.resume_token)).await;
    assert_eq!(resumed.alias, welcome.alias);
    running.metric("coordinator_hubs 1\n").await;
    running.stop().await;
}

async fn hub(running: &Running, token: Option<&str>) -> (Socket, WelcomeMessage) {
    let mut request = running.hub_request().with_sub_protocol(SUBPROTOCOL);
    if let Some(token) = token {
        request = request.with_sub_protocol(format!("resume.{token}"));
    }
    Socket::join(request).await
}
