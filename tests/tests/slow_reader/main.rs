//! Slow readers at real servers: 10,000 packets to one who reads nothing while two others read
//! everything. `--nocapture` prints the figures.

mod sloth;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use client::Event;
use proto::{Lane, Reason};
use shard::outbox::{self, Policy};
use shard::rtc_peer::CloseReason;
use tests::PATIENCE;
use tests::cluster::{Cluster, Setup};
use tests::member::Member;
use tests::metrics::Metrics;
use tokio::sync::oneshot;

use self::sloth::{Report, Sloth};

const TOPIC: &str = "plaza";
const COUNT: u32 = 10_000;
/// Packets that are published before they are read.
const RUN: u32 = 100;

/// A server whose outboxes are as they are by default, but for the policy and a short grace.
async fn cluster(policy: Policy, lane: Lane) -> Result<Cluster> {
    let sizes = match policy {
        // Half of it is less than all packets together.
        Policy::Buffered => outbox::Config {
            bytes_max: 512 * 1024,
            ..outbox::Config::RELIABLE
        },
        Policy::FixedQueue | Policy::Discard => outbox::Config::UNRELIABLE,
    };
    let outbox = outbox::Config {
        policy,
        grace: Duration::from_millis(500),
        ..sizes
    };
    let setup = Setup {
        commserver: Arc::new(move |config| match lane {
            Lane::Reliable => config.rtc.reliable = outbox,
            Lane::Unreliable => config.rtc.unreliable = outbox,
        }),
        ..Setup::default()
    };
    setup.start(1).await
}

/// A speaker and two who hear it.
struct Others {
    speaker: Member,
    hearers: [Member; 2],
}

impl Others {
    async fn join(url: &str) -> Result<Self> {
        let speaker = Member::join(url).await?;
        let hearers = [Member::join(url).await?, Member::join(url).await?];
        for hearer in &hearers {
            hearer.client.subscribe(&[TOPIC]).await?;
        }
        Ok(Self { speaker, hearers })
    }

    /// Speaks, and demands that both hear everything in order; returns how long runs took.
    async fn converse(&mut self, lane: Lane) -> Result<Runs> {
        let mut took = Vec::new();
        for run in 0..COUNT / RUN {
            let start = Instant::now();
            let numbers = run * RUN..(run + 1) * RUN;
            for n in numbers.clone() {
                self.speaker.publish(TOPIC, lane, numbered(n)).await?;
            }
            for hearer in &mut self.hearers {
                for n in numbers.clone() {
                    let heard = hearer.message().await?;
                    ensure!(heard.body == numbered(n), "{n} in order, not {heard:?}");
                }
            }
            took.push(start.elapsed());
        }
        took.sort_unstable();
        Ok(Runs(took))
    }
}

/// How long each took, the shortest first.
struct Runs(Vec<Duration>);

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent: usize| self.0.get(self.0.len() * percent / 100);
        write!(f, "runs of {RUN}: median {:?}, p99 {:?}", at(50), at(99))
    }
}

fn numbered(n: u32) -> Bytes {
    let mut body = n.to_be_bytes().to_vec();
    body.resize(100, 0);
    body.into()
}

/// Every packet that the broker handed to the transport for the slow one is at it, or counted.
#[expect(clippy::print_stdout, reason = "the figures that the test is for")]
fn ensure_accounted(name: &str, lane: Lane, metrics: &Metrics, report: &Report) -> Result<()> {
    let lane = lane.label();
    let delivered = metrics.value(&format!("broker_delivered_total{{lane=\"{lane}\"}}"));
    // Two heard everything, twice.
    let sent = delivered - 2 * 2 * u64::from(COUNT);
    let reasons = [
        "evicted",
        "discarded",
        "slow_consumer",
        "unsent",
        "unacknowledged",
        "peer_gone",
    ];
    let drops = reasons.map(|reason| (reason, metrics.transport_drops(reason)));
    let drops: Vec<_> = drops.into_iter().filter(|(_, n)| *n > 0).collect();
    let dropped: u64 = drops.iter().map(|(_, n)| n).sum();
    println!(
        "{name}: {sent} sent, {} delivered, dropped {drops:?}; {:?}",
        report.delivered, report.closed
    );
    let counted = report.delivered + dropped;
    // What was on its way when it was closed may be both; an ERROR may be among the dropped.
    ensure!(
        (sent..=sent + 3).contains(&counted),
        "{counted} of {sent} accounted for"
    );
    ensure!(report.delivered < 4_000, "it did not read");
    Ok(())
}

