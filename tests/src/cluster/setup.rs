//! What the servers of a cluster are told, and how they are started.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use auth::{AllowAll, Authenticator, ClusterSecret};
use tokio::time::timeout;

use super::{Cluster, Commserver, Running};
use crate::PATIENCE;

/// What the servers of a cluster are told. Start from [`Setup::default`].
#[derive(Clone)]
pub struct Setup {
    /// How the coordinator is dialed: `ws`, or `wss` where it is given a certificate.
    pub scheme: &'static str,
    /// Who may be a client, at both kinds of servers.
    pub clients: Arc<dyn Authenticator>,
    /// What the servers share.
    pub secret: ClusterSecret,
    /// Changes the coordinator's configuration.
    pub coordinator: Arc<dyn Fn(&mut coordinator::Config) + Send + Sync>,
    /// Changes every commserver's configuration.
    pub commserver: Arc<dyn Fn(&mut commserver::Config) + Send + Sync>,
}

impl Default for Setup {
    /// Everybody is let in; redials are quick.
    fn default() -> Self {
        Self {
            scheme: "ws",
            clients: Arc::new(AllowAll),
            secret: ClusterSecret::generate(),
            coordinator: Arc::new(|_| {}),
            commserver: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// Changes the coordinator's topology to a star, which has no hub before one is added.
    #[must_use]
    pub fn star(mut self) -> Self {
        let before = self.coordinator;
        self.coordinator = Arc::new(move |config| {
            config.topology = coordinator::Topology::Star;
            before(config);
        });
        self
    }

    /// Starts a star of a coordinator, a hub, which is the first commserver, and so many leaves, and
    /// waits until all are linked.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start_star(self, leaves: usize) -> Result<Cluster> {
        let mut cluster = self.star().start(0).await?;
        cluster.add_hub().await?;
        cluster.add_commservers(leaves).await?;
        cluster.linked_as_star().await?;
        Ok(cluster)
    }

    /// Starts a coordinator and `commservers` servers, and waits until all are linked.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start(self, commservers: usize) -> Result<Cluster> {
        let started = self.start_coordinator(None).await?;
        self.start_servers(commservers, started.addr, Some(started))
            .await
    }

    /// The same at a coordinator that is there already, and is not the cluster's to stop.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start_at(self, coordinator: SocketAddr, commservers: usize) -> Result<Cluster> {
        self.start_servers(commservers, coordinator, None).await
    }

    async fn start_servers(
        self,
        count: usize,
        addr: SocketAddr,
        own: Option<Started>,
    ) -> Result<Cluster> {
        let mut cluster = Cluster {
            setup: self,
            addr,
            admin_addr: own.as_ref().and_then(|own| own.admin_addr),
            coordinator: own.map(|own| own.running),
            commservers: Vec::new(),
        };
        for _ in 0..count {
            cluster.add_commserver().await?;
        }
        cluster.meshed().await?;
        Ok(cluster)
    }

    pub(super) async fn start_coordinator(&self, addr: Option<SocketAddr>) -> Result<Started> {
        let mut config = coordinator::Config::new(Arc::clone(&self.clients), self.secret.clone());
        // Sooner at the wanted server than by chance.
        config.selector = coordinator::Selector::RoundRobin;
        config.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        (self.coordinator)(&mut config);
        config.listen = addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = coordinator::Server::bind(config).await?;
        Ok(Started {
            addr: server.addr(),
            admin_addr: server.admin_addr(),
            running: Running::start(|stop| server.run(stop)),
        })
    }

    pub(super) async fn start_commserver(
        &self,
        coordinator: &str,
        hub: bool,
    ) -> Result<Commserver> {
        let clients = Arc::clone(&self.clients);
        let mut config =
            commserver::Config::new(coordinator.parse()?, clients, self.secret.clone());
        config.timings.redial_min = Duration::from_millis(100);
        config.timings.redial_max = Duration::from_secs(1);
        config.uplink.redial_min = Duration::from_millis(50);
        config.uplink.redial_max = Duration::from_millis(500);
        config.drain.timeout = Duration::ZERO;
        config.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.hub = hub;
        (self.commserver)(&mut config);
        let server = commserver::Server::bind(config).await?;
        let rtc_addr = server.rtc_addr();
        let admin_addr = server.admin_addr().context("an admin listener")?;
        let mut status = server.status();
        let running = Running::start(async |stop| {
            // Ending by itself shows in everything that follows.
            server.run(stop).await.ok();
        });
        let welcomed = timeout(PATIENCE, status.welcomed()).await;
        let alias = welcomed
            .context("no WELCOME in time")?
            .context("it ended before WELCOME")?;
        Ok(Commserver {
            alias,
            rtc_addr,
            admin_addr,
            hub,
            status,
            running,
        })
    }
}

/// A coordinator that runs.
pub(super) struct Started {
    pub(super) addr: SocketAddr,
    pub(super) admin_addr: Option<SocketAddr>,
    pub(super) running: Running,
}
