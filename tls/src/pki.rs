//! For tests: authorities and certificates of their making, and a folder for their files.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::Pair;

/// Somebody who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// Not any more.
    Over,
    /// Not yet.
    Later,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem })
    }

    /// Its own certificate, as a file.
    ///
    /// # Errors
    /// When the system refuses the file.
    pub fn write(&self, folder: &Folder, name: &str) -> Result<PathBuf> {
        folder.write(name, &self.pem)
    }

    /// A certificate for some names or addresses, with its key, as files.
    ///
    /// # Errors
    /// When the system refuses the files.
    pub fn issue(
        &self,
        folder: &Folder,
        name: &str,
        hosts: &[&str],
        validity: Validity,
    ) -> Result<Pair> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        match validity {
            Validity::Now => {}
            Validity::Over => params.not_after = date_time_ymd(2000, 1, 1),
            Validity::Later => params.not_before = date_time_ymd(3000, 1, 1),
        }
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            cert: folder.write(&format!("{name}.pem"), &cert.pem())?,
            key: folder.write(&format!("{name}.key"), &key.serialize_pem())?,
        })
    }
}

/// A folder that is gone with this value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("broker-pki-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// A file in it, in the place of one that was there: at no time is there half of one.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        fs::write(&new, text)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            debug_assert_eq!(error.kind(), io::ErrorKind::NotFound, "it is ours");
        }
    }
}
