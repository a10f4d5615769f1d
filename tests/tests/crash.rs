//! A commserver that dies without a word: a process of its own, killed.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use auth::{AllowAll, ClusterSecret};
use proto::Lane;
use shard::PeerConfig;
use tests::cluster::{Cluster, Setup};
use tests::double::Session;
use tests::member::{self, Member};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "plaza/1";
const CLUSTER_SECRET: &str = "the secret of the whole cluster";
const COORDINATOR: &str = "TEST_COORDINATOR";
const HUB: &str = "TEST_HUB";

/// Dead peers are to be noticed sooner than in real life.
fn impatient() -> PeerConfig {
    PeerConfig {
        idle_timeout: Duration::from_secs(3),
        ..PeerConfig::default()
    }
}

/// Not a test: the process that the test below kills. Ends with its parent.
#[test]
#[ignore = "runs only as a process of another test"]
fn commserver_process() -> Result<()> {
    let Ok(coordinator) = std::env::var(COORDINATOR) else {
        return Ok(());
    };
    std::thread::spawn(|| {
        // Open as long as the parent lives, and never written to.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
    tokio::runtime::Runtime::new()?.block_on(async {
        let secret = ClusterSecret::parse(CLUSTER_SECRET)?;
        let mut config = commserver::Config::new(coordinator.parse()?, Arc::new(AllowAll), secret);
        config.rtc.peer = impatient();
        config.hub = std::env::var_os(HUB).is_some();
        let server = commserver::Server::bind(config).await?;
        Ok(server.run(CancellationToken::new()).await?)
    })
}

/// Starts that process.
fn spawn_process(cluster: &Cluster, hub: bool) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "commserver_process", "--ignored"])
        .env(COORDINATOR, cluster.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    if hub {
        command.env(HUB, "yes");
    }
    Ok(command.spawn()?)
}

/// Starts it and waits for its link; yields its alias.
async fn start_process(cluster: &Cluster) -> Result<(Child, u64)> {
    let process = spawn_process(cluster, false)?;
    cluster
        .wait_for("a link to the process", |stats| stats.links == 1)
        .await?;
    let session = Session::dial(&format!("{}/connect", cluster.url())).await?;
    let ours = cluster.aliases();
    let alias = session
        .available_servers
        .iter()
        .find(|alias| !ours.contains(alias));
    Ok((process, *alias.context("the process among the servers")?))
}

#[tokio::test]
async fn a_killed_server_is_missed_by_nobody_for_long() -> Result<()> {
    let setup = Setup {
        secret: ClusterSecret::parse(CLUSTER_SECRET)?,
        commserver: Arc::new(|config| config.rtc.peer = impatient()),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let here = cluster.aliases()[0];
    let (mut process, there) = start_process(&cluster).await?;

    let mut config = member::config(&cluster.url())?;
    config.idle_timeout = Duration::from_secs(3);
    let mut near = Member::join_server(&cluster.url(), here).await?;
    near.client.subscribe(&[TOPIC]).await?;
    let mut far = loop {
        let far = Member::join_as(&config).await?;
        if far.server() == Some(there) {
            break far;
        }
        far.client.close().await;
    };
    far.client.subscribe(&[TOPIC]).await?;
    cluster.subscribed(2).await?;
    near.publish(TOPIC, Lane::Reliable, "before").await?;
    assert_eq!(far.message().await?.body, "before");

    process.kill().await?;
    assert_eq!(far.connected().await?, here, "the only one left");
    cluster
        .wait_for("the link's end", |stats| stats.links == 0)
        .await?;
    cluster.subscribed(2).await?;
    near.settle().await?;
    far.publish(TOPIC, Lane::Reliable, "after").await?;
    near.publish(TOPIC, Lane::Reliable, "after").await?;
    assert_eq!(far.message().await?.body, "after");
    assert_eq!(near.message().await?.body, "after");

    let (_process, _) = start_process(&cluster).await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_killed_hub_is_replaced_by_another() -> Result<()> {
    let setup = Setup {
        secret: ClusterSecret::parse(CLUSTER_SECRET)?,
        commserver: Arc::new(|config| config.rtc.peer = impatient()),
        ..Setup::default()
    };
    let mut cluster = setup.star().start(0).await?;
    cluster.add_commservers(2).await?;
    let mut members = Vec::new();
    for leaf in cluster.aliases() {
        let member = Member::join_server(&cluster.url(), leaf).await?;
        member.client.subscribe(&[TOPIC]).await?;
        members.push(member);
    }
    for round in 0..3_u64 {
        let mut hub = spawn_process(&cluster, true)?;
        // By way of this hub, not of the one before.
        let linked = move |stats: &commserver_core::Stats| {
            let lost: u64 = stats.links_closed.values().sum();
            [stats.links, stats.subscriptions] == [1, 2] && lost == round
        };
        cluster.wait_for("the hub", linked).await?;
        for lane in Lane::ALL {
            let body = format!("round {round}");
            members[0].publish(TOPIC, lane, body.clone()).await?;
            assert_eq!(members[1].message().await?.body, body);
            members[1].publish(TOPIC, lane, body.clone()).await?;
            assert_eq!(members[0].message().await?.body, body);
        }
        hub.kill().await?;
        if round == 1 {
            // The next one takes over before anybody has missed this one.
            continue;
        }
        let alone = |stats: &commserver_core::Stats| [stats.links, stats.subscriptions] == [0, 1];
        cluster.wait_for("the link's end", alone).await?;
    }
    for member in &mut members {
        assert_eq!(member.settle().await?, []);
    }
    cluster.stop().await
}
