//! TLS in front of a double, with a certificate of an authority that nobody knows but the test.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tls::pki::{Authority, Folder, Validity};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// It ends with this value.
pub(crate) struct Front {
    pub(crate) addr: SocketAddr,
    /// The authority's certificate.
    pub(crate) ca: PathBuf,
    /// Another's, who has signed nothing here.
    pub(crate) stranger: PathBuf,
    _folder: Folder,
    _tasks: JoinSet<()>,
}

impl Front {
    /// Passes on what is said to `to`, in this protocol.
    pub(crate) async fn start(to: SocketAddr, protocol: &str) -> Self {
        let folder = Folder::new().expect("a folder");
        let authority = Authority::new("ours").expect("a key");
        let stranger = Authority::new("a stranger's").expect("a key");
        let pair = authority.issue(&folder, "service", &["127.0.0.1"], Validity::Now);
        let pair = pair.expect("a certificate");
        let chain = CertificateDer::from_pem_file(&pair.cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a pair");
        config.alpn_protocols = vec![protocol.into()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // Who does not trust it does not come in.
                    let mut near = acceptor.accept(stream).await.ok()?;
                    let mut far = TcpStream::connect(to).await.ok()?;
                    copy_bidirectional(&mut near, &mut far).await.ok()
                });
            }
        });
        Self {
            addr,
            ca: authority.write(&folder, "ca.pem").expect("a file"),
            stranger: stranger.write(&folder, "strange.pem").expect("a file"),
            _folder: folder,
            _tasks: tasks,
        }
    }
}
