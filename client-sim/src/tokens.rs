//! A token of its own for each synthetic client, signed with the secret that the servers have.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use auth::jwt::{
    claims::{Claims, Seconds},
    keys::Algorithm,
    signing::{BadSigningKey, SigningKey},
};
use client::{Credentials, TokenProvider};
use secrecy::SecretString;

/// Makes them. Each is good for [`LIFETIME`], and another one is made when one is needed.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Arc<SigningKey>);

impl Tokens {
    pub(crate) fn new(secret: &SecretString) -> Self {
        Self(Arc::new(SigningKey::secret(Algorithm::Hs256, secret)))
    }

    /// Those of the client that was started as the `nth`, who is nobody else.
    pub(crate) fn of(&self, nth: u32) -> Credentials {
        let tokens = self.clone();
        Credentials::Provider(TokenProvider::new(move || {
            std::future::ready(tokens.sign(nth, SystemTime::now()))
        }))
    }

    fn sign(&self, nth: u32, now: SystemTime) -> Result<String, BadSigningKey> {
        let everything = || Some(vec!["#".into()]);
        self.0.sign(&Claims {
            sub: Some(format!("client-sim-{nth}")),
            exp: Some(Seconds::of(now + LIFETIME)),
            publish: everything(),
            subscribe: everything(),
            ..Claims::default()
        })
    }
}

const LIFETIME: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;
    use auth::jwt::{
        Jwt, Rules,
        keys::{Key, KeySet},
    };

    #[test]
    fn each_client_is_somebody() {
        let secret = SecretString::from("a long enough secret");
        let keys = KeySet::new([Key::secret(Algorithm::Hs256, &secret)]).expect("one key");
        let jwt = Jwt::new(keys, Rules::default());
        let now = SystemTime::now();
        for nth in [0, 7] {
            let token = Tokens::new(&secret)
                .sign(nth, now)
                .expect("it can be signed");
            let verified = jwt.verify(&token, now).expect("a good token");
            let name = format!("client-sim-{nth}");
            assert_eq!(verified.authenticated.identity, name.as_bytes());
            assert!(verified.authenticated.grants.publish.matches("a/b"));
        }
    }
}
