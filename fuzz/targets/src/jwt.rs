//! Tokens from whoever connects: as they come, with a good signature under any header and claims,
//! and sets of keys.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use arbitrary::Unstructured;
use auth::jwt::{
    Jwt, Rules, Unverified,
    keys::{Algorithm, Key, KeySet},
};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;

/// Runs one input: what it is, and its text.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let kind = choices.int_in_range(0..=3).unwrap_or_default();
    let Ok(text) = std::str::from_utf8(choices.take_rest()) else {
        return;
    };
    match kind {
        0 => check_as_it_is(text),
        1 | 2 => check_signed(text),
        _ => {
            if let Ok((keys, _unused)) = KeySet::jwks(text) {
                assert!(keys.iter().count() > 0);
                Jwt::new(keys, Rules::default())
                    .verify(&sign(HEADER, "{}"), now())
                    .expect_err("no secret is in a set");
            }
            if let Err(problem) = Key::pem(text) {
                assert!(!problem.to_string().is_empty());
            }
        }
    }
}

/// Nobody makes a good one without the secret.
fn check_as_it_is(token: &str) {
    let parts: Vec<&str> = token.split('.').collect();
    let is_signed = match parts.as_slice() {
        [header, claims, signature] => {
            let expected = mac(&format!("{header}.{claims}"));
            URL_SAFE_NO_PAD
                .decode(signature)
                .is_ok_and(|given| given == expected)
        }
        _ => false,
    };
    let verified = JWT.verify(token, now());
    assert!(is_signed || verified.is_err(), "{verified:?}");
    if let Err(problem) = verified {
        assert!(!problem.to_string().is_empty());
    }
    drop(Unverified::read(token));
}

/// What its issuer wrote is taken for what it says, and nothing beyond that.
fn check_signed(text: &str) {
    let (header, claims) = text.split_once('\n').unwrap_or((HEADER, text));
    let token = sign(header, claims);
    let Ok(verified) = JWT.verify(&token, now()) else {
        return;
    };
    let read = Unverified::read(&token).expect("it was read before");
    assert_eq!(Algorithm::named(&read.algorithm), Some(Algorithm::Hs256));
    let who = verified.authenticated;
    assert!((1..=256).contains(&who.identity.len()));
    assert_eq!(
        read.claims.sub.as_deref().map(str::as_bytes),
        Some(&who.identity[..])
    );
    let end = who.expires.expect("an end");
    assert!(end >= now());
    if let Some(later) = end.checked_add(Duration::from_secs(1)) {
        JWT.verify(&token, later).expect_err("it is over");
    }
    let other = token.strip_suffix(|_: char| true).unwrap_or_default();
    JWT.verify(other, now()).expect_err("a part of it");
}

fn sign(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(mac(&signed));
    format!("{signed}.{signature}")
}

fn mac(text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// Of 2033.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

/// With a public key as well, which must not serve as a secret.
static JWT: LazyLock<Jwt> = LazyLock::new(|| {
    let secret = Key::secret(Algorithm::Hs256, &SecretString::from(SECRET));
    let public = Key::pem(PUBLIC_KEY).expect("a key");
    let keys = KeySet::new([secret, public]).expect("keys");
    Jwt::new(keys, Rules::default())
});

const SECRET: &str = "a secret of the fuzz targets alone";
const HEADER: &str = r#"{"alg":"HS256"}"#;
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL83w6DY7y6fuWr9ZoUHANYLWNRZG
Y/XM2htZhg2oEH3/PANb1b7FHD+MeAjmtvJmwsDi+33/Y1Fmc7oWJU0OZA==
-----END PUBLIC KEY-----
";
