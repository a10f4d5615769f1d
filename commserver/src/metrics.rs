//! What is counted, under `broker_`: the state machine's numbers as of the last snapshot, the
//! shard's and the uplink's as they are. Read at scrape, nothing is counted twice.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use commserver_core::{Drop, GoneHint};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use proto::{Lane, Reason};
use shard::{DropReason, rtc_peer};
use tokio::sync::watch;

use crate::{hub::Snapshot, uplink};

/// Everything that a commserver counts.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) snapshots: watch::Receiver<Snapshot>,
    pub(crate) shard: Arc<shard::Stats>,
    pub(crate) uplink: Arc<uplink::Stats>,
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.snapshots.borrow().clone();
        let mut page = Page(encoder);
        let help = "Tasks of the runtime that serves HTTP and the uplink";
        page.gauge("tasks", help, tasks())?;
        page.core(&snapshot)?;
        page.uplink(&self.uplink, &snapshot)?;
        page.shard(&self.shard)
    }
}

/// Of the runtime that this is called from; none, where it is called from elsewhere.
fn tasks() -> usize {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks())
}

/// Writes families.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn core(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let stats = &snapshot.stats;
        self.gauge("clients", "Clients, in any state", stats.clients)?;
        self.gauge(
            "clients_ready",
            "Clients that were let in",
            stats.clients_ready,
        )?;
        self.gauge(
            "links",
            "Links to other servers that are current",
            stats.links,
        )?;
        self.gauge("topics", "Topics with a subscriber", stats.topics)?;
        let help = "Subscriptions of clients and links";
        self.gauge("subscriptions", help, stats.subscriptions)?;
        self.lanes("packets_in", "Packets taken from peers", stats.packets_in)?;
        self.lanes(
            "published",
            "Packets published by clients here",
            stats.published,
        )?;
        self.lanes("delivered", "Frames sent to clients", stats.delivered)?;
        self.lanes(
            "relayed_in",
            "Packets relayed here by links",
            stats.relayed_in,
        )?;
        self.lanes("relayed_out", "Frames relayed to links", stats.relayed_out)?;
        let help = "Frames that a hub passed on from one link to another";
        self.lanes("forwarded", help, stats.forwarded)?;
        let drops = Drop::ALL
            .iter()
            .map(|&why| (why.label(), stats.dropped(why)));
        self.by("reason", "drops", "Packets and signals dropped", drops)?;
        let hints = GoneHint::ALL.iter().map(|&hint| {
            let count = stats.gone_hints.get(&hint).copied();
            (hint.label(), count.unwrap_or_default())
        });
        let help = "Clients whose session has ended, says the coordinator";
        self.by("result", "gone_hints", help, hints)?;
        let help = "Of those, peers that were gone";
        self.counter("gone_closed", help, stats.gone_closed)?;
        self.admission(stats)?;
        self.counter("dials", "Dials of other servers", stats.dials)?;
        let help = "Reports of our load to the coordinator";
        self.counter("uplink_load_reports", help, stats.load_reports)?;
        let help = "Whether the server is about to go";
        self.gauge("draining", help, usize::from(stats.draining))?;
        let help = "Clients that were asked to go elsewhere";
        self.counter("migrations_asked", help, stats.migrations_asked)?;
        let help = "Clients that were asked for new credentials";
        self.counter("refreshes", help, stats.refreshes)?;
        let help = "Clients that have shown new credentials in time";
        self.counter("renewals", help, stats.renewals)?;
        let help = "Those who are not to be here any more";
        self.gauge("revocations", help, stats.revocations)?;
        let help = "Of those, forgotten before their time";
        self.counter("revocations_forgotten", help, stats.revocations_forgotten)?;
        let help = "WELCOMEs with another alias than before";
        self.counter("uplink_renames", help, stats.renames)?;
        let help = "Times that somebody else showed our resume token";
        self.counter("uplink_replaced", help, stats.replaced)?;
        let help = "Links replaced by another to the same server";
        self.counter("links_replaced", help, stats.links_replaced)?;
        let help = "Links closed because too much waited to be told to links";
        self.counter("links_crowded_out", help, stats.links_crowded_out)?;
        let help = "Topics left out of the lists to 2019 servers";
        self.gauge("topics_unannounced", help, stats.topics_unannounced)
    }

    /// Who comes and goes, and who may not.
    fn admission(&mut self, stats: &commserver_core::Stats) -> fmt::Result {
        let help = "Clients whose lane is not open yet";
        self.gauge("handshakes", help, stats.handshakes)?;
        let help = "Handshakes that had to make room for another";
        self.counter("handshakes_evicted", help, stats.handshakes_evicted)?;
        self.reasons("refusals", "CONNECTs refused", &stats.refusals)?;
        self.reasons(
            "peers_closed",
            "Clients that went or were closed",
            &stats.peers_closed,
        )?;
        self.reasons(
            "links_closed",
            "Links that went or were closed",
            &stats.links_closed,
        )?;
        self.reasons("errors", "ERROR packets sent", &stats.errors)
    }

    fn uplink(&mut self, stats: &uplink::Stats, snapshot: &Snapshot) -> fmt::Result {
        let value = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let connected = usize::from(stats.connected.load(Ordering::Relaxed));
        self.gauge(
            "uplink_connected",
            "Whether the coordinator is reached",
            connected,
        )?;
        let help = "Sessions with the coordinator";
        self.counter("uplink_sessions", help, value(&stats.sessions))?;
        let help = "Dials of the coordinator that failed";
        self.counter("uplink_dials_failed", help, value(&stats.dials_failed))?;
        let help = "Frames from the coordinator that are no signals";
        self.counter("uplink_frames_ignored", help, value(&stats.frames_ignored))?;
        let help = "Signals dropped because the uplink's queue was full";
        self.counter("uplink_signals_dropped", help, snapshot.signals_dropped)?;
        let help = "Authentications for which there was no room";
        self.counter(
            "authentications_refused",
            help,
            snapshot.authentications_refused,
        )
    }

    fn shard(&mut self, stats: &shard::Stats) -> fmt::Result {
        for (name, help, counter) in SHARD_COUNTERS {
            self.counter(name, help, counter(stats).value())?;
        }
        for (name, help, gauge) in SHARD_GAUGES {
            let value = gauge(stats).value();
            self.gauge(name, help, usize::try_from(value).unwrap_or(usize::MAX))?;
        }
        let reliable = stats.lane(rtc_peer::Lane::Reliable);
        let unreliable = stats.lane(rtc_peer::Lane::Unreliable);
        for (name, help, counter) in LANE_COUNTERS {
            let both = [counter(reliable).value(), counter(unreliable).value()];
            self.lanes(name, help, both)?;
        }
        let drops = DropReason::ALL.map(|why| (why.name(), stats.dropped(why)));
        let help = "Datagrams and packets dropped by the transport";
        self.by("reason", "transport_drops", help, drops)?;
        // Not every system tells.
        shard::kernel_drops([stats]).map_or(Ok(()), |drops| {
            let help = "Datagrams that found the socket's receive buffer full";
            self.counter("kernel_drops", help, drops)
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        let kind = counter.metric_type();
        counter.encode(
            self.0
                .encode_descriptor(&prefixed(name), help, None, kind)?,
        )
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let kind = gauge.metric_type();
        gauge.encode(
            self.0
                .encode_descriptor(&prefixed(name), help, None, kind)?,
        )
    }

    fn lanes(&mut self, name: &str, help: &str, values: [u64; 2]) -> fmt::Result {
        let labels = Lane::ALL.map(Lane::label);
        self.by("lane", name, help, labels.into_iter().zip(values))
    }

    fn reasons(&mut self, name: &str, help: &str, counts: &BTreeMap<Reason, u64>) -> fmt::Result {
        let counts = counts.iter().map(|(why, &count)| (why.name(), count));
        self.by("reason", name, help, counts)
    }

    fn by<'l>(
        &mut self,
        label: &str,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l str, u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let name = prefixed(name);
        let mut family = self.0.encode_descriptor(&name, help, None, kind)?;
        for (value, count) in values {
            let labels = [(label, value)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn prefixed(name: &str) -> String {
    format!("broker_{name}")
}

/// Name, help, and where the value is.
type Counted<T> = (&'static str, &'static str, fn(&T) -> &shard::Counter);

const SHARD_COUNTERS: [Counted<shard::Stats>; 19] = [
    ("shard_passes", "Turns of the loop", |s| &s.passes),
    ("shard_passes_cut", "Turns that stopped at a bound", |s| {
        &s.passes_cut
    }),
    ("shard_rests", "Rests between turns under load", |s| {
        &s.rests
    }),
    ("datagrams_in", "Datagrams received", |s| &s.datagrams_in),
    ("datagrams_out", "Datagrams sent", |s| &s.datagrams_out),
    ("datagram_bytes_in", "UDP payload received", |s| &s.bytes_in),
    ("datagram_bytes_out", "UDP payload sent", |s| &s.bytes_out),
    ("receive_calls", "System calls that received", |s| {
        &s.receive_calls
    }),
    ("send_calls", "System calls that sent", |s| &s.send_calls),
    ("receive_errors", "Errors reported by the system", |s| {
        &s.receive_errors
    }),
    ("transports_opened", "Transports opened", |s| {
        &s.peers_opened
    }),
    ("transports_closed", "Transports closed", |s| {
        &s.peers_closed
    }),
    ("transports_refused", "Transports without room", |s| {
        &s.peers_refused
    }),
    ("slow_consumers", "Peers found to be slow", |s| {
        &s.slow_consumers
    }),
    ("crowded_out", "Slow peers closed to make room", |s| {
        &s.crowded_out
    }),
    (
        "rate_pauses",
        "Times that a fast sender was left unread",
        |s| &s.rate_pauses,
    ),
    ("repairs", "Packets sent again before a timeout", |s| {
        &s.repairs
    }),
    ("skips", "Losses of unreliable lanes passed over", |s| {
        &s.skips
    }),
    ("rebinds", "Addresses that moved to another peer", |s| {
        &s.rebinds
    }),
];

const SHARD_GAUGES: [Counted<shard::Stats>; 5] = [
    ("outbox_bytes", "Held of what is to go to peers", |s| {
        &s.waiting_bytes
    }),
    ("inbox_bytes", "Held of what came from peers", |s| {
        &s.received_bytes
    }),
    ("transports", "Transports now", |s| &s.peers),
    ("receive_buffer_bytes", "Granted by the system", |s| {
        &s.receive_buffer_bytes
    }),
    ("send_buffer_bytes", "Granted by the system", |s| {
        &s.send_buffer_bytes
    }),
];

const LANE_COUNTERS: [Counted<shard::LaneStats>; 5] = [
    ("transport_packets_in", "Packets received", |l| {
        &l.packets_in
    }),
    ("transport_bytes_in", "Their bytes", |l| &l.bytes_in),
    ("transport_packets_out", "Packets sent", |l| &l.packets_out),
    ("transport_bytes_out", "Their bytes", |l| &l.bytes_out),
    ("outbox_queued", "Packets that had to wait", |l| &l.queued),
];
