//! How others are asked over the network: one HTTP client, one TLS stack, and no secret in clear but
//! on this machine.

use std::{error::Error, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

/// Which certificates are believed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Those that the system believes.
    pub fn system() -> Result<Self, BadTrust> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (good, _bad) = roots.add_parsable_certificates(found.certs);
        if good == 0 {
            return Err(BadTrust::NoSystem);
        }
        Self::in_roots(roots)
    }

    /// Those of the authorities in this file (PEM), and no others.
    pub fn file(path: &Path) -> Result<Self, BadTrust> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(path);
        for certificate in certificates.map_err(|_| BadTrust::File)? {
            let certificate = certificate.map_err(|_| BadTrust::File)?;
            roots.add(certificate).map_err(|_| BadTrust::File)?;
        }
        if roots.is_empty() {
            return Err(BadTrust::File);
        }
        Self::in_roots(roots)
    }

    /// Nobody's: for what is not encrypted.
    pub fn none() -> Result<Self, BadTrust> {
        Self::in_roots(RootCertStore::empty())
    }

    fn in_roots(roots: RootCertStore) -> Result<Self, BadTrust> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| BadTrust::Versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    fn config(&self) -> ClientConfig {
        (*self.0).clone()
    }

    /// For gRPC, which is HTTP/2 alone.
    pub(crate) fn http2(&self) -> HttpsConnector<HttpConnector> {
        HttpsConnectorBuilder::new()
            .with_tls_config(self.config())
            .https_or_http()
            .enable_http2()
            .build()
    }

    fn http1(&self) -> HttpsConnector<HttpConnector> {
        HttpsConnectorBuilder::new()
            .with_tls_config(self.config())
            .https_or_http()
            .enable_http1()
            .build()
    }
}

/// Why nobody can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTrust {
    /// The system has no certificates.
    #[error(
        "this system has no certificate authorities: install them (ca-certificates), or name a file"
    )]
    NoSystem,
    /// The file has none, or something else.
    #[error("expected a file with certificates of authorities, as PEM")]
    File,
    /// Of the TLS library.
    #[error("there is no version of TLS that both sides know")]
    Versions,
}

/// An address that may be asked: `https`, or `http` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(pub(crate) Uri);

impl Address {
    /// From text; `schemes` are the clear and the encrypted one.
    pub fn parse(text: &str, [clear, encrypted]: [&str; 2]) -> Result<Self, BadAddress> {
        let uri: Uri = text.trim().parse().map_err(|_| BadAddress::NoUrl)?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or(BadAddress::NoUrl)?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(BadAddress::User);
        }
        match uri.scheme_str() {
            Some(scheme) if scheme == encrypted => Ok(Self(uri)),
            Some(scheme) if scheme == clear && is_this_machine(host) => Ok(Self(uri)),
            Some(scheme) if scheme == clear => Err(BadAddress::Clear),
            _ => Err(BadAddress::NoUrl),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

fn is_this_machine(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    let ip = ip.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Why nobody is asked at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not a URL, or of another scheme.
    #[error("a URL with https, or with http to this machine")]
    NoUrl,
    /// In clear, to another machine.
    #[error("https: in clear only to this machine (localhost, 127.0.0.1, [::1])")]
    Clear,
    /// With a name and a password in it, which end up in logs.
    #[error("a URL without a user in it: name a file with the secret instead")]
    User,
}

/// Asks over HTTP. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limit: Duration,
    bytes_max: usize,
}

impl Http {
    /// Each request has so long, and its answer so many bytes.
    pub(crate) fn new(trust: &Trust, limit: Duration, bytes_max: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(trust.http1());
        Self {
            client,
            limit,
            bytes_max,
        }
    }

    /// What is there.
    pub(crate) async fn read(&self, address: &Address) -> Result<Bytes, Trouble> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(&address.0)
            .header(header::ACCEPT, "application/json")
            .body(Full::default())
            .map_err(|_| Trouble::Connection)?;
        match self.ask(request).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(Trouble::Status(status)),
        }
    }

    /// The answer to this JSON.
    pub(crate) async fn post(
        &self,
        address: &Address,
        secret: Option<&SecretString>,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&address.0)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|_| Trouble::Connection)?;
        if let Some(secret) = secret {
            let value = bearer(secret).ok_or(Trouble::Connection)?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        self.ask(request).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Trouble> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| {
                tracing::debug!(%error, "no answer over HTTP");
                Trouble::of(&error)
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, self.bytes_max).collect().await;
            let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => Trouble::TooLong,
                Err(_) => Trouble::Connection,
            })?;
            Ok((head.status, body.to_bytes()))
        };
        timeout(self.limit, answer)
            .await
            .unwrap_or(Err(Trouble::Timeout))
    }
}

/// The secret as a header, which is not shown.
pub(crate) fn bearer(secret: &SecretString) -> Option<HeaderValue> {
    let text = SecretString::from(format!("Bearer {}", secret.expose_secret()));
    let mut value = HeaderValue::from_str(text.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Trouble {
    /// It cannot be reached, or was lost.
    #[error("no connection")]
    Connection,
    /// Its certificate is not good.
    #[error("its certificate is not believed: see auth.ca_file, its names and its dates")]
    Untrusted,
    /// It takes too long.
    #[error("no answer in time")]
    Timeout,
    /// It says something else than an answer.
    #[error("HTTP status {0}")]
    Status(StatusCode),
    /// It says too much.
    #[error("the answer is too long")]
    TooLong,
    /// It says something that is no answer.
    #[error("the answer cannot be understood")]
    Malformed,
    /// Too many wait for it already.
    #[error("too many calls at once")]
    Overload,
}

impl Trouble {
    /// Why there is no connection.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
                return Self::Untrusted;
            }
            // What an I/O error wraps is not its source, but takes its place.
            let wrapped = error.downcast_ref().and_then(io::Error::get_ref);
            next = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        Self::Connection
    }
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Connection
    }
}

/// Below what most servers keep a connection for.
const POOL_IDLE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_in_clear_but_on_this_machine() {
        for (text, expected) in [
            ("https://id.example/keys", Ok(())),
            ("http://127.0.0.1:8080/keys", Ok(())),
            ("http://localhost/keys", Ok(())),
            ("http://[::1]:1/keys", Ok(())),
            ("http://id.example/keys", Err(BadAddress::Clear)),
            ("http://10.0.0.1/keys", Err(BadAddress::Clear)),
            ("http://localhost.example/keys", Err(BadAddress::Clear)),
            ("https://me:secret@id.example/keys", Err(BadAddress::User)),
            ("ftp://id.example/keys", Err(BadAddress::NoUrl)),
            ("id.example", Err(BadAddress::NoUrl)),
            ("https://", Err(BadAddress::NoUrl)),
            ("", Err(BadAddress::NoUrl)),
        ] {
            let parsed = Address::parse(text, ["http", "https"]).map(drop);
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn a_secret_in_a_header_is_not_shown() {
        let value = bearer(&"hunter2".into()).expect("a header");
        assert_eq!(value.as_bytes(), b"Bearer hunter2");
        assert!(!format!("{value:?}").contains("hunter2"));
        assert!(bearer(&"two\nlines".into()).is_none());
    }
}
