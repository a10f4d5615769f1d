//! What a coordinator is told at its start, validated. [`crate::cli`] makes one from flags,
//! environment and file; tests and `broker dev` make one in code.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use auth::{Authenticator, ClusterSecret, SharedSecret};
use bytes::Bytes;
use coordinator_core::{Instance, Selector, Topology};

use crate::{
    AddressLimits, Origins, Proxies, accounts::Config as Accounts, addresses::TABLE_BYTES,
    hub::COMMANDS_MAX, listener::HEADER_BYTES_MAX, outbox::SHARE_BYTES,
};

/// Everything that a coordinator needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; with port 0 the system picks one.
    pub listen: SocketAddr,
    /// Where health, metrics and the admin API are; `None` for nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Who knows it may use the admin API. Without one, only programs on this machine may.
    pub admin_secret: Option<SharedSecret>,
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
    /// Who else may.
    pub servers: Option<Arc<dyn Authenticator>>,
    /// What those authenticators count that ask others.
    pub auth_metrics: auth::metrics::Metrics,
    /// How clients are kept that may register and log in, if any may.
    pub accounts: Option<Accounts>,
    /// Takes the cluster secret itself, in clear, from servers that speak only the 2019 protocol.
    pub raw_cluster_secret: bool,
    /// How long a session that has ended may still be taken up.
    pub resume_lifetime: Duration,
    /// Who may say for whom it asks.
    pub proxies: Proxies,
    /// What the public listener speaks TLS with; without it, it does not.
    pub tls: Option<tls::Files>,
    /// How often those files are looked at, and read again when they have changed.
    pub tls_reload_interval: Duration,
    /// Whose pages may come.
    pub allowed_origins: Origins,
    /// Where revocations are kept over a restart; `None` for nowhere.
    pub revocations_file: Option<PathBuf>,
    /// Static pages, beside the endpoints.
    pub pages: Vec<Page>,
    /// How much is taken.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
}

