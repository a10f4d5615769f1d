//! Clients that have registered at the coordinator and logged in there: it gives them a token that it
//! has signed, and each commserver can check, under the cluster secret.
//!
//! One token of each client is in force: the last one. The coordinator knows which ([`Standing`]);
//! a commserver takes every token until it is over, or revoked. Names, keys and their hashes are the
//! coordinator's business, and not here.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::{
    Authenticated, Authenticator, ClusterSecret, Credentials, Refusal, Role,
    jwt::{
        self, Jwt, Problem, Rules, Verified,
        claims::{Claims, OneOrMany, Seconds},
        keys::{Algorithm, Key, KeySet},
        signing::SigningKey,
    },
};

/// Lets in clients that show a token from their login.
#[derive(Debug, Clone)]
pub struct Registered {
    tokens: Jwt,
    standing: Option<Arc<Standing>>,
}

impl Registered {
    /// At a commserver, where a token is good until it is over.
    #[must_use]
    pub fn new(secret: &ClusterSecret) -> Self {
        let key = Key::bytes(Algorithm::Hs256, secret.client_key());
        let rules = Rules {
            audiences: vec![AUDIENCE.into()],
            // The cluster's own clocks, as for everything else under its secret.
            leeway: crate::cluster::CLOCK_SKEW_MAX,
            ..Rules::default()
        };
        Self {
            tokens: Jwt::new(KeySet::of_one(key), rules),
            standing: None,
        }
    }

    /// At the coordinator, where only the last token of each client is.
    #[must_use]
    pub fn with_standing(mut self, standing: Arc<Standing>) -> Self {
        self.standing = Some(standing);
        self
    }

    /// What `token` says at `now`, or why it is not good.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Verified, Problem> {
        let verified = self.tokens.verify(token, now)?;
        let Some(standing) = &self.standing else {
            return Ok(verified);
        };
        let Authenticated {
            identity, token_id, ..
        } = &verified.authenticated;
        let in_force = token_id
            .as_deref()
            .is_some_and(|token_id| standing.is_in_force(identity, token_id));
        in_force.then_some(verified).ok_or(Problem::Superseded)
    }
}

#[async_trait]
impl Authenticator for Registered {
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        let token = jwt::shown(&credentials);
        let verified = self.verify(token, SystemTime::now()).map_err(|problem| {
            tracing::debug!(%problem, "a registered client's token is refused");
            problem.refusal()
        })?;
        if role.is_server() {
            return Err(Refusal::Forbidden);
        }
        Ok(verified.authenticated)
    }
}

/// Which token of each registered client is in force.
#[derive(Debug, Default)]
pub struct Standing(RwLock<HashMap<Box<[u8]>, Arc<str>>>);

impl Standing {
    /// From now on it is this one; yields the one that was.
    pub fn put(&self, client: &str, token_id: Arc<str>) -> Option<Arc<str>> {
        self.0.write().insert(client.as_bytes().into(), token_id)
    }

    /// From now on it is none; yields the one that was.
    pub fn remove(&self, client: &str) -> Option<Arc<str>> {
        self.0.write().remove(client.as_bytes())
    }

    fn is_in_force(&self, client: &[u8], token_id: &str) -> bool {
        let standing = self.0.read();
        standing
            .get(client)
            .is_some_and(|known| **known == *token_id)
    }
}

/// A token for somebody who has logged in.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// Who that is.
    pub client: &'a str,
    /// What the token is called.
    pub token_id: &'a str,
    /// Filters of what it may publish to; `None` is everything.
    pub publish: Option<Vec<String>>,
    /// Filters of what it may subscribe to; `None` is everything.
    pub subscribe: Option<Vec<String>>,
    /// Until when.
    pub until: SystemTime,
}

impl ClusterSecret {
    /// The token that says `grant`. `None` when it would be longer than a token may be.
    #[must_use]
    pub fn client_token(&self, grant: Grant<'_>) -> Option<String> {
        let claims = Claims {
            sub: Some(grant.client.into()),
            aud: OneOrMany(vec![AUDIENCE.into()]),
            exp: Some(Seconds::of(grant.until)),
            jti: Some(grant.token_id.into()),
            publish: grant.publish,
            subscribe: grant.subscribe,
            ..Claims::default()
        };
        let key = SigningKey::bytes(Algorithm::Hs256, self.client_key());
        let token = key.sign(&claims).ok()?;
        (token.len() <= jwt::TOKEN_BYTES_MAX).then_some(token)
    }
}

/// A name for a token that nobody else has.
///
/// # Panics
/// When the system has no randomness to give.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "without randomness, tokens would be taken for each other"
)]
pub fn token_id() -> Arc<str> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.into()
}

/// Nobody else makes tokens for it.
const AUDIENCE: &str = "webrtc-broker.1 registered client";

