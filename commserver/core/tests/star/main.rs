//! A whole star of brokers in virtual time: everybody who wants a packet gets it exactly once,
//! whatever came before.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use commserver_core::Drop;
use proptest::prelude::*;
use proto::Lane;
use rand::RngExt;

use crate::world::{World, client_alias};

const HUB: usize = 0;
const TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Long enough for dials, redials and announcements.
const SETTLING: Duration = Duration::from_secs(20);

/// Every link is there, and every server knows what it should of what is wanted elsewhere.
fn assert_settled(world: &World) {
    let living = world.living();
    let leaves = living.iter().filter(|&&node| !world.is_hub(node));
    let wanted: BTreeMap<usize, BTreeSet<&String>> = living
        .iter()
        .map(|&node| (node, world.wanted_at(node)))
        .collect();
    for &node in &living {
        let stats = world.broker(node).stats();
        let others = wanted.iter().filter(|&(&other, _)| other != node);
        let others: Vec<_> = others.map(|(_, topics)| topics).collect();
        let (links, interest) = if world.is_hub(node) {
            (
                leaves.clone().count(),
                others.iter().map(|topics| topics.len()).sum(),
            )
        } else {
            let union: BTreeSet<_> = others.into_iter().flatten().collect();
            (1, union.len())
        };
        assert_eq!(stats.links, links, "links of {node}");
        let own = world.subscriptions_at(node);
        assert_eq!(
            stats.subscriptions,
            own + interest,
            "subscriptions of {node}"
        );
    }
}

/// Everybody publishes on every topic and both lanes, twice, and everybody gets exactly that.
fn assert_everybody_gets_what_he_wants(world: &mut World) {
    let clients: Vec<usize> = (0..world.clients.len())
        .filter(|&c| world.is_there(c))
        .collect();
    for &client in &clients {
        world.clients[client].got.clear();
    }
    let mut published = Vec::new();
    for _ in 0..2 {
        for &client in &clients {
            for topic in TOPICS {
                for lane in Lane::ALL {
                    let count = world.publish(client, topic, lane);
                    published.push((lane, client_alias(client), topic.to_owned(), count));
                }
            }
            world.run(Duration::from_millis(7));
        }
    }
    world.run(Duration::from_secs(1));
    for &client in &clients {
        let wanted = &world.clients[client].topics;
        let own = client_alias(client);
        let expected = published
            .iter()
            .filter(|(_, from, topic, _)| *from != own && wanted.contains(topic));
        let mut expected: Vec<_> = expected.cloned().collect();
        let mut got = world.clients[client].got.clone();
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "client {client}");
    }
}

/// Nobody gets anything twice, late, or that he has not asked for.
fn assert_nothing_strange(world: &World) {
    for (client, got) in world.clients.iter().map(|client| &client.got).enumerate() {
        let mut last: BTreeMap<(Lane, u64, &String), u64> = BTreeMap::new();
        for (lane, from, topic, count) in got {
            assert_ne!(*from, client_alias(client), "an echo");
            let before = last.insert((*lane, *from, topic), *count);
            assert!(
                before.is_none_or(|before| before < *count),
                "{client} got {topic} twice or late"
            );
        }
    }
}

