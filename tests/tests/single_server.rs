//! One commserver and our own clients: what arrives where, and what does not.

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use client::Event;
use proto::Lane;
use tests::cluster::{Cluster, Setup};
use tests::member::{self, Member};

const TOPIC: &str = "plaza/1";

#[tokio::test]
async fn both_lanes_carry_text_and_binary_to_subscribers_only() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut alice = Member::join(&cluster.url()).await?;
    let mut bob = Member::join(&cluster.url()).await?;
    let mut carol = Member::join(&cluster.url()).await?;
    alice.client.subscribe(&[TOPIC]).await?;
    bob.client.subscribe(&[TOPIC, "plaza/2"]).await?;
    carol.client.subscribe(&["plaza/2"]).await?;

    let bodies = [
        Bytes::from_static(b"hello"),
        Bytes::new(),
        (0..=255).collect(),
    ];
    for lane in [Lane::Reliable, Lane::Unreliable] {
        for (seq, body) in (1..).zip(&bodies) {
            alice.publish(TOPIC, lane, body.clone()).await?;
            let message = bob.message().await?;
            assert_eq!((message.lane, &message.body), (lane, body));
            assert_eq!((message.from_alias, message.seq), (alice.alias(), seq));
            assert_eq!(message.topic.as_deref(), Some(TOPIC));
            assert_eq!(message.identity, None);
        }
    }
    assert_eq!(
        alice.settle().await?,
        [],
        "nothing comes back to the sender"
    );
    assert_eq!(bob.settle().await?, [], "nothing comes twice");
    assert_eq!(
        carol.settle().await?,
        [],
        "nothing comes to a subscriber of something else"
    );
    cluster.stop().await
}

#[tokio::test]
async fn unsubscribed_and_subscribed_again() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let alice = Member::join(&cluster.url()).await?;
    let mut bob = Member::join(&cluster.url()).await?;
    bob.client.subscribe(&[TOPIC]).await?;
    alice.publish(TOPIC, Lane::Reliable, "one").await?;
    assert_eq!(bob.message().await?.body, "one");

    bob.client.unsubscribe(&[TOPIC]).await?;
    let mut alice = alice;
    alice.publish(TOPIC, Lane::Reliable, "two").await?;
    alice.settle().await?;
    assert_eq!(bob.settle().await?, []);

    bob.client.subscribe(&[TOPIC]).await?;
    alice.publish(TOPIC, Lane::Reliable, "three").await?;
    assert_eq!(bob.message().await?.body, "three");
    cluster.stop().await
}

#[tokio::test]
async fn a_publisher_with_a_name_is_known_by_it() -> Result<()> {
    let setup = Setup {
        clients: std::sync::Arc::new(auth::SharedSecret::new(&"a long enough secret".into())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let config = member::config(&cluster.url())?;
    let alice = Member::join_as(&config.clone().with_token("alice:a long enough secret")).await?;
    let mut bob = Member::join_as(&config.with_token("bob:a long enough secret")).await?;
    bob.client.subscribe(&[TOPIC]).await?;
    alice
        .client
        .publish_with_identity(TOPIC, Lane::Reliable, "it is me")
        .await?;
    let message = bob.message().await?;
    let identity = message.identity.expect("an identity");
    assert_eq!(identity.bytes, "alice");
    assert_eq!(message.from_alias, alice.alias());
    cluster.stop().await
}

#[tokio::test]
async fn thousands_of_packets_come_once_and_in_order() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let alice = Member::join(&cluster.url()).await?;
    let mut readers = Vec::new();
    for _ in 0..5 {
        let reader = Member::join(&cluster.url()).await?;
        reader.client.subscribe(&[TOPIC]).await?;
        readers.push(reader);
    }
    let sent: Vec<Bytes> = (0..2000).map(|n| format!("{n:0100}").into()).collect();
    for body in &sent {
        alice
            .client
            .publish(TOPIC, Lane::Reliable, body.clone())
            .await?;
    }
    let last = BTreeMap::from([(alice.alias(), sent[1999].clone())]);
    for reader in &mut readers {
        let received = reader.receive_until(last.clone()).await?;
        assert!(
            received[&alice.alias()] == sent,
            "all of it, once, in order"
        );
        assert_eq!(reader.settle().await?, []);
    }
    cluster.stop().await
}

#[tokio::test]
async fn a_client_that_leaves_is_forgotten_and_one_that_stops_is_told() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let alice = Member::join(&cluster.url()).await?;
    let mut bob = Member::join(&cluster.url()).await?;
    alice.client.subscribe(&[TOPIC]).await?;
    cluster.subscribed(1).await?;
    alice.client.close().await;
    cluster
        .wait_for("an empty place", |stats| stats.clients == 1)
        .await?;
    cluster.subscribed(0).await?;

    cluster.stop_commserver(0).await?;
    loop {
        if let Event::Disconnected { reason } = bob.expect().await? {
            assert_eq!(reason, proto::Reason::ShuttingDown);
            break;
        }
    }
    cluster.restart_commserver(0).await?;
    bob.connected().await?;
    cluster.stop().await
}
