//! A steady load for long, of which some clients leave and others join each second: what a server
//! holds, and how late packets are, must stay what it is.

mod plot;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use processes::{child::Child, driver::Whereabouts};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    blow::Place,
    cluster::{self, Cluster, Setup},
    say,
    trend::{Allowance, Series},
};

/// What a soak is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    #[arg(long, default_value_t = 2)]
    servers: usize,
    #[arg(long, default_value_t = 200)]
    clients: u32,
    /// Packets per second of each client.
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// Clients that leave and are replaced.
    #[arg(long, default_value = "1%/s")]
    churn: String,
    #[command(flatten)]
    at: Whereabouts,
}

/// Runs, and fails when something grows.
pub(crate) fn main(flags: Flags) -> anyhow::Result<()> {
    ensure!(flags.servers > 0, "servers");
    let out = flags.at.out.join("soak");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run(&flags, &out))
}

async fn run(flags: &Flags, out: &Path) -> anyhow::Result<()> {
    let setup = Setup {
        programs: flags.at.programs.clone(),
        out: out.to_owned(),
        cabled: false,
        servers: flags.servers,
        // The clients are client-sim's: it replaces them, and counts.
        crowds: 0,
        clients_of_crowd: 0,
        newcomers: 0,
        topics: 0,
        every_ms: 0,
    };
    let mut cluster = Cluster::start(setup).await?;
    let timeline = out.join("timeline.csv");
    let report = out.join("report.json");
    let mut load = start_load(flags, &cluster, out, &timeline, &report)?;
    let mut series = watch(flags, &mut cluster, &mut load).await?;
    let status = load.wait(LEAVE_MAX).await?;
    ensure!(status.success(), "client-sim: {status}; {}", load.log());
    let stopped = cluster.stop().await;
    series.insert("p99 ms", vec![latency(&timeline)?]);
    let plot = out.join("soak.svg");
    let title = format!(
        "{} minutes, {} servers, {} clients of whom {} are replaced",
        flags.minutes, flags.servers, flags.clients, flags.churn
    );
    plot::write(&plot, &title, &series)?;
    say(&format!("the plot: {}", plot.display()));
    let report: Value = serde_json::from_str(&fs::read_to_string(&report)?)?;
    let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or_default();
    say(&format!(
        "{} clients, {} joined and {} left meanwhile; {} published, {} delivered, {} lost, {} \
         duplicated, {} reordered",
        count("clients"),
        count("joined"),
        count("left"),
        count("published"),
        count("delivered"),
        count("lost"),
        count("duplicated"),
        count("reordered"),
    ));
    let grown = judge(&series);
    keep(flags, &plot)?;
    ensure!(grown.is_empty(), "grown: {}", grown.join(", "));
    ensure!(count("joined") > 0, "nobody was replaced");
    let faults = count("lost") + count("duplicated") + count("reordered");
    ensure!(faults == 0, "{faults} packets were lost, doubled or late");
    stopped
}

/// The plot of a run that is long enough is the one in docs/TESTING.md.
fn keep(flags: &Flags, plot: &Path) -> anyhow::Result<()> {
    let release = flags.at.programs.ends_with("release");
    if release && flags.minutes >= QUOTED_MINUTES {
        let page = flags.at.root.join(PLOT);
        fs::copy(plot, &page).with_context(|| page.display().to_string())?;
        say(&format!("kept as {}", page.display()));
    }
    Ok(())
}

fn start_load(
    flags: &Flags,
    cluster: &Cluster,
    out: &Path,
    timeline: &Path,
    report: &Path,
) -> anyhow::Result<Child> {
    let seconds = flags.minutes * 60.0;
    let topics = (flags.clients / CLIENTS_OF_TOPIC).max(1);
    let mut args = vec!["--quiet".to_owned()];
    for (flag, value) in [
        ("coordinator", cluster.url()),
        ("clients", flags.clients.to_string()),
        ("topics", topics.to_string()),
        ("rate", flags.rate.to_string()),
        ("churn", flags.churn.clone()),
        ("duration", format!("{seconds}s")),
        ("ramp", "5s".to_owned()),
        ("patience", "60s".to_owned()),
        ("record-timeline", timeline.display().to_string()),
        ("json", report.display().to_string()),
    ] {
        args.extend([format!("--{flag}"), value]);
    }
    let program = flags.at.programs.join("client-sim");
    let cores = processes::cores::allowed()?;
    let environment = cluster.environment();
    let logs = cluster::logs(out);
    Child::start("client-sim", &program, &args, environment, &cores, &logs)
}

