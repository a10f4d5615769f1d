//! The DTLS certificate of a process and fingerprints of certificates.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use dimpl::DtlsCertificate;

use crate::dtls;

/// A self-signed DTLS certificate with its key. Made once per process: peers share it.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<DtlsCertificate>,
    dtls_config: Arc<dimpl::Config>,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// A fresh ECDSA P-256 certificate, valid for a year.
    ///
    /// # Errors
    /// When the system cannot make a key.
    pub fn generate() -> Result<Self, CertificateError> {
        let inner = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|_| CertificateError::Generation)?;
        let fingerprint = Fingerprint::of(&inner.certificate);
        Ok(Self {
            inner: Arc::new(inner),
            dtls_config: dtls::config()?,
            fingerprint,
        })
    }

    /// What the other side must see in the session description.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn private_key(&self) -> &[u8] {
        &self.inner.private_key
    }

    pub(crate) fn dtls_config(&self) -> Arc<dimpl::Config> {
        Arc::clone(&self.dtls_config)
    }

    pub(crate) fn dtls(&self) -> DtlsCertificate {
        DtlsCertificate::clone(&self.inner)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate")
            .field(&self.fingerprint)
            .finish()
    }
}

/// SHA-256 of a certificate in DER (RFC 8122).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(bytes)
    }

    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `AB:CD:…`, 32 bytes, either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The system's key or certificate generation failed.
    #[error("cannot generate a DTLS certificate")]
    Generation,
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn fingerprint_reads_what_it_writes() {
        let fingerprint = Fingerprint::of(b"certificate");
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()), Some(fingerprint));
    }

    #[test]
    fn fingerprint_refuses_other_lengths_and_characters() {
        let text = Fingerprint::of(b"certificate").to_string();
        for bad in [
            "",
            "AB",
            &text[3..],
            &format!("{text}:00"),
            &text.replace(':', ""),
        ] {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Fingerprint::parse(&text.replacen(&text[..2], "+1", 1)),
            None
        );
    }
}
