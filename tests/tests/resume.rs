//! Clients that come back: under the same alias, and mostly without anybody noticing.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use auth::SharedSecret;
use bytes::Bytes;
use client::{Event, Lane, Reason, State};
use tests::{
    PATIENCE,
    cluster::{Cluster, Setup},
    member::{self, Member},
    proxy::Proxy,
};
use tokio::time::timeout;

/// Publishes until `until` holds, and sees each publication arrive: the peer serves on.
async fn talk_until(from: &Member, to: &mut Member, until: impl Fn() -> bool) -> Result<()> {
    let talk = async {
        let mut said = 0_u64;
        while said == 0 || !until() {
            said += 1;
            let body = said.to_be_bytes().to_vec();
            from.publish("plaza", Lane::Reliable, body.clone()).await?;
            let message = to.message().await?;
            ensure!(message.body == body, "{message:?}");
            ensure!(message.from_alias == from.alias(), "{message:?}");
        }
        Ok(())
    };
    timeout(PATIENCE, talk).await.context("it goes on")?
}

#[tokio::test]
async fn an_alias_is_kept_when_the_signalling_socket_is_cut() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let mut proxy = Proxy::start(cluster.addr()).await?;
    let mut ann = Member::join(&proxy.url()).await?;
    let mut bob = Member::join(&cluster.url()).await?;
    bob.client.subscribe(&["plaza"]).await?;
    // On both servers: Bob's own subscription and the link's.
    cluster.subscribed(1).await?;
    let (alias, server) = (ann.alias(), ann.server());
    for dials in 2..4 {
        proxy.cut();
        proxy.taken(dials).await?;
        talk_until(&ann, &mut bob, || ann.client.stats().welcomes == dials).await?;
    }
    ensure!(ann.settle().await?.is_empty(), "it has noticed something");

    // And the new signalling session is good for more than that.
    let first = cluster.aliases().first().copied();
    let lost = usize::from(server != first);
    cluster.stop_commserver(lost).await?;
    let left = ann.expect().await?;
    ensure!(matches!(left, Event::Disconnected { .. }), "{left:?}");
    ann.connected().await?;
    ensure!(ann.alias() == alias && ann.server() != server);
    cluster.stop().await
}

#[tokio::test]
async fn an_alias_is_kept_across_a_restarted_coordinator() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let mut ann = Member::join(&cluster.url()).await?;
    let mut bob = Member::join(&cluster.url()).await?;
    bob.client.subscribe(&["plaza"]).await?;
    // On both servers: Bob's own subscription and the link's.
    cluster.subscribed(1).await?;
    let (alias, server) = (ann.alias(), ann.server());
    cluster.stop_coordinator().await?;
    cluster.start_coordinator().await?;
    talk_until(&ann, &mut bob, || ann.client.stats().welcomes == 2).await?;
    cluster.welcomed(2).await?;

    let first = cluster.aliases().first().copied();
    cluster
        .stop_commserver(usize::from(server != first))
        .await?;
    ensure!(matches!(ann.expect().await?, Event::Disconnected { .. }));
    ann.connected().await?;
    ensure!(ann.alias() == alias && ann.server() != server);
    cluster.stop().await
}

#[tokio::test]
async fn without_a_coordinator_and_a_server_the_alias_is_still_kept() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let mut ann = Member::join(&cluster.url()).await?;
    let alias = ann.alias();
    ann.client.subscribe(&["plaza"]).await?;
    cluster.stop_coordinator().await?;
    cluster.stop_commserver(0).await?;
    let lost = |state: &State| !matches!(state, State::Connected { .. });
    timeout(PATIENCE, ann.client.reached(lost)).await?;
    cluster.start_coordinator().await?;
    cluster.restart_commserver(0).await?;
    ann.connected().await?;
    ensure!(ann.alias() == alias);
    let bob = Member::join(&cluster.url()).await?;
    ann.settle().await?;
    bob.publish("plaza", Lane::Reliable, "hello").await?;
    ensure!(ann.message().await?.body == "hello");
    cluster.stop().await
}

