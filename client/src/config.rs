//! What a client and its endpoint are made with.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use shard::{Impair, rtc_peer::Certificate};
use url::Url;

use crate::{
    events::EventsConfig,
    session::{self, BackoffConfig, Offline},
    signalling::{self, Timeouts},
};

/// One client's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The coordinator, e.g. `ws://127.0.0.1:9090`.
    pub coordinator: Url,
    /// Who we are: shown to the coordinator at the upgrade and to the server as AUTH.
    pub token: Option<Arc<SecretString>>,
    /// What becomes of reliable publications made while there is no server.
    pub offline: Offline,
    /// Limits of the event queue.
    pub events: EventsConfig,
    /// Waits between tries.
    pub backoff: BackoffConfig,
    /// From asking a server for a peer to READY. 10 s.
    pub connect_timeout: Duration,
    /// Between two PINGs that measure the round trip; `None` measures none. 5 s.
    pub ping_interval: Option<Duration>,
    /// Deadlines of the signalling socket.
    pub signalling: Timeouts,
    /// Without authenticated traffic, ICE consent included, the server counts as lost. 15 s.
    pub idle_timeout: Duration,
}

impl Config {
    /// The defaults, without a token.
    #[must_use]
    pub fn new(coordinator: Url) -> Self {
        let session = session::Config::default();
        Self {
            coordinator,
            token: None,
            offline: session.offline,
            events: EventsConfig::default(),
            backoff: session.backoff,
            connect_timeout: session.connect_timeout,
            ping_interval: session.ping_interval,
            signalling: Timeouts::default(),
            idle_timeout: Duration::from_secs(15),
        }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<SecretString>) -> Self {
        self.token = Some(Arc::new(token.into()));
        self
    }

    pub(crate) fn session(&self, seed: u64) -> session::Config {
        let token = self.token.as_ref();
        session::Config {
            auth_body: token.map_or_else(Bytes::new, |token| {
                Bytes::copy_from_slice(token.expose_secret().as_bytes())
            }),
            seed,
            connect_timeout: self.connect_timeout,
            ping_interval: self.ping_interval,
            backoff: self.backoff,
            offline: self.offline,
            ..session::Config::default()
        }
    }

    pub(crate) fn signalling(&self) -> signalling::Config {
        signalling::Config {
            coordinator: self.coordinator.clone(),
            token: self.token.clone(),
            timeouts: self.signalling,
        }
    }
}

/// What all clients of an endpoint share.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Address of the clients' sockets, each with a port of its own. `None`: the loopback address
    /// when the coordinator is there, every interface otherwise.
    pub listen: Option<IpAddr>,
    /// A bad network for tests, in both directions; `None` for the network as it is.
    pub impair: Option<Impair>,
    /// Source of everything random; by default the system's randomness.
    pub seed: u64,
    /// Socket buffers to ask for, bytes each way. 1 MiB.
    pub socket_buffer_bytes: usize,
    /// DTLS certificate; by default a new one.
    pub certificate: Option<Certificate>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            listen: None,
            impair: None,
            seed: rand::random(),
            socket_buffer_bytes: 1024 * 1024,
            certificate: None,
        }
    }
}
