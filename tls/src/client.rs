//! The dialing end: whom it trusts, and what it shows.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use crate::{
    files::{self, Error, Pair},
    provider,
};

/// A connection, with TLS on it or without.
pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Whom to trust, and what to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Who signs the certificates of those that are dialed; without it, whom the system trusts.
    pub ca: Option<PathBuf>,
    /// What to show to those that ask for a certificate.
    pub pair: Option<Pair>,
}

/// Dials, with TLS where it is wanted. The files are read when it is wanted first; clones share what
/// was read.
#[derive(Clone, Default)]
pub struct Connector {
    trust: Trust,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Connector {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            config: Arc::default(),
        }
    }

    /// Reads the files now.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        self.config().map(drop)
    }

    /// Connects to `host`, a name or an address, without brackets or with.
    ///
    /// # Errors
    /// When the host is not reached, or is not whom it should be: [`crate::trouble()`] tells.
    pub async fn dial(&self, host: &str, port: u16, secure: bool) -> io::Result<Stream> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, port)).await?;
        self.secure(host, stream, secure).await
    }

    /// The same on a connection to `host` that is there already.
    ///
    /// # Errors
    /// As [`Self::dial`].
    pub async fn secure(&self, host: &str, stream: TcpStream, secure: bool) -> io::Result<Stream> {
        // Signals are small, and each is waited for.
        stream.set_nodelay(true)?;
        if !secure {
            return Ok(Either::Left(stream));
        }
        let config = self.config().map_err(io::Error::other)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Either::Right(stream))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.trust.read()?);
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.trust).finish()
    }
}

impl Trust {
    fn read(&self) -> Result<ClientConfig, Error> {
        let roots = match &self.ca {
            Some(path) => files::authorities(path, &files::read(path)?)?,
            None => platform()?,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::NoRoots(error.to_string()))?
            .with_root_certificates(roots);
        let Some(pair) = &self.pair else {
            return Ok(config.with_no_client_auth());
        };
        let chain = files::certificates(&pair.cert, &files::read(&pair.cert)?)?;
        let key = files::key(&pair.key, &files::read(&pair.key)?)?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|source| files::unusable(&pair.cert, source))
    }
}

/// Whom the system trusts. What of it cannot be read is as if it were not there, as long as something
/// is.
fn platform() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, errors = ?found.errors, "the system's authorities");
    if added == 0 {
        let why = found.errors.first();
        let why = why.map_or_else(|| "none is there".into(), ToString::to_string);
        return Err(Error::NoRoots(why));
    }
    Ok(roots)
}
