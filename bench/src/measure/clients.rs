//! What clients cost by being there: memory, keep-alives, handshakes, subscriptions.

use std::time::Duration;

use anyhow::Context as _;

use super::{Outcome, faults};
use crate::{
    figure::Figure,
    load::{Lane, Load, Loaded, Observe, Pace},
    subject::{Servers, Setup, Subject},
    usage::{Spent, Usage, float, float_of_usize, is_saturated},
};

/// Clients that connect one after the other, and then do nothing for a while.
pub(super) async fn idle(
    setup: &Setup,
    subject: Subject,
    clients: u32,
    seconds: f64,
    ramp_s: f64,
) -> anyhow::Result<Outcome> {
    let load = Load {
        ramp_s,
        seconds,
        ..silent(clients)
    };
    let mut servers = Servers::start(setup, subject, 1).await?;
    let loaded = load.run(setup, &mut servers, Observe::Usage).await?;
    let mut outcome = Outcome::of_clients(&load, &loaded, &servers);
    let idle = Spent::between(&loaded.begun.server, &loaded.over.server);
    let connected = float(loaded.report.connected);
    let keep_alives = float(loaded.report.datagrams_out) / idle.seconds / connected;
    outcome.figures.extend([
        (Figure::IdleCpuShare, idle.share(1, idle.seconds)),
        (Figure::KeepAlivesPerS, keep_alives),
    ]);
    outcome.end(servers).await;
    Ok(outcome)
}

/// Clients that all connect at once.
pub(super) async fn storm(
    setup: &Setup,
    subject: Subject,
    clients: u32,
) -> anyhow::Result<Outcome> {
    let load = Load {
        ramp_s: 0.0,
        ..silent(clients)
    };
    let mut servers = Servers::start(setup, subject, 1).await?;
    let loaded = load.run(setup, &mut servers, Observe::Usage).await?;
    let mut outcome = Outcome::of_clients(&load, &loaded, &servers);
    let connect_ms = loaded.report.connect_ms;
    let connected = float(loaded.report.connected);
    outcome.figures.extend([
        (
            Figure::ConnectionsPerS,
            connected / connect_ms.max * 1_000.0,
        ),
        (Figure::ConnectP99Ms, connect_ms.p99),
        (Figure::ConnectMaxMs, connect_ms.max),
    ]);
    outcome.end(servers).await;
    Ok(outcome)
}

/// Clients that come and go, again and again, on the same servers.
pub(super) async fn cycles(
    setup: &Setup,
    subject: Subject,
    clients: u32,
    cycles: u32,
) -> anyhow::Result<Outcome> {
    let mut servers = Servers::start(setup, subject, 1).await?;
    let mut outcome = Outcome::default();
    let mut resident = Vec::new();
    for _ in 0..cycles {
        let loaded = silent(clients)
            .run(setup, &mut servers, Observe::Usage)
            .await?;
        outcome
            .faults
            .extend(faults(&silent(clients), &loaded.report));
        outcome.report = loaded.raw;
        // They have said goodbye; a server that was not told everything waits for its timeout.
        tokio::time::sleep(GOODBYE).await;
        resident.push(servers.usage()?.resident_bytes);
    }
    let growth = growth(&resident).context("fewer than four cycles")?;
    outcome.figures.insert(Figure::ResidentGrowth, growth);
    outcome.end(servers).await;
    Ok(outcome)
}

/// Topics without a subscriber on another server: what goes over the links all the same. What finds
/// out who hears whom goes over them as well, before.
pub(super) async fn local(setup: &Setup, subject: Subject, load: &Load) -> anyhow::Result<Outcome> {
    let mut servers = Servers::start(setup, subject, 2).await?;
    let loaded = load.run(setup, &mut servers, Observe::Counters).await?;
    let [before, after] = loaded.counters.as_ref().context("no metrics")?;
    let relayed = after.growth(before, "broker_relayed_out_total");
    let mut outcome = Outcome {
        figures: [(Figure::Relayed, relayed.context("no such metric")?)].into(),
        faults: faults(load, &loaded.report),
        report: loaded.raw.clone(),
        ..Outcome::default()
    };
    outcome.end(servers).await;
    Ok(outcome)
}

