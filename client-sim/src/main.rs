//! Load-tests a running cluster: flags in, report out.
//!
//! Exits 0 when the run meets every `--require`, 1 when it misses one, 2 when there is nothing to
//! report, 64 on bad flags.

mod phases;
mod screen;

use std::{
    convert::Infallible,
    fs,
    io::{self, IsTerminal as _, Write as _},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use client_sim::{
    Churn, ConnectError, Control, Error, Impair, Lane, Options, Report, Requirement, parse_duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Synthetic clients that load-test a running cluster and report honestly.
///
/// Sends are on a fixed schedule and latency counts from the scheduled time, so that a stall is
/// seen. Publishing starts when probes from every server have reached every subscriber.
#[derive(Debug, Parser)]
#[command(name = "client-sim", version)]
struct Flags {
    /// The coordinator, e.g. ws://127.0.0.1:9090.
    #[arg(long, value_name = "URL")]
    coordinator: Url,
    /// Clients, each with a UDP and a TCP socket.
    #[arg(long, default_value_t = 50)]
    clients: u32,
    /// Topics.
    #[arg(long, default_value_t = 1)]
    topics: u32,
    /// Topics that each client subscribes to.
    #[arg(long, default_value_t = 1)]
    subscribe_per_client: u32,
    /// From one client's first topic to the next one's; a divisor of the topics.
    #[arg(long, default_value_t = 1)]
    stride: u32,
    /// How many clients publish: ALL or a number.
    #[arg(long, default_value = "ALL", value_parser = parse_publishers)]
    publishers: Publishers,
    /// Packets per second of each publisher.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// A closed loop instead of a rate: publications that each publisher may have under way, one
    /// being answered when every subscriber has it, or a later one. Latency counts from the sending.
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    window: Option<u32>,
    /// Bytes of each packet's body, at least 28.
    #[arg(long, default_value_t = 100)]
    payload: usize,
    /// reliable or unreliable.
    #[arg(long, default_value = "reliable", value_parser = parse_lane)]
    lane: Lane,
    /// How long to publish.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Over which to start the clients.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    ramp: Duration,
    /// How long to wait, after the ramp, for clients to be connected and for probes to arrive.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    patience: Duration,
    /// Source of the schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shown by every client; visible to other users of this machine: prefer BROKER_TOKEN.
    #[arg(long, env = "BROKER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// PEM file with the authority that signs the coordinator's certificate, for wss.
    #[arg(long, value_name = "FILE", env = "BROKER_TLS__CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The secret of signed tokens (HS256): each client shows one of its own, `client-sim-N`. Prefer
    /// BROKER_JWT_SECRET.
    #[arg(
        long,
        value_name = "SECRET",
        env = "BROKER_JWT_SECRET",
        hide_env_values = true,
        conflicts_with = "token"
    )]
    jwt_secret: Option<String>,
    /// A bad network between every client and its server, each way: loss=1%,delay=20ms,jitter=5ms.
    #[arg(long)]
    impair: Option<Impair>,
    /// Threads for the clients; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Address of the clients' sockets.
    #[arg(long, value_name = "IP")]
    listen: Option<IpAddr>,
    /// Clients that leave and are replaced by fresh ones each second, e.g. 1%/s or 2/s.
    #[arg(long, value_name = "RATE", conflicts_with = "window")]
    churn: Option<Churn>,
    /// Write a line of numbers about each second, as CSV, to this file.
    #[arg(long, value_name = "FILE")]
    record_timeline: Option<PathBuf>,
    /// Thresholds to meet, e.g. lost=0 or p99=20ms; may repeat, or hold several with commas.
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', long_help = require_help())]
    require: Vec<Requirement>,
    /// Write the report as JSON to this file, or to standard output with '-'.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Say on standard output when a phase begins: one JSON object a line, for programs.
    #[arg(long)]
    phases: bool,
    /// No progress, and no report for people.
    #[arg(long)]
    quiet: bool,
}

/// How many clients publish; `None` is all.
#[derive(Debug, Clone, Copy)]
struct Publishers(Option<u32>);

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            // Help and version are no errors.
            let bad = error.use_stderr();
            let _printed = error.print();
            return if bad {
                ExitCode::from(BAD_FLAGS)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(flags) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            let bad = matches!(
                error.downcast_ref(),
                Some(Error::Options(_) | Error::Client(ConnectError::BadUrl(_)))
            );
            ExitCode::from(if bad { BAD_FLAGS } else { NO_REPORT })
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    raise_file_limit(flags.clients, flags.churn)?;
    let stop = CancellationToken::new();
    let progress = watch::Sender::default();
    let (screen, listener) = (progress.subscribe(), progress.subscribe());
    let show = !flags.quiet && io::stderr().is_terminal();
    let tell = flags.phases;
    let control = Control {
        stop: stop.clone(),
        progress: Some(progress),
    };
    let (require, json, quiet) = (flags.require.clone(), flags.json.clone(), flags.quiet);
    let report = {
        let watching = async {
            let show = async {
                if show {
                    screen::show(screen).await;
                }
            };
            let tell = async {
                if tell {
                    phases::tell(listener).await;
                }
            };
            let ((), ()) = tokio::join!(show, tell);
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            report = client_sim::run(flags.into(), control) => report,
            () = interrupts(&stop) => anyhow::bail!("interrupted twice"),
            never = watching => match never {},
        }
    };
    if show {
        screen::clear();
    }
    finish(&report?, &require, json, quiet)
}

