//! What is counted, under `coordinator_`. Every refusal, close and drop has its reason.

mod labels;

use std::{fmt, sync::Arc};

use coordinator_core::Stats;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
    },
    registry::Registry,
};
use proto::Reason;
use tokio::sync::watch;

use crate::{
    addresses::{Addresses, TooMany},
    outbox,
};

use self::labels::{By, ByEnd, ByResult, ByRole, by};
pub(crate) use self::labels::{Dropped, End, NoResume, Refused, Reload, Request};

/// Counters of the shell. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    opened: Family<ByRole, Counter>,
    closed: Family<ByEnd, Counter>,
    refused: Family<By<Refused>, Counter>,
    admin_refused: Family<By<Refused>, Counter>,
    address_limits: Family<By<TooMany>, Counter>,
    dropped: Family<By<Dropped>, Counter>,
    requests: Family<By<Request>, Counter>,
    accept_failures: Counter,
    tls_reloads: Family<ByResult<Reload>, Counter>,
    pauses: Counter,
    crowded_out: Counter,
    not_resumed: [Counter; NoResume::ALL.len()],
}

impl Metrics {
    /// Registers the shell's counters, and the state machine's as they are in `stats` at scrape.
    pub(crate) fn register(
        registry: &mut Registry,
        stats: watch::Receiver<Stats>,
        addresses: Arc<Addresses>,
        waiting: Arc<outbox::Total>,
    ) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("coordinator");
        registry.register("sessions_opened", "Sessions let in", metrics.opened.clone());
        registry.register(
            "sessions_closed",
            "Sessions that ended, by reason",
            metrics.closed.clone(),
        );
        registry.register(
            "refusals",
            "Requests for a session that were refused, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "admin_refusals",
            "Requests to the admin API that were refused, by reason",
            metrics.admin_refused.clone(),
        );
        registry.register(
            "address_limits",
            "Times that an address got no more, by what it had enough of",
            metrics.address_limits.clone(),
        );
        registry.register(
            "frames_dropped",
            "WebSocket frames dropped on the way to or from the relay, by reason",
            metrics.dropped.clone(),
        );
        registry.register(
            "requests",
            "HTTP requests, upgrades included, by outcome",
            metrics.requests.clone(),
        );
        registry.register(
            "accept_failures",
            "Connections that could not be accepted",
            metrics.accept_failures.clone(),
        );
        registry.register(
            "tls_reloads",
            "Times that the certificate's files were read again and had changed",
            metrics.tls_reloads.clone(),
        );
        registry.register(
            "pauses",
            "Times that a session was left unread because it signals faster than it may",
            metrics.pauses.clone(),
        );
        registry.register(
            "crowded_out",
            "Sessions closed because all that may wait for all was taken",
            metrics.crowded_out.clone(),
        );
        let not_resumed = metrics.not_resumed.clone();
        registry.register_collector(Box::new(Core {
            stats,
            addresses,
            waiting,
            not_resumed,
        }));
        metrics
    }

    pub(crate) fn session_opened(&self, role: proto::Role) {
        let role = role.into();
        self.opened.get_or_create(&ByRole { role }).inc();
    }

    pub(crate) fn session_closed(&self, role: proto::Role, reason: End) {
        let role = role.into();
        self.closed.get_or_create(&ByEnd { role, reason }).inc();
    }

    pub(crate) fn refused(&self, reason: Refused) {
        self.refused.get_or_create(&by(reason)).inc();
    }

    pub(crate) fn admin_refused(&self, reason: Reason) {
        let reason = Refused::For(reason);
        self.admin_refused.get_or_create(&by(reason)).inc();
    }

    pub(crate) fn too_many(&self, what: TooMany) {
        self.address_limits.get_or_create(&by(what)).inc();
    }

    pub(crate) fn dropped(&self, reason: Dropped) {
        self.dropped.get_or_create(&by(reason)).inc();
    }

    pub(crate) fn request_ended(&self, reason: Request) {
        self.requests.get_or_create(&by(reason)).inc();
    }

    pub(crate) fn paused(&self) {
        self.pauses.inc();
    }

    pub(crate) fn crowded_out(&self) {
        self.crowded_out.inc();
    }

    #[cfg(test)]
    pub(crate) fn crowded_out_so_far(&self) -> u64 {
        self.crowded_out.get()
    }

    pub(crate) fn not_resumed(&self, why: NoResume) {
        let counters = NoResume::ALL.iter().zip(&self.not_resumed);
        for (_, counter) in counters.filter(|(known, _)| **known == why) {
            counter.inc();
        }
    }

    pub(crate) fn tls_reloaded(&self, result: Reload) {
        self.tls_reloads.get_or_create(&[("result", result)]).inc();
    }

    pub(crate) fn accept_failed(&self) {
        self.accept_failures.inc();
    }
}

