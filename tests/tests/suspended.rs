//! A machine that is suspended and goes on: nothing of it runs for longer than anybody waits for it,
//! and then all of it does.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use client::Config;
use proto::Lane;
use tests::{
    PATIENCE,
    member::{self, Member},
    metrics::Metrics,
    process::Process,
};
use tokio::time::{Instant, sleep};

const SECRET: &str = "the secret of the whole cluster";
const TOPIC: &str = "plaza/1";
/// Peers are taken for gone sooner than in real life.
const IDLE: (&str, &str) = ("BROKER_RTC__IDLE_TIMEOUT", "3s");

struct Server {
    process: Process,
    alias: u64,
    admin: SocketAddr,
}

impl Server {
    async fn start(url: &str) -> Result<Self> {
        let args = [
            "commserver",
            "--coordinator",
            url,
            "--rtc-listen",
            "127.0.0.1:0",
            "--insecure",
        ];
        let process = Process::start_with(&args, SECRET, &[IDLE]).await?;
        let ready = process.ready();
        let after = |mark: &str| {
            let (_, rest) = ready.split_once(mark)?;
            rest.split([' ', ')']).next()
        };
        Ok(Self {
            alias: after("alias=").context("an alias")?.parse()?,
            admin: after("admin=http://").context("an address")?.parse()?,
            process,
        })
    }

    /// Waits until a gauge has this value.
    async fn has(&self, gauge: &str, value: u64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Metrics::scrape(self.admin).await?.value(gauge) != value {
            anyhow::ensure!(Instant::now() < end, "{gauge} is not {value} in time");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

async fn coordinator() -> Result<(Process, String)> {
    let args = ["coordinator", "--listen", "127.0.0.1:0", "--insecure"];
    let process = Process::start(&args, SECRET).await?;
    let mut words = process.ready().split(' ');
    let url = words.find(|word| word.starts_with("ws://"));
    let url = url.context("its address")?.to_owned();
    Ok((process, url))
}

async fn join(url: &str, server: u64) -> Result<Member> {
    let config = Config {
        idle_timeout: Duration::from_secs(3),
        ..member::config(url)?
    };
    for _ in 0..100 {
        let member = Member::join_as(&config).await?;
        if member.server() == Some(server) {
            member.client.subscribe(&[TOPIC]).await?;
            return Ok(member);
        }
        member.client.close().await;
    }
    anyhow::bail!("nobody was sent to {server}")
}

#[tokio::test]
async fn a_commserver_that_was_suspended_is_one_again() -> Result<()> {
    let (_coordinator, url) = coordinator().await?;
    let (ours, other) = (Server::start(&url).await?, Server::start(&url).await?);
    ours.has("broker_links", 1).await?;
    let mut ann = join(&url, ours.alias).await?;
    let mut bob = join(&url, other.alias).await?;
    ours.process.set_stopped(true).await?;
    ann.connected().await?;
    assert_eq!(ann.server(), Some(other.alias), "she goes elsewhere");
    other.has("broker_links", 0).await?;
    ann.client.flush().await?;
    bob.publish(TOPIC, Lane::Reliable, "we go on").await?;
    assert_eq!(ann.message().await?.body, "we go on");

    ours.process.set_stopped(false).await?;
    // It forgets whom it had, is linked again under its alias, and takes clients.
    ours.has("broker_clients", 0).await?;
    other.has("broker_links", 1).await?;
    ours.has("broker_links", 1).await?;
    let mut eve = join(&url, ours.alias).await?;
    // Both subscriptions on the other server, and hers is told to it.
    ours.has("broker_subscriptions", 2).await?;
    other.has("broker_subscriptions", 3).await?;
    bob.publish(TOPIC, Lane::Reliable, "hello").await?;
    assert_eq!(eve.message().await?.body, "hello");
    eve.publish(TOPIC, Lane::Reliable, "hello to you").await?;
    for member in [&mut ann, &mut bob] {
        let mut body = member.message().await?.body;
        if body == "hello" {
            body = member.message().await?.body;
        }
        assert_eq!(body, "hello to you");
    }
    Ok(())
}
