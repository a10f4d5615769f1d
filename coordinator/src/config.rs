//! What a coordinator is told at its start, validated. [`crate::cli`] makes one from flags,
//! environment and file; tests and `broker dev` make one in code.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use auth::{Authenticator, ClusterSecret};
use bytes::Bytes;
use coordinator_core::{Instance, Selector, Topology};

use crate::hub::COMMANDS_MAX;

/// Everything that a coordinator needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; with port 0 the system picks one.
    pub listen: SocketAddr,
    /// Which of several coordinators it is.
    pub instance: Instance,
    /// How servers are picked for clients.
    pub selector: Selector,
    /// How servers are linked.
    pub topology: Topology,
    /// Who may join as a client.
    pub clients: Arc<dyn Authenticator>,
    /// Who knows it may join as a server.
    pub cluster_secret: ClusterSecret,
    /// Takes the cluster secret itself, in clear, from servers that speak only the 2019 protocol.
    pub raw_cluster_secret: bool,
    /// How long a session that has ended may still be taken up.
    pub resume_lifetime: Duration,
    /// Static pages, beside the endpoints.
    pub pages: Vec<Page>,
    /// How much is taken.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
}

impl Config {
    /// With defaults for everything that has one.
    #[must_use]
    pub fn new(clients: Arc<dyn Authenticator>, cluster_secret: ClusterSecret) -> Self {
        Self {
            listen: LISTEN,
            instance: Instance::default(),
            selector: Selector::default(),
            topology: Topology::default(),
            clients,
            cluster_secret,
            raw_cluster_secret: false,
            resume_lifetime: RESUME_LIFETIME,
            pages: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// A static page or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// From the root, `/` included.
    pub path: String,
    /// For example `text/html; charset=utf-8`.
    pub content_type: String,
    /// The file's bytes.
    pub body: Bytes,
}

/// How much a coordinator takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The state machine's: sessions, sizes, rates.
    pub core: coordinator_core::Limits,
    /// HTTP requests at once, upgrades included until they are sessions.
    pub requests_max: usize,
    /// Refused sessions at once that are upgraded only to be told why. Beyond it a refusal is an
    /// HTTP status also for those that asked for more.
    pub refused_max: usize,
    /// Signals that wait for a client to read.
    pub client_outbox: Outbox,
    /// Signals that wait for a server to read: those of all its clients.
    pub server_outbox: Outbox,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            core: coordinator_core::Limits::default(),
            requests_max: 1024,
            refused_max: 1024,
            client_outbox: Outbox {
                count_max: 256,
                bytes_max: 512 * 1024,
            },
            server_outbox: Outbox {
                count_max: 8192,
                bytes_max: 8 * 1024 * 1024,
            },
        }
    }
}

impl Limits {
    /// What sessions and their signals may come to in memory, in bytes, when every limit is
    /// reached at once.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        // Being read: a message of up to twice the limit. Being written: one buffer of that size.
        let transit = 4 * self.core.signal_bytes_max + SESSION_BYTES;
        let client = self.client_outbox.bytes_max.saturating_add(transit);
        let server = self.server_outbox.bytes_max.saturating_add(transit);
        let clients = self.core.clients_max.saturating_mul(client);
        let servers = self.core.servers_max.saturating_mul(server);
        let hub = COMMANDS_MAX * self.core.signal_bytes_max;
        clients.saturating_add(servers).saturating_add(hub)
    }
}

/// How much waits for one session to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// Signals.
    pub count_max: usize,
    /// Their bytes together.
    pub bytes_max: usize,
}

/// How long a coordinator waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Between two pings to a session.
    pub ping_interval: Duration,
    /// Until a session of which nothing is heard is closed; any frame counts.
    pub idle: Duration,
    /// Until a session that does not read is closed.
    pub write: Duration,
    /// For the authenticator's answer.
    pub auth: Duration,
    /// For the header of an HTTP request.
    pub header: Duration,
    /// For an HTTP request as a whole, from its connection to its response.
    pub request: Duration,
    /// Until a server that has said how it is doing, and says no more, is sent no clients.
    pub stale: Duration,
    /// For the other side to answer a close.
    pub close: Duration,
    /// For all sessions to be closed at the end.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
            auth: Duration::from_secs(10),
            header: Duration::from_secs(10),
            request: Duration::from_secs(30),
            stale: coordinator_core::Config::default().stale_after,
            close: Duration::from_secs(2),
            drain: Duration::from_secs(5),
        }
    }
}

/// A session's task, its buffers and its place in the registry.
const SESSION_BYTES: usize = 24 * 1024;

/// A week: over a long weekend.
const RESUME_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The 2019 coordinator's port.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);