#[tokio::test]
async fn buffered_closes_who_does_not_read_and_says_why() -> Result<()> {
    let cluster = cluster(Policy::Buffered, Lane::Reliable).await?;
    let mut others = Others::join(&cluster.url()).await?;
    let alone = others.converse(Lane::Reliable).await?;
    let sloth = Sloth::join(&cluster.url(), TOPIC).await?;
    cluster.subscribed(3).await?;
    let beside = others.converse(Lane::Reliable).await?;
    let report = sloth.closed().await?;
    println!("the others alone, {alone}; beside it, {beside}");
    let code = Reason::SlowConsumer.number();
    ensure!(report.closed == CloseReason::RemoteCode(code), "{report:?}");
    cluster
        .wait_for("everything to be counted", |stats| {
            let slow = stats.peers_closed.get(&Reason::SlowConsumer);
            slow == Some(&1) && stats.published.iter().sum::<u64>() == 2 * u64::from(COUNT)
        })
        .await?;
    let metrics = cluster.commserver(0).metrics().await?;
    ensure!(metrics.value("broker_slow_consumers_total") == 1);
    ensure_accounted("buffered, reliable", Lane::Reliable, &metrics, &report)?;
    cluster.stop().await
}

#[tokio::test]
async fn fixed_queue_and_discard_drop_for_who_does_not_read() -> Result<()> {
    for (policy, lane) in [
        (Policy::FixedQueue, Lane::Unreliable),
        (Policy::Discard, Lane::Unreliable),
        (Policy::FixedQueue, Lane::Reliable),
        (Policy::Discard, Lane::Reliable),
    ] {
        let cluster = cluster(policy, lane).await?;
        let mut others = Others::join(&cluster.url()).await?;
        let alone = others.converse(lane).await?;
        let sloth = Sloth::join(&cluster.url(), TOPIC).await?;
        cluster.subscribed(3).await?;
        let beside = others.converse(lane).await?;
        let report = sloth.leave().await?;
        ensure!(report.closed == CloseReason::Local, "nobody closed it");
        cluster
            .wait_for("its leave", |stats| stats.clients == 3)
            .await?;
        let metrics = cluster.commserver(0).metrics().await?;
        ensure!(metrics.value("broker_slow_consumers_total") == 0);
        let name = format!("{policy:?}, {}", lane.label());
        ensure_accounted(&name, lane, &metrics, &report)?;
        println!("the others alone, {alone}; beside it, {beside}");
        cluster.stop().await?;
    }
    Ok(())
}

/// One of our clients whose whole process stands still for a while.
struct Frozen {
    stands_still: oneshot::Receiver<()>,
    thaw: std::sync::mpsc::Sender<()>,
    thread: thread::JoinHandle<Result<Reason>>,
}

impl Frozen {
    fn join(url: String) -> Self {
        let (ready, stands_still) = oneshot::channel();
        let (thaw, thawed) = channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build()?;
            runtime.block_on(freeze(&url, ready, thawed))
        });
        Self {
            stands_still,
            thaw,
            thread,
        }
    }
}

async fn freeze(url: &str, ready: oneshot::Sender<()>, thawed: Receiver<()>) -> Result<Reason> {
    let mut member = Member::join(url).await?;
    member.client.subscribe(&[TOPIC]).await?;
    ready.send(()).ok();
    // Blocks the one thread that all its tasks run on.
    thawed.recv_timeout(3 * PATIENCE)?;
    loop {
        match member.expect().await? {
            Event::Disconnected { reason } => return Ok(reason),
            Event::Message(_) => {}
            other => bail!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn our_client_learns_that_it_was_slow_and_comes_back() -> Result<()> {
    let cluster = cluster(Policy::Buffered, Lane::Reliable).await?;
    let mut others = Others::join(&cluster.url()).await?;
    let frozen = Frozen::join(cluster.url());
    frozen.stands_still.await.context("it did not join")?;
    others.converse(Lane::Reliable).await?;
    cluster
        .wait_for("its close", |stats| {
            stats.peers_closed.get(&Reason::SlowConsumer) == Some(&1)
        })
        .await?;
    frozen.thaw.send(())?;
    let learnt = tokio::task::spawn_blocking(|| frozen.thread.join()).await?;
    let reason = learnt.map_err(|_| anyhow::anyhow!("it panicked"))??;
    ensure!(reason == Reason::SlowConsumer, "{reason}");
    ensure!(reason.retryable());
    cluster.stop().await
}
