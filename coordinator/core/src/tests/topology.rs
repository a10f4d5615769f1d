//! Mesh and star, and regions.

use super::{
    cast::{connect, nobody},
    *,
};

const SERVER: Role = Role::CommunicationServer;
const HUB: Role = Role::CommunicationServerHub;

fn star() -> Cast {
    Cast::with(|config| config.topology = Topology::Star)
}

fn listed(servers: &ServersMessage) -> Vec<u64> {
    servers.entries.iter().map(|entry| entry.alias).collect()
}

#[test]
fn a_mesh_has_hubs_for_servers_and_not_for_clients() {
    let mut cast = Cast::new();
    let (hub, hub_welcome) = cast.join(HUB, true);
    assert_eq!(cast.offered(), [0_u64; 0]);
    let (client, welcome) = cast.join(Role::Client, true);
    assert!(welcome.available_servers.is_empty(), "nor is it told later");
    cast.settle_quietly();
    assert_eq!(cast.unread(client), 0);
    cast.signal(client, &connect(hub_welcome.alias));
    let error = cast.received::<ErrorMessage>(client);
    assert_eq!(error.code, u32::from(Reason::PeerUnavailable.number()));
    cast.join(HUB, true);
    let (_, welcome) = cast.join(SERVER, true);
    assert_eq!(welcome.available_servers.len(), 2, "any number of them");
    assert_eq!(cast.offered(), [welcome.alias]);
    assert!(cast.unread(hub) > 0);
}

#[test]
fn in_a_star_servers_know_the_hub_and_the_hub_knows_all() {
    let mut cast = star();
    let (first, first_welcome) = cast.join(SERVER, true);
    assert!(first_welcome.available_servers.is_empty());
    assert!(listed(&cast.received(first)).is_empty());
    cast.settle();
    let (second, second_welcome) = cast.join(SERVER, true);
    assert!(second_welcome.available_servers.is_empty());
    assert!(listed(&cast.received(second)).is_empty());
    cast.settle_quietly();
    assert_eq!(cast.unread(first), 0, "no news for it");

    let (hub, hub_welcome) = cast.join(HUB, true);
    let leaves = [first_welcome.alias, second_welcome.alias];
    assert_eq!(hub_welcome.available_servers, leaves);
    assert_eq!(listed(&cast.received(hub)), leaves);
    for leaf in [first, second] {
        let list = cast.received::<ServersMessage>(leaf);
        assert_eq!(listed(&list), [hub_welcome.alias]);
        assert_eq!(list.entries[0].role(), HUB);
    }
    cast.settle_quietly();
    cast.close(second);
    assert_eq!(listed(&cast.received(hub)), [first_welcome.alias]);
    assert_eq!(cast.unread(first), 0, "no news for it");
    cast.settle_quietly();
    cast.close(hub);
    assert!(listed(&cast.received(first)).is_empty());
}

#[test]
fn in_a_star_clients_are_at_the_leaves() {
    let mut cast = star();
    cast.join(HUB, true);
    let (client, welcome) = cast.join(Role::Client, true);
    assert!(welcome.available_servers.is_empty());
    let (_, leaf) = cast.join(SERVER, true);
    assert_eq!(listed(&cast.received(client)), [leaf.alias]);
    assert_eq!(cast.offered(), [leaf.alias]);
}

#[test]
fn signals_go_along_the_rays_of_a_star_only() {
    let mut cast = star();
    let (hub, hub_welcome) = cast.join(HUB, true);
    let (first, first_alias) = cast.server();
    let (second, second_alias) = cast.server();
    let (client, _) = cast.client();
    cast.settle();
    for (from, to_alias, to, reaches) in [
        (first, hub_welcome.alias, hub, true),
        (hub, first_alias, first, true),
        (client, first_alias, first, true),
        (first, second_alias, second, false),
        (second, first_alias, first, false),
        (client, hub_welcome.alias, hub, false),
    ] {
        let before = cast.dropped().target_forbidden;
        cast.signal(from, &connect(to_alias));
        assert_eq!(cast.unread(to), usize::from(reaches), "{from:?} to {to:?}");
        let forbidden = cast.dropped().target_forbidden - before;
        assert_eq!(forbidden, u64::from(!reaches));
        if !reaches {
            let error = cast.received::<ErrorMessage>(from);
            assert_eq!(error.alias, to_alias);
        }
        cast.forget();
    }
}

#[test]
fn a_star_has_one_hub() {
    let mut cast = star();
    let (hub, welcome) = cast.join(HUB, true);
    for ours in [true, false] {
        let second = cast.open(HUB, ours);
        assert_eq!(cast.closed.get(&second), Some(&Reason::HubTaken));
        assert_eq!(cast.unread(second), 0, "no WELCOME");
    }
    assert_eq!(cast.coordinator.stats().refused, 2);

    // It may replace itself, alive or not.
    let resume = cast.resume(hub);
    let (again, resumed) = cast.come_back(HUB, resume);
    assert_eq!(resumed.alias, welcome.alias);
    assert_eq!(cast.closed.get(&hub), Some(&Reason::Replaced));
    cast.close(again);
    let (third, _) = cast.join(HUB, true);
    let late = cast.open_with(HUB, true, Some(resume));
    assert_eq!(cast.closed.get(&late), Some(&Reason::HubTaken));
    cast.close(third);
    let (_, resumed) = cast.come_back(HUB, resume);
    assert_eq!(resumed.alias, welcome.alias);
}

#[test]
fn servers_are_told_of_regions() {
    let mut cast = Cast::new();
    let (watcher, _) = cast.server();
    let (first, welcome) = cast.join_in("eu-west", SERVER);
    let list = cast.received::<ServersMessage>(watcher);
    assert_eq!(list.entries[0].region, "eu-west");

    // It comes back from elsewhere.
    cast.settle();
    let resume = cast.resume(first);
    let again = cast.arrive(Newcomer {
        resume: Some(resume),
        region: Region::parse("eu-north"),
        ..nobody(SERVER, true)
    });
    assert_eq!(cast.received::<WelcomeMessage>(again).alias, welcome.alias);
    let list = cast.received::<ServersMessage>(watcher);
    assert_eq!(list.entries[0].region, "eu-north");
}

#[test]
fn clients_are_sent_to_their_region_first() {
    let mut cast = Cast::with(|config| config.selector = Selector::Region);
    let (eu, eu_welcome) = cast.join_in("eu", SERVER);
    let (_, us_welcome) = cast.join_in("us", SERVER);
    let (_, nowhere) = cast.join(SERVER, true);
    for _ in 0..10 {
        let (_, welcome) = cast.join_in("eu", Role::Client);
        assert_eq!(welcome.available_servers[0], eu_welcome.alias);
        assert_eq!(welcome.available_servers.len(), 3, "the others behind it");
        let (_, welcome) = cast.join_in("us", Role::Client);
        assert_eq!(welcome.available_servers[0], us_welcome.alias);
    }
    let mut firsts: Vec<u64> = (0..60).map(|_| cast.offered()[0]).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 3, "from nowhere, anywhere");
    assert!(firsts.contains(&nowhere.alias));

    // Its region is full: another one is better than none.
    cast.load(eu, ServerState::Full, [10, 10]);
    let (_, welcome) = cast.join_in("eu", Role::Client);
    assert_eq!(welcome.available_servers.len(), 2);
    assert!(!welcome.available_servers.contains(&eu_welcome.alias));
}
