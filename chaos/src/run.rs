//! A run of chaos: everybody joins, things break by the plan, everything is mended, and after a
//! while the cluster must be as if nothing had been.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use processes::footprint::Footprint;
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, Setup},
    judge::{AFTERMATH, Case, Struck, Verdict},
    log::{Line, What, now},
    plan::{self, Blow, Fault, Place, Target},
    say,
};

/// What a run is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// What breaks when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For so long things break; joining and recovering come on top, about a minute and a half.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    #[arg(long, default_value_t = 4)]
    servers: usize,
    /// In four processes.
    #[arg(long, default_value_t = 200)]
    clients: u32,
    /// Between two publications of a client.
    #[arg(long, default_value_t = 1_000)]
    every_ms: u64,
    /// Folder of the programs.
    #[arg(long)]
    programs: PathBuf,
    /// Where logs go.
    #[arg(long)]
    out: PathBuf,
}

/// Runs, and fails when the promise was broken.
pub(crate) fn main(flags: Flags) -> anyhow::Result<()> {
    ensure!(flags.servers > 0 && flags.servers < 200, "servers");
    ensure!(flags.clients >= 4, "clients: expected at least 4");
    let length = Duration::try_from_secs_f64(flags.minutes * 60.0).context("minutes")?;
    let out = flags.out.join(format!("seed-{}", flags.seed));
    if out.exists() {
        fs::remove_dir_all(&out).context("the logs of the last run")?;
    }
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let setup = Setup {
        programs: flags.programs,
        out,
        cabled: true,
        servers: flags.servers,
        crowds: CROWDS,
        clients_of_crowd: flags.clients / u32::try_from(CROWDS)?,
        topics: (flags.clients / CLIENTS_OF_TOPIC).max(1),
        every_ms: flags.every_ms,
    };
    let blows = plan::draw(flags.seed, length, flags.servers, CROWDS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let again = format!(
        "again by: cargo xtask chaos --seed {} --minutes {}",
        flags.seed, flags.minutes
    );
    runtime.block_on(run(setup, &blows)).context(again)
}

async fn run(setup: Setup, blows: &[Blow]) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(setup.clone()).await?;
    let clients = setup.clients_of_crowd * u32::try_from(setup.crowds)?;
    wait_for_all(&mut cluster, &setup, clients).await?;
    say(&format!("{clients} clients are there"));
    let before = Held::by(&cluster).await?;
    let struck = strike(&mut cluster, blows).await?;
    say("everything is whole again");
    // Everybody is back, and every link that was lost is there.
    pause(&mut cluster, AFTERMATH).await?;
    wait_for_all(&mut cluster, &setup, clients).await?;
    let whole_from = now();
    pause(&mut cluster, WHOLE).await?;
    let until = now();
    let after = Held::by(&cluster).await?;
    let case = Case {
        struck,
        servers: cluster.aliases.clone(),
        clients,
        topics: setup.topics,
        clients_of_crowd: setup.clients_of_crowd,
        whole_from,
        until,
    };
    let verdict = case.judge(&read(&cluster, &setup)?);
    let grown = after.growth(&before);
    tell(&verdict, &before, &after, blows.len());
    let stopped = cluster.stop().await;
    ensure!(verdict.is_good(), "the promise was broken");
    ensure!(verdict.judged_whole > 0, "nothing was judged at the end");
    ensure!(grown.is_empty(), "grown: {}", grown.join(", "));
    stopped
}

/// Does what the plan says; returns what was struck when. In the end nothing is.
async fn strike(cluster: &mut Cluster, blows: &[Blow]) -> anyhow::Result<Vec<Struck>> {
    let start = Instant::now();
    let mut due: BTreeMap<(Duration, usize), bool> = BTreeMap::new();
    for (number, blow) in blows.iter().enumerate() {
        due.insert((blow.at, number * 2), true);
        due.insert((blow.at + blow.lasts, number * 2 + 1), false);
    }
    let mut began = BTreeMap::new();
    let mut struck = Vec::new();
    for ((at, key), begins) in due {
        pause(cluster, at.saturating_sub(start.elapsed())).await?;
        let number = key / 2;
        let Some(blow) = blows.get(number) else {
            continue;
        };
        if begins {
            say(&format!("{:>7.1} s {blow}", start.elapsed().as_secs_f64()));
            began.insert(number, now());
            begin(cluster, blow).await?;
        } else {
            end(cluster, blow).await?;
            let from = began.get(&number).copied().unwrap_or_default();
            struck.push(Struck {
                target: blow.target,
                from,
                until: now(),
            });
        }
    }
    Ok(struck)
}

async fn begin(cluster: &mut Cluster, blow: &Blow) -> anyhow::Result<()> {
    match (blow.target, blow.fault) {
        (Target::Process(place), Fault::Kill) => cluster.kill(place).await,
        (Target::Process(place), _) => cluster.set_stopped(place, true),
        (Target::Path(from, to), fault) => {
            cluster.cable.faults().strike((from, to), fault);
            Ok(())
        }
    }
}

async fn end(cluster: &mut Cluster, blow: &Blow) -> anyhow::Result<()> {
    match (blow.target, blow.fault) {
        (Target::Process(place), Fault::Kill) => cluster.start_one(place).await,
        (Target::Process(place), _) => cluster.set_stopped(place, false),
        (Target::Path(from, to), _) => {
            cluster.cable.faults().mend((from, to));
            Ok(())
        }
    }
}

