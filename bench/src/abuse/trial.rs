//! The crowd on fresh servers once, with attackers or without.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::attack::{BEGIN_S, Kind, PACKETS_PER_S};
use crate::{
    child::Child,
    load::{Load, Observe, Report},
    metrics::Metrics,
    subject::{Servers, Setup, args},
    usage::Spent,
};

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Trial {
    pub(crate) round: u32,
    pub(crate) attack: &'static str,
    pub(crate) abused: bool,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    /// CPU time of all servers, of one core, while the crowd published.
    pub(crate) server_share: f64,
    pub(crate) lost: u64,
    /// Clients of the crowd that had no server for a while, or were never let in.
    pub(crate) disconnected: u64,
    /// By how much the attack's counters grew.
    pub(crate) counted: f64,
    /// What must not be.
    pub(crate) faults: Vec<String>,
    /// The load tester's own report.
    pub(crate) report: Value,
}

impl Trial {
    /// Takes one.
    ///
    /// # Errors
    /// When there is nothing to report.
    pub(crate) async fn take(
        setup: &Setup,
        kind: &Kind,
        abused: bool,
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let store = Store::new(setup)?;
        let environments = [&store.coordinator(), &commserver()];
        let mut servers = Servers::ours(setup, 1, environments.map(Vec::as_slice)).await?;
        register(&servers).await?;
        let mut attacker = None;
        if abused {
            attacker = Some(start(setup, &servers, kind).await?);
        }
        let before = servers.metrics().await?;
        let load = crowd(seconds);
        let loaded = load.run(setup, &mut servers, Observe::Usage).await?;
        let counted = match &mut attacker {
            Some(attacker) => {
                let counted = noticed(&servers, &before, kind).await?;
                attacker.check_running()?;
                counted
            }
            None => 0.0,
        };
        if let Some(attacker) = attacker {
            attacker.kill().await?;
        }
        let spent = Spent::between(&loaded.begun.server, &loaded.over.server);
        let mut trial = Self {
            server_share: spent.share(1, loaded.report.duration_s),
            counted,
            ..Self::of(&loaded.report)
        };
        trial.report = loaded.raw;
        if abused && counted == 0.0 {
            trial.faults.push("no server noticed".to_owned());
        }
        if let Err(error) = servers.stop().await {
            trial.faults.push(format!("{error:#}"));
        }
        Ok(trial)
    }

