//! The other end of a token: keys to make one with.

use std::fmt;

use jsonwebtoken::{EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};

use super::{claims::Claims, keys::Algorithm};

/// A key that signs. Never shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    encoding: EncodingKey,
    id: Option<String>,
}

impl SigningKey {
    /// A secret that both sides know, for one of the HMAC algorithms.
    #[must_use]
    pub fn secret(algorithm: Algorithm, secret: &SecretString) -> Self {
        Self::bytes(algorithm, secret.expose_secret().as_bytes())
    }

    pub(crate) fn bytes(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self {
            algorithm,
            encoding: EncodingKey::from_secret(secret),
            id: None,
        }
    }

    /// A private key, as PEM: RSA, EC on P-256 (PKCS #8), or Ed25519.
    pub fn pem(text: &str) -> Result<Self, BadSigningKey> {
        if text.contains("-----BEGIN EC PRIVATE KEY-----") {
            return Err(BadSigningKey::Sec1);
        }
        if !text.contains(" PRIVATE KEY-----") && !text.contains("-----BEGIN PRIVATE KEY-----") {
            return Err(BadSigningKey::NoPem);
        }
        let pem = text.as_bytes();
        let (algorithm, encoding) = if let Ok(key) = EncodingKey::from_ed_pem(pem) {
            (Algorithm::EdDsa, key)
        } else if let Ok(key) = EncodingKey::from_ec_pem(pem) {
            (Algorithm::Es256, key)
        } else if let Ok(key) = EncodingKey::from_rsa_pem(pem) {
            (Algorithm::Rs256, key)
        } else {
            return Err(BadSigningKey::NoPem);
        };
        Ok(Self {
            algorithm,
            encoding,
            id: None,
        })
    }

    /// Under this name, which goes into the token's header (`kid`).
    #[must_use]
    pub fn named(mut self, id: Option<String>) -> Self {
        self.id = id;
        self
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A token that says `claims`.
    pub fn sign(&self, claims: &Claims) -> Result<String, BadSigningKey> {
        let mut header = Header::new(self.algorithm.library());
        header.kid.clone_from(&self.id);
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|_| BadSigningKey::Unfit(self.algorithm))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Why a key cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// An EC key as `openssl ecparam` writes it.
    #[error(
        "expected a private key as PKCS #8: `openssl pkcs8 -topk8 -nocrypt -in FILE` makes one"
    )]
    Sec1,
    /// No PEM, or another kind of key.
    #[error("expected a private key as PEM: RSA, EC on P-256, or Ed25519")]
    NoPem,
    /// Of another curve, or too small.
    #[error(
        "the key cannot sign with {0}: expected RSA of at least 2048 bits, EC on P-256, or Ed25519"
    )]
    Unfit(Algorithm),
}
