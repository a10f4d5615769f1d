//! Which key, from where.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use auth::{
    jwt::{
        keys::{Algorithm, Key, KeySet},
        signing::SigningKey,
    },
    secret,
};
use secrecy::SecretString;

use super::bad_usage;

/// Where a key comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// File with the key, as PEM: RSA, EC on P-256 or Ed25519; the private one to make a token, the
    /// public one, or a key set (JWKS), to check it.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    key: Option<PathBuf>,
    /// File with the secret; without it and --key, BROKER_JWT_SECRET holds it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// What the secret is for: HS256, HS384 or HS512.
    #[arg(long, value_name = "NAME", default_value = "HS256", value_parser = hmac)]
    algorithm: Algorithm,
}

impl KeyArgs {
    /// What makes tokens.
    pub(crate) fn signing(&self) -> Result<SigningKey> {
        if let Some(path) = &self.key {
            let key = SigningKey::pem(&read(path)?);
            return key.map_err(|error| bad_usage(format_args!("{}: {error}", path.display())));
        }
        let secret = self.secret()?.ok_or_else(|| {
            bad_usage(format_args!(
                "there is no key: name one with --key or --secret-file, or set {VARIABLE}"
            ))
        })?;
        Ok(SigningKey::secret(self.algorithm, &secret))
    }

    /// What checks them, and what it is called; `None` when nobody said.
    pub(crate) fn checking(&self) -> Result<Option<(KeySet, String)>> {
        if let Some(path) = &self.key {
            let text = read(path)?;
            let keys = if text.trim_start().starts_with('{') {
                KeySet::jwks(&text).map(|(keys, _unused)| keys)
            } else {
                Key::pem(&text).and_then(|key| KeySet::new([key]))
            };
            let name = path.display().to_string();
            let keys = keys.map_err(|error| bad_usage(format_args!("{name}: {error}")))?;
            return Ok(Some((keys, name)));
        }
        let Some(secret) = self.secret()? else {
            return Ok(None);
        };
        let name = match &self.secret_file {
            Some(path) => path.display().to_string(),
            None => VARIABLE.into(),
        };
        let keys = KeySet::new([Key::secret(self.algorithm, &secret)])?;
        Ok(Some((keys, name)))
    }

    fn secret(&self) -> Result<Option<SecretString>> {
        let environment = |name: &str| std::env::var(name).ok();
        secret::load(self.secret_file.as_deref(), VARIABLE, environment).map_err(bad_usage)
    }
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path)
        .with_context(|| path.display().to_string())
        .map_err(|error| bad_usage(format_args!("{error:#}")))
}

fn hmac(text: &str) -> Result<Algorithm, String> {
    let found = Algorithm::HMAC.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, algorithm)| *algorithm)
        .ok_or_else(|| "expected HS256, HS384 or HS512; the algorithm of --key is its own".into())
}

const VARIABLE: &str = "BROKER_JWT_SECRET";