    fn of(report: &Report) -> Self {
        let us = |value: u64| crate::usage::float(value);
        let disconnected = report.failed + report.reconnects;
        let wrong = [
            ("lost", report.lost),
            ("away", report.away),
            ("disconnected", disconnected),
            ("duplicated", report.duplicated),
            ("reordered", report.reordered),
            ("corrupt", report.corrupt),
        ];
        let wrong = wrong.into_iter().filter(|(_, count)| *count > 0);
        Self {
            p50_us: us(report.latency_us.p50),
            p99_us: us(report.latency_us.p99),
            max_us: us(report.latency_us.max),
            lost: report.lost,
            disconnected,
            faults: wrong
                .map(|(what, count)| format!("{count} {what}"))
                .collect(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.abused { "abused" } else { "calm" };
        let (round, attack, p99_ms) = (self.round, self.attack, self.p99_us / 1_000.0);
        write!(f, "round {round}  {attack:<10} {how:<6} p99 {p99_ms:.2} ms")?;
        if !self.faults.is_empty() {
            write!(f, "  FAILED: {}", self.faults.join(", "))?;
        }
        Ok(())
    }
}

/// A room like any other: everybody hears everybody.
fn crowd(seconds: f64) -> Load {
    Load {
        seconds,
        ..Load::default()
    }
}

/// The file of the registered clients, which is gone with this value.
struct Store(PathBuf);

impl Store {
    fn new(setup: &Setup) -> anyhow::Result<Self> {
        let path = setup.logs.join("registered.redb");
        if path.exists() {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
        Ok(Self(path))
    }

    fn coordinator(&self) -> Vec<(&'static str, String)> {
        vec![
            ("BROKER_AUTH__CLIENTS", "registered,secret".to_owned()),
            (
                "BROKER_AUTH__REGISTERED__STORE",
                self.0.display().to_string(),
            ),
            (
                "BROKER_AUTH__REGISTERED__SELF_REGISTRATION",
                true.to_string(),
            ),
        ]
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may never have been made; what is left is in a folder for logs.
        let _removed = fs::remove_file(&self.0);
    }
}

fn commserver() -> Vec<(&'static str, String)> {
    let limit = PACKETS_PER_S.to_string();
    vec![
        ("BROKER_LIMITS__RELIABLE_PACKETS_PER_S", limit.clone()),
        ("BROKER_LIMITS__UNRELIABLE_PACKETS_PER_S", limit),
    ]
}

/// Somebody whose key is to be guessed.
async fn register(servers: &Servers) -> anyhow::Result<()> {
    let host = servers.url.trim_start_matches("ws://");
    let key = "k".repeat(32);
    let body = format!(
        r#"{{"clientID":"{}","authKey":"{key}"}}"#,
        abuse::REGISTERED
    );
    let length = body.len();
    let request = format!(
        "POST /v1/auth/register HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(ANSWER_TIMEOUT, stream.read_to_string(&mut answer)).await??;
    ensure!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    Ok(())
}

/// An attacker that is under way.
async fn start(setup: &Setup, servers: &Servers, kind: &Kind) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("this program")?;
    let rtc = servers.rtc.first().context("a commserver's address")?;
    let arguments = args(&[
        "attack",
        kind.name,
        "--coordinator",
        &servers.url,
        "--rtc",
        rtc,
    ]);
    let token = servers.token.clone().unwrap_or_default();
    let environment = [("BROKER_TOKEN", token)];
    let cores = &servers.cores.load;
    let mut attacker = Child::start(
        "attack",
        &program,
        &arguments,
        &environment,
        cores,
        &setup.logs,
    )?;
    let begins = Duration::from_secs(BEGIN_S.into()) * 2;
    let line = attacker.line(begins).await?;
    ensure!(line.is_some(), "the attack ended; {}", attacker.log());
    Ok(attacker)
}

/// How much the servers have counted; some of it they count when they lose patience.
async fn noticed(servers: &Servers, before: &Metrics, kind: &Kind) -> anyhow::Result<f64> {
    let begun = Instant::now();
    loop {
        let now = servers.metrics().await?;
        let grown = kind.counters.iter();
        let grown: f64 = grown.filter_map(|name| now.growth(before, name)).sum();
        if grown > 0.0 || begun.elapsed() > NOTICE_TIMEOUT {
            return Ok(grown);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest patience of a server is 15 s, with a handshake.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_is_a_fault() {
        let report = |lost: u64, reconnects: u64| {
            let report = serde_json::json!({
                "connected": 2, "failed": 1, "published": 1, "expected": 1, "delivered": 1,
                "lost": lost, "away": 0, "duplicated": 0, "reordered": 0, "corrupt": 0,
                "socket_drops": 0, "stalls": 0, "datagrams_in": 0, "datagrams_out": 0,
                "deliver_per_s": 1, "connect_ms": {"p99": 1.0, "max": 1.0},
                "latency_us": {"p50": 1, "p99": 2_000, "p999": 3, "max": 4}, "errors": {},
                "duration_s": 1.0, "reconnects": reconnects,
            });
            serde_json::from_value::<Report>(report).expect("a report")
        };
        let trial = Trial::of(&report(3, 4));
        assert_eq!(trial.faults, ["3 lost", "5 disconnected"]);
        assert_eq!(Trial::of(&report(0, 0)).faults, ["1 disconnected"]);
        let shown = Trial {
            round: 2,
            attack: "loud",
            abused: true,
            ..trial
        };
        assert_eq!(
            shown.to_string(),
            "round 2  loud       abused p99 2.00 ms  FAILED: 3 lost, 5 disconnected"
        );
    }
}
