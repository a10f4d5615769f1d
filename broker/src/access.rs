//! What every command needs that is a client of a cluster: how to get in, what to say meanwhile, and
//! with which status to end.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use client::{
    Client, Config, ConnectError, Endpoint, EndpointConfig, Event, Events, PublishError, Reason,
    RequestError, RequestRefused, SubscribeError,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use url::Url;

/// Why the session has ended for good, when that is why something did not succeed: the answer to it
/// may come before the event.
pub(crate) fn stopped(error: &anyhow::Error) -> Option<Reason> {
    let published = error.downcast_ref::<PublishError>();
    if let Some(PublishError::Stopped(reason)) = published {
        return Some(*reason);
    }
    match error.downcast_ref::<SubscribeError>()? {
        SubscribeError::Invalid(RequestRefused::Stopped(reason))
        | SubscribeError::Failed(RequestError::Stopped(reason)) => Some(*reason),
        SubscribeError::Invalid(_) | SubscribeError::Failed(_) => None,
    }
}

/// How to get in.
#[derive(Debug, clap::Args)]
pub(crate) struct Access {
    /// The coordinator, e.g. ws://127.0.0.1:9090.
    #[arg(long, value_name = "URL", env = "BROKER_COORDINATOR")]
    pub(crate) coordinator: Url,
    /// The token to show. Other users of this machine see flags: prefer BROKER_TOKEN.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "BROKER_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// PEM file with the authority that signs the coordinator's certificate, for wss; without it,
    /// those that the system trusts.
    #[arg(long, value_name = "FILE", env = "BROKER_TLS__CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

impl Access {
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new(self.coordinator.clone());
        if let Some(path) = &self.ca_file {
            config = config.with_ca_file(path);
        }
        match &self.token {
            Some(token) => config.with_token(token.clone()),
            None => config,
        }
    }

    /// A client on its way.
    pub(crate) fn connect(&self) -> Result<(Client, Events), ConnectError> {
        Endpoint::new(EndpointConfig::default())?.connect(&self.config())
    }
}

/// Says on standard error how the client fares, unless nobody wants to know.
#[derive(Debug)]
pub(crate) struct Notices {
    command: &'static str,
    client: Client,
    quiet: bool,
    connected: bool,
    /// It has been said how to find out more.
    advised: bool,
}

impl Notices {
    pub(crate) fn new(command: &'static str, client: Client, quiet: bool) -> Self {
        Self {
            command,
            client,
            quiet,
            connected: false,
            advised: false,
        }
    }

    pub(crate) fn say(&self, text: impl Display) {
        if !self.quiet {
            complain(self.command, text);
        }
    }

    /// What an event means to whoever watches.
    pub(crate) fn tell(&mut self, event: &Event) {
        match event {
            Event::Connected { alias, server } => {
                let again = if self.connected { " again" } else { "" };
                self.connected = true;
                self.say(format_args!(
                    "connected{again} to server {server}, as {alias}"
                ));
            }
            Event::Disconnected { reason } => self.say(format_args!("lost the server: {reason}")),
            Event::Retrying { reason, after } => {
                let wait = Tenths(*after);
                let trouble = self.trouble(*reason);
                self.say(format_args!(
                    "not connected: {trouble}; trying again in {wait}"
                ));
                if !self.connected && !std::mem::replace(&mut self.advised, true) {
                    self.say("`broker doctor` with the same --coordinator finds out why");
                }
            }
            Event::Error(error) => self.say(format_args!("the server reports: {error}")),
            Event::Message(_) | Event::Answered { .. } | Event::Stopped { .. } => {}
        }
    }

    /// Why there is no server.
    pub(crate) fn trouble(&self, reason: Reason) -> String {
        // Before a server was named, nothing else can have closed.
        if reason == Reason::TransportClosed && self.client.stats().attempts == 0 {
            "the coordinator cannot be reached".to_owned()
        } else {
            reason.to_string()
        }
    }
}

/// Seconds, to the tenth.
struct Tenths(Duration);

impl Display for Tenths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

/// On standard error; if that is closed, nobody wants to know.
pub(crate) fn complain(command: &str, text: impl Display) {
    _ = writeln!(io::stderr(), "broker {command}: {text}");
}

/// Runs a command to its end; an error is said, and decides the status.
pub(crate) fn run<F>(command: &'static str, task: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into()))
        .init();
    let ended = tokio::runtime::Runtime::new()
        .context("starting the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(task);
            // A read of standard input cannot be ended, and is not waited for.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|error| {
        complain(command, format_args!("{error:#}"));
        ExitCode::from(status(&error))
    })
}

/// What could not have worked is bad usage.
fn status(error: &anyhow::Error) -> u8 {
    let usage = matches!(error.downcast_ref(), Some(ConnectError::BadUrl(_)))
        || matches!(
            error.downcast_ref(),
            Some(SubscribeError::Invalid(
                RequestRefused::BadTopic { .. } | RequestRefused::TooManySubscriptions(_)
            ))
        )
        || error.downcast_ref::<BadUsage>().is_some();
    if usage { BAD_USAGE } else { FAILED }
}

/// What was asked for cannot be done, whatever the cluster says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUsage(pub(crate) String);

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("signals")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// What was asked for was not done.
pub(crate) const FAILED: u8 = 1;

/// `EX_USAGE` of sysexits.h: as for every bad configuration.
pub(crate) const BAD_USAGE: u8 = 64;

/// What a shell says of a program that a signal has ended: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
