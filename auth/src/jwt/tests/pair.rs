//! Pairs of keys, made when they are needed.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair as RsaPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::jwt::{
    keys::{Algorithm, Key},
    signing::SigningKey,
};

/// Both halves.
pub(crate) struct Pair {
    pub(crate) signing: SigningKey,
    pub(crate) key: Key,
}

/// Both halves, as text.
pub(crate) struct Texts {
    pub(crate) private: String,
    pub(crate) public: String,
    /// The public one as a JWK, without a name.
    pub(crate) jwk: Value,
}

/// A pair for an algorithm; HMAC's halves are one secret.
pub(crate) fn pair(algorithm: Algorithm) -> Pair {
    if Algorithm::HMAC.iter().any(|(_, hmac)| *hmac == algorithm) {
        return Pair {
            signing: SigningKey::secret(algorithm, &SECRET.into()),
            key: Key::secret(algorithm, &SECRET.into()),
        };
    }
    let texts = texts(algorithm);
    Pair {
        signing: SigningKey::pem(&texts.private).expect("a private key"),
        key: Key::pem(&texts.public).expect("a public key"),
    }
}

/// A fresh pair of a public-key algorithm.
pub(crate) fn texts(algorithm: Algorithm) -> Texts {
    match algorithm {
        Algorithm::Rs256 => rsa(KeySize::Rsa2048),
        Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        _ => ed25519(),
    }
}

pub(crate) fn p384() -> Texts {
    ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
}

fn rsa(size: KeySize) -> Texts {
    let pair = RsaPair::generate(size).expect("a key");
    let private = pair.as_der().expect("it can be written");
    let private: &Pkcs8V1Der<'_> = &private;
    let public = pair.public_key();
    let der: PublicKeyX509Der<'_> = public.as_der().expect("it can be written");
    let n = public.modulus().big_endian_without_leading_zero();
    let e = public.exponent().big_endian_without_leading_zero();
    Texts {
        private: pem("PRIVATE KEY", private.as_ref()),
        public: pem("PUBLIC KEY", der.as_ref()),
        jwk: json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)}),
    }
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> Texts {
    let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
    let private = pair.to_pkcs8v1().expect("it can be written");
    let public = pair.public_key();
    let der: PublicKeyX509Der<'_> = public.as_der().expect("it can be written");
    let (x, y) = public.as_ref()[1..].split_at((public.as_ref().len() - 1) / 2);
    Texts {
        private: pem("PRIVATE KEY", private.as_ref()),
        public: pem("PUBLIC KEY", der.as_ref()),
        jwk: json!({
            "kty": "EC",
            "crv": curve,
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }),
    }
}

fn ed25519() -> Texts {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let private = pair.to_pkcs8v1().expect("it can be written");
    let public = pair.public_key();
    let der: PublicKeyX509Der<'_> = public.as_der().expect("it can be written");
    Texts {
        private: pem("PRIVATE KEY", private.as_ref()),
        public: pem("PUBLIC KEY", der.as_ref()),
        jwk: json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": URL_SAFE_NO_PAD.encode(public.as_ref()),
        }),
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

pub(crate) const SECRET: &str = "the clients' secret, sixty-four bytes long so that it is enough.";
