//! A proxy that speaks TLS in front of something that does not.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tls::{Acceptor, Files, Pair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// One that shows a certificate, and asks for none. It ends with this value.
#[derive(Debug)]
pub struct Front {
    addr: SocketAddr,
    _task: JoinSet<()>,
}

impl Front {
    /// Listens on the loopback interface, and passes on to `to` what is said there.
    ///
    /// # Errors
    /// When the files cannot be used, or the system has no port.
    pub async fn start(to: SocketAddr, pair: Pair) -> Result<Self> {
        let client_ca = None;
        let acceptor = Acceptor::load(Files { pair, client_ca })?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Who does not trust it, or has heard enough, is gone; the next one is served.
                let _over = pass_on(near, to, &acceptor).await;
            }
        });
        Ok(Self { addr, _task: task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

async fn pass_on(near: TcpStream, to: SocketAddr, acceptor: &Acceptor) -> Result<()> {
    let mut near = acceptor.accept(near).await?.stream;
    let mut far = TcpStream::connect(to).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
