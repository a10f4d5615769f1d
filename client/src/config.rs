//! What a client and its endpoint are made with.

use std::{fmt, future::Future, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;
use shard::{Impair, rtc_peer::Certificate};
use url::Url;

use crate::{
    credentials::{Credentials, TokenProvider, secret},
    events::EventsConfig,
    session::{self, BackoffConfig, Offline},
    signalling::{self, BadUrl, Manner, Shown, Timeouts},
};

/// One client's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The coordinator, e.g. `ws://127.0.0.1:9090`.
    pub coordinator: Url,
    /// Whom to trust at a `wss` coordinator: whom the system does, unless told otherwise. See
    /// [`Self::with_ca_file`].
    pub tls: tls::Connector,
    /// Who we are.
    pub credentials: Credentials,
    /// What [`crate::Client::resume_token`] gave to a client before this one, to come back under its
    /// alias. One that is not good any more costs the alias, nothing else.
    pub resume: Option<Arc<SecretString>>,
    /// Where we are: the coordinator may prefer servers of the same region. Names are as
    /// [`proto::region::is_region`] says.
    pub region: Option<String>,
    /// What becomes of reliable publications made while there is no server.
    pub offline: Offline,
    /// Most topics at a time. 1,024, as servers allow by default; the server's limit holds besides.
    pub subscriptions_max: usize,
    /// Limits of the event queue.
    pub events: EventsConfig,
    /// Waits between tries.
    pub backoff: BackoffConfig,
    /// From asking a server for a peer to its offer. 4 s.
    pub offer_timeout: Duration,
    /// From the offer to READY. 10 s.
    pub connect_timeout: Duration,
    /// Between two PINGs that measure the round trip; `None` measures none. 5 s.
    pub ping_interval: Option<Duration>,
    /// Deadlines of the signalling socket.
    pub signalling: Timeouts,
    /// Without authenticated traffic, ICE consent included, the server counts as lost. 15 s.
    pub idle_timeout: Duration,
}

impl Config {
    /// The defaults, without a token, anywhere.
    #[must_use]
    pub fn new(coordinator: Url) -> Self {
        let session = session::Config::default();
        Self {
            coordinator,
            tls: tls::Connector::default(),
            credentials: Credentials::None,
            resume: None,
            region: None,
            offline: session.offline,
            subscriptions_max: session.subscriptions_max,
            events: EventsConfig::default(),
            backoff: session.backoff,
            offer_timeout: session.offer_timeout,
            connect_timeout: session.connect_timeout,
            ping_interval: session.ping_interval,
            signalling: Timeouts::default(),
            idle_timeout: Duration::from_secs(15),
        }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<SecretString>) -> Self {
        self.credentials = Credentials::Token(Arc::new(token.into()));
        self
    }

    /// The same with tokens that run out: `provide` is asked for one before each dial to the
    /// coordinator, and once more before a server is joined long after that. Its answer serves for
    /// both. It has 10 s; if there is none, or it is an error, the client tries again after a wait,
    /// and [`crate::Event::Retrying`] says `AuthUnavailable`. It runs on the client's runtime and
    /// must not block.
    ///
    /// ```
    /// # struct Accounts;
    /// # impl Accounts {
    /// #     async fn fresh_token(&self) -> Result<String, std::io::Error> { Ok("token".into()) }
    /// # }
    /// use std::sync::Arc;
    ///
    /// let accounts = Arc::new(Accounts);
    /// let config = client::Config::new("ws://127.0.0.1:9090".parse()?)
    ///     .with_token_provider(move || {
    ///         let accounts = Arc::clone(&accounts);
    ///         async move { accounts.fresh_token().await }
    ///     });
    /// # Ok::<(), url::ParseError>(())
    /// ```
    #[must_use]
    pub fn with_token_provider<F, R, T, E>(mut self, provide: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<SecretString>,
        E: fmt::Display,
    {
        self.credentials = Credentials::Provider(TokenProvider::new(provide));
        self
    }

    /// The same, coming back under the alias of a client before this one: see
    /// [`crate::Client::resume_token`].
    #[must_use]
    pub fn with_resume_token(mut self, token: impl Into<SecretString>) -> Self {
        self.resume = Some(Arc::new(token.into()));
        self
    }

    /// The same, trusting those whose certificates the authority in this PEM file has signed, and
    /// nobody else. It is read when the coordinator is dialed first.
    #[must_use]
    pub fn with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls = tls::Connector::new(tls::Trust {
            ca: Some(path.into()),
            pair: None,
        });
        self
    }

    /// The same in a region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The request that a client opens its session with, for whoever wants to see the answer to it.
    /// A token that is asked for is not in it.
    ///
    /// # Errors
    /// When the URL is no coordinator's.
    pub fn upgrade_request(&self) -> Result<http::Request<()>, BadUrl> {
        let token = match &self.credentials {
            Credentials::Token(token) => Some(secret(token)),
            Credentials::None | Credentials::Provider(_) => None,
        };
        let resume = None;
        let shown = Shown { token, resume };
        self.signalling().request(Manner::Ours(&shown))
    }

    pub(crate) fn session(&self, seed: u64) -> session::Config {
        session::Config {
            token: self.credentials.source(),
            resume: self.resume.as_deref().map(secret),
            seed,
            offer_timeout: self.offer_timeout,
            connect_timeout: self.connect_timeout,
            ping_interval: self.ping_interval,
            backoff: self.backoff,
            offline: self.offline,
            subscriptions_max: self.subscriptions_max,
            ..session::Config::default()
        }
    }

    pub(crate) fn signalling(&self) -> signalling::Config {
        signalling::Config {
            coordinator: self.coordinator.clone(),
            tls: self.tls.clone(),
            region: self.region.clone(),
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
