//! A commserver, bound and then run: the hub on a thread of its own, and around it the uplink, the authentication calls and the admin listener as tasks.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use auth::{Chain, Cluster};
use commserver_core::Broker;
use prometheus_client::registry::Registry;
use shard::rtc_peer::Certificate;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, admin,
    authentication::Desk,
    config::MemoryMax,
    hub::{Addresses, Hub, Outlets, Questions, Snapshot, Transport, thread::HubThread},
    metrics::Collected,
    uplink::{self, Uplink},
};

/// A commserver with its sockets bound. Nothing happens until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    rtc_addr: SocketAddr,
    admin: Option<(TcpListener, SocketAddr)>,
    hub: HubThread,
    drain_timeout: Duration,
    uplink: Uplink,
    desks: [Desk; 2],
    snapshots: watch::Receiver<Snapshot>,
    registry: Registry,
}

/// Why a commserver could not be bound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The UDP socket.
    #[error("cannot bind the UDP socket on {addr}")]
    Rtc {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The admin listener.
    #[error("cannot bind the admin listener on {addr}")]
    Admin {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The DTLS certificate.
    #[error("cannot make a DTLS certificate")]
    Certificate(#[from] shard::rtc_peer::CertificateError),
    /// The coordinator's URL.
    #[error("the coordinator's URL cannot be used")]
    Coordinator(#[source] http::Error),
    /// The hub's thread.
    #[error("cannot start the hub's thread")]
    Thread(#[source] io::Error),
}

/// Why a commserver ended although nobody asked it to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The hub's thread ended.
    #[error("the hub ended by itself")]
    HubEnded,
    /// It did not end in time when it was asked to, the drain included.
    #[error("the hub did not end within {0:?}")]
    HubStuck(Duration),
}

/// How a running commserver is doing.
#[derive(Debug, Clone)]
pub struct Status(watch::Receiver<Snapshot>);

impl Status {
    /// Its alias, once a coordinator has welcomed it.
    #[must_use]
    pub fn alias(&self) -> Option<u64> {
        self.0.borrow().alias
    }

    /// Waits until it has one. `None` when the server ends before.
    pub async fn welcomed(&mut self) -> Option<u64> {
        let snapshot = self.0.wait_for(|snapshot| snapshot.alias.is_some()).await;
        snapshot.ok()?.alias
    }

    /// What the state machine has counted, some moments ago.
    #[must_use]
    pub fn stats(&self) -> commserver_core::Stats {
        self.0.borrow().stats.clone()
    }

    /// Waits until what was counted is as wanted. False when the server ends before.
    pub async fn wait_for(&mut self, wanted: impl Fn(&commserver_core::Stats) -> bool) -> bool {
        let found = self.0.wait_for(|snapshot| wanted(&snapshot.stats)).await;
        found.is_ok()
    }
}

impl Server {
    /// Binds the UDP socket and the admin listener.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let admin = bind_admin(config.admin_listen).await?;
        let role = config.role();
        let region = config.region.as_deref();
        let coordinator = uplink::discover_uri(&config.coordinator, role, region)
            .map_err(BindError::Coordinator)?;
        let (signals_in, signals) = mpsc::channel(config.uplink.queue_max.max(1));
        let (published, snapshots) = watch::channel(Snapshot::default());
        let stop = CancellationToken::new();
        let (desks, questions) = desks(&config);
        let outlets = Outlets {
            signals: signals_in,
            questions,
            stop: stop.clone(),
            published,
        };
        let core = core_config(&config);
        let broker = Broker::new(std::time::Instant::now(), core);
        let secret = config.cluster_secret.clone();
        let transport = Transport {
            ice_lite: config.rtc.ice_lite,
            reliable_budget: config.rtc.reliable_budget,
            unreliable_budget: config.rtc.unreliable_budget,
            link_outbox_times: config.rtc.link_outbox_times,
        };
        let addresses = Addresses::new(config.rtc.addresses.clone());
        let hub = Hub::new(broker, secret.clone(), transport, addresses, outlets);
        let (hub, bound) = HubThread::start(shard_config(&config)?, hub, stop).await?;

        let uplink_stats = Arc::new(uplink::Stats::default());
        let mut registry = Registry::default();
        let asking = registry.sub_registry_with_prefix("broker");
        config.auth_metrics.register(asking);
        registry.register_collector(Box::new(Collected {
            snapshots: snapshots.clone(),
            shard: bound.stats,
            uplink: Arc::clone(&uplink_stats),
        }));
        log_memory_max(&config.memory_max());
        Ok(Self {
            rtc_addr: bound.addr,
            admin,
            uplink: Uplink {
                coordinator,
                trust: config.trust,
                role,
                secret,
                config: config.uplink,
                signals,
                hub: bound.handle,
                stats: uplink_stats,
                seed: rand::random(),
                resume: None,
            },
            hub,
            drain_timeout: config.drain.timeout,
            desks,
            snapshots,
            registry,
        })
    }

    /// The address of the UDP socket.
    #[must_use]
    pub const fn rtc_addr(&self) -> SocketAddr {
        self.rtc_addr
    }

    /// The address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, addr)| *addr)
    }

    /// To follow how it is doing while it runs.
    #[must_use]
    pub fn status(&self) -> Status {
        Status(self.snapshots.clone())
    }

    /// Serves until `shutdown`; then drains as [`Config::drain`] says: clients are asked to go
    /// elsewhere and waited for. At last everybody who is left is told and closed.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        // What serves the hub stays until the hub has said its last words.
        let late = CancellationToken::new();
        let _ends_with_us = late.clone().drop_guard();
        let mut tasks = JoinSet::new();
        if let Some((listener, _)) = self.admin {
            let metrics = admin::Shared::new(self.registry, self.snapshots.clone());
            tasks.spawn(admin::run(listener, metrics, late.clone()));
        }
        for desk in self.desks {
            tasks.spawn(desk.run(self.uplink.hub.clone(), late.clone()));
        }
        tasks.spawn(self.uplink.run(late.clone()));
        let limit = self.drain_timeout.saturating_add(CLOSE_TIMEOUT);
        let ended = self.hub.run(shutdown, limit).await;
        late.cancel();
        while tasks.join_next().await.is_some() {}
        ended
    }
}

