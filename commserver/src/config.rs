//! What a commserver is told at its start, validated. [`crate::cli`] makes one from flags,
//! environment and file; tests and `broker dev` make one in code.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use auth::{Authenticator, ClusterSecret, Role};
use commserver_core::{Drain, Limits, Timings};
use http::Uri;
use settings::Network;
use shard::{Impair, PeerConfig, budget, outbox, pool, rtc_peer::Peer};

/// Everything that a commserver needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The coordinator, `ws://host:port` or `wss://host:port`.
    pub coordinator: Uri,
    /// Whom to trust there, and what to show.
    pub trust: tls::Trust,
    /// Whether it is the hub of a star, which passes on between the others.
    pub hub: bool,
    /// The region that it is in (see [`proto::region`]): clients of the same one are sent here first.
    pub region: Option<String>,
    /// Where the UDP socket listens; with port 0 the system picks one.
    pub rtc_listen: SocketAddr,
    /// Addresses to offer to peers instead of the socket's own.
    pub advertise: Vec<IpAddr>,
    /// Where `/healthz`, `/readyz` and `/metrics` are; `None` for nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// What makes it one of the cluster.
    pub cluster_secret: ClusterSecret,
    /// Who may join as a client.
    pub clients: Arc<dyn Authenticator>,
    /// Who may join as a server, beside those that know the cluster secret.
    pub servers: Option<Arc<dyn Authenticator>>,
    /// What those authenticators count that ask others.
    pub auth_metrics: auth::metrics::Metrics,
    /// How servers and coordinators that speak only the 2019 protocol are met.
    pub compat: Compat,
    /// How it goes away.
    pub drain: Drain,
    /// What may grow how far.
    pub limits: Limits,
    /// How long the state machine waits.
    pub timings: Timings,
    /// The transport below the peers.
    pub rtc: Rtc,
    /// How the coordinator is reached.
    pub uplink: Uplink,
    /// How much authentication goes on at once.
    pub authentication: Authentication,
}

impl Config {
    /// With defaults for everything that has one: a port chosen by the system on the loopback
    /// interface, and no admin listener.
    #[must_use]
    pub fn new(
        coordinator: Uri,
        clients: Arc<dyn Authenticator>,
        cluster_secret: ClusterSecret,
    ) -> Self {
        Self {
            coordinator,
            trust: tls::Trust::default(),
            hub: false,
            region: None,
            rtc_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: Vec::new(),
            admin_listen: None,
            cluster_secret,
            clients,
            servers: None,
            auth_metrics: auth::metrics::Metrics::default(),
            compat: Compat::default(),
            drain: Drain::default(),
            limits: Limits::default(),
            timings: Timings::default(),
            rtc: Rtc::default(),
            uplink: Uplink::default(),
            authentication: Authentication::default(),
        }
    }

    /// As what it comes to the coordinator.
    pub(crate) const fn role(&self) -> Role {
        if self.hub { Role::Hub } else { Role::Server }
    }

    /// Most bytes that peers can make the server hold, when every limit is reached at once and no
    /// two recipients share a frame.
    #[must_use]
    pub const fn memory_max(&self) -> MemoryMax {
        let (limits, rtc) = (&self.limits, &self.rtc);
        let (clients, links) = (limits.peers_max, limits.links_max);
        let transports = self.transports_max();
        let held = limits
            .held_bytes_max
            .saturating_mul(clients.saturating_add(links));
        // As many names again, twice, live as long as some link is still to be told of their end.
        let topic = limits.topic_bytes_max + TOPIC_BYTES;
        let ended = limits.topic_bytes_max + NAME_BYTES;
        let topics = (limits.topics_max).saturating_mul(topic + 2 * ended);
        let signals = (self.uplink.queue_max.saturating_mul(2)).saturating_add(rtc.commands_max);
        let asking = self.authentication.waiting_max + self.authentication.calls_max;
        MemoryMax {
            received: self.inbox_pool().bytes_most(transports),
            waiting: self.outbox_pool().bytes_most(self.outbox_shares()),
            transports: transports.saturating_mul(Peer::IDLE_BYTES),
            held,
            grants: clients
                .saturating_mul(GRANTS_BYTES)
                .saturating_add(limits.revocations_bytes_max),
            subscriptions: clients
                .saturating_mul(limits.subscriptions_max)
                .saturating_mul(SUBSCRIPTION_BYTES),
            topics: topics.saturating_add(
                (limits.link_topics_total_max).saturating_mul(SUBSCRIPTION_BYTES + NEWS_BYTES),
            ),
            queues: signals
                .saturating_mul(proto::limits::SIGNAL_BYTES_MAX)
                .saturating_add(asking.saturating_mul(2 * limits.packet_bytes_max)),
        }
    }