/// A load on many topics; and how much more the server weighs than with a subscription each.
pub(super) async fn topics(
    setup: &Setup,
    subject: Subject,
    load: &Load,
) -> anyhow::Result<Outcome> {
    let few = Load {
        subscribe: 1,
        pace: Pace::Rate(0.0),
        seconds: 1.0,
        ..load.clone()
    };
    let mut servers = Servers::start(setup, subject, 1).await?;
    let with_few = few.run(setup, &mut servers, Observe::Usage).await?;
    let few_bytes = carriers_grown(&with_few);
    servers.stop().await?;

    let mut servers = Servers::start(setup, subject, 1).await?;
    let loaded = load.run(setup, &mut servers, Observe::Usage).await?;
    let mut outcome = Outcome::of(load, &loaded, &servers);
    let more = f64::from(load.clients) * f64::from(load.subscribe - few.subscribe);
    let bytes = (carriers_grown(&loaded) - few_bytes) / more;
    outcome.figures.insert(Figure::BytesPerSubscription, bytes);
    outcome.end(servers).await;
    Ok(outcome)
}

impl Outcome {
    /// What each client weighs, and what it cost to connect it.
    fn of_clients(load: &Load, loaded: &Loaded, servers: &Servers) -> Self {
        let connected = float(loaded.report.connected).max(1.0);
        let per_client = |from: &Usage, to: &Usage| {
            let cpu_us = Spent::between(from, to).cpu_s * 1e6;
            let bytes = to.resident_bytes - from.resident_bytes;
            (bytes / connected, cpu_us / connected)
        };
        let begun = &loaded.begun;
        let (resident, cpu_us) = per_client(&loaded.started, &begun.server);
        let (resident_carriers, cpu_us_carriers) =
            per_client(&loaded.carriers_started, &begun.carriers);
        let cores = &servers.cores;
        let connecting_s = begun.server.at.saturating_duration_since(loaded.started.at);
        let load_share =
            begun.load.cpu_s / connecting_s.as_secs_f64() / float_of_usize(cores.load.len());
        Self {
            figures: [
                (Figure::Connected, connected),
                (Figure::ResidentPerClient, resident),
                (Figure::ResidentPerClientCarriers, resident_carriers),
                (Figure::HandshakeCpuUs, cpu_us),
                (Figure::HandshakeCpuUsCarriers, cpu_us_carriers),
                (Figure::LoadShare, load_share),
            ]
            .into(),
            faults: faults(load, &loaded.report),
            load_saturated: !cores.apart() || is_saturated(load_share),
            report: loaded.raw.clone(),
        }
    }
}

/// Clients that subscribe to one topic and publish nothing.
fn silent(clients: u32) -> Load {
    Load {
        clients,
        pace: Pace::Rate(0.0),
        lane: Lane::Reliable,
        seconds: 1.0,
        ramp_s: 1.0,
        ..Load::default()
    }
}

fn carriers_grown(loaded: &Loaded) -> f64 {
    loaded.begun.carriers.resident_bytes - loaded.carriers_started.resident_bytes
}

/// The last for the third: by then everything that a server keeps for clients to come is there.
fn growth(resident: &[f64]) -> Option<f64> {
    let (third, last) = (resident.get(2)?, resident.get(3..)?.last()?);
    Some(last / third)
}

/// For goodbyes to be taken.
const GOODBYE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_with_that_of_the_third_cycle() {
        assert_eq!(growth(&[1.0, 2.0, 4.0, 5.0, 6.0]), Some(1.5));
        assert_eq!(growth(&[1.0, 2.0, 4.0]), None);
    }
}
