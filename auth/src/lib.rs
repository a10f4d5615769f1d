//! Who may: credentials in, identity and grants out.
//!
//! One trait, [`Authenticator`], asked at two places: by the coordinator when a WebSocket is
//! upgraded, and by a commserver when a peer sends AUTH. One file per implementation. The callers
//! bring strings and bytes; of the wire, only the topic filters are known here.
//!
//! ```
//! use auth::{AllowAll, Authenticator, Credentials, Link, Role};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let link = Link::default();
//! let credentials = Credentials::Packet { alias: 64, body: b"", link: &link };
//! let authenticated = AllowAll.authenticate(Role::Client, credentials).await;
//! assert!(authenticated.is_ok());
//! # });
//! ```

pub mod allow_all;
pub mod by_role;
pub mod call_out;
pub mod chain;
pub mod cluster;
#[cfg(test)]
mod double;
#[cfg(test)]
mod front;
pub mod jwt;
pub mod metrics;
pub mod registered;
pub mod remote;
pub mod secret;
pub mod shared_secret;
#[cfg(test)]
mod suite;

use std::{fmt::Debug, net::SocketAddr, num::NonZeroU64, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

pub use allow_all::AllowAll;
pub use by_role::ByRole;
pub use call_out::CallOut;
pub use chain::Chain;
pub use cluster::{Cluster, ClusterSecret, Side};
pub use jwt::Jwt;
pub use proto::filter::Grants;
pub use registered::Registered;
pub use shared_secret::SharedSecret;

/// Decides whether credentials are good for a role.
///
/// An implementation may take its time (it may ask another service): whoever calls holds back what
/// the asker sends meanwhile, within limits, and gives up after a deadline of its own.
#[async_trait]
pub trait Authenticator: Send + Sync + Debug {
    /// Checks `credentials` of somebody who wants to be `role`.
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal>;
}

/// What somebody wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Publishes and subscribes.
    Client,
    /// A communication server.
    Server,
    /// A communication server at the centre of a star.
    Hub,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Client, Self::Server, Self::Hub];

    /// Whether it is one of the cluster's own.
    #[must_use]
    pub const fn is_server(self) -> bool {
        matches!(self, Self::Server | Self::Hub)
    }
}

/// What somebody shows.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// At the coordinator, when the WebSocket is asked for.
    Upgrade(UpgradeRequest<'a>),
    /// At a commserver, in AUTH.
    Packet {
        /// Whose, as the coordinator stamped it.
        alias: u64,
        /// The body of AUTH.
        body: &'a [u8],
        /// What it came over.
        link: &'a Link,
    },
}

/// The request for a WebSocket, whole, and the token where one was found in it.
#[derive(Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// The request's target, query included.
    pub uri: &'a http::Uri,
    /// The request's headers.
    pub headers: &'a http::HeaderMap,
    /// The other end of the TCP connection, which may be a proxy.
    pub remote: SocketAddr,
    /// From the Authorization header, the subprotocol list or the query.
    pub token: Option<&'a str>,
}

impl Debug for UpgradeRequest<'_> {
    /// Without headers, query and token: all three carry secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("path", &self.uri.path())
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// Both ends of a peer's transport. A proof over it is good for this transport alone: each
/// fingerprint is of a DTLS certificate whose key the handshake proved to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Of the side that sent CONNECT.
    pub dialer_alias: u64,
    /// Of the side that made the offer.
    pub acceptor_alias: u64,
    /// SHA-256 of the dialer's certificate.
    pub dialer_fingerprint: [u8; 32],
    /// SHA-256 of the acceptor's certificate.
    pub acceptor_fingerprint: [u8; 32],
}

/// The answer to good credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Who it is, in the deployment's own terms; shown to others beside TOPIC_IDENTITY packets.
    /// Empty for somebody without a name.
    pub identity: Bytes,
    /// What it may do with topics.
    pub grants: Grants,
    /// How much it may do.
    pub limits: Limits,
    /// Until when; `None` is for as long as it stays.
    pub expires: Option<SystemTime>,
    /// What the token is called, so that it can be revoked.
    pub token_id: Option<Arc<str>>,
}

impl Authenticated {
    /// Somebody who may do everything that the role may, for as long as it stays.
    #[must_use]
    pub const fn everything(identity: Bytes) -> Self {
        Self {
            identity,
            grants: Grants::ALL,
            limits: Limits::NONE,
            expires: None,
            token_id: None,
        }
    }
}

/// Limits of one token. They lower the server's, and never raise them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Of the reliable lane.
    pub reliable: LaneLimits,
    /// Of the unreliable lane.
    pub unreliable: LaneLimits,
    /// Topics that it may be subscribed to.
    pub subscriptions_max: Option<usize>,
}

impl Limits {
    /// Those of the server, as they are.
    pub const NONE: Self = Self {
        reliable: LaneLimits::NONE,
        unreliable: LaneLimits::NONE,
        subscriptions_max: None,
    };
}

/// How much it may send on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneLimits {
    /// Packets per second.
    pub packets_per_s: Option<NonZeroU64>,
    /// Bytes per second, the sum of the packets' lengths.
    pub bytes_per_s: Option<NonZeroU64>,
}

impl LaneLimits {
    /// That of the server, as it is.
    pub const NONE: Self = Self {
        packets_per_s: None,
        bytes_per_s: None,
    };
}

/// The answer to credentials that are not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// There were none.
    #[error("credentials are missing")]
    Missing,
    /// They are malformed, wrong, or of another time.
    #[error("credentials are not valid")]
    Invalid,
    /// They may be good, but not for this role.
    #[error("credentials do not allow this role")]
    Forbidden,
    /// Nobody could tell just now: worth another try.
    #[error("credentials could not be checked just now")]
    Unavailable,
}
