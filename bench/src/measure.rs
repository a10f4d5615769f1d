//! Measures one case on one subject: starts its processes, puts the load on them, ends them, and
//! says what was found.

mod clients;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{
    cases::{Case, Kind},
    child::Child,
    cores,
    figure::Figure,
    limit::Limited,
    load::{Lane, Load, Loaded, Observe, Pace, Report},
    subject::{Servers, Setup, Subject},
    usage::{Spent, float, is_saturated},
};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: BTreeMap<Figure, f64>,
    pub(crate) faults: Vec<String>,
    pub(crate) load_saturated: bool,
    pub(crate) report: Value,
}

/// Measures it once.
///
/// # Errors
/// When there is nothing to report; what a subject does wrong is in the outcome.
pub(crate) async fn measure(
    setup: &Setup,
    case: &Case,
    subject: Subject,
) -> anyhow::Result<Outcome> {
    match (&case.kind, subject) {
        (Kind::Load { load, .. }, Subject::Limit) => limit(setup, load).await,
        (Kind::Load { load, servers }, _) => loaded(setup, subject, load, *servers).await,
        (_, Subject::Limit) => bail!("{}: there is no limit of that", case.name),
        (
            Kind::Idle {
                clients,
                seconds,
                ramp_s,
            },
            _,
        ) => clients::idle(setup, subject, *clients, *seconds, *ramp_s).await,
        (Kind::Storm { clients }, _) => clients::storm(setup, subject, *clients).await,
        (Kind::Cycles { clients, cycles }, _) => {
            clients::cycles(setup, subject, *clients, *cycles).await
        }
        (Kind::Local { load }, _) => clients::local(setup, subject, load).await,
        (Kind::Topics { load }, _) => clients::topics(setup, subject, load).await,
    }
}

/// A load on fresh servers.
async fn loaded(
    setup: &Setup,
    subject: Subject,
    load: &Load,
    commservers: usize,
) -> anyhow::Result<Outcome> {
    let mut servers = Servers::start(setup, subject, commservers).await?;
    let loaded = load.run(setup, &mut servers, Observe::Usage).await?;
    let mut outcome = Outcome::of(load, &loaded, &servers);
    outcome.end(servers).await;
    Ok(outcome)
}

/// The kernel's limit for as many recipients and bytes.
async fn limit(setup: &Setup, load: &Load) -> anyhow::Result<Outcome> {
    let cores = setup.cores(1);
    let recipients = load.clients - 1;
    let both: Vec<usize> = cores.server.iter().chain(&cores.load).copied().collect();
    let mut arguments = vec!["limit".to_owned()];
    let mut add = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    add("recipients", recipients.to_string());
    add("payload", load.payload.to_string());
    add("seconds", (load.seconds / 2.0).to_string());
    add("server-cores", cores::list(&cores.server));
    add("load-cores", cores::list(&cores.load));
    let program = std::env::current_exe().context("this program")?;
    let mut child = start_limit(&program, &arguments, &both, setup)?;
    let line = child.ready().await?;
    let status = child.wait(LIMIT_TIMEOUT).await?;
    ensure!(status.success(), "limit: {status}; {}", child.log());
    let limited: Limited = serde_json::from_str(&line).with_context(|| line.clone())?;
    let per_s = float(limited.packets) / limited.seconds;
    Ok(Outcome {
        figures: BTreeMap::from([
            (Figure::DeliveriesPerCpuS, limited.packets_per_cpu_s()),
            (Figure::DeliveriesPerS, per_s),
            (Figure::DatagramsPerDelivery, 1.0),
            (Figure::ServerShare, limited.cpu_s / limited.seconds),
        ]),
        report: serde_json::to_value(&limited)?,
        ..Outcome::default()
    })
}

fn start_limit(
    program: &Path,
    arguments: &[String],
    both: &[usize],
    setup: &Setup,
) -> anyhow::Result<Child> {
    Child::start("limit", program, arguments, &[], both, &setup.logs)
}

impl Outcome {
    fn of(load: &Load, loaded: &Loaded, servers: &Servers) -> Self {
        let report = &loaded.report;
        // All that the deliveries cost: also of those that were under way at the end.
        let whole = Spent::between(&loaded.begun.server, &loaded.arrived.server);
        let publishing = Spent::between(&loaded.begun.server, &loaded.over.server);
        let load_spent = Spent::between(&loaded.begun.load, &loaded.over.load);
        let cores = &servers.cores;
        let load_share = load_spent.share(cores.load.len(), report.duration_s);
        let delivered = float(
            loaded
                .arrived
                .delivered
                .saturating_sub(loaded.begun.delivered),
        );
        let mut figures = BTreeMap::from([
            (Figure::DeliveriesPerS, float(report.deliver_per_s)),
            (
                Figure::ServerShare,
                publishing.share(cores.server.len(), report.duration_s),
            ),
            (Figure::LoadShare, load_share),
        ]);
        if report.delivered > 0 {
            let us = report.latency_us;
            let latencies = [
                (Figure::P50Us, us.p50),
                (Figure::P99Us, us.p99),
                (Figure::P999Us, us.p999),
                (Figure::MaxUs, us.max),
            ];
            figures.extend(latencies.map(|(figure, us)| (figure, float(us))));
            let datagrams = float(report.datagrams_in) / float(report.delivered);
            figures.insert(Figure::DatagramsPerDelivery, datagrams);
            let lost = float(report.lost) / float(report.expected);
            figures.insert(Figure::LostShare, lost);
        }
        if whole.cpu_s > 0.0 && delivered > 0.0 {
            figures.insert(Figure::DeliveriesPerCpuS, delivered / whole.cpu_s);
        }
        Self {
            figures,
            faults: faults(load, report),
            load_saturated: !cores.apart() || is_saturated(load_share),
            report: loaded.raw.clone(),
        }
    }

