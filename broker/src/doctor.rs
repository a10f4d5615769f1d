//! `broker doctor`: says what is wrong with the way of a client to its servers, step by step, and what
//! to do about it.
//!
//! It does what every client does, with the same session and the same engine, and looks at it.

mod address;
mod clock;
mod coordinator;
mod http;
mod probe;
mod report;
mod server;
mod upgrade;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use client::{Config, Endpoint, EndpointConfig};

use crate::access::{Access, BadUsage, FAILED, INTERRUPTED, interrupted};
use report::Report;
use server::Examiner;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at name, TCP, HTTP, WebSocket, token and WELCOME of the coordinator; then, for each server that \
it offers, at the addresses offered, UDP, DTLS, channels, authentication, round trips, both lanes, the \
largest packet, and the link to the first server; and at the clocks. Run it where the clients are.

Exit status: 0 when all is well, 1 when something is wrong, 64 for bad usage, 130 when interrupted.")]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Print one JSON object at the end: healthy, coordinator, findings.
    #[arg(long)]
    json: bool,
}

/// Examines everything that can be reached.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut config = args.access.config();
    if let Err(error) = config.upgrade_request() {
        anyhow::bail!(BadUsage(error.to_string()));
    }
    // One try, and quick answers.
    config.connect_timeout = STEP_TIMEOUT;
    config.ping_interval = Some(PING_INTERVAL);
    let mut report = Report::new(config.coordinator.to_string(), args.json);
    tokio::select! {
        examined = examine(&mut report, &config) => examined?,
        interrupted = interrupted() => {
            interrupted?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    report.close();
    Ok(match report.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}

async fn examine(report: &mut Report, config: &Config) -> anyhow::Result<()> {
    let Some(coordinator) = coordinator::examine(report, config).await else {
        return Ok(());
    };
    let endpoint = Endpoint::new(EndpointConfig::default()).context("a certificate")?;
    let examiner = Examiner {
        endpoint: &endpoint,
        config,
        coordinator: coordinator.ip,
    };
    let mut anchor = None;
    for server in coordinator.servers {
        report.turn_to(server);
        examiner.examine(report, server, &mut anchor).await;
    }
    if let Some(anchor) = anchor {
        anchor.leave().await;
    }
    Ok(())
}

pub(crate) const COMMAND: &str = "doctor";

/// For every single thing that is waited for.
const STEP_TIMEOUT: Duration = Duration::from_secs(8);

const PING_INTERVAL: Duration = Duration::from_millis(200);
