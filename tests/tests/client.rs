//! The client library against a real cluster: what it promises its users.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use client::{
    Event, EventsConfig, Lane, Offline, Overflow, PublishError, Published, Reason, State,
    SubscribeError,
};
use tests::{
    PATIENCE,
    cluster::{Cluster, Setup},
    member::{self, Member},
};
use tokio::time::timeout;

/// The next message, whatever else happens before it.
async fn next_message(member: &mut Member) -> Result<client::Message> {
    loop {
        match member.expect().await? {
            Event::Message(message) => return Ok(message),
            Event::Stopped { reason } => bail!("stopped: {reason}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn messages_tell_who_what_and_how() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let [first, second] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let mut ann = Member::join_server(&cluster.url(), first).await?;
    let bob = Member::join_server(&cluster.url(), second).await?;
    ann.client.subscribe(&["plaza"]).await?;
    // On both servers: Ann's own subscription and the link's.
    cluster.subscribed(1).await?;
    for (lane, seq) in [(Lane::Reliable, 1), (Lane::Reliable, 2)] {
        bob.publish("plaza", lane, "hello").await?;
        let message = ann.message().await?;
        ensure!(
            message.from_alias == bob.alias() && message.body == "hello",
            "{message:?}"
        );
        ensure!(message.topic.as_deref() == Some("plaza"), "{message:?}");
        ensure!(message.lane == lane && message.seq == seq, "{message:?}");
        ensure!(message.identity.is_none(), "{message:?}");
    }
    bob.client
        .publish_with_identity("plaza", Lane::Reliable, "signed")
        .await?;
    let signed = ann.message().await?;
    ensure!(signed.identity.is_some() && signed.seq == 3, "{signed:?}");
    cluster.stop().await
}

#[tokio::test]
async fn requests_are_answered_one_way_or_the_other() -> Result<()> {
    let setup = Setup {
        commserver: std::sync::Arc::new(|config| config.limits.subscriptions_max = 2),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let ann = Member::join(&cluster.url()).await?;
    let mut bob = Member::join(&cluster.url()).await?;
    bob.client.subscribe(&["a"]).await?;
    let refused = bob.client.subscribe(&["b", "c"]).await;
    let Err(SubscribeError::Failed(client::RequestError::Refused(error))) = refused else {
        bail!("expected a refusal, got {refused:?}");
    };
    ensure!(
        error.reason == Some(Reason::TooManySubscriptions) && error.topic == "c",
        "{error}"
    );
    // Nothing of the refused request is left: there is room for another one.
    bob.client.subscribe(&["d"]).await?;
    ann.publish("b", Lane::Reliable, "no").await?;
    ann.publish("d", Lane::Reliable, "yes").await?;
    ensure!(bob.message().await?.body == "yes");
    let invalid = bob.client.subscribe(&["not a topic"]).await;
    ensure!(
        matches!(invalid, Err(SubscribeError::Invalid(_))),
        "{invalid:?}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn size_is_checked_before_sending() -> Result<()> {
    let setup = Setup {
        commserver: std::sync::Arc::new(|config| config.limits.packet_bytes_max = 1_000),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let ann = Member::join(&cluster.url()).await?;
    let large = ann
        .client
        .publish("t", Lane::Reliable, vec![0; 1_000])
        .await;
    let Err(PublishError::TooLarge {
        bytes,
        bytes_max: 1_000,
    }) = large
    else {
        bail!("expected a refusal, got {large:?}");
    };
    let head = bytes - 1_000;
    let fits = ann
        .client
        .publish("t", Lane::Reliable, vec![0; 1_000 - head])
        .await;
    ensure!(fits == Ok(Published::Sent), "{fits:?}");
    cluster.stop().await
}

#[tokio::test]
async fn a_flush_tells_that_the_server_has_everything() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let ann = Member::join(&cluster.url()).await?;
    for _ in 0..10 {
        ann.publish("t", Lane::Reliable, "x").await?;
    }
    timeout(PATIENCE, ann.client.flush()).await??;
    let has_all = |stats: &commserver_core::Stats| stats.published == [10, 0];
    cluster.wait_for("publications", has_all).await?;

    cluster.stop_commserver(0).await?;
    let lost = |state: &State| !matches!(state, State::Connected { .. });
    timeout(PATIENCE, ann.client.reached(lost)).await?;
    // Everything was confirmed, so nothing is lost.
    timeout(PATIENCE, ann.client.flush()).await??;
    cluster.stop().await
}

#[tokio::test]
async fn a_lost_server_is_replaced_and_what_waited_is_sent() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let [first, second] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let mut ann = Member::join_server(&cluster.url(), first).await?;
    let bob = Member::join_server(&cluster.url(), second).await?;
    ann.client.subscribe(&["plaza"]).await?;
    cluster.stop_commserver(0).await?;
    ensure!(matches!(ann.expect().await?, Event::Disconnected { .. }));
    let waits = ann.client.publish("answer", Lane::Reliable, "waited").await;
    let dropped = ann
        .client
        .publish("answer", Lane::Unreliable, "dropped")
        .await;
    ensure!(waits == Ok(Published::Queued) && dropped == Ok(Published::Dropped));
    bob.client.subscribe(&["answer"]).await?;
    let mut bob = bob;
    ensure!(ann.connected().await? == second);
    ensure!(next_message(&mut bob).await?.body == "waited");
    ensure!(ann.client.stats().dropped.unreliable_offline == 1);
    // She hears the plaza again without having asked again.
    ann.settle().await?;
    bob.publish("plaza", Lane::Reliable, "welcome back").await?;
    ensure!(next_message(&mut ann).await?.body == "welcome back");
    cluster.stop().await
}

#[tokio::test]
async fn the_loss_of_the_coordinator_is_not_felt() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let mut ann = Member::join(&cluster.url()).await?;
    let bob = Member::join(&cluster.url()).await?;
    ann.client.subscribe(&["plaza"]).await?;
    let alias = bob.alias();
    cluster.stop_coordinator().await?;
    bob.publish("plaza", Lane::Reliable, "without").await?;
    ensure!(ann.message().await?.body == "without");
    let dials = ann.client.stats().dials;
    cluster.start_coordinator().await?;
    timeout(PATIENCE, async {
        // The signalling socket comes back by itself; the reliable lane tells when to look.
        while ann.client.stats().dials == dials {
            ann.settle().await?;
        }
        anyhow::Ok(())
    })
    .await
    .context("no new signalling socket")??;
    bob.publish("plaza", Lane::Reliable, "with").await?;
    let message = ann.message().await?;
    ensure!(
        message.body == "with" && message.from_alias == alias,
        "{message:?}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn without_a_server_it_waits_for_one() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    let mut ann = Member::start(&member::config(&cluster.url())?)?;
    let waiting = ann
        .client
        .reached(|state| *state == State::WaitingForServer);
    timeout(PATIENCE, waiting)
        .await
        .context("it does not reach the coordinator")?;
    let alias = cluster.add_commserver().await?;
    ensure!(ann.connected().await? == alias);
    cluster.stop().await
}

#[tokio::test]
async fn an_offline_client_does_as_it_was_told() -> Result<()> {
    let nowhere = "ws://127.0.0.1:9";
    let config = |offline| -> Result<client::Config> {
        Ok(client::Config {
            offline,
            ..member::config(nowhere)?
        })
    };
    let fails = Member::start(&config(Offline::Fail)?)?;
    let refused = fails.client.publish("t", Lane::Reliable, "x").await;
    ensure!(refused == Err(PublishError::Offline), "{refused:?}");
    let queue = Offline::Queue {
        count_max: 1,
        bytes_max: 100,
        overflow: Overflow::RejectNew,
    };
    let waits = Member::start(&config(queue)?)?;
    let first = waits.client.publish("t", Lane::Reliable, "x").await;
    let second = waits.client.publish("t", Lane::Reliable, "x").await;
    ensure!(first == Ok(Published::Queued) && second == Err(PublishError::QueueFull));
    timeout(PATIENCE, waits.client.close())
        .await
        .context("it does not end")?;
    Ok(())
}

#[tokio::test]
async fn whoever_does_not_read_is_disconnected_and_delays_nobody() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let events = EventsConfig {
        reliable_count_max: 10,
        ..EventsConfig::default()
    };
    let lazy = client::Config {
        events,
        ..member::config(&cluster.url())?
    };
    let mut lazy = Member::join_as(&lazy).await?;
    let mut ann = Member::join(&cluster.url()).await?;
    let bob = Member::join(&cluster.url()).await?;
    lazy.client.subscribe(&["plaza"]).await?;
    ann.client.subscribe(&["plaza"]).await?;
    for _ in 0..20 {
        bob.publish("plaza", Lane::Reliable, "x").await?;
    }
    for _ in 0..20 {
        ann.message().await?;
    }
    timeout(PATIENCE, lazy.client.reached(|_| false))
        .await
        .context("it goes on")?;
    for _ in 0..10 {
        ensure!(matches!(lazy.expect().await?, Event::Message(_)));
    }
    ensure!(lazy.stopped().await? == Reason::SlowConsumer);
    cluster.stop().await
}

#[tokio::test]
async fn closing_tells_the_server_and_ends_the_events() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut ann = Member::join(&cluster.url()).await?;
    let clone = ann.client.clone();
    timeout(PATIENCE, clone.close())
        .await
        .context("it does not end")?;
    ensure!(ann.stopped().await? == Reason::Closed);
    let refused = ann.client.subscribe(&["t"]).await;
    ensure!(
        matches!(refused, Err(SubscribeError::Invalid(_))),
        "{refused:?}"
    );
    cluster
        .wait_for("peers", |stats| stats.clients == 0)
        .await?;

    let bob = Member::join(&cluster.url()).await?;
    drop(bob);
    cluster
        .wait_for("peers", |stats| stats.clients == 0)
        .await?;
    cluster.stop().await
}

#[tokio::test]
async fn the_round_trip_is_measured() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut ann = Member::join_as(&client::Config {
        ping_interval: Some(Duration::from_millis(20)),
        ..member::config(&cluster.url())?
    })
    .await?;
    timeout(PATIENCE, async {
        while ann.client.rtt().is_none() {
            ann.settle().await?;
        }
        anyhow::Ok(())
    })
    .await
    .context("no echo")??;
    ensure!(ann.client.rtt() < Some(Duration::from_secs(5)));
    cluster.stop().await
}
