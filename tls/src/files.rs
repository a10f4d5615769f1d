//! PEM files, and what is wrong with them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// A certificate, with those that vouch for it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain, its own first.
    pub cert: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Why files cannot be used. Never holds any of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused it.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing of the kind in it.
    #[error("there is no {what} in {}: expected PEM", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// What is in it cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The system has no authorities that it trusts.
    #[error("this system trusts no certificate authority ({0}): name a file with one")]
    NoRoots(String),
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Unreadable {
        path: path.into(),
        source,
    })
}

pub(crate) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| Error::Missing {
            path: path.into(),
            what: "certificate",
        })
}

pub(crate) fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    // What it says about a key that cannot be read may be a part of it.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| Error::Missing {
        path: path.into(),
        what: "private key",
    })
}

pub(crate) fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots
            .add(certificate)
            .map_err(|source| unusable(path, source))?;
    }
    Ok(roots)
}

pub(crate) fn unusable(path: &Path, source: rustls::Error) -> Error {
    Error::Unusable {
        path: path.into(),
        source,
    }
}
