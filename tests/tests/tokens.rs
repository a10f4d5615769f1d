//! Signed tokens through a whole cluster: who is let in by one, as whom, and for how long.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use auth::jwt::claims::{Claims, Seconds};
use auth::jwt::keys::{Algorithm, Key, KeySet};
use auth::jwt::signing::SigningKey;
use auth::jwt::{Jwt, Rules};
use auth::{Authenticator, Chain, SharedSecret};
use proto::{Lane, Reason};
use tests::cluster::{Cluster, Setup};
use tests::member::{self, Member};

const TOPIC: &str = "plaza/1";
const SECRET: &str = "the secret of signed tokens";
const OTHER: &str = "somebody else's secret";

/// A cluster that lets in by tokens, or by a shared secret.
async fn cluster() -> Result<Cluster> {
    let keys = KeySet::new([Key::secret(Algorithm::Hs256, &SECRET.into())])?;
    let ways: Vec<Arc<dyn Authenticator>> = vec![
        Arc::new(Jwt::new(keys, Rules::default())),
        Arc::new(SharedSecret::new(&"a long enough secret".into())),
    ];
    let setup = Setup {
        clients: Arc::new(Chain::new(ways)),
        ..Setup::default()
    };
    setup.start(1).await
}

fn token(secret: &str, sub: &str, role: Option<&str>, exp: SystemTime) -> Result<String> {
    let key = SigningKey::secret(Algorithm::Hs256, &secret.into());
    Ok(key.sign(&Claims {
        sub: Some(sub.into()),
        role: role.map(Into::into),
        exp: Some(Seconds::of(exp)),
        ..Claims::default()
    })?)
}

fn soon() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

async fn join(cluster: &Cluster, token: &str) -> Result<Member> {
    Member::join_as(&member::config(&cluster.url())?.with_token(token)).await
}

#[tokio::test]
async fn who_is_let_in_by_a_token_is_whom_it_names() -> Result<()> {
    let cluster = cluster().await?;
    let ann = join(&cluster, &token(SECRET, "ann", None, soon())?).await?;
    // The other way in.
    let mut bob = join(&cluster, "bob:a long enough secret").await?;
    bob.client.subscribe(&[TOPIC]).await?;
    ann.client
        .publish_with_identity(TOPIC, Lane::Reliable, "it is me")
        .await?;
    let identity = bob.message().await?.identity;
    ensure!(
        identity
            .as_ref()
            .is_some_and(|identity| identity.bytes == "ann"),
        "{identity:?}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_for_good() -> Result<()> {
    let cluster = cluster().await?;
    let hour = Duration::from_secs(3600);
    for (token, reason) in [
        (token(OTHER, "ann", None, soon())?, Reason::Unauthenticated),
        (
            token(SECRET, "ann", None, soon() - 2 * hour)?,
            Reason::Unauthenticated,
        ),
        (
            token(SECRET, "ann", Some("server"), soon())?,
            Reason::Forbidden,
        ),
        ("garbage".into(), Reason::Unauthenticated),
    ] {
        let config = member::config(&cluster.url())?.with_token(token);
        let stopped = Member::start(&config)?.stopped().await?;
        ensure!(stopped == reason, "{stopped:?}");
    }
    join(&cluster, &token(SECRET, "ann", Some("client"), soon())?).await?;
    cluster.stop().await
}

/// The Rust of docs/TOKENS.md, laid out as there.
#[rustfmt::skip]
fn documented(secret: &str) -> Result<String> {
    // --- as documented ---
    use jsonwebtoken::{EncodingKey, Header, encode};

    let claims = serde_json::json!({
        "sub": "ann", "exp": jsonwebtoken::get_current_timestamp() + 3600,
        "publish": ["rooms/+/chat"], "subscribe": ["rooms/#"],
    });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?;
    // --- end ---
    Ok(token)
}

/// What stands between two marks, without the spaces in which layouts differ.
fn between(text: &str, begin: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(begin)?;
    let (found, _) = rest.split_once(end)?;
    Some(found.split_whitespace().collect())
}

#[tokio::test]
async fn a_token_that_is_made_as_documented_is_good() -> Result<()> {
    let page = include_str!("../../docs/TOKENS.md");
    let page = between(page, "```rust\n", "```").context("a block of Rust")?;
    let here = include_str!("tokens.rs");
    let here = between(here, "// --- as documented ---", "// --- end ---");
    ensure!(here.as_ref() == Some(&page), "what is documented: {page}");

    let cluster = cluster().await?;
    let ann = join(&cluster, &documented(SECRET)?).await?;
    let mut bob = join(&cluster, "bob:a long enough secret").await?;
    bob.client.subscribe(&["rooms/1/chat"]).await?;
    ann.client
        .publish_with_identity("rooms/1/chat", Lane::Reliable, "hello")
        .await?;
    let identity = bob.message().await?.identity.context("an identity")?;
    ensure!(identity.bytes == "ann", "{identity:?}");
    ensure!(ann.client.subscribe(&["halls/1"]).await.is_err());
    ann.client.subscribe(&["rooms/2"]).await?;
    cluster.stop().await
}