/// Looks at the servers until the load is over.
async fn watch(
    flags: &Flags,
    cluster: &mut Cluster,
    load: &mut Child,
) -> anyhow::Result<BTreeMap<&'static str, Vec<Series>>> {
    let start = Instant::now();
    let longest = Duration::try_from_secs_f64(flags.minutes * 60.0)? + LEAVE_MAX;
    let interval = (longest / SAMPLES).max(Duration::from_secs(1));
    let mut all: BTreeMap<&'static str, BTreeMap<Place, Series>> = BTreeMap::new();
    while !load.has_ended()? {
        ensure!(start.elapsed() < longest, "client-sim does not end");
        cluster.check_running()?;
        let at = start.elapsed().as_secs_f64();
        let tasks = cluster.tasks().await?;
        for (place, held) in cluster.footprints()? {
            let tasks = tasks.get(&place).copied().unwrap_or_default();
            for (what, value) in [
                ("MiB", processes::usage::float(held.resident_bytes) / MIB),
                ("descriptors", processes::usage::float(held.descriptors)),
                ("threads", processes::usage::float(held.threads)),
                ("tasks", tasks),
            ] {
                let series = all.entry(what).or_default().entry(place);
                let series = series.or_insert_with(|| Series::named(format!("{place}, {what}")));
                series.points.push((at, value));
            }
        }
        sleep(interval).await;
    }
    let listed = all.into_iter();
    Ok(listed
        .map(|(what, series)| (what, series.into_values().collect()))
        .collect())
}

/// How late packets were, in each second.
fn latency(timeline: &Path) -> anyhow::Result<Series> {
    let text = fs::read_to_string(timeline).context("the timeline")?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines
        .next()
        .context("an empty timeline")?
        .split(',')
        .collect();
    let column = |name: &str| {
        let place = header.iter().position(|column| *column == name);
        place.with_context(|| format!("no {name} in the timeline"))
    };
    let (second, p99) = (column("second")?, column("p99_us")?);
    let mut series = Series::named("p99 ms");
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let (Some(at), Some(us)) = (cells.get(second), cells.get(p99)) else {
            bail!("a short line: {line:?}");
        };
        let (at, us): (f64, f64) = (at.parse()?, us.parse()?);
        series.points.push((at, us / 1_000.0));
    }
    // The last one is what was waited for after the end.
    series.points.pop();
    Ok(series)
}

fn judge(series: &BTreeMap<&'static str, Vec<Series>>) -> Vec<String> {
    let allowed = |what: &str| match what {
        "MiB" => Allowance {
            share: 0.1,
            beyond: 8.0,
        },
        "descriptors" | "tasks" => Allowance {
            share: 0.1,
            beyond: 16.0,
        },
        "threads" => Allowance {
            share: 0.0,
            beyond: 0.5,
        },
        // A machine that is shared has bad minutes.
        _ => Allowance {
            share: 2.0,
            beyond: 20.0,
        },
    };
    let all = series.iter();
    let all = all.flat_map(|(what, series)| series.iter().map(move |one| (*what, one)));
    let mut grown = Vec::new();
    for (what, one) in all {
        if let Some((first, last)) = one.ends() {
            say(&format!("{}: {first:.1}, in the end {last:.1}", one.name));
        }
        grown.extend(one.growth(allowed(what)));
    }
    grown
}

const CLIENTS_OF_TOPIC: u32 = 10;
const PLOT: &str = "docs/soak.svg";
/// What grows slowly does not show in less.
const QUOTED_MINUTES: f64 = 30.0;
const MIB: f64 = 1024.0 * 1024.0;
/// For joining, and for what is under way in the end.
const LEAVE_MAX: Duration = Duration::from_secs(180);
/// Enough for a plot.
const SAMPLES: u32 = 600;
