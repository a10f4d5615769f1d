//! Packets: how large.

use anyhow::{Result, bail, ensure};
use proto::{Reason, limits::PACKET_BYTES_MAX};
use tests::double::{Lane, Packet, wire};

use crate::scene::{Scene, error};

/// `limits.packet_bytes_max`, as it is by default and smaller.
pub(crate) async fn size() -> Result<()> {
    for limit in [PACKET_BYTES_MAX, 1_000] {
        up_to(limit).await?;
    }
    Ok(())
}

async fn up_to(limit: usize) -> Result<()> {
    let mut scene = Scene::set(move |config| config.limits.packet_bytes_max = limit).await?;
    let mut offender = scene.offender().await?;
    let mut reader = scene.offender().await?;
    reader.subscribe(&["a"]).await;
    ensure!(reader.settle().await?.is_empty());
    for lane in [Lane::Reliable, Lane::Unreliable] {
        let before = scene.counts().await?;
        for bytes in [limit - 1, limit] {
            let (packet, sent) = wire::topic_of_size("a", bytes);
            ensure!(packet.len() == bytes);
            offender.send(lane, packet).await;
            let Packet::Forward { body, .. } = reader.expect().await? else {
                bail!("of {bytes}")
            };
            ensure!(body == sent, "of {bytes}");
            scene.note(1);
        }
        scene.ensure_nothing_since(&before).await?;

        let (packet, _) = wire::topic_of_size("a", limit + 1);
        offender.send(lane, packet).await;
        let (reason, _) = error(&mut offender).await?;
        ensure!(reason == Reason::PacketTooLarge, "{reason}");
        let moved = [
            "broker_drops_total{reason=\"packet_too_large\"}",
            "broker_errors_total{reason=\"PacketTooLarge\"}",
        ];
        scene.ensure_since(&before, &moved).await?;
        // The channel stays.
        offender.publish(lane, "a", "small").await;
        let Packet::Forward { body, .. } = reader.expect().await? else {
            bail!("not small")
        };
        ensure!(body == "small");
        scene.note(1);
    }
    ensure!(offender.settle().await?.is_empty());
    ensure!(reader.settle().await?.is_empty());
    scene.end().await
}
