//! Who sends more than it may, beside others who do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use client::session::{Offline, Overflow, Published};
use client::{Config, Event};
use proto::Lane;
use shard::budget;
use tests::PATIENCE;
use tests::cluster::{Cluster, Setup};
use tests::member::{self, Member};

const LOUD: &str = "loud";
const QUIET: &str = "quiet";

/// What one client may send: 500 packets at once, then 500 a second.
const BUDGET: budget::Config = budget::Config {
    packets_per_s: 500,
    bytes_per_s: 0,
    burst: Duration::from_secs(1),
};

async fn cluster(servers: usize) -> Result<Cluster> {
    let setup = Setup {
        commserver: Arc::new(|config| {
            config.rtc.reliable_budget = BUDGET;
            config.rtc.unreliable_budget = BUDGET;
        }),
        ..Setup::default()
    };
    setup.start(servers).await
}

/// A client that keeps what it cannot send yet.
fn patient(cluster: &Cluster) -> Result<Config> {
    let mut config = member::config(&cluster.url())?;
    config.offline = Offline::Queue {
        count_max: 100_000,
        bytes_max: 100 * 1024 * 1024,
        overflow: Overflow::RejectNew,
    };
    Ok(config)
}

fn numbered(number: u32) -> Bytes {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(100, 0);
    body.into()
}

fn number(body: &Bytes) -> Result<u32> {
    let first = body.first_chunk::<4>().context("no number")?;
    Ok(u32::from_be_bytes(*first))
}

/// Two who say little, to each other, on both lanes; returns the longest time that one packet took.
async fn converse(speaker: &Member, hearer: &mut Member, count: u32) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for n in 0..count {
        for lane in Lane::ALL {
            let sent = Instant::now();
            speaker.publish(QUIET, lane, numbered(n)).await?;
            let message = hearer.message().await?;
            ensure!(number(&message.body)? == n, "{message:?} at {n}");
            longest = longest.max(sent.elapsed());
        }
    }
    Ok(longest)
}

/// All that it has at once, on the reliable lane.
#[tokio::test]
async fn nothing_of_a_fast_sender_is_lost_and_others_do_not_notice() -> Result<()> {
    const COUNT: u32 = 2_000;
    let cluster = cluster(1).await?;
    let abuser = Member::join_as(&patient(&cluster)?).await?;
    let mut listener = Member::join(&cluster.url()).await?;
    listener.client.subscribe(&[LOUD]).await?;
    let speaker = Member::join(&cluster.url()).await?;
    let mut hearer = Member::join(&cluster.url()).await?;
    hearer.client.subscribe(&[QUIET]).await?;
    let alone = converse(&speaker, &mut hearer, 50).await?;

    let start = Instant::now();
    for n in 0..COUNT {
        let published = abuser
            .client
            .publish(LOUD, Lane::Reliable, numbered(n))
            .await?;
        ensure!(published != Published::Dropped, "{published:?}");
    }
    let published_in = start.elapsed();
    let beside = converse(&speaker, &mut hearer, 50).await?;
    for n in 0..COUNT {
        ensure!(number(&listener.message().await?.body)? == n, "in order");
    }
    let arrived_in = start.elapsed();
    println!(
        "{COUNT} published in {published_in:?}, arrived in {arrived_in:?}; the others' longest \
         was {alone:?} without it and {beside:?} beside it"
    );
    // The first 500 at once, then 500 a second.
    ensure!(arrived_in >= Duration::from_millis(2_900), "{arrived_in:?}");
    let metrics = cluster.commserver(0).metrics().await?;
    ensure!(metrics.value("broker_rate_pauses_total") > 0);
    ensure!(metrics.transport_drops("rate_limited") == 0);
    // It was slowed down, and is there.
    abuser.publish(LOUD, Lane::Reliable, "done").await?;
    ensure!(listener.message().await?.body == "done");
    cluster.stop().await
}

/// The same on the unreliable one: each packet arrives or is counted.
#[tokio::test]
async fn what_is_dropped_of_a_fast_sender_is_counted() -> Result<()> {
    const COUNT: u32 = 20_000;
    let cluster = cluster(1).await?;
    let abuser = Member::join_as(&patient(&cluster)?).await?;
    let mut listener = Member::join(&cluster.url()).await?;
    listener.client.subscribe(&[LOUD]).await?;
    let speaker = Member::join(&cluster.url()).await?;
    let mut hearer = Member::join(&cluster.url()).await?;
    hearer.client.subscribe(&[QUIET]).await?;
    for n in 0..COUNT {
        abuser
            .client
            .publish(LOUD, Lane::Unreliable, numbered(n))
            .await?;
    }
    let beside = converse(&speaker, &mut hearer, 50).await?;
    abuser.client.flush().await?;
    let heard = listener.settle().await?;
    let heard = heard
        .iter()
        .filter(|event| matches!(event, Event::Message(_)));
    let heard = u64::try_from(heard.count())?;
    let metrics = cluster.commserver(0).metrics().await?;
    let over = metrics.transport_drops("rate_limited");
    println!("{heard} heard, {over} over the budget, the others' longest was {beside:?}");
    ensure!(over > 0 && heard >= 500 && heard < u64::from(COUNT) / 2);
    ensure!(metrics.value("broker_rate_pauses_total") == 0);
    cluster.stop().await
}

/// Many clients, each within its budget, are more than one budget together: links have none.
#[tokio::test]
async fn links_are_exempt() -> Result<()> {
    const EACH: u32 = 450;
    let cluster = cluster(2).await?;
    let [here, there] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let mut listener = Member::join_server(&cluster.url(), there).await?;
    listener.client.subscribe(&[LOUD]).await?;
    let mut speakers = Vec::new();
    for _ in 0..4 {
        speakers.push(Member::join_server(&cluster.url(), here).await?);
    }
    // Until the interest has crossed.
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && cluster.commserver(0).stats().subscriptions == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    for n in 0..EACH {
        for speaker in &speakers {
            speaker
                .client
                .publish(LOUD, Lane::Reliable, numbered(n))
                .await?;
        }
    }
    for _ in 0..EACH * 4 {
        listener.message().await?;
    }
    println!("{} packets crossed in {:?}", EACH * 4, start.elapsed());
    for server in 0..2 {
        let metrics = cluster.commserver(server).metrics().await?;
        ensure!(metrics.value("broker_rate_pauses_total") == 0, "{server}");
    }
    cluster.stop().await
}
