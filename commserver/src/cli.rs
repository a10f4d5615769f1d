//! The command line: flags over environment over file over defaults, logging, signals, exit codes.

use std::{
    fmt::Display,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use settings::EXIT_CONFIG;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{Config, Server, Status, from_settings};

/// The flags. Everything else is in the file or the environment; see `--print-config`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// The coordinator, e.g. ws://127.0.0.1:9090
    #[arg(long, value_name = "URL")]
    pub coordinator: Option<String>,
    /// What it is: `server`, or `hub`, which passes on between the servers of a star
    /// [default: server]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// The region that it is in, for clients of the same one
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Where the UDP socket listens; with port 0 the system picks one [default: 0.0.0.0:7000]
    #[arg(long, value_name = "ADDR")]
    pub rtc_listen: Option<String>,
    /// Address that peers are told instead of the socket's own; may be repeated
    #[arg(long, value_name = "IP")]
    pub advertise: Vec<IpAddr>,
    /// Shards, each a thread with a socket of its own; one for now
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// Where /healthz, /readyz and /metrics are, or `none` [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File with the cluster secret [default: $BROKER_CLUSTER_SECRET]
    #[arg(long, value_name = "FILE")]
    pub cluster_secret_file: Option<String>,
    /// File with the secret that clients show [default: $BROKER_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<String>,
    /// Let in every client, whoever it is
    #[arg(long)]
    pub insecure: bool,
    /// How the log looks, on stderr: `pretty` or `json` [default: pretty]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Check the configuration and exit: 0 when it is good, 64 when it is not
    #[arg(long)]
    pub check_config: bool,
    /// Print every setting with its value and where that came from, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// The whole program. Exit codes: 0 after a shutdown that was asked for, 64 for a configuration
/// that cannot be used, 1 for anything else, 130 when a second signal cut the shutdown short.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    settings::panic::end_the_process();
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = from_settings::load(&args, environment);
    let config = match loaded.config {
        Ok(config) => config,
        Err(problems) => {
            complain(&"the configuration is not valid");
            for problem in problems.lines() {
                complain(&problem);
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if args.print_config {
        return say(&loaded.effective.to_string());
    }
    if args.check_config {
        return say("the configuration is good\n");
    }
    loaded.log.start();
    if loaded.insecure {
        tracing::warn!("INSECURE: every client is let in, whoever it is");
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The peers have a thread of their own; here are a WebSocket and some HTTP.
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = [
        signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
    ];
    let coordinator = config.coordinator.clone();
    let server = Server::bind(config).await?;
    let (rtc, admin, status) = (server.rtc_addr(), server.admin_addr(), server.status());
    let shutdown = CancellationToken::new();
    let mut around = tokio::task::JoinSet::new();
    around.spawn(watch_signals(signals, shutdown.clone()));
    around.spawn(async move {
        let line = ready_line(rtc, admin, &coordinator, status).await;
        say(&line);
    });
    // Dropping the set ends what is around.
    Ok(server.run(shutdown).await?)
}

/// One line for whoever started it. The sockets are bound already; it waits a moment only to be
/// able to say whether the coordinator is there.
async fn ready_line(
    rtc: SocketAddr,
    admin: Option<SocketAddr>,
    coordinator: &http::Uri,
    mut status: Status,
) -> String {
    let reached = match timeout(READY_WAIT, status.welcomed()).await {
        Ok(Some(alias)) => format!("reached, alias={alias}"),
        Ok(None) | Err(_) => "not reached yet, dialing on".into(),
    };
    let admin = admin.map_or_else(String::new, |addr| format!(" admin=http://{addr}"));
    format!("commserver ready: rtc=udp://{rtc}{admin} coordinator={coordinator} ({reached})\n")
}

/// The first signal asks for a shutdown, the second one does not ask.
async fn watch_signals(signals: [Signal; 2], shutdown: CancellationToken) {
    let [mut terminate, mut interrupt] = signals;
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if shutdown.is_cancelled() {
            tracing::warn!("second signal: going at once");
            std::process::exit(EXIT_SECOND_SIGNAL);
        }
        tracing::info!("shutting down");
        shutdown.cancel();
    }
}

/// Writes to stderr, whatever the log leaves out.
fn complain(what: &dyn Display) {
    // Without standard error there is nobody to tell; the exit status says it too.
    drop(writeln!(io::stderr(), "commserver: {what}"));
}

/// Writes to stdout. Whoever closed it does not want to hear.
fn say(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::debug!(%error, "stdout is closed");
            ExitCode::FAILURE
        }
    }
}

const EXIT_SECOND_SIGNAL: i32 = 130;
/// How long the ready line waits for the coordinator.
const READY_WAIT: Duration = Duration::from_secs(2);
