//! Clients that know one secret are let in, as whoever they say: token and AUTH body are the
//! secret, or `name:secret`.
//!
//! The name is as trustworthy as everybody who holds the secret. Deployments whose clients must
//! not pose as each other need tokens of their own.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::{Authenticated, Authenticator, Credentials, Refusal, Role};

/// Lets in clients that know the secret.
#[derive(Clone)]
pub struct SharedSecret {
    /// Of this process alone; what is compared are tags under it, which have one length.
    key: hmac::Key,
    tag: hmac::Tag,
}

impl SharedSecret {
    /// For clients that present `secret`.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to give.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a process without randomness must not come up"
    )]
    pub fn new(secret: &SecretString) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())
            .expect("the system has randomness");
        let tag = hmac::sign(&key, secret.expose_secret().as_bytes());
        Self { key, tag }
    }

    /// Whether this is the secret itself, in a time that tells neither how much of it was right nor
    /// how long the secret is.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        let tag = hmac::sign(&self.key, presented);
        tag.as_ref().ct_eq(self.tag.as_ref()).into()
    }

    fn check(&self, presented: &[u8]) -> Result<Authenticated, Refusal> {
        if presented.is_empty() {
            return Err(Refusal::Missing);
        }
        if presented.len() > PRESENTED_BYTES_MAX {
            return Err(Refusal::Invalid);
        }
        if self.matches(presented) {
            return Ok(Authenticated::everything(Bytes::new()));
        }
        let (name, secret) = split_name(presented).ok_or(Refusal::Invalid)?;
        if !self.matches(secret) {
            return Err(Refusal::Invalid);
        }
        Ok(Authenticated::everything(Bytes::copy_from_slice(name)))
    }
}

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedSecret").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for SharedSecret {
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        if role.is_server() {
            return Err(Refusal::Forbidden);
        }
        match credentials {
            Credentials::Upgrade(request) => self.check(request.token.unwrap_or("").as_bytes()),
            Credentials::Packet { body, .. } => self.check(body),
        }
    }
}

/// A printable name before the first colon, and what is behind it.
fn split_name(presented: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = presented.iter().position(|&byte| byte == b':')?;
    let (name, rest) = presented.split_at(colon);
    let text = str::from_utf8(name).ok()?;
    let printable = !text.is_empty() && !text.chars().any(char::is_control);
    (printable && name.len() <= NAME_BYTES_MAX).then_some((name, rest.get(1..)?))
}

/// Longest name, in bytes of UTF-8: it travels beside every TOPIC_IDENTITY packet.
pub const NAME_BYTES_MAX: usize = 64;

/// The longest secret, with name and colon.
const PRESENTED_BYTES_MAX: usize = crate::secret::BYTES_MAX + NAME_BYTES_MAX + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, suite::Subject};
    use std::sync::Arc;

    const SECRET: &str = "a secret: with a colon";

    fn subject() -> SharedSecret {
        SharedSecret::new(&SECRET.into())
    }

    #[tokio::test]
    async fn passes_the_suite() {
        for prefix in ["", "ann:", "Ann Äöü:"] {
            let presented = format!("{prefix}{SECRET}");
            let body = presented.clone().into_bytes();
            let subject = Subject {
                authenticator: Arc::new(subject()),
                roles: &[Role::Client],
                open: false,
                secrets: vec![SECRET],
                upgrade_token: Box::new(move |_| presented.clone()),
                packet_body: Box::new(move |_, _| body.clone()),
            };
            subject.check().await;
        }
    }

    async fn identity(presented: &str) -> Result<Bytes, Refusal> {
        let link = Link::default();
        let credentials = Credentials::Packet {
            alias: 0,
            body: presented.as_bytes(),
            link: &link,
        };
        let authenticated = subject().authenticate(Role::Client, credentials).await?;
        Ok(authenticated.identity)
    }

    #[tokio::test]
    async fn identity_is_the_name() {
        assert_eq!(identity(SECRET).await, Ok(Bytes::new()));
        let ann = identity(&format!("ann:{SECRET}")).await;
        assert_eq!(ann, Ok(Bytes::from_static(b"ann")));
    }

    #[tokio::test]
    async fn names_have_their_bounds() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert!(identity(&format!("{longest}:{SECRET}")).await.is_ok());
        for name in ["", "a\nb", "\0", &format!("{longest}n")] {
            let refused = identity(&format!("{name}:{SECRET}")).await;
            assert_eq!(refused, Err(Refusal::Invalid), "{name:?}");
        }
    }

    #[tokio::test]
    async fn almost_is_not_enough() {
        for almost in [
            &SECRET[1..],
            &SECRET[..SECRET.len() - 1],
            "ann:",
            " with a colon",
        ] {
            assert_eq!(identity(almost).await, Err(Refusal::Invalid), "{almost:?}");
        }
        let longer = format!("{SECRET}x");
        assert_eq!(identity(&longer).await, Err(Refusal::Invalid));
    }
}
