//! One run of the load tester against running servers, and what everybody used meanwhile.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    child::Child,
    metrics::Metrics,
    subject::{Servers, Setup, args},
    usage::Usage,
};

/// A load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    /// `None` is all.
    pub(crate) publishers: Option<u32>,
    pub(crate) pace: Pace,
    pub(crate) payload: u32,
    pub(crate) lane: Lane,
    pub(crate) topics: u32,
    pub(crate) subscribe: u32,
    /// Client n starts with topic n times this.
    pub(crate) stride: u32,
    /// As `shard::Impair` reads it.
    pub(crate) impair: Option<&'static str>,
    pub(crate) seconds: f64,
    /// Over which clients are started.
    pub(crate) ramp_s: f64,
}

/// How publishers publish.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// On a schedule, so many a second each.
    Rate(f64),
    /// In a closed loop, so many under way each.
    Window(u32),
}

/// The lane under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Reliable,
    Unreliable,
}

impl Lane {
    pub(crate) const BOTH: [Self; 2] = [Self::Reliable, Self::Unreliable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            clients: 50,
            publishers: None,
            pace: Pace::Rate(10.0),
            payload: 100,
            lane: Lane::Reliable,
            topics: 1,
            subscribe: 1,
            stride: 1,
            impair: None,
            seconds: 10.0,
            ramp_s: 1.0,
        }
    }
}

/// What the load tester found; see `client_sim::Report`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Report {
    pub(crate) connected: u64,
    pub(crate) failed: u64,
    pub(crate) reconnects: u64,
    pub(crate) published: u64,
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) away: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupt: u64,
    pub(crate) socket_drops: u64,
    pub(crate) stalls: u64,
    pub(crate) datagrams_in: u64,
    pub(crate) datagrams_out: u64,
    pub(crate) deliver_per_s: u64,
    pub(crate) connect_ms: ConnectMs,
    pub(crate) latency_us: LatencyUs,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) duration_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct ConnectMs {
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct LatencyUs {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// What is looked at while a load runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observe {
    /// CPU time and memory alone: being scraped costs a server some of both.
    Usage,
    /// The servers' metrics as well.
    Counters,
}

/// What everybody had used when a phase began.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) server: Usage,
    pub(crate) carriers: Usage,
    pub(crate) load: Usage,
    /// Deliveries so far.
    pub(crate) delivered: u64,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) report: Report,
    /// The same, whole.
    pub(crate) raw: Value,
    /// Before the first client.
    pub(crate) started: Usage,
    /// The same, of those that carry packets.
    pub(crate) carriers_started: Usage,
    /// Everybody is connected and subscribed; publishing begins.
    pub(crate) begun: Moment,
    /// Publishing is over.
    pub(crate) over: Moment,
    /// What was under way has arrived.
    pub(crate) arrived: Moment,
    /// What the servers count when publishing has begun, and after it; see [`Observe::Counters`].
    pub(crate) counters: Option<[Metrics; 2]>,
}

impl Load {
    /// Runs it to its end.
    pub(crate) async fn run(
        &self,
        setup: &Setup,
        servers: &mut Servers,
        observe: Observe,
    ) -> anyhow::Result<Loaded> {
        let json = setup.logs.join("report.json");
        let mut arguments = self.arguments(&servers.url);
        arguments.extend(["--json".to_owned(), json.display().to_string()]);
        let token = servers.token.clone();
        let environment: Vec<_> = token
            .map(|token| ("BROKER_TOKEN", token))
            .into_iter()
            .collect();
        let (started, carriers_started) = (servers.usage()?, servers.usage_of_carriers()?);
        let mut client_sim = Child::start(
            "client-sim",
            &setup.program("client-sim"),
            &arguments,
            &environment,
            &servers.cores.load,
            &setup.logs,
        )?;
        let mut moments = BTreeMap::new();
        let mut counters = Vec::new();
        while let Some(line) = client_sim.line(self.phase_timeout()).await? {
            let phase: Phase = serde_json::from_str(&line).with_context(|| line.clone())?;
            let moment = Moment {
                server: servers.usage()?,
                carriers: servers.usage_of_carriers()?,
                load: Usage::of(&[client_sim.pid()])?,
                delivered: phase.delivered,
            };
            if observe == Observe::Counters
                && matches!(phase.phase.as_str(), "publishing" | "leaving")
            {
                // By then, what went before is in them.
                sleep(COUNTERS_AGE_MAX).await;
                counters.push(servers.metrics().await?);
            }
            moments.insert(phase.phase, moment);
        }
        let status = client_sim.wait(LEAVE_TIMEOUT).await?;
        if !status.success() {
            bail!("client-sim: {status}; {}", client_sim.log());
        }
        servers.check_running()?;
        let raw = std::fs::read_to_string(&json).context("the report")?;
        let raw: Value = serde_json::from_str(&raw).context("the report")?;
        let mut moment = |phase: &str| {
            let moment = moments.remove(phase);
            moment.with_context(|| format!("client-sim said nothing about {phase}"))
        };
        Ok(Loaded {
            report: serde_json::from_value(raw.clone()).context("the report")?,
            raw,
            started,
            carriers_started,
            begun: moment("publishing")?,
            over: moment("draining")?,
            arrived: moment("leaving")?,
            counters: counters.try_into().ok(),
        })
    }

    fn arguments(&self, url: &str) -> Vec<String> {
        let mut all = args(&["--quiet", "--phases", "--coordinator", url]);
        let mut add = |name: &str, value: String| all.extend([format!("--{name}"), value]);
        add("clients", self.clients.to_string());
        add("topics", self.topics.to_string());
        add("subscribe-per-client", self.subscribe.to_string());
        if self.stride != 1 {
            add("stride", self.stride.to_string());
        }
        if let Some(publishers) = self.publishers {
            add("publishers", publishers.to_string());
        }
        match self.pace {
            Pace::Rate(rate) => add("rate", rate.to_string()),
            Pace::Window(window) => add("window", window.to_string()),
        }
        add("payload", self.payload.to_string());
        add("lane", self.lane.name().to_owned());
        if let Some(impair) = self.impair {
            add("impair", impair.to_owned());
        }
        add("duration", format!("{}s", self.seconds));
        add("ramp", format!("{}s", self.ramp_s));
        add("patience", format!("{}s", PATIENCE.as_secs()));
        all
    }

    /// Between two of its lines: the ramp and the patience, the window, or the drain.
    fn phase_timeout(&self) -> Duration {
        let longest = self.ramp_s.max(self.seconds);
        Duration::from_secs_f64(longest) + 2 * PATIENCE + DRAIN_MAX
    }
}

#[derive(Debug, Deserialize)]
struct Phase {
    phase: String,
    delivered: u64,
}

/// For clients to connect and for probes to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The load tester's own bound, and a little.
const DRAIN_MAX: Duration = Duration::from_secs(65);

/// A commserver's metrics may be a quarter of a second old.
const COUNTERS_AGE_MAX: Duration = Duration::from_millis(300);

/// For its clients to say goodbye.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_told_by_flags() {
        let load = Load {
            publishers: Some(1),
            pace: Pace::Window(8),
            lane: Lane::Unreliable,
            impair: Some("loss=1%"),
            seconds: 2.5,
            ..Load::default()
        };
        let told = load.arguments("ws://h").join(" ");
        assert_eq!(
            told,
            "--quiet --phases --coordinator ws://h --clients 50 --topics 1 --subscribe-per-client 1 \
             --publishers 1 --window 8 --payload 100 --lane unreliable --impair loss=1% \
             --duration 2.5s --ramp 1s --patience 30s"
        );
    }
}