/// The state machine's own numbers, with those of the shell that belong to the same family.
#[derive(Debug)]
struct Core {
    stats: watch::Receiver<Stats>,
    addresses: Arc<Addresses>,
    waiting: Arc<outbox::Total>,
    not_resumed: [Counter; NoResume::ALL.len()],
}

impl Collector for Core {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = *self.stats.borrow();
        self.encode_gauges(&stats, &mut encoder)?;
        encode_counters(&stats, &mut encoder)?;
        let gauge = ConstGauge::new(0_i64).metric_type();
        let name = "servers_by_state";
        let help = "Servers that are no hubs, by whether clients are sent to them";
        let mut family = encoder.encode_descriptor(name, help, None, gauge)?;
        for (state, value) in stats.servers_by_state() {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("state", state)])?)?;
        }
        let counter = ConstCounter::new(0_u64).metric_type();
        let name = "signals_dropped";
        let help = "Signals that were not relayed, by reason";
        let mut family = encoder.encode_descriptor(name, help, None, counter)?;
        for (reason, value) in stats.dropped.by_reason() {
            let labels = [("reason", reason.label())];
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        let name = "resumes";
        let help = "Resume tokens shown, by what came of it";
        let mut family = encoder.encode_descriptor(name, help, None, counter)?;
        let ignored = NoResume::ALL.iter().zip(&self.not_resumed);
        let ignored = ignored.map(|(why, counter)| (why.name(), counter.get()));
        for (result, value) in stats.resumes.by_result().into_iter().chain(ignored) {
            let labels = [("result", result)];
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Core {
    fn encode_gauges(&self, stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let runtime = tokio::runtime::Handle::try_current();
        let tasks = runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let gauges = [
            (
                "tasks",
                "Tasks of the runtime: some for each session",
                u64::try_from(tasks).unwrap_or(u64::MAX),
            ),
            ("clients", "Clients with a session", stats.clients),
            ("servers", "Servers and hubs with a session", stats.servers),
            ("hubs", "Hubs with a session", stats.hubs),
            (
                "clients_waiting",
                "Clients that wait for a server that has room",
                stats.waiting,
            ),
            (
                "addresses",
                "Addresses that have a session or a request, or had one just now",
                u64::try_from(self.addresses.len()).unwrap_or(u64::MAX),
            ),
            (
                "outbox_bytes",
                "What waits for all sessions, and what it costs to keep it",
                u64::try_from(self.waiting.held()).unwrap_or(u64::MAX),
            ),
            (
                "revocations",
                "Those who are not to be here any more",
                stats.revocations,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

fn encode_counters(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters = [
        ("signals_relayed", "Signals relayed", stats.relayed),
        ("loads", "LOADs taken from servers", stats.loads),
        ("welcomes", "WELCOMEs sent", stats.welcomes),
        (
            "revoked",
            "Sessions closed because their owner was revoked",
            stats.revoked,
        ),
        (
            "revocations_refused",
            "Revocations for which there was no room",
            stats.revocations_refused,
        ),
        ("server_lists", "SERVERS sent", stats.server_lists),
        (
            "peers_gone",
            "PEER_GONEs sent to servers about clients whose session has ended",
            stats.peers_gone,
        ),
        (
            "unavailable_errors",
            "ERRORs sent about a CONNECT to nobody",
            stats.errors,
        ),
    ];
    for (name, help, value) in counters {
        let counter = ConstCounter::new(value);
        let kind = counter.metric_type();
        counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
    }
    Ok(())
}