    /// Ends the servers; one that cannot be ended properly is a fault.
    async fn end(&mut self, servers: Servers) {
        if let Err(error) = servers.stop().await {
            self.faults.push(format!("{error:#}"));
        }
    }
}

/// What must not happen under a load. Without an impairment the network is the loopback interface,
/// and nothing is lost on either lane.
fn faults(load: &Load, report: &Report) -> Vec<String> {
    let reliable = load.lane == Lane::Reliable;
    let lossy = load.impair.is_some() && !reliable;
    let mut faults = Vec::new();
    let mut check = |good: bool, count: u64, what: &str| {
        if !good && count > 0 {
            faults.push(format!("{count} {what}"));
        }
    };
    check(false, report.failed, "not connected");
    check(lossy, report.lost, "lost");
    check(false, report.duplicated, "duplicated");
    check(!reliable, report.reordered, "reordered");
    check(false, report.corrupt, "corrupt");
    check(
        false,
        report.away,
        "missed by clients that lost their server",
    );
    check(false, report.socket_drops, "dropped by the load's sockets");
    check(false, report.stalls, "windows without an answer");
    for (name, count) in &report.errors {
        // Where datagrams are lost a handshake may fail; the client has tried again.
        if load.impair.is_none() || name != "HandshakeTimeout" {
            faults.push(format!("{count} × {name}"));
        }
    }
    let publishes = load.publishers != Some(0) && load.pace != Pace::Rate(0.0);
    if publishes && report.published == 0 {
        faults.push("nothing was published".to_owned());
    }
    faults
}

/// It takes seconds.
const LIMIT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{ConnectMs, LatencyUs};

    fn clean() -> Report {
        Report {
            connected: 50,
            failed: 0,
            reconnects: 0,
            published: 10,
            expected: 490,
            delivered: 490,
            lost: 0,
            away: 0,
            duplicated: 0,
            reordered: 0,
            corrupt: 0,
            socket_drops: 0,
            stalls: 0,
            datagrams_in: 500,
            datagrams_out: 500,
            deliver_per_s: 490,
            connect_ms: ConnectMs { p99: 1.0, max: 1.0 },
            latency_us: LatencyUs {
                p50: 1,
                p99: 1,
                p999: 1,
                max: 1,
            },
            errors: BTreeMap::new(),
            duration_s: 1.0,
        }
    }

    fn found(lane: Lane, impair: Option<&'static str>, change: impl FnOnce(&mut Report)) -> String {
        let load = Load {
            lane,
            impair,
            ..Load::default()
        };
        let mut report = clean();
        change(&mut report);
        faults(&load, &report).join(", ")
    }

    #[test]
    fn a_clean_run_has_no_faults() {
        for lane in Lane::BOTH {
            assert_eq!(found(lane, None, |_| {}), "");
        }
    }

    #[test]
    fn loss_is_a_fault_but_where_it_was_asked_for() {
        let lose = |report: &mut Report| report.lost = 3;
        assert_eq!(found(Lane::Reliable, None, lose), "3 lost");
        assert_eq!(found(Lane::Unreliable, None, lose), "3 lost");
        assert_eq!(found(Lane::Reliable, Some("loss=1%"), lose), "3 lost");
        assert_eq!(found(Lane::Unreliable, Some("loss=1%"), lose), "");
    }

    #[test]
    fn order_is_promised_on_the_reliable_lane_alone() {
        let swap = |report: &mut Report| report.reordered = 1;
        assert_eq!(found(Lane::Reliable, None, swap), "1 reordered");
        assert_eq!(found(Lane::Unreliable, None, swap), "");
    }

    #[test]
    fn a_second_try_is_no_fault_on_a_bad_network() {
        let fail = |report: &mut Report| {
            report.errors.insert("HandshakeTimeout".to_owned(), 1);
        };
        assert_eq!(found(Lane::Reliable, Some("loss=1%"), fail), "");
        assert_eq!(found(Lane::Reliable, None, fail), "1 × HandshakeTimeout");
    }

    #[test]
    fn nothing_else_is_ever_good() {
        let bad = |report: &mut Report| {
            report.duplicated = 1;
            report.corrupt = 2;
            report.failed = 3;
            report.errors.insert("IdleTimeout".to_owned(), 4);
            report.published = 0;
        };
        assert_eq!(
            found(Lane::Unreliable, Some("loss=1%"), bad),
            "3 not connected, 1 duplicated, 2 corrupt, 4 × IdleTimeout, nothing was published"
        );
    }
}
