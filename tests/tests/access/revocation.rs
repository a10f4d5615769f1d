use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use auth::jwt::claims::Claims;
use client::session::State;
use proto::{Lane, Reason};
use tests::admin;
use tests::cluster::{Cluster, Setup};
use tests::member::{self, Member};
use tests::pki::Folder;
use tests::proxy::Proxy;

use crate::{claims, join, setup, sign};

/// Tries to join, and is not let in.
async fn shut_out(cluster: &Cluster, claims: &Claims) -> Result<()> {
    let config = member::config(&cluster.url())?.with_token(sign(claims)?);
    let reason = Member::start(&config)?.stopped().await?;
    ensure!(reason == Reason::Revoked, "{reason:?}");
    Ok(())
}

#[tokio::test]
async fn who_is_revoked_is_gone_from_every_server_and_stays_away() -> Result<()> {
    let mut cluster = setup()?.start(2).await?;
    // Assigned in turn: one of each is at each server.
    let mut anns = vec![
        join(&cluster, &claims("ann")).await?,
        join(&cluster, &claims("ann")).await?,
    ];
    let mut bobs = vec![
        join(&cluster, &claims("bob")).await?,
        join(&cluster, &claims("bob")).await?,
    ];
    ensure!(anns[0].server() != anns[1].server());
    for bob in &bobs {
        bob.client.subscribe(&["a"]).await?;
    }
    cluster.subscribed(2).await?;
    let asked = Instant::now();
    admin::revoke(cluster.admin_addr(), r#"{"subject": "ann"}"#).await?;
    for ann in &mut anns {
        let reason = ann.stopped().await?;
        ensure!(reason == Reason::Revoked, "{reason:?}");
    }
    println!("gone after {:?}", asked.elapsed());
    shut_out(&cluster, &claims("ann")).await?;
    cluster
        .wait_for("their end", |stats| {
            stats.clients == 1 && stats.revocations == 1
        })
        .await?;
    // The others notice nothing.
    bobs[0].publish("a", Lane::Reliable, "hello").await?;
    ensure!(bobs[1].message().await?.body == "hello");
    // A server that comes later knows it too.
    cluster.add_commserver().await?;
    cluster
        .wait_for("what the others know", |stats| stats.revocations == 1)
        .await?;
    cluster.stop().await
}

#[tokio::test]
async fn one_token_of_several_is_revoked() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let named = |id: &str| Claims {
        jti: Some(id.into()),
        ..claims("ann")
    };
    let mut first = join(&cluster, &named("t1")).await?;
    let mut second = join(&cluster, &named("t2")).await?;
    admin::revoke(cluster.admin_addr(), r#"{"token_id": "t1"}"#).await?;
    ensure!(first.stopped().await? == Reason::Revoked);
    shut_out(&cluster, &named("t1")).await?;
    second.settle().await?;
    join(&cluster, &named("t3")).await?;
    cluster.stop().await
}

#[tokio::test]
async fn an_alias_does_not_come_back_to_a_coordinator_that_forgot_it_either() -> Result<()> {
    let mut cluster = setup()?.start(1).await?;
    let mut ann = join(&cluster, &claims("ann")).await?;
    let (alias, resume) = (ann.alias(), ann.client.resume_token());
    let body = format!(r#"{{"alias": {alias}}}"#);
    admin::revoke(cluster.admin_addr(), &body).await?;
    ensure!(ann.stopped().await? == Reason::Revoked);

    // Without a file the coordinator has forgotten it; the server has not.
    cluster.stop_coordinator().await?;
    cluster.start_coordinator().await?;
    cluster.welcomed(2).await?;
    let config = member::config(&cluster.url())?.with_token(sign(&claims("ann"))?);
    let config = match resume {
        Some(token) => config.with_resume_token(token),
        None => anyhow::bail!("it had a token"),
    };
    let reason = Member::start(&config)?.stopped().await?;
    ensure!(reason == Reason::Revoked, "{reason:?}");
    cluster.stop().await
}

/// The coordinator is stopped meanwhile, and knows it from its file.
#[tokio::test]
async fn a_server_that_was_cut_off_hears_it_when_it_is_linked_again() -> Result<()> {
    let folder = Folder::new()?;
    let file = folder.path().join("revocations");
    let setup = setup()?;
    let before = Arc::clone(&setup.coordinator);
    let setup = Setup {
        coordinator: Arc::new(move |config| {
            before(config);
            config.revocations_file = Some(file.clone());
        }),
        ..setup
    };
    let mut coordinator = setup.clone().start(0).await?;
    let uplink = Proxy::start(coordinator.addr()).await?;
    let signalling = Proxy::start(coordinator.addr()).await?;
    let servers = setup.start_at(uplink.addr(), 1).await?;
    let through = |name: &str| -> Result<client::Config> {
        Ok(member::config(&signalling.url())?.with_token(sign(&claims(name))?))
    };
    let mut ann = Member::join_as(&through("ann")?).await?;
    let mut bob = join(&coordinator, &claims("bob")).await?;
    bob.client.subscribe(&["a"]).await?;

    // Neither the server nor she hears of the coordinator.
    uplink.set_down(true);
    signalling.set_down(true);
    admin::revoke(coordinator.admin_addr(), r#"{"subject": "ann"}"#).await?;
    ann.publish("a", Lane::Reliable, "still here").await?;
    ensure!(bob.message().await?.body == "still here");
    coordinator.stop_coordinator().await?;
    coordinator.start_coordinator().await?;
    ann.publish("a", Lane::Reliable, "and still").await?;
    ensure!(bob.message().await?.body == "and still");

    uplink.set_down(false);
    // It is her server that has told her.
    let reason = ann.stopped().await?;
    ensure!(reason == Reason::Revoked, "{reason:?}");
    servers
        .wait_for("her end", |stats| {
            stats.clients == 1 && stats.revocations == 1
        })
        .await?;

    // She does not try again; somebody else who comes the same way does not meet her.
    signalling.set_down(false);
    let taken = signalling.taken_so_far();
    let cid = Member::join_as(&through("cid")?).await?;
    ensure!(signalling.taken_so_far() == taken + 1, "one connection");
    let revoked = Reason::Revoked;
    ensure!(ann.client.state() == State::Stopped { reason: revoked });
    ensure!(ann.client.stats().attempts == 1, "{:?}", ann.client.stats());
    shut_out(&coordinator, &claims("ann")).await?;
    cid.publish("a", Lane::Reliable, "hello").await?;
    ensure!(bob.message().await?.body == "hello");
    servers.stop().await?;
    coordinator.stop().await
}
