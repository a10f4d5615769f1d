//! Who is let in at a commserver, and what becomes of those who are not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use auth::SharedSecret;
use bytes::Bytes;
use proto::Lane as OurLane;
use tests::cluster::{Cluster, Setup};
use tests::double::wire::Role;
use tests::double::{Client, Lane, Manner, Packet};
use tests::member::{self, Member};

const TOPIC: &str = "plaza/1";
const SECRET: &str = "a long enough secret";
/// The same, as it stands in a URL.
const TOKEN: &str = "a%20long%20enough%20secret";

/// A cluster that asks for a secret, a client in it that listens, and how to bring a stranger in
/// as far as the coordinator lets it.
async fn guarded(auth_timeout: Duration) -> Result<(Cluster, Member)> {
    let setup = Setup {
        clients: Arc::new(SharedSecret::new(&SECRET.into())),
        commserver: Arc::new(move |config| config.timings.auth_timeout = auth_timeout),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let config = member::config(&cluster.url())?.with_token(SECRET);
    let witness = Member::join_as(&config).await?;
    witness.client.subscribe(&[TOPIC]).await?;
    Ok((cluster, witness))
}

async fn stranger(cluster: &Cluster) -> Result<Client> {
    let manner = Manner {
        token: TOKEN.to_owned(),
        ..Manner::default()
    };
    Client::join_as(&cluster.url(), &manner).await
}

/// The witness has heard of nobody, and still hears and is heard.
async fn undisturbed(cluster: &Cluster, witness: &mut Member) -> Result<()> {
    assert_eq!(witness.settle().await?, [], "nothing of a stranger's");
    let config = member::config(&cluster.url())?.with_token(SECRET);
    let friend = Member::join_as(&config).await?;
    friend
        .publish(TOPIC, OurLane::Reliable, "of a friend")
        .await?;
    assert_eq!(witness.message().await?.body, "of a friend");
    Ok(())
}

#[tokio::test]
async fn a_wrong_secret_is_told_so_and_closed() -> Result<()> {
    let (cluster, mut witness) = guarded(Duration::from_secs(10)).await?;
    let mut mallory = stranger(&cluster).await?;
    mallory.auth(b"a wrong secret, also long").await;
    mallory.subscribe(&[TOPIC]).await;
    mallory.publish(Lane::Reliable, TOPIC, "let me in").await;
    let Packet::Foreign { bytes, .. } = mallory.expect().await? else {
        anyhow::bail!("no ERROR")
    };
    let error = <proto::ErrorMessage as proto::Message>::decode(bytes)?;
    assert_eq!(
        error.code,
        u32::from(proto::Reason::Unauthenticated.number())
    );
    mallory.closed().await?;
    undisturbed(&cluster, &mut witness).await?;
    cluster.stop().await
}

#[tokio::test]
async fn who_says_nothing_is_closed_in_time() -> Result<()> {
    let (cluster, mut witness) = guarded(Duration::from_millis(500)).await?;
    let mut mallory = stranger(&cluster).await?;
    mallory
        .publish(Lane::Unreliable, TOPIC, "dropped, and no reason to close")
        .await;
    mallory.closed().await?;
    let timeouts = |stats: &commserver_core::Stats| {
        stats.peers_closed.get(&proto::Reason::AuthTimeout) == Some(&1)
    };
    cluster.wait_for("a timeout", timeouts).await?;
    undisturbed(&cluster, &mut witness).await?;
    cluster.stop().await
}

#[tokio::test]
async fn something_before_auth_closes() -> Result<()> {
    let (cluster, mut witness) = guarded(Duration::from_secs(10)).await?;
    let mut mallory = stranger(&cluster).await?;
    mallory.publish(Lane::Reliable, TOPIC, "too early").await;
    mallory.auth(SECRET.as_bytes()).await;
    mallory.closed().await?;
    undisturbed(&cluster, &mut witness).await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_client_that_claims_to_be_a_server_is_closed() -> Result<()> {
    let (cluster, mut witness) = guarded(Duration::from_secs(10)).await?;
    for role in [
        Role::CommunicationServer,
        Role::CommunicationServerHub,
        Role::Unknown,
    ] {
        let mut mallory = stranger(&cluster).await?;
        mallory.auth_as(role, SECRET.as_bytes()).await;
        mallory.subscribe(&[TOPIC]).await;
        mallory.closed().await?;
    }
    assert_eq!(cluster.commserver(0).stats().links, 0);
    undisturbed(&cluster, &mut witness).await?;
    cluster.stop().await
}

#[tokio::test]
async fn what_comes_before_auth_is_decided_waits_in_order() -> Result<()> {
    let (cluster, mut witness) = guarded(Duration::from_secs(10)).await?;
    let mut eager = stranger(&cluster).await?;
    // All at once, without waiting for anything, as a 2019 client does.
    eager.auth(SECRET.as_bytes()).await;
    eager.subscribe(&[TOPIC]).await;
    for n in 0..20 {
        eager.publish(Lane::Reliable, TOPIC, format!("{n}")).await;
    }
    for n in 0..20 {
        assert_eq!(witness.message().await?.body, Bytes::from(format!("{n}")));
    }
    witness.publish(TOPIC, OurLane::Reliable, "welcome").await?;
    let (from_alias, body) = (witness.alias(), "welcome".into());
    assert_eq!(
        eager.expect().await?,
        Packet::Forward {
            lane: Lane::Reliable,
            from_alias,
            body
        }
    );
    cluster.stop().await
}

#[tokio::test]
async fn a_server_of_another_cluster_is_not_let_in() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let url = format!("{}/discover?role=COMMUNICATION_SERVER", cluster.url());
    let foreign = auth::ClusterSecret::generate();
    let token = foreign.uplink_token(auth::Role::Server, std::time::SystemTime::now());
    let dialed = tests::socket::Socket::dial(&format!("{url}&token={token}"), &[]).await?;
    let tests::socket::Dialed::Refused { status, .. } = dialed else {
        anyhow::bail!("let in")
    };
    assert_eq!(status, 401);
    cluster.stop().await
}