/// Where clients and where servers are looked at, and how the hub asks.
fn desks(config: &Config) -> ([Desk; 2], Questions) {
    let desk = |authenticator| {
        let (asked, requests) = mpsc::channel(config.authentication.waiting_max.max(1));
        let desk = Desk {
            authenticator,
            requests,
            config: config.authentication.clone(),
        };
        (desk, asked)
    };
    let cluster = Cluster::new(config.cluster_secret.clone());
    let cluster = cluster.allow_raw_secret(config.compat.servers_2019);
    let (clients_desk, clients) = desk(Arc::clone(&config.clients));
    let servers = Chain::or_else(Arc::new(cluster), config.servers.clone());
    let (servers_desk, servers) = desk(servers);
    ([clients_desk, servers_desk], Questions { clients, servers })
}

fn log_memory_max(most: &MemoryMax) {
    tracing::info!(
        bytes = most.total(),
        received = most.received,
        waiting = most.waiting,
        transports = most.transports,
        held = most.held,
        grants = most.grants,
        subscriptions = most.subscriptions,
        topics = most.topics,
        queues = most.queues,
        "most that peers can make this server hold"
    );
}

fn core_config(config: &Config) -> commserver_core::Config {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let unix_time = now.unwrap_or_default().as_millis();
    commserver_core::Config {
        unix_time_ms: u64::try_from(unix_time).unwrap_or(u64::MAX),
        hub: config.hub,
        load_interval: config.uplink.load_interval,
        drain: config.drain,
        limits: config.limits.clone(),
        timings: config.timings.clone(),
        trust_unstamped_servers: config.compat.trust_unstamped_servers,
        allow_2019_servers: config.compat.servers_2019,
        ..commserver_core::Config::new(rand::random_range(1..=u64::MAX), rand::random())
    }
}

fn shard_config(config: &Config) -> Result<shard::Config, BindError> {
    let rtc = &config.rtc;
    Ok(shard::Config {
        listen: config.rtc_listen,
        advertise: config.advertise.clone(),
        peers_max: config.transports_max(),
        reliable: rtc.reliable,
        unreliable: rtc.unreliable,
        waiting: config.outbox_pool(),
        received: config.inbox_pool(),
        reliable_budget: rtc.reliable_budget,
        unreliable_budget: rtc.unreliable_budget,
        unproved_budget: rtc.unproved_budget,
        peer: rtc.peer,
        commands_max: rtc.commands_max,
        impair: rtc.impair,
        socket_buffer_bytes: rtc.socket_buffer_bytes,
        pace: rtc.coalesce,
        pace_idle: rtc.coalesce_idle,
        ..shard::Config::new(Certificate::generate()?, rand::random())
    })
}

async fn bind_admin(
    listen: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, BindError> {
    let Some(addr) = listen else {
        return Ok(None);
    };
    let cannot = |source| BindError::Admin { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(cannot)?;
    let addr = listener.local_addr().map_err(cannot)?;
    Ok(Some((listener, addr)))
}

/// For every peer to be told and closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
