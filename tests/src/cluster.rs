//! A whole cluster in one process, on the loopback interface: a real coordinator and real
//! commservers, each of which can be stopped and started again.

mod setup;

use std::future::Future;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use commserver::Status;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::setup::Setup;
use crate::PATIENCE;
use crate::metrics::Metrics;

/// A running cluster. Dropping it stops it, without waiting.
#[derive(Debug)]
pub struct Cluster {
    setup: Setup,
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    coordinator: Option<Running>,
    commservers: Vec<Option<Commserver>>,
}

/// One of its commservers.
#[derive(Debug)]
pub struct Commserver {
    /// What the coordinator called it first.
    pub alias: u64,
    /// Its UDP socket.
    pub rtc_addr: SocketAddr,
    /// `/healthz`, `/readyz`, `/metrics`.
    pub admin_addr: SocketAddr,
    hub: bool,
    status: Status,
    running: Running,
}

impl Cluster {
    /// Of a setup of no interest.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub async fn start(commservers: usize) -> Result<Self> {
        Setup::default().start(commservers).await
    }

    /// The coordinator, as clients are told: `ws://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.setup.scheme, self.addr)
    }

    /// What the servers share.
    #[must_use]
    pub const fn secret(&self) -> &auth::ClusterSecret {
        &self.setup.secret
    }

    /// The coordinator's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the coordinator's admin API is.
    ///
    /// # Panics
    /// When the coordinator is not the cluster's own.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the test has started it itself")]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr.expect("a coordinator of the cluster's own")
    }

    /// A commserver, by the order in which they were started.
    ///
    /// # Panics
    /// When it is stopped.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the test asks for what it has stopped itself"
    )]
    pub fn commserver(&self, index: usize) -> &Commserver {
        self.commservers
            .get(index)
            .and_then(Option::as_ref)
            .expect("a running commserver")
    }

    /// The aliases of those that run.
    #[must_use]
    pub fn aliases(&self) -> Vec<u64> {
        self.running().map(|commserver| commserver.alias).collect()
    }

    /// Starts one more and waits for its WELCOME; see [`Self::meshed`] for the rest.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn add_commserver(&mut self) -> Result<u64> {
        let commserver = self.setup.start_commserver(&self.url(), false).await?;
        let alias = commserver.alias;
        self.commservers.push(Some(commserver));
        Ok(alias)
    }

    /// Starts a hub and waits for its WELCOME.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn add_hub(&mut self) -> Result<u64> {
        let hub = self.setup.start_commserver(&self.url(), true).await?;
        let alias = hub.alias;
        self.commservers.push(Some(hub));
        Ok(alias)
    }

    /// Starts so many at the same time; see [`Self::meshed`] for the rest.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn add_commservers(&mut self, count: usize) -> Result<()> {
        let url = self.url();
        let starts = (0..count).map(|_| self.setup.start_commserver(&url, false));
        let commservers = try_join_all(starts).await?;
        self.commservers.extend(commservers.into_iter().map(Some));
        Ok(())
    }

    /// Stops one: its clients are told, and it is gone.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop_commserver(&mut self, index: usize) -> Result<()> {
        let slot = self
            .commservers
            .get_mut(index)
            .context("no such commserver")?;
        slot.take()
            .context("it is stopped already")?
            .running
            .stop()
            .await
    }

    /// Starts a stopped one again, as a new process would: another port, another alias.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_commserver(&mut self, index: usize) -> Result<u64> {
        self.restart(index, false).await
    }

    /// The same for a hub.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_hub(&mut self, index: usize) -> Result<u64> {
        self.restart(index, true).await
    }

    async fn restart(&mut self, index: usize, hub: bool) -> Result<u64> {
        let commserver = self.setup.start_commserver(&self.url(), hub).await?;
        let slot = self
            .commservers
            .get_mut(index)
            .context("no such commserver")?;
        ensure!(slot.is_none(), "it is still running");
        Ok(slot.insert(commserver).alias)
    }

    /// Stops the coordinator: every session is told.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop_coordinator(&mut self) -> Result<()> {
        self.coordinator
            .take()
            .context("it is stopped already")?
            .stop()
            .await
    }

    /// Starts it again at the same address.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_coordinator(&mut self) -> Result<()> {
        ensure!(self.coordinator.is_none(), "it is still running");
        let started = self.setup.start_coordinator(Some(self.addr)).await?;
        self.admin_addr = started.admin_addr;
        self.coordinator = Some(started.running);
        Ok(())
    }

    /// Waits until every commserver has a link to every other.
    ///
    /// # Errors
    /// When the links do not come in time.
    pub async fn meshed(&self) -> Result<()> {
        let others = self.running().count().saturating_sub(1);
        self.wait_for("the mesh", |stats| stats.links == others)
            .await
    }

    /// Waits until each commserver has had so many sessions with a coordinator.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn welcomed(&self, times: u64) -> Result<()> {
        self.wait_for("a session with the coordinator", |stats| {
            stats.welcomes >= times
        })
        .await
    }

    /// Waits until every commserver is linked with the hub, and with nobody else.
    ///
    /// # Errors
    /// When the links do not come in time.
    pub async fn linked_as_star(&self) -> Result<()> {
        let leaves = self.running().filter(|commserver| !commserver.hub).count();
        let waits = self.running().map(|commserver| {
            let links = if commserver.hub { leaves } else { 1 };
            commserver.wait_for("the star", move |stats| stats.links == links)
        });
        try_join_all(waits).await.map(drop)
    }

    /// Waits until each commserver counts so many subscriptions, of clients and links together.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn subscribed(&self, count: usize) -> Result<()> {
        self.wait_for("subscriptions", |stats| stats.subscriptions == count)
            .await
    }

    /// Waits until what every commserver counts is as wanted.
    ///
    /// # Errors
    /// When it is not so in time.
    pub async fn wait_for(
        &self,
        what: &str,
        wanted: impl Fn(&commserver_core::Stats) -> bool,
    ) -> Result<()> {
        let waits = self
            .running()
            .map(|commserver| commserver.wait_for(what, &wanted));
        try_join_all(waits).await.map(drop)
    }

    /// Stops everything, commservers first.
    ///
    /// # Errors
    /// When something does not end in time.
    pub async fn stop(mut self) -> Result<()> {
        for commserver in self.commservers.drain(..).flatten() {
            commserver.running.stop().await?;
        }
        match self.coordinator.take() {
            Some(coordinator) => coordinator.stop().await,
            None => Ok(()),
        }
    }

    fn running(&self) -> impl Iterator<Item = &Commserver> {
        self.commservers.iter().flatten()
    }
}

