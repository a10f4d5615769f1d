//! The coordinator's shell: HTTP and WebSocket around the state machine of `coordinator-core`.
//!
//! One task per session, one task (the hub) that owns the state machine, bounded queues between
//! them. Nothing here decides who may reach whom.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use tokio_util::sync::CancellationToken;
//!
//! let secret = auth::ClusterSecret::generate();
//! let mut config = coordinator::Config::new(Arc::new(auth::AllowAll), secret);
//! config.listen.set_port(0);
//! let server = coordinator::Server::bind(config).await?;
//! println!("ws://{}", server.addr());
//! server.run(CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod addresses;
mod admin;
mod certificate;
pub mod cli;
mod config;
mod from_settings;
mod hub;
mod listener;
mod metrics;
mod origin;
mod outbox;
mod pace;
mod pages;
mod refusal;
mod revocations;
mod room;
mod routes;
mod session;
mod token;
mod upgrade;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use auth::{Authenticator, ByRole, Chain, Cluster, ClusterSecret, SharedSecret};
use coordinator_core::{Coordinator, Stats, alias};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use coordinator_core::{Selector, Topology};

pub use crate::{
    accounts::Config as Accounts,
    addresses::{Limits as AddressLimits, Proxies, ProxyHeader},
    certificate::Reloader,
    config::{Config, Limits, Outbox, Page, Timeouts},
    origin::Origins,
    revocations::StoreError,
};
use crate::{
    addresses::Addresses,
    hub::{Hub, Tokens},
    listener::Listener,
    metrics::Metrics,
    revocations::{Revocations, Store},
    room::Room,
};

/// A coordinator that listens. It answers once [`Self::run`] runs.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    socket: TcpListener,
    admin: Option<(SocketAddr, TcpListener)>,
    hub: Hub,
    tls: Option<Arc<tls::Acceptor>>,
    tls_reload_interval: Duration,
    reloader: Reloader,
    shared: Arc<Shared>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system refused the address.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate, its key or the authority for others' certificates.
    #[error("TLS: {0}")]
    Tls(#[from] tls::Error),
    /// The admin API would be open to everybody.
    #[error("the admin listener on {addr}, which others reach, needs a secret")]
    AdminWithoutSecret {
        /// Which address.
        addr: SocketAddr,
    },
    /// Nobody knows who is not to be let in.
    #[error(transparent)]
    Revocations(#[from] StoreError),
    /// The store of registered clients.
    #[error("the store of registered clients, {}: {source}", path.display())]
    Accounts {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two pages, or a page and an endpoint, have one path; or a path does not begin with `/`.
    #[error("page path {path:?} is not a path of its own from the root")]
    PagePath {
        /// Which path.
        path: String,
    },
}

/// What the tasks of one server share.
#[derive(Debug)]
struct Shared {
    authenticator: Arc<dyn Authenticator>,
    cluster_secret: ClusterSecret,
    admin_secret: Option<SharedSecret>,
    accounts: Option<accounts::Accounts>,
    limits: Limits,
    timeouts: Timeouts,
    pages: Vec<Page>,
    hub: mpsc::Sender<hub::Command>,
    stats: watch::Receiver<Stats>,
    metrics: Metrics,
    registry: Registry,
    room: Room,
    addresses: Arc<Addresses>,
    waiting: Arc<outbox::Total>,
    proxies: Proxies,
    origins: Origins,
    revocations: Revocations,
    tasks: TaskTracker,
    /// Sessions are to be closed, and no new ones let in.
    stop: CancellationToken,
    /// No task may go on.
    abort: CancellationToken,
}

impl Server {
    /// Takes the addresses.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        pages::check(&config.pages)?;
        let store = Store::new(config.revocations_file.clone());
        let core = core(&config, &store)?;
        let authenticator = authenticator(&config);
        let tls = config.tls.map(tls::Acceptor::load).transpose()?;
        let (addr, socket) = listen(config.listen).await?;
        let admin = listen_admin(config.admin_listen, config.admin_secret.is_some()).await?;

        let (stats_sender, stats) = watch::channel(Stats::default());
        let mut registry = Registry::default();
        let addresses = Addresses::new(config.limits.addresses.clone());
        let waiting = Arc::new(outbox::Total::new(config.limits.outbox_bytes_shared()));
        let (known, held) = (Arc::clone(&addresses), Arc::clone(&waiting));
        let metrics = Metrics::register(&mut registry, stats.clone(), known, held);
        let asking = registry.sub_registry_with_prefix("coordinator");
        config.auth_metrics.register(asking);
        let tasks = TaskTracker::new();
        let accounts = config.accounts.map(|accounts| {
            let secret = config.cluster_secret.clone();
            open_accounts(accounts, secret, &mut registry, &tasks)
        });
        let tokens = Tokens {
            secret: config.cluster_secret.clone(),
            lifetime: config.resume_lifetime,
        };
        let (hub, commands) = Hub::new(core, tokens, stats_sender, metrics.clone());
        let shared = Shared {
            authenticator,
            cluster_secret: config.cluster_secret,
            admin_secret: config.admin_secret,
            accounts: accounts.transpose()?,
            room: Room::new(&config.limits),
            addresses,
            waiting,
            proxies: config.proxies,
            origins: config.allowed_origins,
            revocations: Revocations::new(store, config.resume_lifetime),
            limits: config.limits,
            timeouts: config.timeouts,
            pages: config.pages,
            hub: commands,
            stats,
            metrics,
            registry,
            tasks,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        };
        Ok(Self {
            addr,
            socket,
            admin,
            hub,
            tls: tls.map(Arc::new),
            tls_reload_interval: config.tls_reload_interval,
            reloader: Reloader::default(),
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where health, metrics and the admin API are, if anywhere.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(addr, _)| *addr)
    }

    /// How clients and servers dial it: `ws` or `wss`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "wss" } else { "ws" }
    }

    /// To have its certificate read again while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown` is cancelled; then closes every session with `ShuttingDown`, and
    /// returns when all are closed or the drain timeout is over.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            socket,
            admin,
            hub,
            tls,
            tls_reload_interval,
            reloader,
            shared,
            ..
        } = self;
        // What serves the sessions, and whoever watches, stay until the last session is closed.
        let late = CancellationToken::new();
        let around = TaskTracker::new();
        around.spawn(hub.run(shared.stop.clone(), late.clone()));
        if let Some((_, socket)) = admin {
            let listener = Listener {
                socket,
                router: admin::router(Arc::clone(&shared)),
                requests_max: ADMIN_REQUESTS_MAX,
                is_public: false,
                tls: None,
                tasks: around.clone(),
            };
            let (shared, late) = (Arc::clone(&shared), late.clone());
            around.spawn(async move { listener.accept(&shared, &late).await });
        }
        if let Some(acceptor) = tls.clone() {
            let metrics = shared.metrics.clone();
            let watch = certificate::watch(acceptor, reloader, tls_reload_interval, metrics);
            let late = late.clone();
            around.spawn(async move { session::unless(&late, watch).await });
        }
        around.close();

        let listener = Listener {
            socket,
            router: routes::router(Arc::clone(&shared)),
            requests_max: shared.limits.requests_max,
            is_public: true,
            tls,
            tasks: shared.tasks.clone(),
        };
        listener.accept(&shared, &shutdown).await;
        shared.stop.cancel();
        shared.tasks.close();
        let drained = tokio::time::timeout(shared.timeouts.drain, shared.tasks.wait()).await;
        if drained.is_err() {
            tracing::warn!("sessions did not close in time");
        }
        shared.abort.cancel();
        shared.tasks.wait().await;
        late.cancel();
        around.wait().await;
    }
}