    /// What may wait for all peers together.
    pub(crate) const fn outbox_pool(&self) -> pool::Config {
        let bytes_max = self.rtc.outbox_bytes_total_max;
        pool::Config::within(bytes_max, OUTBOX_SHARE_BYTES, self.outbox_shares())
    }

    /// A link stands for many clients, and a successor has as much as its predecessor.
    const fn outbox_shares(&self) -> usize {
        let links = (self.limits.links_max).saturating_mul(self.rtc.link_outbox_times);
        self.limits
            .peers_max
            .saturating_add(links)
            .saturating_mul(2)
    }

    /// What may be held of what all peers sent.
    pub(crate) const fn inbox_pool(&self) -> pool::Config {
        let bytes_max = self.rtc.inbox_bytes_total_max;
        pool::Config::within(bytes_max, Peer::RECEIVED_BYTES_LEAST, self.transports_max())
    }

    /// Most transports at once: each peer may have a successor at the door.
    pub(crate) const fn transports_max(&self) -> usize {
        let peers = self.limits.peers_max.saturating_add(self.limits.links_max);
        peers.saturating_mul(2)
    }
}

/// What peers can make a server hold, bytes of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryMax {
    /// What came from peers and is not read yet, or not whole.
    pub received: usize,
    /// What waits for peers, in outboxes and in SCTP.
    pub waiting: usize,
    /// The transports themselves.
    pub transports: usize,
    /// Packets held while authentications are pending.
    pub held: usize,
    /// What is known of what clients may, and who may nothing any more.
    pub grants: usize,
    /// Which client wants what.
    pub subscriptions: usize,
    /// The table of topics, with what each link wants and is told.
    pub topics: usize,
    /// Signals, commands and authentications that wait.
    pub queues: usize,
}

impl MemoryMax {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        let parts = [
            self.received,
            self.waiting,
            self.transports,
            self.held,
            self.grants,
            self.subscriptions,
            self.topics,
            self.queues,
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}

/// How 2019 programs are met. All off by default, for they cannot prove who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat {
    /// Take servers that speak only the 2019 protocol as links: those that we dial unproved, those
    /// that dial us when their AUTH carries the cluster secret itself.
    pub servers_2019: bool,
    /// Believe a peer's AUTH when it claims to be a server although the coordinator did not say so.
    /// For 2019 coordinators, which say nothing about roles.
    pub trust_unstamped_servers: bool,
}

/// The transport below the peers.
#[derive(Debug, Clone)]
pub struct Rtc {
    /// What waits for a peer on its reliable lane.
    pub reliable: outbox::Config,
    /// What waits for a peer on its unreliable lane.
    pub unreliable: outbox::Config,
    /// What may wait for all peers together, bytes. Each has a share of it to itself.
    pub outbox_bytes_total_max: usize,
    /// What may be held of what all peers sent, bytes. Each has a share of it to itself.
    pub inbox_bytes_total_max: usize,
    /// How many times those two a link holds: it carries what many clients publish.
    pub link_outbox_times: usize,
    /// What a client may send on its reliable lane; links are exempt.
    pub reliable_budget: budget::Config,
    /// What a client may send on its unreliable lane.
    pub unreliable_budget: budget::Config,
    /// Connectivity checks from unknown addresses that are looked at, for all peers together.
    pub unproved_budget: budget::Config,
    /// Clients from one address.
    pub addresses: AddressLimits,
    /// Settings of every peer's engine.
    pub peer: PeerConfig,
    /// Answer connectivity checks without making any, as a server with a known address may.
    pub ice_lite: bool,
    /// Socket buffers to ask for, bytes each way.
    pub socket_buffer_bytes: usize,
    /// How long packets for a client may be gathered under load; zero for not at all.
    pub coalesce: Duration,
    /// How long keep-alives may be gathered where there is nothing else; zero for not at all.
    pub coalesce_idle: Duration,
    /// Commands that wait for the hub: what the coordinator and the authenticator say.
    pub commands_max: usize,
    /// A bad network, for tests.
    pub impair: Option<Impair>,
}

