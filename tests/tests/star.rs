//! A star: leaves that are linked with a hub alone, and what passes through it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use auth::ClusterSecret;
use bytes::Bytes;
use futures_util::future::try_join_all;
use proto::Lane;
use tests::cluster::{Cluster, Setup};
use tests::double::{self, Client, Manner, Packet, Seen, Server};
use tests::member::Member;

const TOPIC: &str = "plaza/1";
const HUB: usize = 0;

/// One client on each leaf, all subscribed, and every server knows of every other's.
async fn one_on_each(cluster: &Cluster) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let leaves = cluster.aliases().split_off(1);
    for &leaf in &leaves {
        let member = Member::join_server(&cluster.url(), leaf).await?;
        member.client.subscribe(&[TOPIC]).await?;
        members.push(member);
    }
    // Its own and the hub's on a leaf, and each leaf's on the hub.
    let known = |stats: &commserver_core::Stats| match stats.links {
        1 => stats.subscriptions == 2,
        _ => stats.subscriptions == leaves.len(),
    };
    cluster.wait_for("interest", known).await?;
    Ok(members)
}

/// Everybody says so many things, and everybody else hears each of them, once, in order.
async fn exchange(members: &mut [Member], what: &str, count: u32) -> Result<()> {
    let body = |n: u32, alias: u64| Bytes::from(format!("{what} {n} of {alias}"));
    for n in 0..count {
        for member in members.iter() {
            member
                .publish(TOPIC, Lane::Reliable, body(n, member.alias()))
                .await?;
        }
    }
    let aliases: Vec<u64> = members.iter().map(Member::alias).collect();
    for member in members.iter_mut() {
        let others = aliases
            .iter()
            .copied()
            .filter(|alias| *alias != member.alias());
        let lasts = others.map(|alias| (alias, body(count - 1, alias)));
        let received = member.receive_until(lasts.collect()).await?;
        for (alias, bodies) in &received {
            let sent: Vec<Bytes> = (0..count).map(|n| body(n, *alias)).collect();
            ensure!(
                *bodies == sent,
                "all of {alias}, once, in order: {bodies:?}"
            );
        }
        ensure!(received.len() == aliases.len() - 1, "nothing of its own");
    }
    for member in members {
        ensure!(member.settle().await?.is_empty(), "and nothing after that");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_published_on_a_leaf_comes_to_the_others_once_and_in_order() -> Result<()> {
    let cluster = Setup::default().start_star(3).await?;
    let mut members = one_on_each(&cluster).await?;
    exchange(&mut members, "packet", 200).await?;
    for lane in Lane::ALL {
        members[0].publish(TOPIC, lane, "on both lanes").await?;
        for member in &mut members[1..] {
            let message = member.message().await?;
            assert_eq!(
                (message.lane, &message.body[..]),
                (lane, &b"on both lanes"[..])
            );
            assert_eq!(message.topic.as_deref(), Some(TOPIC));
            let seq = if lane == Lane::Reliable { 201 } else { 1 };
            assert_eq!(message.seq, seq, "as it was published");
        }
    }
    // Three times 200 and one more came to the hub, and each went on to two.
    let hub = cluster.commserver(HUB);
    hub.wait_for("the last packet", |stats| stats.forwarded == [1202, 2])
        .await?;
    let stats = hub.stats();
    assert_eq!((stats.relayed_in, stats.relayed_out), ([601, 1], [0, 0]));
    assert_eq!(
        hub.metrics()
            .await?
            .value("broker_forwarded_total{lane=\"reliable\"}"),
        1202
    );
    assert!(stats.drops.is_empty(), "{:?}", stats.drops);
    cluster.stop().await
}

#[tokio::test]
async fn identity_is_the_first_servers_word() -> Result<()> {
    let cluster = Setup::default().start_star(2).await?;
    let mut members = one_on_each(&cluster).await?;
    let body = Bytes::from("it is me");
    let from = &members[0].client;
    from.publish_with_identity(TOPIC, Lane::Reliable, body.clone())
        .await?;
    let message = members[1].message().await?;
    let identity = message.identity.expect("an identity");
    assert_eq!(
        (message.from_alias, message.body),
        (members[0].alias(), body)
    );
    assert_eq!(identity.role, i32::from(proto::Role::Client));
    cluster.stop().await
}

#[tokio::test]
async fn what_only_one_leaf_wants_stays_there() -> Result<()> {
    let cluster = Setup::default().start_star(2).await?;
    let leaf = cluster.commserver(1).alias;
    let mut ann = Member::join_server(&cluster.url(), leaf).await?;
    let bob = Member::join_server(&cluster.url(), leaf).await?;
    ann.client.subscribe(&[TOPIC]).await?;
    bob.client.subscribe(&[TOPIC]).await?;
    let known = |stats: &commserver_core::Stats| stats.subscriptions == 1;
    cluster
        .commserver(HUB)
        .wait_for("its interest", known)
        .await?;
    bob.publish(TOPIC, Lane::Reliable, "between us").await?;
    assert_eq!(ann.message().await?.body, "between us");
    // Behind it on the same link.
    let mut eve = Member::join_server(&cluster.url(), cluster.commserver(2).alias).await?;
    eve.client.subscribe(&["plaza/2"]).await?;
    let told = |stats: &commserver_core::Stats| stats.topics == 2;
    cluster
        .commserver(1)
        .wait_for("interest from afar", told)
        .await?;
    bob.publish("plaza/2", Lane::Reliable, "to eve").await?;
    assert_eq!(eve.message().await?.body, "to eve");
    let hub = cluster.commserver(HUB);
    hub.wait_for("the packet to eve", |stats| stats.forwarded == [1, 0])
        .await?;
    assert_eq!(hub.stats().relayed_in, [1, 0]);
    cluster.stop().await
}

#[tokio::test]
async fn a_hub_goes_and_comes_back() -> Result<()> {
    let mut cluster = Setup::default().start_star(3).await?;
    let mut members = one_on_each(&cluster).await?;
    exchange(&mut members, "before", 10).await?;
    for round in 0..2 {
        cluster.stop_commserver(HUB).await?;
        let alone = |stats: &commserver_core::Stats| [stats.links, stats.subscriptions] == [0, 1];
        cluster.wait_for("the end of the links", alone).await?;
        // On its own, a leaf serves its clients as before.
        let (member, leaf) = (&mut members[0], cluster.commserver(1).alias);
        let near = Member::join_server(&cluster.url(), leaf).await?;
        near.publish(TOPIC, Lane::Reliable, "meanwhile").await?;
        ensure!(member.message().await?.body == "meanwhile");
        near.client.close().await;

        cluster.restart_hub(HUB).await?;
        cluster.linked_as_star().await?;
        let known = |stats: &commserver_core::Stats| match stats.links {
            1 => stats.subscriptions == 2,
            _ => stats.subscriptions == 3,
        };
        cluster.wait_for("interest", known).await?;
        exchange(&mut members, &format!("round {round}"), 10).await?;
    }
    cluster.stop().await
}

#[tokio::test]
async fn a_2019_server_is_a_leaf() -> Result<()> {
    let secret = "the-secret-of-the-whole-cluster";
    let setup = Setup {
        secret: ClusterSecret::parse(secret)?,
        coordinator: Arc::new(|config| config.raw_cluster_secret = true),
        commserver: Arc::new(|config| config.compat.servers_2019 = true),
        ..Setup::default()
    };
    let cluster = setup.start_star(2).await?;
    let mut members = one_on_each(&cluster).await?;
    let options = double::Options {
        token: secret.to_owned(),
        auth_body: secret.into(),
        ..double::Options::default()
    };
    let mut old = Server::start(&cluster.url(), options).await?;
    let hub = cluster.commserver(HUB).alias;
    let topics = BTreeSet::from([TOPIC.to_owned()]);
    let told = Seen::Topics { alias: hub, topics };
    old.wait_for(|seen| *seen == told).await?;
    let manner = Manner {
        server: Some(old.alias),
        ..Manner::default()
    };
    let mut guest = Client::join_as(&cluster.url(), &manner).await?;
    guest.auth(b"").await;
    guest.subscribe(&[TOPIC, "plaza/2"]).await;
    guest.settle().await?;
    let known = |stats: &commserver_core::Stats| stats.subscriptions == 4;
    cluster
        .commserver(HUB)
        .wait_for("its interest", known)
        .await?;

    for (lane, ours) in [
        (double::Lane::Reliable, Lane::Reliable),
        (double::Lane::Unreliable, Lane::Unreliable),
    ] {
        guest.publish(lane, TOPIC, "from the old").await;
        for member in &mut members {
            let message = member.message().await?;
            assert_eq!((message.from_alias, message.lane), (guest.alias, ours));
            assert_eq!(message.body, "from the old");
        }
        members[0].publish(TOPIC, ours, "to the old").await?;
        let (from_alias, body) = (members[0].alias(), Bytes::from("to the old"));
        let packet = Packet::Forward {
            lane,
            from_alias,
            body,
        };
        assert_eq!(guest.expect().await?, packet);
        assert_eq!(members[1].message().await?.body, "to the old");
    }
    for member in &mut members {
        assert_eq!(member.settle().await?, []);
    }
    assert_eq!(guest.settle().await?, []);
    cluster.stop().await
}

/// What several thousand topics take to reach another leaf, by way of the hub.
#[tokio::test]
async fn thousands_of_topics_are_known_on_the_other_leaf() -> Result<()> {
    const CLIENTS: usize = 4;
    const TOPICS: usize = 1_000;
    let cluster = Setup::default().start_star(2).await?;
    let [near, far] = [1, 2].map(|index| cluster.commserver(index).alias);
    let url = cluster.url();
    let joins = (0..CLIENTS).map(|_| Member::join_server(&url, near));
    let mut members = try_join_all(joins).await?;
    let publisher = Member::join_server(&cluster.url(), far).await?;
    let started = Instant::now();
    let topic = |client: usize, n: usize| format!("plaza/{client}/{n}");
    let subscribes = members.iter().enumerate().map(async |(client, member)| {
        // What one packet carries, again and again.
        for first in (0..TOPICS).step_by(500) {
            let topics: Vec<String> = (first..first + 500).map(|n| topic(client, n)).collect();
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            member.client.subscribe(&topics).await?;
        }
        Ok::<(), anyhow::Error>(())
    });
    try_join_all(subscribes).await?;
    let subscribed = started.elapsed();
    let all = CLIENTS * TOPICS;
    for index in [HUB, 2] {
        let known = move |stats: &commserver_core::Stats| stats.topics == all;
        cluster
            .commserver(index)
            .wait_for("the topics", known)
            .await?;
    }
    eprintln!(
        "{all} topics: subscribed in {subscribed:?}, known after {:?}",
        started.elapsed()
    );
    for (client, member) in members.iter_mut().enumerate() {
        for n in [0, TOPICS - 1] {
            publisher
                .publish(&topic(client, n), Lane::Reliable, "found")
                .await?;
            assert_eq!(member.message().await?.topic, Some(topic(client, n).into()));
        }
    }
    // They go with those who wanted them.
    for member in members {
        member.client.close().await;
    }
    let none = |stats: &commserver_core::Stats| stats.topics == 0;
    cluster.wait_for("no topics", none).await?;
    cluster.stop().await
}
