//! The cluster's own servers: one secret, known to coordinator and commservers, which never
//! travels.
//!
//! At the coordinator a server shows a short-lived token; on a link both sides show a proof over
//! the link itself; by a resume token a session keeps its alias. Each under a key of its own,
//! derived from the secret.

pub mod resume;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{Authenticated, Authenticator, Credentials, Link, Refusal, Role, secret};

/// What makes a server one of the cluster's. Cheap to clone; never shown by `Debug`.
#[derive(Clone)]
pub struct ClusterSecret(Arc<Keys>);

struct Keys {
    raw: SecretString,
    uplink: [u8; 32],
    resume: [u8; 32],
    client: [u8; 32],
    link: hmac::Key,
}

/// Whose proof: one side's is no use to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Shows its proof in AUTH.
    Dialer,
    /// Shows its proof in READY.
    Acceptor,
}

impl ClusterSecret {
    /// From an operator's words; see [`secret::parse`] for what is taken.
    pub fn parse(text: &str) -> Result<Self, secret::Error> {
        secret::parse(text).map(Self::from_secret)
    }

    /// From `file` when one is named, else from the variable [`VARIABLE`], looked up by
    /// `environment`. `Ok(None)` when there is neither.
    pub fn load(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, secret::Error> {
        let secret = secret::load(file, VARIABLE, environment)?;
        Ok(secret.map(Self::from_secret))
    }

    /// A new one, for a cluster that lives in one process.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to give.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a process without randomness must not come up"
    )]
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the system has randomness");
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::from_secret(text.into())
    }

    fn from_secret(raw: SecretString) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, raw.expose_secret().as_bytes());
        let uplink = mac(&master, &[b"webrtc-broker.1 uplink token"]);
        let resume = mac(&master, &[b"webrtc-broker.1 resume token"]);
        let client = mac(&master, &[b"webrtc-broker.1 client token"]);
        let link = mac(&master, &[b"webrtc-broker.1 link proof"]);
        Self(Arc::new(Keys {
            raw,
            uplink,
            resume,
            client,
            link: hmac::Key::new(hmac::HMAC_SHA256, &link),
        }))
    }

    /// What a server shows the coordinator: good for [`UPLINK_TOKEN_LIFETIME`] from `now`, so a
    /// new one is made for each dial.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "two plain claims always serialise, and HMAC takes any key"
    )]
    pub fn uplink_token(&self, role: Role, now: SystemTime) -> String {
        let claims = UplinkClaims {
            role: role_claim(role).into(),
            exp: seconds(now + UPLINK_TOKEN_LIFETIME),
        };
        let key = EncodingKey::from_secret(&self.0.uplink);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .expect("claims are plain")
    }

    /// Whether `token` is one that [`Self::uplink_token`] made for `role`, and is not over at `now`.
    pub fn verify_uplink_token(
        &self,
        token: &str,
        role: Role,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let mut validation = Validation::new(Algorithm::HS256);
        // Against the caller's clock, below.
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(&self.0.uplink);
        let decoded = jsonwebtoken::decode::<UplinkClaims>(token, &key, &validation)
            .map_err(|_| Refusal::Invalid)?;
        let until = decoded.claims.exp.saturating_add(CLOCK_SKEW_MAX.as_secs());
        if until < seconds(now) {
            return Err(Refusal::Invalid);
        }
        if decoded.claims.role != role_claim(role) {
            return Err(Refusal::Forbidden);
        }
        Ok(())
    }

    /// What `side` shows the other over `link`: an HMAC-SHA256 over both aliases and both
    /// fingerprints.
    #[must_use]
    pub fn link_proof(&self, side: Side, link: &Link) -> [u8; 32] {
        let label: &[u8] = match side {
            Side::Dialer => b"dialer",
            Side::Acceptor => b"acceptor",
        };
        // The label comes last: everything before it has a fixed length.
        let parts = [
            &link.dialer_alias.to_be_bytes()[..],
            &link.acceptor_alias.to_be_bytes(),
            &link.dialer_fingerprint,
            &link.acceptor_fingerprint,
            label,
        ];
        mac(&self.0.link, &parts)
    }

    /// Whether `proof` is `side`'s over `link`, in constant time.
    #[must_use]
    pub fn verify_link_proof(&self, side: Side, link: &Link, proof: &[u8]) -> bool {
        self.link_proof(side, link).ct_eq(proof).into()
    }

    /// For tokens of registered clients.
    pub(crate) fn client_key(&self) -> &[u8] {
        &self.0.client
    }

    fn is_raw(&self, presented: &[u8]) -> bool {
        let key = &self.0.link;
        let expected = mac(key, &[self.0.raw.expose_secret().as_bytes()]);
        expected.ct_eq(&mac(key, &[presented])).into()
    }
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret([redacted])")
    }
}

/// Lets in servers and hubs that know the cluster secret.
#[derive(Debug, Clone)]
pub struct Cluster {
    secret: ClusterSecret,
    raw_allowed: bool,
}

impl Cluster {
    /// For servers that hold `secret`.
    #[must_use]
    pub const fn new(secret: ClusterSecret) -> Self {
        Self {
            secret,
            raw_allowed: false,
        }
    }

    /// Also takes the secret itself, in clear, as a token or AUTH body: for servers that speak
    /// only the 2019 protocol and can show nothing better.
    #[must_use]
    pub const fn allow_raw_secret(mut self, allowed: bool) -> Self {
        self.raw_allowed = allowed;
        self
    }

    fn check(&self, role: Role, credentials: Credentials<'_>) -> Result<(), Refusal> {
        let presented = match credentials {
            Credentials::Upgrade(request) => request.token.unwrap_or("").as_bytes(),
            Credentials::Packet { body, .. } => body,
        };
        if presented.is_empty() {
            return Err(Refusal::Missing);
        }
        if self.raw_allowed && self.secret.is_raw(presented) {
            return Ok(());
        }
        match credentials {
            Credentials::Upgrade(request) => {
                let token = request.token.unwrap_or("");
                let now = SystemTime::now();
                self.secret.verify_uplink_token(token, role, now)
            }
            Credentials::Packet { alias, body, link } => {
                let proved = alias == link.dialer_alias
                    && self.secret.verify_link_proof(Side::Dialer, link, body);
                proved.then_some(()).ok_or(Refusal::Invalid)
            }
        }
    }
}

#[async_trait]
impl Authenticator for Cluster {
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        if !role.is_server() {
            return Err(Refusal::Forbidden);
        }
        self.check(role, credentials)?;
        Ok(Authenticated::everything(Bytes::new()))
    }
}

#[derive(Serialize, Deserialize)]
struct UplinkClaims {
    role: String,
    /// Seconds since 1970.
    exp: u64,
}

pub(crate) const fn role_claim(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Hub => "hub",
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    // HMAC-SHA256 has 32 bytes, as `out`.
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// The environment variable that carries the cluster secret.
pub const VARIABLE: &str = "BROKER_CLUSTER_SECRET";

/// How long an uplink token is good: the time of one dial, generously.
pub const UPLINK_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// How far the clocks of a cluster's machines may be apart.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
