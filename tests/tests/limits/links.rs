//! Links: how many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tests::cluster::Setup;

use crate::scene::Scene;

/// `limits.links_max`, of the first server alone. The others dial it, for they come later.
pub(crate) async fn to_other_servers() -> Result<()> {
    let is_first = AtomicBool::new(true);
    let setup = Setup {
        commserver: Arc::new(move |config| {
            if is_first.swap(false, Ordering::SeqCst) {
                config.limits.links_max = 2;
            }
            // One dial each is what is counted.
            config.timings.redial_min = Duration::from_mins(10);
            config.timings.redial_max = Duration::from_mins(10);
        }),
        ..Setup::default()
    };
    let mut scene = Scene::on(setup.start(1).await?).await?;
    let before = scene.counts().await?;
    for links in [1, 2] {
        scene.cluster.add_commserver().await?;
        scene.cluster.meshed().await?;
        let linked = |stats: &commserver_core::Stats| stats.links == links;
        let first = scene.cluster.commserver(0);
        first.wait_for("a link more", linked).await?;
    }
    scene.ensure_nothing_since(&before).await?;

    scene.cluster.add_commserver().await?;
    // It is refused, and the others have room.
    let refused = |stats: &commserver_core::Stats| stats.refusals.values().sum::<u64>() == 1;
    let first = scene.cluster.commserver(0);
    first.wait_for("a refusal", refused).await?;
    let two = |stats: &commserver_core::Stats| stats.links == 2;
    scene
        .cluster
        .commserver(3)
        .wait_for("two links", two)
        .await?;
    let moved = ["broker_refusals_total{reason=\"ServerFull\"}"];
    scene.ensure_since(&before, &moved).await?;
    first_has_two(&scene).await?;
    scene.end().await
}

async fn first_has_two(scene: &Scene) -> Result<()> {
    let first = scene.cluster.commserver(0);
    let two = |stats: &commserver_core::Stats| stats.links == 2;
    first.wait_for("both its links", two).await
}
