//! While an authenticator takes its time: what its peers may send meanwhile, and how many may wait.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use auth::{Authenticated, Authenticator, Credentials, Refusal, Role};
use bytes::Bytes;
use proto::Reason;
use tests::{
    PATIENCE,
    cluster::Setup,
    double::{Client, Lane, Packet},
};
use tokio::{sync::watch, time::timeout};

use crate::scene::{Scene, error};

/// Lets everybody in, those who say that they are slow when it is told to.
#[derive(Debug)]
struct Gate {
    is_open: watch::Sender<bool>,
    calls: watch::Sender<usize>,
}

#[async_trait]
impl Authenticator for Gate {
    async fn authenticate(
        &self,
        _role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        if matches!(credentials, Credentials::Packet { body, .. } if body == SLOW) {
            self.calls.send_modify(|calls| *calls += 1);
            let mut is_open = self.is_open.subscribe();
            is_open.wait_for(|open| *open).await.ok();
        }
        Ok(Authenticated::everything(Bytes::new()))
    }
}

/// A scene in which whoever is slow waits until the gate is opened.
async fn set(
    change: impl Fn(&mut commserver::Config) + Send + Sync + 'static,
) -> Result<(Scene, Arc<Gate>)> {
    let gate = Arc::new(Gate {
        is_open: watch::Sender::new(false),
        calls: watch::Sender::new(0),
    });
    let setup = Setup {
        clients: gate.clone(),
        commserver: Arc::new(move |config| {
            config.timings.auth_timeout = 4 * PATIENCE;
            config.authentication.timeout = 4 * PATIENCE;
            change(config);
        }),
        ..Setup::default()
    };
    let scene = Scene::on(setup.start(1).await?).await?;
    Ok((scene, gate))
}

async fn slow_one(scene: &Scene) -> Result<Client> {
    let client = Client::join(&scene.cluster.url()).await?;
    client.auth(SLOW).await;
    Ok(client)
}

/// `limits.held_packets_max`.
pub(crate) async fn held_packets() -> Result<()> {
    held(|config| config.limits.held_packets_max = 3).await
}

/// `limits.held_bytes_max`: three PINGs are exactly so many.
pub(crate) async fn held_bytes() -> Result<()> {
    held(|config| config.limits.held_bytes_max = 3 * PING_BYTES).await
}

/// Two and three PINGs are answered once the client is let in; a fourth one closes it.
async fn held(change: impl Fn(&mut commserver::Config) + Send + Sync + 'static) -> Result<()> {
    let (mut scene, gate) = set(change).await?;
    let before = scene.counts().await?;
    let mut waiting = Vec::new();
    for packets in [2, 3] {
        let mut client = slow_one(&scene).await?;
        for _ in 0..packets {
            let ping = client.ping(Lane::Reliable).await;
            ensure!(ping.len() == PING_BYTES);
        }
        waiting.push((client, packets));
    }
    let mut offender = slow_one(&scene).await?;
    for _ in 0..4 {
        offender.ping(Lane::Reliable).await;
    }
    let (reason, _) = error(&mut offender).await?;
    ensure!(reason == Reason::HeldOverflow, "{reason}");
    offender.closed().await?;
    let moved = [
        "broker_errors_total{reason=\"HeldOverflow\"}",
        "broker_peers_closed_total{reason=\"HeldOverflow\"}",
    ];
    scene.ensure_since(&before, &moved).await?;

    gate.is_open.send_replace(true);
    for (mut client, packets) in waiting {
        // Before one more is sent, which may come too early.
        for _ in 0..packets {
            let answer = client.expect().await?;
            ensure!(matches!(answer, Packet::Pong { .. }), "{answer:?}");
        }
        ensure!(client.settle().await?.is_empty(), "so many, no more");
    }
    scene.end().await
}

/// `authentication.calls_max`.
pub(crate) async fn calls() -> Result<()> {
    asked(2, 1).await
}

/// `authentication.waiting_max`.
pub(crate) async fn waiting() -> Result<()> {
    asked(1, 2).await
}

/// So many are asked about at once and so many wait; one more is told to come again, and those who
/// were there get in.
async fn asked(calls_max: usize, waiting_max: usize) -> Result<()> {
    let (mut scene, gate) = set(move |config| {
        config.authentication.calls_max = calls_max;
        config.authentication.waiting_max = waiting_max;
    })
    .await?;
    let before = scene.counts().await?;
    let mut calls = gate.calls.subscribe();
    let mut patient = Vec::new();
    for n in 1..=calls_max + waiting_max {
        patient.push(slow_one(&scene).await?);
        // Whoever can be asked about waits no more.
        let asked = n.min(calls_max);
        timeout(PATIENCE, calls.wait_for(|calls| *calls == asked)).await??;
    }
    let asking = |stats: &commserver_core::Stats| stats.clients == 2 + calls_max + waiting_max;
    scene.cluster.wait_for("those who wait", asking).await?;
    scene.ensure_nothing_since(&before).await?;

    let mut offender = slow_one(&scene).await?;
    let (reason, _) = error(&mut offender).await?;
    ensure!(reason == Reason::AuthUnavailable && reason.retryable());
    offender.closed().await?;
    let moved = [
        "broker_authentications_refused_total",
        "broker_errors_total{reason=\"AuthUnavailable\"}",
        "broker_peers_closed_total{reason=\"AuthUnavailable\"}",
    ];
    scene.ensure_since(&before, &moved).await?;
    ensure!(*calls.borrow() == calls_max, "no more are asked about");

    gate.is_open.send_replace(true);
    for mut client in patient {
        ensure!(client.settle().await?.is_empty(), "it is in");
    }
    scene.end().await
}

const SLOW: &[u8] = b"slow";

/// An encoded PING: its type, and its time.
const PING_BYTES: usize = 11;