impl Default for Rtc {
    fn default() -> Self {
        Self {
            reliable: outbox::Config::RELIABLE,
            unreliable: outbox::Config::UNRELIABLE,
            outbox_bytes_total_max: 768 * 1024 * 1024,
            inbox_bytes_total_max: 1536 * 1024 * 1024,
            link_outbox_times: 16,
            reliable_budget: budget::Config::GENEROUS,
            unreliable_budget: budget::Config::GENEROUS,
            unproved_budget: budget::Config {
                packets_per_s: 20_000,
                bytes_per_s: 0,
                burst: Duration::from_secs(1),
            },
            addresses: AddressLimits::default(),
            peer: PeerConfig::default(),
            ice_lite: true,
            socket_buffer_bytes: 4 * 1024 * 1024,
            coalesce: Duration::from_millis(1),
            coalesce_idle: Duration::from_millis(5),
            commands_max: 1024,
            impair: None,
        }
    }
}

/// How many clients may come from one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressLimits {
    /// Clients at once; 0 for any number.
    pub peers_max: usize,
    /// Addresses that it does not count for.
    pub exempt: Vec<Network>,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            // Half of what a server takes.
            peers_max: 2048,
            exempt: Network::LOOPBACK.into(),
        }
    }
}

/// How the coordinator is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Pause before the first redial.
    pub redial_min: Duration,
    /// Longest pause between redials.
    pub redial_max: Duration,
    /// For a dial, from the TCP connection to the upgrade.
    pub dial_timeout: Duration,
    /// For a signal to be written.
    pub write_timeout: Duration,
    /// Between two pings.
    pub ping_interval: Duration,
    /// Without any frame for so long, the coordinator is taken for gone.
    pub idle_timeout: Duration,
    /// Between reports of our load, while our state stays the same.
    pub load_interval: Duration,
    /// Signals that wait to be written.
    pub queue_max: usize,
}

impl Default for Uplink {
    fn default() -> Self {
        Self {
            redial_min: Duration::from_millis(250),
            redial_max: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            load_interval: Duration::from_secs(2),
            queue_max: 1024,
        }
    }
}

/// How much authentication goes on at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Calls at once.
    pub calls_max: usize,
    /// Peers that wait for a call.
    pub waiting_max: usize,
    /// For a call; below the core's `auth_timeout`, so that the peer hears the better reason.
    pub timeout: Duration,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            calls_max: 64,
            waiting_max: 1024,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What is kept of what a client may publish to: the verdicts about 64 topics.
const GRANTS_BYTES: usize = 18 * 1024;
/// What a client that reads has on its way; a link has that of many.
const OUTBOX_SHARE_BYTES: usize = 32 * 1024;
/// A place among a topic's subscribers and one among a peer's topics, with the tables' slack.
const SUBSCRIPTION_BYTES: usize = 48;
/// A topic's own, beside its name: its entry, and its slot in the table of names.
const TOPIC_BYTES: usize = 256;
/// A name that is shared, beside its bytes.
const NAME_BYTES: usize = 16;
/// For each topic that a link may want, what may wait to be told to links: twice, 24 bytes each.
const NEWS_BYTES: usize = 48;

#[cfg(test)]
mod tests;