/// Each client is two open files, and systems start programs with room for about a thousand.
fn raise_file_limit(clients: u32, churn: Option<Churn>) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // What counts is whether the limit in force is enough.
    let granted = setrlimit(Resource::Nofile, raised).map_or(current, |()| maximum);
    let leaving = churn.map_or(0, |churn| churn.leaving_max(clients));
    let at_once = u64::from(clients) + leaving;
    let needed = at_once * FILES_PER_CLIENT + FILES_BESIDE;
    anyhow::ensure!(
        granted.is_none_or(|granted| granted >= needed),
        "{clients} clients need {needed} open files, and {} are allowed: raise `ulimit -n`",
        granted.unwrap_or_default()
    );
    Ok(())
}

/// The first interrupt ends the run with a report, the second ends it now.
async fn interrupts(stop: &CancellationToken) {
    for _ in 0..2 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        stop.cancel();
    }
}

fn finish(
    report: &Report,
    require: &[Requirement],
    json: Option<PathBuf>,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let to_stdout = json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(report).context("the report as JSON")? + "\n";
        if to_stdout {
            io::stdout()
                .write_all(text.as_bytes())
                .context("standard output")?;
        } else {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
    }
    if !quiet {
        if to_stdout {
            say(&report.to_string());
        } else {
            write!(io::stdout(), "{report}").context("standard output")?;
        }
    }
    let misses: Vec<_> = require
        .iter()
        .filter_map(|required| required.check(report))
        .collect();
    for miss in &misses {
        say(&format!("missed: {miss}\n"));
    }
    Ok(if misses.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(MISSED)
    })
}

impl From<Flags> for Options {
    fn from(flags: Flags) -> Self {
        Self {
            coordinator: flags.coordinator,
            clients: flags.clients,
            topics: flags.topics,
            subscribe_per_client: flags.subscribe_per_client,
            stride: flags.stride,
            publishers: flags.publishers.0,
            rate: flags.rate,
            window: flags.window,
            payload: flags.payload,
            lane: flags.lane,
            duration: flags.duration,
            ramp: flags.ramp,
            patience: flags.patience,
            seed: flags.seed,
            token: flags.token.map(|token| Arc::new(token.into())),
            ca_file: flags.ca_file,
            jwt_secret: flags.jwt_secret.map(|secret| Arc::new(secret.into())),
            impair: flags.impair,
            workers: flags.workers,
            listen: flags.listen,
            churn: flags.churn,
            record_timeline: flags.record_timeline,
        }
    }
}

fn parse_publishers(text: &str) -> Result<Publishers, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Publishers(None));
    }
    let number = text
        .parse()
        .map_err(|_| format!("expected ALL or a number, got {text:?}"))?;
    Ok(Publishers(Some(number)))
}

fn parse_lane(text: &str) -> Result<Lane, String> {
    let lane = Lane::ALL.into_iter().find(|lane| lane.label() == text);
    lane.ok_or_else(|| format!("expected reliable or unreliable, got {text:?}"))
}

fn require_help() -> String {
    format!(
        "Thresholds to meet, e.g. lost=0 or p99=20ms; may repeat, or hold several with commas. \
         Counts also as a share of what was expected: lost=0.1%. Names: {}.",
        client_sim::REQUIREMENTS
    )
}

/// To standard error; if that is closed, nobody wants to know.
fn say(text: &str) {
    let _written = io::stderr().write_all(text.as_bytes());
}

/// A UDP socket to the server, a TCP socket to the coordinator.
const FILES_PER_CLIENT: u64 = 2;

/// For the runtimes, the terminal and the report.
const FILES_BESIDE: u64 = 64;

/// Exit codes.
const MISSED: u8 = 1;
const NO_REPORT: u8 = 2;
const BAD_FLAGS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn options(flags: &str) -> Options {
        let flags = flags.split_whitespace();
        let all = ["client-sim", "--coordinator", "ws://127.0.0.1:9090"]
            .into_iter()
            .chain(flags);
        Flags::try_parse_from(all).expect("good flags").into()
    }

    #[test]
    fn flags_are_in_order() {
        Flags::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let (ours, theirs) = (options(""), Options::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn flags_become_options() {
        let options = options(
            "--publishers 3 --lane unreliable --duration 500ms --rate 0.5 \
             --impair loss=1%,delay=20ms,jitter=5ms --churn 1%/s --record-timeline t.csv",
        );
        assert_eq!(options.churn, Some(Churn::Share(0.01)));
        assert_eq!(options.record_timeline, Some(PathBuf::from("t.csv")));
        assert_eq!(options.publishers, Some(3));
        assert_eq!(options.lane, Lane::Unreliable);
        assert_eq!(options.duration, Duration::from_millis(500));
        assert_eq!(
            options.impair.map(|impair| impair.delay),
            Some(Duration::from_millis(20))
        );
    }

    #[test]
    fn requirements_may_repeat_or_be_listed() {
        let flags = [
            "client-sim",
            "--coordinator",
            "ws://h",
            "--require",
            "lost=0,p99=20ms",
            "--require",
            "failed=0",
        ];
        let flags = Flags::try_parse_from(flags).expect("good flags");
        assert_eq!(flags.require.len(), 3);
    }
}
