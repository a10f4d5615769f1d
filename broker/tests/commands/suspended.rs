//! A client on a laptop that is closed and opened again.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use client::Lane;
use tests::{cluster::Setup, member::Member};

use crate::program::Program;

const TOPIC: &str = "plaza/chat";

#[tokio::test]
async fn a_client_that_was_suspended_comes_back_by_itself() -> Result<()> {
    let setup = Setup {
        // Taken for gone sooner than in real life.
        commserver: Arc::new(|config| config.rtc.peer.idle_timeout = Duration::from_secs(2)),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let url = cluster.url();
    let mut sub = Program::start(&["sub", "--coordinator", &url, TOPIC])?;
    sub.has_said("subscribed to").await?;
    cluster.subscribed(1).await?;
    let member = Member::join(&url).await?;
    member.publish(TOPIC, Lane::Reliable, "before").await?;
    ensure!(sub.line().await? == "before");

    // What is counted lags behind what is there.
    cluster.wait_for("both", |stats| stats.clients == 2).await?;
    sub.signal("-STOP").await?;
    cluster
        .wait_for("it is taken for gone", |stats| {
            (stats.clients, stats.subscriptions) == (1, 0)
        })
        .await?;
    member.publish(TOPIC, Lane::Reliable, "meanwhile").await?;
    sub.signal("-CONT").await?;
    cluster.subscribed(1).await?;
    member.publish(TOPIC, Lane::Reliable, "after").await?;
    ensure!(
        sub.line().await? == "after",
        "what was said meanwhile is gone"
    );
    cluster.stop().await
}
