//! Clients: how many.

use anyhow::{Result, bail, ensure};
use proto::ConnectionRefusedReason;
use tests::double::{Session, wire::Message};

use crate::scene::Scene;

/// `limits.peers_max`: the two who talk are among them.
pub(crate) async fn clients() -> Result<()> {
    let mut scene = Scene::set(|config| config.limits.peers_max = 4).await?;
    let before = scene.counts().await?;
    let third = scene.offender().await?;
    let _fourth = scene.offender().await?;
    scene.ensure_nothing_since(&before).await?;

    let server = scene.cluster.commserver(0).alias;
    let url = format!("{}/connect", scene.cluster.url());
    let mut fifth = Session::dial(&url).await?;
    fifth.connect(server).await?;
    let told = fifth.expect().await?.message;
    let Message::ConnectionRefused(refused) = told else {
        bail!("{told:?}")
    };
    ensure!(refused.reason == i32::from(ConnectionRefusedReason::ServerFull));
    let moved = ["broker_refusals_total{reason=\"ServerFull\"}"];
    scene.ensure_since(&before, &moved).await?;

    // Whoever leaves gives its place back.
    third.close().await?;
    let left = |stats: &commserver_core::Stats| stats.clients == 3;
    scene.cluster.wait_for("its leave", left).await?;
    fifth.connect(server).await?;
    let told = fifth.expect().await?.message;
    ensure!(matches!(told, Message::WebRtc(_)), "{told:?}");
    scene.end().await
}
