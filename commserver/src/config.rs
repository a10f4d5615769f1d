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
use shard::{Impair, PeerConfig, budget, outbox};

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
    pub fn memory_bytes_max(&self) -> usize {
        let (limits, rtc) = (&self.limits, &self.rtc);
        let peers = limits.peers_max.saturating_add(limits.links_max);
        let outboxes = rtc
            .reliable
            .bytes_max
            .saturating_add(rtc.unreliable.bytes_max);
        let links = limits.links_max.saturating_mul(rtc.link_outbox_times);
        let outboxes = outboxes.saturating_mul(limits.peers_max.saturating_add(links));
        let per_peer = (rtc.peer.send_buffer_bytes.saturating_mul(2))
            .saturating_add(limits.held_bytes_max)
            .saturating_add(ENGINE_BYTES)
            .saturating_add(GRANTS_BYTES);
        let subscriptions = limits.peers_max.saturating_mul(limits.subscriptions_max);
        let subscriptions =
            subscriptions.saturating_add(limits.links_max.saturating_mul(limits.topics_max));
        let news = limits.links_max.saturating_mul(limits.topics_max);
        let topics = limits
            .topics_max
            .saturating_mul(limits.topic_bytes_max + TOPIC_BYTES);
        let queues = self
            .uplink
            .queue_max
            .saturating_mul(2 * proto::limits::SIGNAL_BYTES_MAX);
        peers
            .saturating_mul(per_peer)
            .saturating_add(outboxes)
            .saturating_add(subscriptions.saturating_mul(SUBSCRIPTION_BYTES))
            .saturating_add(news.saturating_mul(NEWS_BYTES))
            .saturating_add(topics)
            .saturating_add(queues)
            .saturating_add(limits.revocations_bytes_max)
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

/// What an engine holds for itself, without anything waiting: measured, rounded up.
const ENGINE_BYTES: usize = 160 * 1024;
/// What is kept of what a client may publish to: the verdicts about 64 topics.
const GRANTS_BYTES: usize = 18 * 1024;
/// A place among a topic's subscribers and one among a peer's topics, with the tables' slack.
const SUBSCRIPTION_BYTES: usize = 48;
/// A topic's own, beside its name: its entry, and its slot in the table of names.
const TOPIC_BYTES: usize = 256;
/// For each topic, what may wait to be told to one link: twice, 24 bytes each.
const NEWS_BYTES: usize = 48;
