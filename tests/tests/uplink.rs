//! The coordinator goes and comes back, and the data plane does not notice.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use bytes::Bytes;
use client::Event;
use client::session::Published;
use proto::Lane;
use tests::cluster::Cluster;
use tests::double::{Client, Packet};
use tests::member::Member;

const TOPIC: &str = "plaza/1";

#[tokio::test]
async fn packets_flow_while_the_coordinator_is_away() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let aliases = cluster.aliases();
    let mut members = Vec::new();
    for server in &aliases {
        let member = Member::join_server(&cluster.url(), *server).await?;
        member.client.subscribe(&[TOPIC]).await?;
        members.push(member);
    }
    cluster.subscribed(2).await?;

    let mut sent = 0;
    say(&members, &mut sent, 50).await?;
    cluster.stop_coordinator().await?;
    say(&members, &mut sent, 50).await?;
    cluster.start_coordinator().await?;
    say(&members, &mut sent, 50).await?;
    cluster.welcomed(2).await?;
    cluster.meshed().await?;
    say(&members, &mut sent, 50).await?;
    for index in [0, 1] {
        let stats = cluster.commserver(index).stats();
        assert_eq!(
            (stats.links_replaced, stats.links_closed.len()),
            (0, 0),
            "the same link"
        );
        assert_eq!(stats.clients_ready, 1, "the same client");
    }

    // Newcomers find their way, and hear and are heard.
    let newcomer = Member::join(&cluster.url()).await?;
    newcomer.client.subscribe(&[TOPIC]).await?;
    let both = |stats: &commserver_core::Stats| stats.subscriptions == stats.clients_ready + 1;
    cluster.wait_for("interest", both).await?;
    newcomer.publish(TOPIC, Lane::Reliable, "new here").await?;

    let (first, second) = (members[0].alias(), members[1].alias());
    let last = body(sent - 1);
    for (index, other) in [(0, second), (1, first)] {
        let lasts = [(other, last.clone()), (newcomer.alias(), "new here".into())];
        let received = members[index].receive_until(BTreeMap::from(lasts)).await?;
        let all: Vec<Bytes> = (0..sent).map(body).collect();
        assert!(
            received[&other] == all,
            "all of it, once, in order: {received:?}"
        );
        assert_eq!(received.len(), 2);
        assert_eq!(members[index].settle().await?, []);
    }
    cluster.stop().await
}

fn body(n: u32) -> Bytes {
    format!("{n}").into()
}

/// Everybody says the next `count` things.
async fn say(members: &[Member], sent: &mut u32, count: u32) -> Result<()> {
    for n in *sent..*sent + count {
        for member in members {
            member.publish(TOPIC, Lane::Reliable, body(n)).await?;
        }
    }
    *sent += count;
    Ok(())
}

#[tokio::test]
async fn a_2019_client_outlives_its_signalling_socket() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let mut old = Client::join(&cluster.url()).await?;
    old.auth(b"").await;
    old.subscribe(&[TOPIC]).await;
    old.settle().await?;
    cluster.stop_coordinator().await?;
    assert_eq!(old.settle().await?, []);
    cluster.start_coordinator().await?;
    cluster.welcomed(2).await?;
    let new = Member::join(&cluster.url()).await?;
    new.publish(TOPIC, Lane::Reliable, "are you there?").await?;
    assert!(matches!(old.expect().await?, Packet::Forward { .. }));
    cluster.stop().await
}

#[tokio::test]
async fn who_loses_server_and_coordinator_waits_and_comes_back() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let [here, there] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let mut near = Member::join_server(&cluster.url(), here).await?;
    let mut far = Member::join_server(&cluster.url(), there).await?;
    for member in [&near, &far] {
        member.client.subscribe(&[TOPIC]).await?;
    }
    cluster.subscribed(2).await?;

    cluster.stop_coordinator().await?;
    cluster.stop_commserver(1).await?;
    let Event::Disconnected { .. } = far.expect().await? else {
        bail!("still connected")
    };
    let waits = far
        .client
        .publish(TOPIC, Lane::Reliable, "written on the way")
        .await?;
    assert_eq!(waits, Published::Queued);
    assert_eq!(near.settle().await?, [], "the other one notices nothing");

    cluster.start_coordinator().await?;
    let again = far.connected().await?;
    assert_eq!(
        Some(again),
        cluster.commserver(0).alias_now(),
        "the only one left"
    );
    let message = near.message().await?;
    assert_eq!(
        (message.from_alias, &message.body[..]),
        (far.alias(), &b"written on the way"[..])
    );
    far.settle().await?;
    near.publish(TOPIC, Lane::Reliable, "welcome back").await?;
    assert_eq!(far.message().await?.body, "welcome back");
    cluster.stop().await
}
