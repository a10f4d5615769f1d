//! The listening end: a certificate that is read again when its files change. Sessions that stand
//! keep the one that they began with.

use std::{fmt, io, path::PathBuf, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    files::{self, Error, Pair},
    provider,
};

/// What a listener is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Its own certificate and key.
    pub pair: Pair,
    /// Who signs certificates of those that dial. They may come without one; what they may do then
    /// is for the caller to say.
    pub client_ca: Option<PathBuf>,
}

/// Accepts TLS with what the files held when they were read last.
pub struct Acceptor {
    files: Files,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Of all the files, to tell whether they have changed.
    digest: Vec<u8>,
}

/// A connection with TLS on it.
#[derive(Debug)]
pub struct Accepted {
    /// To read from and write to.
    pub stream: TlsStream<TcpStream>,
    /// Whether the other side has shown a certificate that [`Files::client_ca`] has signed.
    pub certified: bool,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn load(files: Files) -> Result<Self, Error> {
        let current = RwLock::new(Current::read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again; whether they have changed. What cannot be used changes nothing.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn reload(&self) -> Result<bool, Error> {
        let new = Current::read(&self.files)?;
        let mut current = self.current.write();
        let changed = new.digest != current.digest;
        if changed {
            *current = new;
        }
        Ok(changed)
    }

    /// Shakes hands. To be given a deadline.
    ///
    /// # Errors
    /// When the other side does not want to, or cannot.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let config = Arc::clone(&self.current.read().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certified = stream.get_ref().1.peer_certificates().is_some();
        Ok(Accepted { stream, certified })
    }

    /// Whether certificates of those that dial are looked at.
    #[must_use]
    pub const fn is_mutual(&self) -> bool {
        self.files.client_ca.is_some()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Current {
    fn read(files: &Files) -> Result<Self, Error> {
        let Files { pair, client_ca } = files;
        let (cert_pem, key_pem) = (files::read(&pair.cert)?, files::read(&pair.key)?);
        let mut digest = Context::new(&SHA256);
        digest.update(&cert_pem);
        digest.update(&key_pem);
        let verifier: Arc<dyn ClientCertVerifier> = match client_ca {
            Some(path) => {
                let pem = files::read(path)?;
                digest.update(&pem);
                let roots = Arc::new(files::authorities(path, &pem)?);
                WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| {
                        files::unusable(path, rustls::Error::General(error.to_string()))
                    })?
            }
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let chain = files::certificates(&pair.cert, &cert_pem)?;
        let key = files::key(&pair.key, &key_pem)?;
        let unusable = |source| files::unusable(&pair.cert, source);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            digest: digest.finish().as_ref().to_vec(),
        })
    }
}