impl Config {
    /// With defaults for everything that has one, and no admin listener.
    #[must_use]
    pub fn new(clients: Arc<dyn Authenticator>, cluster_secret: ClusterSecret) -> Self {
        Self {
            listen: LISTEN,
            admin_listen: None,
            admin_secret: None,
            instance: Instance::default(),
            selector: Selector::default(),
            topology: Topology::default(),
            clients,
            cluster_secret,
            servers: None,
            auth_metrics: auth::metrics::Metrics::default(),
            accounts: None,
            raw_cluster_secret: false,
            resume_lifetime: RESUME_LIFETIME,
            proxies: Proxies::default(),
            tls: None,
            tls_reload_interval: TLS_RELOAD_INTERVAL,
            allowed_origins: Origins::any(),
            revocations_file: None,
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
    /// What one address may have.
    pub addresses: AddressLimits,
    /// HTTP requests at once, upgrades included until they are sessions.
    pub requests_max: usize,
    /// Refused sessions at once that are upgraded only to be told why. Beyond it a refusal is an
    /// HTTP status also for those that asked for more.
    pub refused_max: usize,
    /// Signals that wait for a client to read.
    pub client_outbox: Outbox,
    /// Signals that wait for a server to read: those of all its clients.
    pub server_outbox: Outbox,
    /// Signals that wait for all sessions together, bytes, with what it costs to keep them. Each
    /// session has a share of it to itself.
    pub outbox_bytes_total_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            core: coordinator_core::Limits::default(),
            addresses: AddressLimits::default(),
            requests_max: 1024,
            refused_max: 1024,
            // WELCOME, then an offer and some candidates for each server that it tries.
            client_outbox: Outbox {
                count_max: 64,
                bytes_max: 32 * 1024,
            },
            // All that thousands of clients send while they join at once.
            server_outbox: Outbox {
                count_max: 8192,
                bytes_max: 4 * 1024 * 1024,
            },
            // Above the shares, as much as 40 servers may have waiting for them.
            outbox_bytes_total_max: 384 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// What others can make a coordinator hold in memory, in bytes, when every limit is reached at
    /// once.
    #[must_use]
    pub const fn memory_bytes_max(&self) -> usize {
        let session = self.session_bytes_max();
        // A list of all servers may be what is written.
        let list = self.core.servers_max.saturating_mul(2 * ENTRY_BYTES_MAX);
        let server = session.saturating_add(list);
        let clients = self.core.clients_max.saturating_mul(session);
        let servers = self.core.servers_max.saturating_mul(server);
        let refused = self.refused_max.saturating_mul(session);
        let requests = self.requests_max.saturating_mul(REQUEST_BYTES_MAX);
        let hub = COMMANDS_MAX.saturating_mul(self.core.signal_bytes_max);
        clients
            .saturating_add(servers)
            .saturating_add(refused)
            .saturating_add(requests)
            .saturating_add(hub)
            .saturating_add(TABLE_BYTES)
            .saturating_add(REVOCATIONS_BYTES)
            .saturating_add(self.outbox_bytes_kept())
            .saturating_add(self.outbox_bytes_shared())
    }

    /// What may wait for all sessions above what each has for itself.
    pub(crate) const fn outbox_bytes_shared(&self) -> usize {
        let kept = self.outbox_bytes_kept();
        self.outbox_bytes_total_max.saturating_sub(kept)
    }

    /// What each session that may come has for itself, together.
    const fn outbox_bytes_kept(&self) -> usize {
        let servers = self.core.servers_max.saturating_mul(SERVER_SHARES);
        let shares = self.core.clients_max.saturating_add(servers);
        shares.saturating_mul(SHARE_BYTES)
    }

    /// One session without what waits for it to read.
    const fn session_bytes_max(&self) -> usize {
        let signal = self.core.signal_bytes_max;
        // Being read: pieces of a message, and a frame of up to twice the limit. Being written: a
        // buffer that has grown to twice what is in it.
        let transit = signal.saturating_mul(3 + 2);
        SESSION_BYTES.saturating_add(transit)
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
    /// How long a session lasts at least, however late its credentials were taken: clocks differ,
    /// and whoever has nothing newer to show must not come back all the time.
    pub expiry_min: Duration,
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
            expiry_min: Duration::from_secs(10),
            close: Duration::from_secs(2),
            drain: Duration::from_secs(5),
        }
    }
}

/// A session's task, its buffers and its place in the registry.
const SESSION_BYTES: usize = 24 * 1024;

/// What clients send to a server waits for one session.
pub(crate) const SERVER_SHARES: usize = 16;

/// A server in a list of servers: alias, role, state, and a region of 64 bytes.
const ENTRY_BYTES_MAX: usize = 96;

/// Revocations as they are kept; and a copy, and its text of up to twice the size, while they are
/// stored. What is told to servers waits with everything else that does.
const REVOCATIONS_BYTES: usize = 4 * proto::limits::REVOCATIONS_BYTES_MAX;

/// A request's header, and the task and buffers around it.
const REQUEST_BYTES_MAX: usize = 2 * HEADER_BYTES_MAX;

/// Certificates are renewed days before they are over.
const TLS_RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// A week: over a long weekend.
const RESUME_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Where the admin listener is, beside the port of [`LISTEN`].
pub(crate) const ADMIN_PORT: u16 = 9091;

/// The 2019 coordinator's port.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_is_held_is_the_sum_of_the_limits() {
        let defaults = Limits::default();
        // 50,000 clients of 104 KiB are most of it.
        assert_eq!(defaults.memory_bytes_max(), 6_018_957_312 + 4 * 1024 * 1024);
        let more = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.memory_bytes_max() - defaults.memory_bytes_max()
        };
        let session = (24 + 5 * 16) * 1024;
        assert_eq!(more(|limits| limits.core.clients_max += 1), session);
        let list = (257 * 257 - 256 * 256) * 2 * ENTRY_BYTES_MAX;
        let server = more(|limits| limits.core.servers_max += 1);
        assert_eq!(server, session + list);
        assert_eq!(more(|limits| limits.refused_max += 1), session);
        assert_eq!(more(|limits| limits.requests_max += 1), 64 * 1024);
        assert_eq!(more(|limits| limits.client_outbox.bytes_max += 1), 0);
        assert_eq!(more(|limits| limits.outbox_bytes_total_max += 1), 1);
        let sessions = 50_000 + 256 + 1024;
        let signals = more(|limits| limits.core.signal_bytes_max += 1);
        assert_eq!(signals, 5 * sessions + COMMANDS_MAX);
    }

    /// With sessions for more shares than the total has room for, the shares are the limit.
    #[test]
    fn shares_that_come_to_more_than_the_total_count_instead_of_it() {
        let mut limits = Limits::default();
        let before = limits.memory_bytes_max() - limits.outbox_bytes_total_max;
        limits.outbox_bytes_total_max = 1;
        let shares = (50_000 + 256 * SERVER_SHARES) * SHARE_BYTES;
        assert_eq!(limits.memory_bytes_max(), before + shares);
        assert_eq!(limits.outbox_bytes_shared(), 0);
    }
}