/// Waits, and looks whether anybody has ended who should not.
async fn pause(cluster: &mut Cluster, wait: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + wait;
    loop {
        cluster.check_running()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(Duration::from_secs(1))).await;
    }
}

/// Everybody is on a server, and subscribed.
async fn wait_for_all(cluster: &mut Cluster, setup: &Setup, clients: u32) -> anyhow::Result<()> {
    let end = Instant::now() + JOIN_MAX;
    loop {
        pause(cluster, Duration::from_secs(1)).await?;
        let mut there = BTreeMap::new();
        for line in read(cluster, setup)? {
            match line.what {
                What::Subscribed(_) => there.insert(line.client, true),
                What::Away | What::Stopped => there.insert(line.client, false),
                _ => continue,
            };
        }
        let count = there.values().filter(|here| **here).count();
        if u32::try_from(count) == Ok(clients) {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("{count} of {clients} clients are there");
        }
    }
}

/// All that the clients have seen. The last line of one that was killed may be cut short.
fn read(cluster: &Cluster, setup: &Setup) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for crowd in 0..setup.crowds {
        let path = cluster.log_of(crowd);
        let text = fs::read_to_string(&path).unwrap_or_default();
        lines.extend(text.lines().filter_map(|line| line.parse::<Line>().ok()));
    }
    Ok(lines)
}

/// What the servers hold.
struct Held {
    footprints: BTreeMap<Place, Footprint>,
    tasks: BTreeMap<Place, f64>,
}

impl Held {
    async fn by(cluster: &Cluster) -> anyhow::Result<Self> {
        Ok(Self {
            footprints: cluster.footprints()?,
            tasks: cluster.tasks().await?,
        })
    }

    /// What is more than it was, beyond what the same clients on other servers explain.
    fn growth(&self, before: &Self) -> Vec<String> {
        let most = |count: fn(&Footprint) -> u64| {
            let servers = before.footprints.iter();
            let servers = servers.filter(|(place, _)| **place != Place::Coordinator);
            servers.map(|(_, held)| count(held)).max().unwrap_or(0)
        };
        let mut grown = Vec::new();
        for (place, now) in &self.footprints {
            let Some(then) = before.footprints.get(place) else {
                continue;
            };
            let is_server = *place != Place::Coordinator;
            let base = |count: fn(&Footprint) -> u64| {
                if is_server { most(count) } else { count(then) }
            };
            let memory = base(|held| held.resident_bytes);
            for (what, now, allowed) in [
                ("bytes", now.resident_bytes, memory * 2 + MEMORY_SLACK_BYTES),
                (
                    "descriptors",
                    now.descriptors,
                    base(|held| held.descriptors) + DESCRIPTORS_SLACK,
                ),
                ("threads", now.threads, base(|held| held.threads)),
            ] {
                if now > allowed {
                    grown.push(format!(
                        "{place} has {now} {what}, and {allowed} are allowed"
                    ));
                }
            }
            let tasks = |held: &Self| held.tasks.get(place).copied().unwrap_or_default();
            if tasks(self) > tasks(before) + TASKS_SLACK {
                let (then, now) = (tasks(before), tasks(self));
                grown.push(format!("{place} has {now} tasks, after {then}"));
            }
        }
        grown
    }
}

fn tell(verdict: &Verdict, before: &Held, after: &Held, blows: usize) {
    for (place, then) in &before.footprints {
        let Some(now) = after.footprints.get(place) else {
            continue;
        };
        say(&format!(
            "{place}: {} -> {} KiB, {} -> {} descriptors, {} -> {} threads, {} -> {} tasks",
            then.resident_bytes / 1024,
            now.resident_bytes / 1024,
            then.descriptors,
            now.descriptors,
            then.threads,
            now.threads,
            before.tasks.get(place).copied().unwrap_or_default(),
            after.tasks.get(place).copied().unwrap_or_default(),
        ));
    }
    for example in &verdict.examples {
        say(example);
    }
    let Verdict {
        published,
        arrived,
        judged,
        judged_whole,
        excused,
        after_move,
        duplicated,
        reordered,
        lost,
        missing,
        ..
    } = verdict;
    say(&format!(
        "{blows} faults, {published} published, {arrived} arrived; {judged} had to arrive ({judged_whole} \
         of them after the last fault): {lost} lost, {duplicated} duplicated, {reordered} reordered; \
         {excused} missed where a fault had struck their way, {after_move} came again or late after a \
         move; clients missing at the end: {missing:?}"
    ));
}

/// Processes of clients.
const CROWDS: usize = 4;
const CLIENTS_OF_TOPIC: u32 = 10;
/// For everybody to join, on a loaded machine.
const JOIN_MAX: Duration = Duration::from_secs(90);
/// How long is published when everything is whole.
const WHOLE: Duration = Duration::from_secs(15);
/// Clients are spread anew after each fault, and an allocator gives little back.
const MEMORY_SLACK_BYTES: u64 = 48 * 1024 * 1024;
/// Connections that are being closed.
const DESCRIPTORS_SLACK: u64 = 16;
const TASKS_SLACK: f64 = 32.0;
