//! Clients from one address.

use std::sync::Arc;

use anyhow::{Result, ensure};
use proto::Reason;
use tests::{
    cluster::Setup,
    double::{Client, Manner},
};

use crate::scene::{Scene, error};

/// `limits.address_peers_max`: of each server, and the link between the two does not count.
pub(crate) async fn clients_of_one() -> Result<()> {
    let setup = Setup {
        commserver: Arc::new(|config| {
            config.rtc.addresses.peers_max = 4;
            config.rtc.addresses.exempt = Vec::new();
        }),
        ..Setup::default()
    };
    let mut scene = Scene::on(setup.start(2).await?).await?;
    let before = scene.counts().await?;
    let _third = ensure_in(on_the_first(&scene).await?).await?;
    let fourth = ensure_in(on_the_first(&scene).await?).await?;
    scene.ensure_nothing_since(&before).await?;

    let mut fifth = on_the_first(&scene).await?;
    let (reason, _) = error(&mut fifth).await?;
    ensure!(reason == Reason::TooManyFromAddress && reason.retryable());
    fifth.closed().await?;
    let moved = [
        "broker_errors_total{reason=\"TooManyFromAddress\"}",
        "broker_peers_closed_total{reason=\"TooManyFromAddress\"}",
    ];
    scene.ensure_since(&before, &moved).await?;

    // Whoever leaves gives its place back.
    fourth.close().await?;
    let left = |stats: &commserver_core::Stats| stats.clients == 3;
    let first = scene.cluster.commserver(0);
    first.wait_for("its leave", left).await?;
    let _sixth = ensure_in(on_the_first(&scene).await?).await?;
    scene.end().await
}

async fn on_the_first(scene: &Scene) -> Result<Client> {
    let manner = Manner {
        server: Some(scene.cluster.commserver(0).alias),
        ..Manner::default()
    };
    let client = Client::join_as(&scene.cluster.url(), &manner).await?;
    client.auth(b"").await;
    Ok(client)
}

async fn ensure_in(mut client: Client) -> Result<Client> {
    let told = client.settle().await?;
    ensure!(told.is_empty(), "{told:?}");
    Ok(client)
}

/// `limits.address_exempt`.
pub(crate) async fn exempt_ones() -> Result<()> {
    let mut scene = Scene::set(|config| config.rtc.addresses.peers_max = 1).await?;
    let before = scene.counts().await?;
    let _third = scene.offender().await?;
    scene.ensure_nothing_since(&before).await?;
    scene.end().await
}