/// The same, many at a time: all arrive, once, and perhaps not in order, by two ways.
async fn talk_much_until(from: &Member, to: &mut Member, until: impl Fn() -> bool) -> Result<()> {
    let alias = from.alias();
    while !until() {
        let mut missing: BTreeSet<Bytes> = (0..50_u8).map(|n| vec![n].into()).collect();
        for body in missing.clone() {
            from.client.publish("plaza", Lane::Reliable, body).await?;
        }
        from.client.flush().await?;
        while !missing.is_empty() {
            let message = to.message().await?;
            ensure!(missing.remove(&message.body), "twice: {message:?}");
            ensure!(message.from_alias == alias, "{message:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_drains_is_left_and_nothing_is_lost() -> Result<()> {
    let setup = Setup {
        commserver: Arc::new(|config| {
            config.drain.timeout = PATIENCE;
            config.drain.within = Duration::from_millis(500);
        }),
        ..Setup::default()
    };
    let mut cluster = setup.start(2).await?;
    let [first, second] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let mut ann = Member::join_server(&cluster.url(), first).await?;
    let mut bob = Member::join_server(&cluster.url(), second).await?;
    ann.client.subscribe(&["answer"]).await?;
    bob.client.subscribe(&["plaza"]).await?;
    cluster.subscribed(2).await?;
    let alias = ann.alias();

    // She talks on while her server goes, and for a while at the next one.
    let moved = || ann.client.stats().connects == 2;
    let talk = talk_much_until(&ann, &mut bob, moved);
    let (stopped, talked) = tokio::join!(cluster.stop_commserver(0), talk);
    stopped?;
    talked?;
    let reason = Reason::ShuttingDown;
    ensure!(ann.expect().await? == Event::Disconnected { reason });
    let server = second;
    ensure!(ann.expect().await? == Event::Connected { alias, server });
    let stats = ann.client.stats();
    ensure!((stats.moves, stats.disconnects) == (1, 0), "{stats:?}");
    // Her subscriptions have come with her.
    ann.settle().await?;
    bob.publish("answer", Lane::Reliable, "welcome").await?;
    ensure!(ann.message().await?.body == "welcome");
    cluster.stop().await
}

#[tokio::test]
async fn a_later_client_comes_back_under_the_alias_of_an_earlier_one() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let ann = Member::join(&cluster.url()).await?;
    let alias = ann.alias();
    let token = ann.client.resume_token().context("no resume token")?;
    ann.client.close().await;
    let config = member::config(&cluster.url())?.with_resume_token(token);
    let mut ann = Member::join_as(&config).await?;
    ensure!(ann.alias() == alias);

    // Two under one alias are one too many: the elder gets another.
    let younger = Member::join_as(&config).await?;
    ensure!(younger.alias() == alias);
    let left = ann.expect().await?;
    let reason = Reason::Replaced;
    ensure!(left == Event::Disconnected { reason }, "{left:?}");
    ann.connected().await?;
    ensure!(ann.alias() != alias);
    // And both stay.
    ann.settle().await?;
    ensure!(younger.alias() == alias && younger.client.stats().connects == 1);
    cluster.stop().await
}

#[tokio::test]
async fn a_token_provider_is_asked_whenever_it_dials() -> Result<()> {
    let setup = Setup {
        clients: Arc::new(SharedSecret::new(&SECRET.into())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let mut proxy = Proxy::start(cluster.addr()).await?;
    let asked = Arc::new(AtomicU64::new(0));
    let provider = {
        let asked = Arc::clone(&asked);
        move || {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let nobody = io::Error::other("nobody is up yet");
            async move { if first { Err(nobody) } else { Ok(SECRET) } }
        }
    };
    let config = member::config(&proxy.url())?.with_token_provider(provider);
    let mut ann = Member::start(&config)?;
    let Event::Retrying { reason, .. } = ann.expect().await? else {
        bail!("it did not ask");
    };
    ensure!(reason == Reason::AuthUnavailable, "{reason}");
    // Both the coordinator and the server take it.
    ann.connected().await?;
    ensure!(asked.load(Ordering::Relaxed) == 2);
    proxy.cut();
    proxy.taken(2).await?;
    ensure!(asked.load(Ordering::Relaxed) == 3);
    ensure!(ann.client.stats().tokens_missed == 1);
    cluster.stop().await
}

const SECRET: &str = "a long enough secret";
