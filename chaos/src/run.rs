//! A run of chaos: everybody joins, things break by the plan, everything is mended, newcomers join,
//! and after a while the cluster must be as if nothing had been.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use processes::driver::Whereabouts;
use tokio::time::sleep;

use crate::{
    blow::{Blow, Fault, Place, Span, Target},
    cluster::{Cluster, Setup},
    held::Held,
    judge::{Case, SETTLED, Struck, TRAVEL, Verdict},
    log::{At, Line, What, now},
    plan, say,
};

/// What a run is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// What breaks when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For so long things break; joining and recovering come on top, about a minute.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What breaks instead of what the seed says, again for each fault: "kill server 1 at 20s for
    /// 5s", "cut there crowd 0 - server 1 at 5s for 20s".
    #[arg(long, value_name = "BLOW", conflicts_with_all = ["seed", "minutes"])]
    blow: Vec<Blow>,
    /// Clients that lost their server have to receive again so soon after they notice, 99 of 100.
    #[arg(long, value_name = "TIME")]
    back_within: Option<Span>,
    #[arg(long, default_value_t = 4)]
    servers: usize,
    /// In four processes.
    #[arg(long, default_value_t = 200)]
    clients: u32,
    /// Clients that join when everything is mended.
    #[arg(long, default_value_t = 10)]
    newcomers: u32,
    /// Between two publications of a client.
    #[arg(long, default_value_t = 1_000)]
    every_ms: u64,
    #[command(flatten)]
    at: Whereabouts,
}

/// Runs, and fails when the promise was broken.
pub(crate) fn main(flags: Flags) -> anyhow::Result<()> {
    ensure!(flags.servers > 0 && flags.servers < 200, "servers");
    ensure!(flags.clients >= 4, "clients: expected at least 4");
    let clients_of_crowd = flags.clients / u32::try_from(CROWDS)?;
    let newcomers = flags.newcomers;
    ensure!(
        (1..=clients_of_crowd).contains(&newcomers),
        "newcomers: expected 1 to {clients_of_crowd}"
    );
    let length = Duration::try_from_secs_f64(flags.minutes * 60.0).context("minutes")?;
    let (name, blows) = if flags.blow.is_empty() {
        let blows = plan::draw(flags.seed, length, flags.servers, CROWDS);
        (format!("seed-{}", flags.seed), blows)
    } else {
        plan::check(&flags.blow, flags.servers, CROWDS)?;
        ("planned".to_owned(), flags.blow)
    };
    let out = flags.at.out.join(name);
    if out.exists() {
        fs::remove_dir_all(&out).context("the logs of the last run")?;
    }
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let setup = Setup {
        programs: flags.at.programs,
        out,
        cabled: true,
        servers: flags.servers,
        crowds: CROWDS,
        clients_of_crowd,
        newcomers,
        topics: (flags.clients / CLIENTS_OF_TOPIC).max(1),
        every_ms: flags.every_ms,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let back_within = flags.back_within.map(|Span(within)| within);
    let again = format!("again by: {}", flags.at.command);
    runtime
        .block_on(run(setup, &blows, back_within))
        .context(again)
}

async fn run(setup: Setup, blows: &[Blow], back_within: Option<Duration>) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(setup.clone()).await?;
    let clients = setup.clients_of_crowd * u32::try_from(setup.crowds)?;
    wait_until_whole(&mut cluster, &setup, clients, At::ZERO).await?;
    say(&format!("{clients} clients are there"));
    let before = Held::by(&cluster).await?;
    let struck = strike(&mut cluster, blows).await?;
    say("everything is mended");
    cluster.start_one(Place::Crowd(setup.crowds)).await?;
    let clients = clients + setup.newcomers;
    let killed = struck.iter().filter(|struck| {
        struck.target == Target::Process(Place::Coordinator) && struck.fault == Fault::Kill
    });
    let welcomed_since = killed.map(|killed| killed.until).max();
    let welcomed_since = welcomed_since.unwrap_or_default();
    let took = wait_until_whole(&mut cluster, &setup, clients, welcomed_since).await?;
    say(&format!(
        "after {took:.1?} all {clients} clients are there, {} of them new, and each pair of {} \
         servers has its link",
        setup.newcomers, setup.servers
    ));
    pause(&mut cluster, SETTLED).await?;
    let whole_from = now();
    pause(&mut cluster, WHOLE + TRAVEL).await?;
    let until = now();
    let after = Held::by(&cluster).await?;
    let links_amiss = cluster.links_amiss().await?;
    let case = Case {
        struck,
        servers: cluster.aliases.clone(),
        clients,
        topics: setup.topics,
        clients_of_crowd: setup.clients_of_crowd,
        whole_from,
        until,
    };
    let verdict = case.judge(&read(&cluster, &setup));
    after.tell(&before);
    say(&format!("{} faults; {verdict}", blows.len()));
    let stopped = cluster.stop().await;
    let grown = after.growth(&before, setup.newcomers);
    ensure!(grown.is_empty(), "grown: {}", grown.join(", "));
    ensure!(links_amiss == 0, "{links_amiss} servers lack links");
    judge(&verdict, back_within)?;
    stopped
}

