//! The command line: from flags, environment and file to a running coordinator, and its exit
//! status. `main` is nothing else, and `broker` has the same as a subcommand.

use std::{
    fmt::Display,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use settings::EXIT_CONFIG;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Config, Server, from_settings};

/// Brings clients and communication servers together. Carries no application data.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "coordinator", version)]
pub struct Args {
    /// Address to listen on [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address of health, metrics and the admin API, or `none` [default: 127.0.0.1:9091, or another
    /// port where --listen has another one].
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<String>,
    /// TOML file with settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File that holds the cluster secret; without it, BROKER_CLUSTER_SECRET does.
    #[arg(long, value_name = "FILE")]
    pub cluster_secret_file: Option<PathBuf>,
    /// File that holds the secret that clients show; without it, BROKER_CLIENT_SECRET does.
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// File that holds the secret of the admin API; without it, BROKER_ADMIN_SECRET does.
    #[arg(long, value_name = "FILE")]
    pub admin_secret_file: Option<PathBuf>,
    /// Let every client in, without any token.
    #[arg(long)]
    pub insecure: bool,
    /// Check the configuration, and exit.
    #[arg(long)]
    pub check_config: bool,
    /// Print the settings in force and where each came from, and exit.
    #[arg(long)]
    pub print_config: bool,
}

/// Reads this process's command line, and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run(&args),
        Err(error) => {
            let printed = error.print();
            debug_assert!(printed.is_ok() || error.use_stderr());
            if error.use_stderr() {
                ExitCode::from(EXIT_CONFIG)
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

/// Runs a coordinator until SIGTERM or SIGINT. To be called outside of any runtime.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    settings::panic::end_the_process();
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = match from_settings::load(args, environment) {
        Ok(loaded) => loaded,
        Err(problems) => {
            say(format_args!("coordinator: the configuration is not valid"));
            for line in problems.lines() {
                say(format_args!("  {line}"));
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if args.print_config {
        return print(&loaded.effective);
    }
    if args.check_config {
        return print(&"the configuration is valid\n");
    }
    loaded.log.start();
    if loaded.insecure {
        tracing::warn!("INSECURE: every client is let in, without any token");
    }
    match serve(loaded.config) {
        Ok(End::InOrder) => ExitCode::SUCCESS,
        Ok(End::CutShort) => ExitCode::from(EXIT_CUT_SHORT),
        Err(error) => {
            say(format_args!("coordinator: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// How an end that was asked for came about.
enum End {
    /// Every session was told.
    InOrder,
    /// A second signal came first.
    CutShort,
}

fn serve(config: Config) -> anyhow::Result<End> {
    tracing::info!(
        memory_bytes_max = config.limits.memory_bytes_max(),
        clients_max = config.limits.core.clients_max,
        servers_max = config.limits.core.servers_max,
        "limits"
    );
    raise_file_limit(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(config).await?;
        let shutdown = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let reloader = server.reloader();
        let mut signals = 0;
        let admin = server.admin_addr();
        let admin = admin.map_or_else(String::new, |addr| format!(" admin=http://{addr}"));
        writeln!(
            io::stdout(),
            "coordinator ready: {}://{}{admin}",
            server.scheme(),
            server.addr()
        )?;
        let running = server.run(shutdown.clone());
        tokio::pin!(running);
        loop {
            tokio::select! {
                () = &mut running => return Ok(End::InOrder),
                _ = terminate.recv() => signals += 1,
                _ = interrupt.recv() => signals += 1,
                _ = hangup.recv() => {
                    reloader.reload();
                    continue;
                }
            }
            if signals > 1 {
                tracing::warn!("asked twice: ending without waiting for the sessions");
                return Ok(End::CutShort);
            }
            tracing::info!("shutting down");
            shutdown.cancel();
        }
    })
}

/// Each session is an open file, and systems start programs with room for about a thousand.
fn raise_file_limit(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let granted = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            current
        }
    };
    let core = &config.limits.core;
    let needed = core.clients_max + core.servers_max + config.limits.requests_max;
    let short = |granted| usize::try_from(granted).is_ok_and(|granted: usize| granted < needed);
    if granted.is_some_and(short) {
        tracing::warn!(
            open_files_max = granted,
            needed,
            "fewer open files than sessions are allowed: lower limits.clients_max, or raise `ulimit -n`"
        );
    }
}

fn print(text: &dyn Display) -> ExitCode {
    match write!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn say(line: impl Display) {
    // Without standard error there is nobody to tell; the exit status says it too.
    drop(writeln!(io::stderr(), "{line}"));
}

/// What a shell says of a program that a signal has ended: 128 and the number of SIGINT.
const EXIT_CUT_SHORT: u8 = 130;
