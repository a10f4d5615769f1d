//! Where clients come from: what they share (a certificate, an address, a bad network), and a
//! socket for each.
//!
//! A server has one UDP port, and DTLS names nobody: two clients of one socket could not be told
//! apart there. So each client has a socket of its own.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering},
};

use shard::{
    PeerConfig, outbox,
    rtc_peer::{Certificate, CertificateError},
};

use url::{Host, Url};

use crate::{
    client::{self, Client},
    config::{Config, EndpointConfig},
    driver,
    events::Events,
    session::Offline,
    signalling::BadUrl,
};

/// Makes clients.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    certificate: Certificate,
    clients: AtomicU64,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is no coordinator's.
    #[error(transparent)]
    BadUrl(#[from] BadUrl),
    /// The region's name is none.
    #[error("expected a region of 1 to 64 letters, digits, '-', '_' and '.', got {0:?}")]
    BadRegion(String),
    /// The system has no socket for it.
    #[error("no UDP socket for the client")]
    Socket(#[from] std::io::Error),
    /// No certificate could be made.
    #[error("no certificate for the client")]
    Certificate(#[from] CertificateError),
}

impl Endpoint {
    /// Makes the certificate; nothing is bound yet.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn new(config: EndpointConfig) -> Result<Self, CertificateError> {
        let certificate = match &config.certificate {
            Some(certificate) => certificate.clone(),
            None => Certificate::generate()?,
        };
        Ok(Self {
            config,
            certificate,
            clients: AtomicU64::new(0),
        })
    }

    /// A client, on its way to the coordinator; [`crate::Event::Connected`] says when it is there.
    /// Its tasks run on the tokio runtime that this is called from.
    ///
    /// # Errors
    /// When the coordinator's URL or the region is none, or the system has no socket for the client.
    /// That it cannot be reached is no error here: the client goes on trying.
    pub fn connect(&self, config: &Config) -> Result<(Client, Events), ConnectError> {
        let (app, shared, events) = client::app(config.events);
        let running = driver::start(self, config, app)?;
        Ok((Client::new(running, shared), events))
    }

    /// A seed for the next client.
    pub(crate) fn next_seed(&self) -> u64 {
        let client = self.clients.fetch_add(1, Ordering::Relaxed);
        self.config
            .seed
            .wrapping_add(client.wrapping_mul(SEED_STEP))
    }

    pub(crate) fn shard_config(&self, config: &Config, seed: u64) -> shard::Config {
        let mut shard = shard::Config::new(self.certificate.clone(), seed);
        let listen = self
            .config
            .listen
            .unwrap_or_else(|| near(&config.coordinator));
        shard.listen = (listen, 0).into();
        shard.peers_max = PEERS_MAX;
        shard.reliable = reliable_outbox(config.offline);
        shard.peer = PeerConfig {
            idle_timeout: config.idle_timeout,
            handshake_timeout: config.connect_timeout,
            ..PeerConfig::default()
        };
        shard.commands_max = COMMANDS_MAX;
        // Each socket has a bad network of its own, or all would lose the same packets.
        shard.impair = self.config.impair;
        if let Some(impair) = &mut shard.impair {
            impair.seed = impair.seed.wrapping_add(seed);
        }
        shard.socket_buffer_bytes = self.config.socket_buffer_bytes;
        shard.receive_buffers = 4;
        shard
    }
}

/// Where servers of this coordinator can be reached from.
fn near(coordinator: &Url) -> IpAddr {
    match coordinator.host() {
        Some(Host::Ipv6(addr)) if addr.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        Some(Host::Ipv4(addr)) if addr.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Room for everything that waited for a server, twice: it is sent in one go.
fn reliable_outbox(offline: Offline) -> outbox::Config {
    let mut outbox = outbox::Config::RELIABLE;
    if let Offline::Queue {
        count_max,
        bytes_max,
        ..
    } = offline
    {
        outbox.count_max += 2 * count_max;
        outbox.bytes_max += 2 * bytes_max;
    }
    outbox
}

/// The current peer, and former ones that have not said goodbye yet.
const PEERS_MAX: usize = 4;

/// Commands and signals that wait for a client's task.
const COMMANDS_MAX: usize = 256;

/// Odd, so that no two of 2^64 clients have the same seed.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_region_that_is_none_is_refused() {
        let endpoint = Endpoint::new(EndpointConfig::default()).expect("a certificate");
        let config = Config::new("ws://127.0.0.1:1".parse().expect("a URL"));
        let refused = endpoint.connect(&config.clone().with_region("eu west"));
        assert!(matches!(refused, Err(ConnectError::BadRegion(region)) if region == "eu west"));
        let (client, _events) = endpoint
            .connect(&config.with_region("eu-west"))
            .expect("a socket");
        client.close().await;
    }

    #[test]
    fn loopback_stays_on_loopback() {
        let near = |url: &str| near(&url.parse().expect("a URL")).to_string();
        assert_eq!(near("ws://localhost:9090"), "127.0.0.1");
        assert_eq!(near("ws://127.0.0.2:9090"), "127.0.0.1");
        assert_eq!(near("ws://[::1]:9090"), "::1");
        assert_eq!(near("ws://broker.example"), "0.0.0.0");
    }
}
