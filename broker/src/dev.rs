//! `broker dev`: a coordinator, some commservers and the demo page in one process.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use auth::{AllowAll, ClusterSecret};
use coordinator::BindError;
use settings::Value as _;
use tokio::{signal::unix, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::{bots, pages};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the coordinator and of the demo page. With 0.0.0.0 other machines reach it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090", value_parser = parse_addr)]
    listen: SocketAddr,
    /// Communication servers.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    commservers: u16,
    /// Dots that wander about in the plaza.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    bots: u32,
}

/// Runs the cluster until SIGINT or SIGTERM; a second one ends it at once.
pub(crate) fn main(args: &Args) -> ExitCode {
    // A broken terminal must not end the cluster.
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()));
    log.init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("starting the runtime")),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    _ = writeln!(io::stderr(), "broker dev: {error:#}");
    ExitCode::FAILURE
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    // The coordinator goes last: who loses it before would warn of it.
    let stop_coordinator = CancellationToken::new();
    let tasks = TaskTracker::new();
    let secret = ClusterSecret::generate();

    let mut config = coordinator::Config::new(Arc::new(AllowAll), secret.clone());
    config.listen = args.listen;
    config.admin_listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    config.pages = pages::plaza();
    // Two tabs of a newcomer are to meet across two servers, not to be lucky.
    config.selector = coordinator::Selector::RoundRobin;
    let coordinator = coordinator::Server::bind(config).await.map_err(explain)?;
    let addr = coordinator.addr();
    let admin = coordinator.admin_addr();
    let reachable = reachable(addr);
    let coordinator = coordinator.run(stop_coordinator.clone());
    let last = TaskTracker::new();
    last.spawn(end_all_after(coordinator, stop.clone()));
    last.close();

    let mut welcomes = Vec::new();
    for _ in 0..args.commservers {
        let uri = format!("ws://{reachable}")
            .parse()
            .context("the coordinator's address")?;
        let mut config = commserver::Config::new(uri, Arc::new(AllowAll), secret.clone());
        config.rtc_listen = SocketAddr::new(addr.ip(), 0);
        // All go together, so nobody has anywhere to go.
        config.drain.timeout = Duration::ZERO;
        let server = commserver::Server::bind(config).await?;
        welcomes.push((server.status(), server.rtc_addr()));
        let stop = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = server.run(stop.clone()).await {
                tracing::error!(%error, "a communication server has ended");
                stop.cancel();
            }
        });
    }
    let mut servers = Vec::new();
    for (mut status, rtc_addr) in welcomes {
        let welcomed = timeout(WELCOME_TIMEOUT, status.welcomed()).await;
        welcomed
            .ok()
            .flatten()
            .context("a communication server did not reach the coordinator")?;
        servers.push(rtc_addr);
    }

    let url = Url::parse(&format!("ws://{reachable}")).context("the coordinator's address")?;
    if args.bots > 0 {
        bots::spawn(args.bots, &url, &tasks, &stop)?;
    }
    introduce(reachable, admin, &servers, args.bots);
    interrupted(&stop).await?;

    stop.cancel();
    tasks.close();
    let ended = async {
        tasks.wait().await;
        stop_coordinator.cancel();
        last.wait().await;
    };
    tokio::select! {
        () = ended => Ok(()),
        second = unwanted_wait() => second,
    }
}

/// Why there is no coordinator: most often because there is one already.
fn explain(error: BindError) -> anyhow::Error {
    match &error {
        BindError::Listen { addr, source } if source.kind() == io::ErrorKind::AddrInUse => {
            anyhow::anyhow!(
                "another program listens on {addr}, perhaps another cluster: end it, or choose a \
                 port with --listen ({}:0 takes a free one)",
                addr.ip()
            )
        }
        // It tells its source by itself.
        _ => anyhow::anyhow!("{error}"),
    }
}

fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    SocketAddr::parse(text).map_err(|expected| format!("expected {expected}"))
}

/// Runs a part of the cluster; when it ends, everything does.
async fn end_all_after(part: impl Future<Output = ()>, stop: CancellationToken) {
    let _all = stop.drop_guard();
    part.await;
}

/// Where the coordinator is reached from this machine.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

fn introduce(
    coordinator: SocketAddr,
    admin: Option<SocketAddr>,
    servers: &[SocketAddr],
    bots: u32,
) {
    let mut text = format!(
        "\n  The plaza      http://{coordinator}/   open it in two tabs\n\
         \x20 coordinator    ws://{coordinator}\n"
    );
    if let Some(addr) = admin {
        text += &format!("  metrics        http://{addr}/metrics\n");
    }
    for (number, addr) in servers.iter().enumerate() {
        text += &format!("  commserver {}   udp {addr}\n", number + 1);
    }
    if bots > 0 {
        text += &format!("  bots           {bots}\n");
    }
    text += "\n  Everybody is let in: for trying out only. Ctrl-C ends it.\n\n";
    _ = io::stdout().write_all(text.as_bytes());
    _ = io::stdout().flush();
}

/// Waits for the first signal, or for a part that ended by itself.
async fn interrupted(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => Ok(interrupt?),
        _ = terminate.recv() => Ok(()),
        () = stop.cancelled() => anyhow::bail!("a server has ended by itself"),
    }
}

/// A second signal: the wait for an orderly end is over.
async fn unwanted_wait() -> anyhow::Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    std::process::exit(ENDED_BY_FORCE);
}

const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// What a shell says of a program that a signal has ended: 128 and the number of SIGINT.
const ENDED_BY_FORCE: i32 = 130;