fn random_topics(world: &mut World) -> Vec<&'static str> {
    let wants = |world: &mut World| world.dice.random_bool(0.4);
    TOPICS.into_iter().filter(|_| wants(world)).collect()
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Op {
    Pass(u64),
    Join(usize),
    Subscribe(usize),
    Publish(usize, usize, bool),
    Cut,
    Restart(usize),
    Kill(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..64_usize;
    prop_oneof![
        20 => (0..700_u64).prop_map(Op::Pass),
        10 => at().prop_map(Op::Join),
        30 => at().prop_map(Op::Subscribe),
        40 => (at(), 0..TOPICS.len(), any::<bool>()).prop_map(|(at, t, lane)| Op::Publish(at, t, lane)),
        3 => Just(Op::Cut),
        1 => at().prop_map(Op::Restart),
        1 => at().prop_map(Op::Kill),
    ]
}

fn act(world: &mut World, op: &Op, nodes: usize) {
    let there: Vec<usize> = (0..world.clients.len())
        .filter(|&c| world.is_there(c))
        .collect();
    let client = |at: usize| (!there.is_empty()).then(|| there[at % there.len()]);
    let living = world.living();
    match *op {
        Op::Pass(ms) => world.run(Duration::from_millis(ms)),
        Op::Join(at) if !living.is_empty() => {
            world.add_client(living[at % living.len()]);
        }
        Op::Subscribe(at) => {
            if let Some(client) = client(at) {
                let topics = random_topics(world);
                world.subscribe(client, &topics);
            }
        }
        Op::Publish(at, topic, reliable) => {
            if let Some(client) = client(at) {
                let lane = if reliable {
                    Lane::Reliable
                } else {
                    Lane::Unreliable
                };
                world.publish(client, TOPICS[topic], lane);
            }
        }
        Op::Cut => world.cut_a_link(),
        Op::Restart(at) => {
            world.kill(at % nodes);
            world.start(at % nodes);
        }
        Op::Kill(at) => world.kill(at % nodes),
        Op::Join(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn everybody_who_wants_gets_exactly_once(
        leaves in 1..5_usize, ops in proptest::collection::vec(op(), 1..120), seed: u64,
    ) {
        let nodes = 1 + leaves;
        let mut world = World::new(1, leaves, seed);
        world.run(Duration::from_secs(1));
        for node in 0..nodes {
            world.add_client(node);
        }
        for op in &ops {
            act(&mut world, op, nodes);
        }
        for node in 0..nodes {
            if !world.living().contains(&node) {
                world.start(node);
            }
            let client = world.add_client(node);
            let topics = random_topics(&mut world);
            world.subscribe(client, &topics);
        }
        world.run(SETTLING);
        assert_settled(&world);
        assert_nothing_strange(&world);
        assert_everybody_gets_what_he_wants(&mut world);
    }
}

/// One client on each server, which wants these.
fn one_on_each(world: &mut World, nodes: usize, topics: &[&str]) {
    for node in 0..nodes {
        let client = world.add_client(node);
        world.subscribe(client, topics);
    }
    world.run(SETTLING);
}

#[test]
fn a_publishers_packets_come_in_order_across_the_hub() {
    let mut world = World::new(1, 3, 7);
    world.run(SETTLING);
    one_on_each(&mut world, 4, &TOPICS);
    let mut published = Vec::new();
    for round in 0..600 {
        let topic = TOPICS[round * 5 % TOPICS.len()];
        let count = world.publish(1, topic, Lane::Reliable);
        published.push((Lane::Reliable, client_alias(1), topic.to_owned(), count));
        if round % 10 == 0 {
            world.run(Duration::from_millis(3));
        }
    }
    world.run(Duration::from_secs(1));
    for client in [0, 2, 3] {
        assert!(
            world.clients[client].got == published,
            "client {client}: all of it, in order"
        );
    }
    assert_eq!(world.broker(HUB).stats().forwarded, [2 * 600, 0]);
}

#[test]
fn a_killed_hub_is_missed_until_another_one_is_there() {
    let mut world = World::new(1, 3, 8);
    world.run(SETTLING);
    one_on_each(&mut world, 4, &["a"]);
    assert_everybody_gets_what_he_wants(&mut world);
    world.kill(HUB);
    world.run(Duration::from_secs(5));
    for client in 1..4 {
        world.clients[client].got.clear();
        world.publish(client, "a", Lane::Reliable);
    }
    world.run(Duration::from_secs(1));
    for client in 1..4 {
        assert_eq!(world.clients[client].got, [], "each leaf is alone");
    }
    world.start(HUB);
    world.run(SETTLING);
    assert_settled(&world);
    assert_everybody_gets_what_he_wants(&mut world);
}

#[test]
fn nobody_is_linked_with_two_hubs() {
    for seed in 0..10 {
        let mut world = World::new(2, 3, seed);
        world.run(SETTLING);
        one_on_each(&mut world, 5, &TOPICS);
        let links = |node: usize| world.broker(node).stats().links;
        let links: Vec<usize> = (0..5).map(links).collect();
        assert_eq!(links, [0, 3, 1, 1, 1], "the younger one is the hub");
        for leaf in 2..5 {
            world.clients[leaf].got.clear();
            world.publish(leaf, "a", Lane::Reliable);
        }
        world.run(Duration::from_secs(1));
        for leaf in 2..5 {
            assert_eq!(world.clients[leaf].got.len(), 2, "once from each");
        }
        let dropped = world
            .living()
            .into_iter()
            .map(|node| world.broker(node).stats().dropped(Drop::HopLimit));
        assert_eq!(dropped.sum::<u64>(), 0);
    }
}

#[test]
fn another_hub_takes_over_although_the_old_one_lives() {
    for seed in 0..10 {
        let mut world = World::new(2, 3, seed);
        world.run(SETTLING);
        one_on_each(&mut world, 5, &["a"]);
        world.lose_uplink(1);
        for _ in 0..200 {
            for leaf in 2..5 {
                world.publish(leaf, "a", Lane::Reliable);
            }
            world.run(Duration::from_millis(50));
        }
        world.run(Duration::from_secs(1));
        assert_nothing_strange(&world);
        let links = |node: usize| world.broker(node).stats().links;
        let links: Vec<usize> = (0..5).map(links).collect();
        assert_eq!(links, [3, 0, 1, 1, 1]);
        for leaf in 2..5 {
            world.clients[leaf].got.clear();
            world.publish(leaf, "a", Lane::Reliable);
        }
        world.run(Duration::from_secs(1));
        for leaf in 2..5 {
            assert_eq!(world.clients[leaf].got.len(), 2, "once from each");
        }
    }
}