/// The state machine, which knows who is not to be let in.
fn core(config: &Config, revoked: &Store) -> Result<Coordinator, StoreError> {
    let mut core = Coordinator::new(coordinator_core::Config {
        instance: config.instance,
        started: since_epoch(),
        seed: rand::random(),
        selector: config.selector,
        topology: config.topology,
        stale_after: config.timeouts.stale,
        limits: config.limits.core.clone(),
    });
    for entry in revoked.load()? {
        hub::revoke(&mut core, entry);
    }
    Ok(core)
}

async fn listen(addr: SocketAddr) -> Result<(SocketAddr, TcpListener), BindError> {
    let unavailable = |source| BindError::Listen { addr, source };
    let socket = TcpListener::bind(addr).await.map_err(unavailable)?;
    let addr = socket.local_addr().map_err(unavailable)?;
    Ok((addr, socket))
}

async fn listen_admin(
    addr: Option<SocketAddr>,
    has_secret: bool,
) -> Result<Option<(SocketAddr, TcpListener)>, BindError> {
    match addr {
        Some(addr) if !has_secret && !addr.ip().is_loopback() => {
            Err(BindError::AdminWithoutSecret { addr })
        }
        Some(addr) => listen(addr).await.map(Some),
        None => Ok(None),
    }
}

/// Of clients, and of servers, the cluster's own first.
fn authenticator(config: &Config) -> Arc<dyn Authenticator> {
    let cluster = Cluster::new(config.cluster_secret.clone());
    let cluster = cluster.allow_raw_secret(config.raw_cluster_secret);
    Arc::new(ByRole {
        clients: Arc::clone(&config.clients),
        servers: Chain::or_else(Arc::new(cluster), config.servers.clone()),
    })
}

fn open_accounts(
    config: Accounts,
    secret: ClusterSecret,
    registry: &mut Registry,
    tasks: &TaskTracker,
) -> Result<accounts::Accounts, BindError> {
    let metrics = accounts::Metrics::default();
    metrics.register(registry);
    let path = config.store.clone();
    accounts::Accounts::open(config, secret, metrics, tasks.clone()).map_err(|error| {
        let source = Box::new(error);
        BindError::Accounts { path, source }
    })
}

/// A clock before 2026 gives 0: aliases are then unique only until the next start.
fn since_epoch() -> Duration {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let epoch = Duration::from_secs(alias::EPOCH_UNIX_SECONDS);
    since_1970.unwrap_or_default().saturating_sub(epoch)
}

/// Requests to the admin listener at once.
const ADMIN_REQUESTS_MAX: usize = 64;
