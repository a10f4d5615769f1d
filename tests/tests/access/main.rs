//! Who may do what, and for how long: grants, tokens that end, and those who are shut out, with real
//! clients and servers.

mod expiry;
mod grants;
mod revocation;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use auth::jwt::claims::{Claims, Seconds};
use auth::jwt::keys::{Algorithm, Key, KeySet};
use auth::jwt::signing::SigningKey;
use auth::jwt::{Jwt, Rules};
use tests::cluster::{Cluster, Setup};
use tests::member::{self, Member};

const SECRET: &str = "the secret of signed tokens";

/// Whose clients show tokens that end when they say.
fn setup() -> Result<Setup> {
    let keys = KeySet::new([Key::secret(Algorithm::Hs256, &SECRET.into())])?;
    let rules = Rules {
        leeway: Duration::ZERO,
        ..Rules::default()
    };
    Ok(Setup {
        clients: Arc::new(Jwt::new(keys, rules)),
        coordinator: Arc::new(|config| config.timeouts.expiry_min = Duration::from_secs(1)),
        ..Setup::default()
    })
}

/// Somebody by this name, for an hour.
fn claims(name: &str) -> Claims {
    Claims {
        sub: Some(name.into()),
        exp: Some(Seconds::of(SystemTime::now() + Duration::from_hours(1))),
        ..Claims::default()
    }
}

fn sign(claims: &Claims) -> Result<String> {
    let key = SigningKey::secret(Algorithm::Hs256, &SECRET.into());
    Ok(key.sign(claims)?)
}

async fn join(cluster: &Cluster, claims: &Claims) -> Result<Member> {
    let config = member::config(&cluster.url())?;
    Member::join_as(&config.with_token(sign(claims)?)).await
}
