//! Those who mean no good, or behave as if. Each attack is a future that goes on until it is dropped,
//! or says why it could not: benchmarks measure what it costs others, tests that it costs nobody a
//! packet. What an attack opens and how fast it goes is said beforehand; nothing here looks at what
//! the servers make of it.

mod garbage;
mod half_open;
mod handshakes;
mod logins;
mod loud;
mod pace;
mod topics;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use client::{Client, Config, Endpoint, EndpointConfig, Event, Events};
use url::Url;

/// Who is attacked.
#[derive(Debug, Clone)]
pub struct Target {
    /// The coordinator, `ws://host:port`.
    pub coordinator: Url,
    /// A commserver's UDP socket.
    pub rtc: SocketAddr,
    /// What clients show, where they show something.
    pub token: Option<String>,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// So many connections that begin to ask for a WebSocket, and never finish.
    HalfOpen(usize),
    /// So many clients that begin the DTLS handshake, and never finish.
    Handshakes(usize),
    /// So many datagrams a second that are nothing.
    Garbage(u32),
    /// A client that publishes so many packets a second, half of them on each lane.
    Loud(u32),
    /// So many at once who log in as a registered client and do not know its key.
    Logins(usize),
    /// Clients that subscribe to all the topics and unsubscribe again, as many at once as they may.
    Topics {
        /// How many clients.
        clients: usize,
        /// How many topics.
        topics: usize,
    },
}

impl Attack {
    /// Goes on until it is dropped, and counts what it has done.
    ///
    /// # Errors
    /// When it cannot go on.
    pub async fn run(self, target: Target, done: Arc<Done>) -> Result<()> {
        match self {
            Self::HalfOpen(count) => half_open::run(&target, count, &done).await,
            Self::Handshakes(count) => handshakes::run(&target, count, &done).await,
            Self::Garbage(per_s) => garbage::run(target.rtc, per_s, &done).await,
            Self::Loud(per_s) => loud::run(&target, per_s, &done).await,
            Self::Logins(count) => logins::run(&target, count, &done).await,
            Self::Topics { clients, topics } => topics::run(&target, clients, topics, &done).await,
        }
    }

    /// How much is to be done before it is under way.
    #[must_use]
    pub fn under_way(self) -> u64 {
        let all = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match self {
            Self::HalfOpen(count) | Self::Handshakes(count) | Self::Logins(count) => all(count),
            Self::Garbage(per_s) | Self::Loud(per_s) => u64::from(per_s).div_ceil(10),
            Self::Topics { clients, .. } => all(clients),
        }
    }
}

/// What an attack has done so far: connections, handshakes, datagrams, packets, tries, requests.
#[derive(Debug, Default)]
pub struct Done(AtomicU64);

impl Done {
    /// So much.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

/// The registered client as which [`Attack::Logins`] tries to log in.
pub const REGISTERED: &str = "ann";

/// A client that is let in.
async fn join(endpoint: &Endpoint, target: &Target) -> Result<(Client, Events)> {
    let mut config = Config::new(target.coordinator.clone());
    if let Some(token) = &target.token {
        config = config.with_token(token.as_str());
    }
    let (client, mut events) = endpoint.connect(&config)?;
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected { .. } => return Ok((client, events)),
            Event::Stopped { reason } => anyhow::bail!("an abuser is not let in: {reason}"),
            _ => {}
        }
    }
    anyhow::bail!("an abuser ended without a word")
}

/// For clients on this machine.
fn endpoint() -> Result<Endpoint> {
    let listen = Some(std::net::Ipv4Addr::LOCALHOST.into());
    let config = EndpointConfig {
        listen,
        ..EndpointConfig::default()
    };
    Ok(Endpoint::new(config)?)
}

/// `host:port` of the coordinator.
fn address(target: &Target) -> Result<(String, u16)> {
    let url = &target.coordinator;
    let host = url.host_str().context("a URL with a host")?;
    let port = url.port_or_known_default().context("a URL with a port")?;
    Ok((host.to_owned(), port))
}
