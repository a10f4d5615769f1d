//! Keys that tokens are checked with. What a key may be used for is decided when it is read, and
//! never by a token.

use std::{fmt, sync::Arc};

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every one, with its name in a token's header.
    pub const ALL: [(&'static str, Self); 6] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
    ];

    /// Those that a secret is for.
    pub const HMAC: [(&'static str, Self); 3] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
    ];

    /// Its name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one of that name; `none` and all that are not ours are nobody's.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, algorithm)| *algorithm)
    }

    pub(super) const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One key. Never shown by `Debug`.
#[derive(Clone)]
pub struct Key {
    /// Its name among the keys of its issuer; without one it is tried for every token.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl Key {
    /// A secret that both sides know, for one of the HMAC algorithms.
    #[must_use]
    pub fn secret(algorithm: Algorithm, secret: &SecretString) -> Self {
        Self::bytes(algorithm, secret.expose_secret().as_bytes())
    }

    pub(crate) fn bytes(algorithm: Algorithm, secret: &[u8]) -> Self {
        debug_assert!(Algorithm::HMAC.iter().any(|(_, hmac)| *hmac == algorithm));
        Self {
            id: None,
            algorithm,
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// A public key, as PEM: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA.
    pub fn pem(text: &str) -> Result<Self, BadKey> {
        if text.contains(" PRIVATE KEY-----") {
            return Err(BadKey::Private);
        }
        if text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(BadKey::Certificate);
        }
        let pem = text.as_bytes();
        let (algorithm, decoding) = if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            (Algorithm::EdDsa, key)
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            (Algorithm::Es256, key)
        } else if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            (Algorithm::Rs256, key)
        } else {
            return Err(BadKey::NoPem);
        };
        Self {
            id: None,
            algorithm,
            decoding,
        }
        .checked()
    }

    fn jwk(jwk: &Jwk) -> Result<Self, BadKey> {
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Err(BadKey::OtherUse);
        }
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::Rs256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::Es256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
            }
            // A set of public keys is for everybody to read: a secret in it is none.
            _ => return Err(BadKey::Kind),
        };
        if common.key_algorithm.is_some_and(|given| given != named) {
            return Err(BadKey::Kind);
        }
        Self {
            id: common.key_id.clone(),
            algorithm,
            decoding: DecodingKey::from_jwk(jwk).map_err(|_| BadKey::Kind)?,
        }
        .checked()
    }

    /// Of the size that its algorithm wants.
    fn checked(self) -> Result<Self, BadKey> {
        use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let fits = match (self.algorithm, self.decoding.kind()) {
            // The DER of a key of 2048 bits has 270 bytes, that of the next smaller one 206.
            (Algorithm::Rs256, SecretOrDer(der)) => der.len() >= RSA_MODULUS_BYTES_MIN,
            (Algorithm::Rs256, RsaModulusExponent { n, .. }) => n.len() >= RSA_MODULUS_BYTES_MIN,
            (Algorithm::Es256, SecretOrDer(point)) => point.len() == P256_POINT_BYTES,
            (Algorithm::EdDsa, SecretOrDer(point)) => point.len() == ED25519_POINT_BYTES,
            _ => true,
        };
        fits.then_some(self).ok_or(BadKey::Size)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Keys of one or several issuers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Arc<[Key]>);

impl KeySet {
    /// Of `keys`, at most [`KEYS_MAX`].
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, BadKey> {
        let keys: Vec<Key> = keys.into_iter().take(KEYS_MAX + 1).collect();
        if keys.len() > KEYS_MAX {
            return Err(BadKey::TooMany);
        }
        Ok(Self(keys.into()))
    }

    /// Of one key.
    pub(crate) fn of_one(key: Key) -> Self {
        Self(Arc::new([key]))
    }

    /// The public keys of a JSON Web Key Set that are of use here, and how many are not.
    pub fn jwks(text: &str) -> Result<(Self, usize), BadKey> {
        #[derive(Deserialize)]
        struct Set {
            // Each is looked at alone: one of a new kind must not cost the others.
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_str(text).map_err(|_| BadKey::NoSet)?;
        let all = set.keys.len();
        let keys = set.keys.into_iter();
        let keys = keys.filter_map(|key| Key::jwk(&serde_json::from_value(key).ok()?).ok());
        let set = Self::new(keys)?;
        if set.0.is_empty() {
            return Err(BadKey::NoneOfUse);
        }
        let unused = all - set.0.len();
        Ok((set, unused))
    }

    /// Its keys.
    pub fn iter(&self) -> std::slice::Iter<'_, Key> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a KeySet {
    type Item = &'a Key;
    type IntoIter = std::slice::Iter<'a, Key>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why a key, or a set of keys, is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A private key, which has no business at whoever only checks.
    #[error(
        "expected a public key, got a private one: `openssl pkey -in FILE -pubout` writes the public one"
    )]
    Private,
    /// A certificate.
    #[error(
        "expected a public key, got a certificate: `openssl x509 -in FILE -noout -pubkey` writes its key"
    )]
    Certificate,
    /// No PEM, or one of another kind of key.
    #[error("expected a public key as PEM: RSA, EC on P-256, or Ed25519")]
    NoPem,
    /// Of a kind or for an algorithm that is not taken.
    #[error("expected a key for RS256, ES256 or EdDSA")]
    Kind,
    /// For encryption.
    #[error("expected a key for signatures, got one for another use")]
    OtherUse,
    /// Too small to be safe, or of another curve.
    #[error("expected RSA of at least 2048 bits, EC on P-256, or Ed25519")]
    Size,
    /// No JSON Web Key Set.
    #[error("expected a JSON Web Key Set: an object with an array `keys`")]
    NoSet,
    /// None of its keys is of use.
    #[error("expected a key set with a public key for RS256, ES256 or EdDSA")]
    NoneOfUse,
    /// More than [`KEYS_MAX`].
    #[error("expected at most {KEYS_MAX} keys, got more")]
    TooMany,
}

/// Keys in one set: a token without a key's name is tried against all of its algorithm.
pub const KEYS_MAX: usize = 64;

const RSA_MODULUS_BYTES_MIN: usize = 2048 / 8;
/// Uncompressed: a byte that says so, and two coordinates.
const P256_POINT_BYTES: usize = 1 + 2 * 32;
const ED25519_POINT_BYTES: usize = 32;