/// How long a token is good unless the operator says otherwise.
pub const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, suite::Subject};

    const SECRET: &str = "cluster cluster cluster";

    fn secret() -> ClusterSecret {
        ClusterSecret::parse(SECRET).expect("long enough")
    }

    fn grant<'a>(client: &'a str, token_id: &'a str) -> Grant<'a> {
        Grant {
            client,
            token_id,
            publish: Some(vec!["rooms/#".into()]),
            subscribe: None,
            until: SystemTime::now() + Duration::from_secs(60),
        }
    }

    fn token(client: &str, token_id: &str) -> String {
        let token = secret().client_token(grant(client, token_id));
        token.expect("a short one")
    }

    #[tokio::test]
    async fn passes_the_suite_at_both_places() {
        let standing = Arc::new(Standing::default());
        standing.put("ann", "t1".into());
        let commserver = Registered::new(&secret());
        let coordinator = commserver.clone().with_standing(standing);
        for registered in [commserver, coordinator] {
            let subject = Subject {
                authenticator: Arc::new(registered),
                roles: &[Role::Client],
                open: false,
                secrets: vec![SECRET],
                upgrade_token: Box::new(|_| token("ann", "t1")),
                packet_body: Box::new(|_, _| token("ann", "t1").into_bytes()),
            };
            subject.check().await;
        }
    }

    #[test]
    fn a_token_says_what_was_granted() {
        let now = SystemTime::now();
        let verified = Registered::new(&secret()).verify(&token("ann", "t1"), now);
        let ann = verified.expect("a good token").authenticated;
        assert_eq!(ann.identity, "ann");
        assert_eq!(ann.token_id.as_deref(), Some("t1"));
        assert!(ann.grants.publish.matches("rooms/1") && !ann.grants.publish.matches("news"));
        assert!(ann.grants.subscribe.matches("news"));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out() {
        let now = SystemTime::now();
        let registered = Registered::new(&secret());
        for back in [Duration::from_secs(1), Duration::from_hours(24 * 365)] {
            let verified = registered.verify(&token("ann", "t1"), now - back);
            assert!(verified.is_ok(), "{back:?}");
        }
        let late = registered.verify(&token("ann", "t1"), now + Duration::from_hours(1));
        assert!(late.is_err(), "it ends");
    }

    #[test]
    fn the_coordinator_takes_the_last_one_alone() {
        let standing = Arc::new(Standing::default());
        let registered = Registered::new(&secret()).with_standing(Arc::clone(&standing));
        let verify = |token: &str| registered.verify(token, SystemTime::now()).map(drop);
        let (first, second) = (token("ann", "t1"), token("ann", "t2"));
        assert!(matches!(verify(&first), Err(Problem::Superseded)));
        assert_eq!(standing.put("ann", "t1".into()), None);
        assert!(verify(&first).is_ok());
        assert_eq!(standing.put("ann", "t2".into()).as_deref(), Some("t1"));
        assert!(matches!(verify(&first), Err(Problem::Superseded)));
        assert!(verify(&second).is_ok());
        assert!(verify(&token("bob", "t2")).is_err());
        assert_eq!(standing.remove("ann").as_deref(), Some("t2"));
        assert!(matches!(verify(&second), Err(Problem::Superseded)));
    }

    #[test]
    fn tokens_of_other_kinds_and_clusters_are_none() {
        let registered = Registered::new(&secret());
        let now = SystemTime::now();
        let uplink = secret().uplink_token(Role::Server, now);
        assert!(registered.verify(&uplink, now).is_err());
        let other = ClusterSecret::parse("another cluster's secret").expect("long enough");
        let foreign = other.client_token(grant("ann", "t1")).expect("a short one");
        assert!(registered.verify(&foreign, now).is_err());
        // Under the right key, but for something else.
        let key = SigningKey::bytes(Algorithm::Hs256, secret().client_key());
        let claims = Claims {
            sub: Some("ann".into()),
            exp: Some(Seconds(u64::MAX)),
            ..Claims::default()
        };
        let bare = key.sign(&claims).expect("it can be signed");
        assert!(matches!(
            registered.verify(&bare, now),
            Err(Problem::Audience)
        ));
    }

    #[test]
    fn a_token_for_too_many_filters_is_not_made() {
        let filters = |count| Some(vec!["rooms/1/chat".to_owned(); count]);
        for (count, made) in [(200, true), (600, false)] {
            let grant = Grant {
                publish: filters(count),
                ..grant("ann", "t1")
            };
            assert_eq!(secret().client_token(grant).is_some(), made, "{count}");
        }
    }

    #[test]
    fn names_of_tokens_differ() {
        let (one, other) = (token_id(), token_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
    }

    #[tokio::test]
    async fn a_server_is_no_client() {
        let link = Link::default();
        let token = token("ann", "t1");
        let credentials = Credentials::Packet {
            alias: 0,
            body: token.as_bytes(),
            link: &link,
        };
        let answer = Registered::new(&secret())
            .authenticate(Role::Server, credentials)
            .await;
        assert_eq!(answer, Err(Refusal::Forbidden));
    }
}