impl Commserver {
    /// Waits until what it counts is as wanted.
    ///
    /// # Errors
    /// When it is not so in time; says what it counted instead.
    pub async fn wait_for(
        &self,
        what: &str,
        wanted: impl Fn(&commserver_core::Stats) -> bool,
    ) -> Result<()> {
        let mut status = self.status.clone();
        match timeout(PATIENCE, status.wait_for(&wanted)).await {
            Ok(true) => Ok(()),
            Ok(false) => bail!("commserver {} ended", self.alias),
            Err(_) => bail!(
                "no {what} at {} in time: {:?}",
                self.alias,
                self.status.stats()
            ),
        }
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> commserver_core::Stats {
        self.status.stats()
    }

    /// What its metrics page says, the transport's counters among it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(self.admin_addr).await
    }

    /// What the coordinator calls it now.
    #[must_use]
    pub fn alias_now(&self) -> Option<u64> {
        self.status.alias()
    }
}

/// A server's task and how to end it.
#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    fn start<F>(serve: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(serve(stop.clone()));
        Self { stop, task }
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.task.join_next()).await;
        match ended.context("a server does not end")? {
            Some(Err(panic)) => bail!("a server panicked: {panic}"),
            _ => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The hub's thread listens to this alone.
        self.stop.cancel();
    }
}
