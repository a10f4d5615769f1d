//! Three commservers: what crosses a link, how often, and what happens when one goes.

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use commserver_core::Stats;
use proto::Lane;
use tests::cluster::Cluster;
use tests::member::Member;

const TOPIC: &str = "plaza/1";

/// One client on each server, all subscribed, and every server knows it of every other.
async fn one_on_each(cluster: &Cluster) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for server in cluster.aliases() {
        let member = Member::join_server(&cluster.url(), server).await?;
        member.client.subscribe(&[TOPIC]).await?;
        members.push(member);
    }
    // Those that were assigned elsewhere have left again; each counts its own and the links'.
    cluster.subscribed(members.len()).await?;
    Ok(members)
}

#[tokio::test]
async fn what_is_published_anywhere_comes_everywhere_else_once_and_in_order() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let mut members = one_on_each(&cluster).await?;
    let count = 200;
    let body = |n: u32, alias: u64| Bytes::from(format!("{n} of {alias}"));
    for n in 0..count {
        for member in &members {
            let body = body(n, member.alias());
            member.client.publish(TOPIC, Lane::Reliable, body).await?;
        }
    }
    let aliases: Vec<u64> = members.iter().map(Member::alias).collect();
    for member in &mut members {
        let others = aliases
            .iter()
            .copied()
            .filter(|alias| *alias != member.alias());
        let others: Vec<u64> = others.collect();
        let lasts = others
            .iter()
            .map(|alias| (*alias, body(count - 1, *alias)))
            .collect();
        let received = member.receive_until(lasts).await?;
        for alias in others {
            let sent: Vec<Bytes> = (0..count).map(|n| body(n, alias)).collect();
            assert!(received[&alias] == sent, "all of {alias}, once, in order");
        }
        assert_eq!(received.len(), 2, "nothing of its own");
    }
    for member in &mut members {
        assert_eq!(member.settle().await?, [], "and nothing after that");
    }
    // Each server sent its own client's packets over two links, and was sent those of two.
    let crossed = u64::from(2 * count);
    let once = |stats: &Stats| [stats.relayed_out[0], stats.relayed_in[0]] == [crossed, crossed];
    cluster.wait_for("two crossings", once).await?;
    cluster.stop().await
}

#[tokio::test]
async fn the_unreliable_lane_crosses_links_too() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let mut members = one_on_each(&cluster).await?;
    let (first, rest) = members.split_first_mut().expect("two");
    first.publish(TOPIC, Lane::Unreliable, "quick").await?;
    let message = rest[0].message().await?;
    assert_eq!(
        (message.lane, message.from_alias),
        (Lane::Unreliable, first.alias())
    );
    assert_eq!((&message.body[..], message.seq), (&b"quick"[..], 1));
    assert_eq!(message.topic.as_deref(), Some(TOPIC));
    cluster.stop().await
}

#[tokio::test]
async fn a_topic_that_nobody_wants_any_more_crosses_no_link() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let mut members = one_on_each(&cluster).await?;
    members[1].client.unsubscribe(&[TOPIC]).await?;
    // The first client's own here, and its server's interest there.
    cluster.subscribed(1).await?;
    members[0]
        .publish(TOPIC, Lane::Reliable, "to nobody")
        .await?;
    assert_eq!(members[0].settle().await?, []);
    assert_eq!(members[1].settle().await?, []);
    let stats = cluster.commserver(0).stats();
    assert_eq!(stats.relayed_out, [0, 0]);
    cluster.stop().await
}

#[tokio::test]
async fn a_server_goes_its_clients_go_elsewhere_and_it_comes_back() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let mut members = one_on_each(&cluster).await?;
    cluster.stop_commserver(1).await?;
    let elsewhere = members[1].connected().await?;
    let shared = usize::from(elsewhere == cluster.commserver(2).alias) * 2;
    let alone = 2 - shared;
    // Each counts its clients, and the other's interest.
    cluster
        .commserver(shared)
        .wait_for("two clients", |stats| of(stats) == [2, 3])
        .await?;
    cluster
        .commserver(alone)
        .wait_for("one client", |stats| of(stats) == [1, 2])
        .await?;
    exchange(&mut members, "without it").await?;

    let alias = cluster.restart_commserver(1).await?;
    cluster.meshed().await?;
    members.push(Member::join_server(&cluster.url(), alias).await?);
    members[3].client.subscribe(&[TOPIC]).await?;
    cluster
        .commserver(shared)
        .wait_for("two clients", |stats| of(stats) == [2, 4])
        .await?;
    cluster
        .commserver(alone)
        .wait_for("one client", |stats| of(stats) == [1, 3])
        .await?;
    cluster
        .commserver(1)
        .wait_for("one client", |stats| of(stats) == [1, 3])
        .await?;
    exchange(&mut members, "with it").await?;
    cluster.stop().await
}

/// Clients, and subscriptions of clients and links together.
fn of(stats: &Stats) -> [usize; 2] {
    [stats.clients_ready, stats.subscriptions]
}

#[tokio::test]
async fn servers_that_come_all_at_once_make_one_link_for_each_pair() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    cluster.add_commservers(5).await?;
    cluster.meshed().await?;
    let mut members = Vec::new();
    for server in [0, 4].map(|index| cluster.commserver(index).alias) {
        let member = Member::join_server(&cluster.url(), server).await?;
        member.client.subscribe(&[TOPIC]).await?;
        members.push(member);
    }
    cluster.subscribed(2).await?;
    exchange(&mut members, "hello").await?;
    cluster.stop().await
}

/// Everybody says one thing, and everybody else hears it, once.
async fn exchange(members: &mut [Member], what: &'static str) -> Result<()> {
    for member in members.iter_mut() {
        member.settle().await?;
    }
    for member in members.iter() {
        member.publish(TOPIC, Lane::Reliable, what).await?;
    }
    let aliases: Vec<u64> = members.iter().map(Member::alias).collect();
    for member in members.iter_mut() {
        let others = aliases.iter().filter(|alias| **alias != member.alias());
        let lasts: BTreeMap<u64, Bytes> = others.map(|alias| (*alias, what.into())).collect();
        let received = member.receive_until(lasts).await?;
        assert_eq!(
            received.values().map(Vec::len).collect::<Vec<_>>(),
            vec![1; aliases.len() - 1]
        );
    }
    Ok(())
}