fn judge(verdict: &Verdict, back_within: Option<Duration>) -> anyhow::Result<()> {
    ensure!(verdict.is_good(), "the promise was broken");
    ensure!(verdict.judged_whole > 0, "nothing was judged at the end");
    if let Some(within) = back_within {
        let took = verdict
            .returned_within(99)
            .context("nobody had to return")?;
        ensure!(
            took <= within,
            "one of a hundred took longer than {took:.1?} to be back"
        );
    }
    Ok(())
}

/// Does what the plan says; returns what was struck when. In the end nothing is.
async fn strike(cluster: &mut Cluster, blows: &[Blow]) -> anyhow::Result<Vec<Struck>> {
    let start = Instant::now();
    let mut due: BTreeMap<(Duration, usize), bool> = BTreeMap::new();
    for (number, blow) in blows.iter().enumerate() {
        due.insert((blow.at, number * 2), true);
        due.insert((blow.end(), number * 2 + 1), false);
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
            struck.push(Struck {
                target: blow.target,
                fault: blow.fault,
                from: began.get(&number).copied().unwrap_or_default(),
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

/// Everybody is on a server that is there, subscribed, and has had a session at the coordinator
/// since then; each pair of servers has its link. Returns how long that took.
async fn wait_until_whole(
    cluster: &mut Cluster,
    setup: &Setup,
    clients: u32,
    welcomed_since: At,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    loop {
        let there = count_there(&read(cluster, setup), cluster, welcomed_since);
        let links_amiss = cluster.links_amiss().await?;
        if u32::try_from(there) == Ok(clients) && links_amiss == 0 {
            return Ok(start.elapsed());
        }
        if start.elapsed() > WHOLE_WITHIN {
            bail!("{there} of {clients} clients are there; {links_amiss} servers lack links");
        }
        pause(cluster, Duration::from_secs(1)).await?;
    }
}

fn count_there(lines: &[Line], cluster: &Cluster, welcomed_since: At) -> usize {
    let mut there: BTreeMap<u32, [bool; 2]> = BTreeMap::new();
    for line in lines {
        let [on_server, welcomed] = there.entry(line.client).or_default();
        match line.what {
            What::Subscribed(alias) => *on_server = !cluster.ended.contains(&alias),
            What::Away | What::Stopped => *on_server = false,
            What::Born => [*on_server, *welcomed] = [false, false],
            What::Welcomed(_) => *welcomed |= line.at >= welcomed_since,
            What::Sent(_) | What::Queued(_) | What::Got(_) => {}
        }
    }
    let there = there.values();
    there.filter(|has| **has == [true, true]).count()
}

/// All that the clients have seen. The last line of one that was killed may be cut short.
fn read(cluster: &Cluster, setup: &Setup) -> Vec<Line> {
    let mut lines = Vec::new();
    for crowd in 0..=setup.crowds {
        let path = cluster.log_of(crowd);
        let text = fs::read_to_string(&path).unwrap_or_default();
        lines.extend(text.lines().filter_map(|line| line.parse::<Line>().ok()));
    }
    lines
}

/// Processes of clients.
const CROWDS: usize = 4;
const CLIENTS_OF_TOPIC: u32 = 10;
/// For everybody to join, on a loaded machine, and for a link that a fault has cost: noticed after
/// 15 s and dialed again within 30 s.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);
/// How long is published when everything is whole.
const WHOLE: Duration = Duration::from_secs(15);
