//! A TCP relay between a client and its coordinator, whose connections a test can cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::PATIENCE;

/// A relay to one address. Dropping it cuts everything and takes no more.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    /// Connections so far.
    taken: watch::Receiver<u64>,
    /// Each change cuts all connections.
    cuts: watch::Sender<u64>,
    down: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Listens on the loopback interface for connections to `to`.
    ///
    /// # Errors
    /// When the system has no port.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (count, taken) = watch::channel(0);
        let (cuts, cut) = watch::channel(0);
        let (down, is_down) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(relay(listener, to, count, cut, is_down));
        Ok(Self {
            addr,
            taken,
            cuts,
            down,
            _task: task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where a client dials: `ws://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Cuts every connection, at both ends, without a goodbye.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection, and those to come, or lets them pass again.
    pub fn set_down(&self, down: bool) {
        self.down.send_replace(down);
        self.cut();
    }

    /// How many connections were made through it so far.
    #[must_use]
    pub fn taken_so_far(&self) -> u64 {
        *self.taken.borrow()
    }

    /// Waits until so many connections were made through it.
    ///
    /// # Errors
    /// When there are fewer in time.
    pub async fn taken(&mut self, count: u64) -> Result<()> {
        let taken = timeout(PATIENCE, self.taken.wait_for(|taken| *taken >= count)).await;
        taken.context("nobody dials")??;
        Ok(())
    }
}

async fn relay(
    listener: TcpListener,
    to: SocketAddr,
    count: watch::Sender<u64>,
    cut: watch::Receiver<u64>,
    is_down: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        if *is_down.borrow() {
            continue;
        }
        count.send_modify(|count| *count += 1);
        // What was cut before is not about this one.
        let mut cut = cut.clone();
        cut.mark_unchanged();
        connections.spawn(async move {
            tokio::select! {
                ended = join(near, to) => ended.ok(),
                _ = cut.changed() => None,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn join(mut near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
