//! What went wrong between two ends, in the words of somebody who has to mend it.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription, CertificateError};

/// Why two ends do not understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Nobody who is trusted here has signed the other side's certificate.
    UnknownIssuer,
    /// It is over.
    Expired,
    /// It is not valid yet, or a clock is wrong.
    NotYetValid,
    /// It is another host's.
    WrongName,
    /// The other side speaks no TLS.
    NoTls,
    /// The other side does not take our certificate.
    Refused,
}

impl Trouble {
    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "name the authority that has signed it (tls.ca_file, --ca-file), or serve the whole \
                 chain"
            }
            Self::Expired => "renew it; the coordinator reads the new files by itself",
            Self::NotYetValid => "compare the clocks of both machines",
            Self::WrongName => "dial the name that it was made for, or have it made for this one",
            Self::NoTls => "use ws:// there, or give it a certificate (tls.cert_file)",
            Self::Refused => {
                "have ours (tls.cert_file) signed by the authority in its tls.client_ca_file, and \
                 renewed in time"
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "nobody who is trusted here has signed its certificate",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::WrongName => "its certificate is for another name",
            Self::NoTls => "it does not speak TLS",
            Self::Refused => "it does not take our certificate",
        })
    }
}

/// What an error of a connection says about TLS, if that is what it is about.
#[must_use]
pub fn trouble(error: &(dyn Error + 'static)) -> Option<Trouble> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return of(error);
        }
        // What an I/O error wraps is not its source, but takes its place.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn of(error: &rustls::Error) -> Option<Trouble> {
    Some(match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Trouble::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Trouble::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Trouble::WrongName
            }
            _ => Trouble::UnknownIssuer,
        },
        rustls::Error::InvalidMessage(_) => Trouble::NoTls,
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError,
        ) => Trouble::Refused,
        _ => return None,
    })
}
