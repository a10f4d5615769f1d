//! 100,000 topics on one server: another learns of them over a real link, and a 2019 server of as
//! many as it can read. `--nocapture` prints the figures.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use auth::ClusterSecret;
use client::Config;
use proto::{Lane, limits};
use tests::cluster::{Cluster, Setup};
use tests::double::{Options, Seen, Server};
use tests::member::{self, Member};

const COUNT: usize = 100_000;
/// Topics in one request.
const LIST: usize = 1_000;
const CLUSTER_SECRET: &str = "the-secret-of-the-whole-cluster";

fn topic(n: usize) -> String {
    format!("world/{}/cell/{n:06}", n % 7)
}

/// Servers that let one client have all the topics, and take servers of 2019.
async fn cluster(commservers: usize) -> Result<Cluster> {
    let setup = Setup {
        secret: ClusterSecret::parse(CLUSTER_SECRET)?,
        coordinator: Arc::new(|config| config.raw_cluster_secret = true),
        commserver: Arc::new(|config| {
            config.limits.subscriptions_max = COUNT;
            config.compat.servers_2019 = true;
        }),
        ..Setup::default()
    };
    setup.start(commservers).await
}

/// A client that wants more than most.
fn keen(cluster: &Cluster) -> Result<Config> {
    Ok(Config {
        subscriptions_max: COUNT,
        ..member::config(&cluster.url())?
    })
}

async fn each_list(member: &Member, subscribe: bool) -> Result<()> {
    let topics: Vec<String> = (0..COUNT).map(topic).collect();
    for list in topics.chunks(LIST) {
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        if subscribe {
            member.client.subscribe(&list).await?;
        } else {
            member.client.unsubscribe(&list).await?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures that the test is for")]
fn say(line: &str) {
    println!("{line}");
}

#[tokio::test]
async fn another_server_learns_of_all_of_them_and_forgets_them() -> Result<()> {
    let cluster = cluster(2).await?;
    let mut holder = Member::join_as(&keen(&cluster)?).await?;
    let other = cluster
        .aliases()
        .iter()
        .position(|alias| Some(*alias) != holder.server());
    let other = other.context("two servers")?;
    let speaker = Member::join_server(&cluster.url(), cluster.aliases()[other]).await?;
    let other = cluster.commserver(other);
    let start = Instant::now();
    each_list(&holder, true).await?;
    let asked = start.elapsed();
    cluster
        .wait_for("all topics", |stats| stats.topics == COUNT)
        .await?;
    say(&format!(
        "{COUNT} topics: held after {asked:?}, known to the other server {:?} later",
        start.elapsed().saturating_sub(asked)
    ));
    let metrics = other.metrics().await?;
    ensure!(usize::try_from(metrics.value("broker_topics"))? == COUNT);
    // Nobody wants it: it does not cross.
    speaker
        .publish("world/none", Lane::Reliable, "nobody")
        .await?;
    for n in [0, COUNT / 2, COUNT - 1] {
        speaker
            .publish(&topic(n), Lane::Reliable, n.to_string())
            .await?;
        let message = holder.message().await?;
        ensure!(message.body == n.to_string(), "{message:?}");
        ensure!(message.topic.as_deref() == Some(&*topic(n)), "{message:?}");
    }
    each_list(&holder, false).await?;
    cluster
        .wait_for("no topic", |stats| stats.topics == 0)
        .await?;
    other
        .wait_for("three to have crossed", |stats| stats.relayed_out[0] == 3)
        .await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_2019_server_learns_of_as_many_as_it_can_read() -> Result<()> {
    let cluster = cluster(1).await?;
    let options = Options {
        token: CLUSTER_SECRET.to_owned(),
        auth_body: CLUSTER_SECRET.into(),
        ..Options::default()
    };
    let mut old = Server::start(&cluster.url(), options).await?;
    let holder = Member::join_as(&keen(&cluster)?).await?;
    let start = Instant::now();
    each_list(&holder, true).await?;
    cluster
        .wait_for("all topics", |stats| stats.topics == COUNT)
        .await?;
    let (mut told, mut lists) = (0, 0);
    // Changes are gathered while a list is on its way: the last one says what fits of everything.
    while told + cluster.commserver(0).stats().topics_unannounced != COUNT {
        let seen = old.wait_for(|seen| !matches!(seen, Seen::Skipped { .. }));
        match seen.await? {
            Seen::Topics { topics, .. } => {
                (told, lists) = (topics.len(), lists + 1);
                ensure!(topics.iter().all(|name| name.starts_with("world/")));
            }
            Seen::Closed { reason, .. } => bail!("closed: {reason}"),
            _ => {}
        }
    }
    say(&format!(
        "{told} of {COUNT} in {} bytes, the last of {lists} lists, {:?} after the first request",
        limits::PACKET_BYTES_MAX_2019,
        start.elapsed()
    ));
    ensure!(told > 500, "{told} of many that fit");
    cluster.stop().await
}
