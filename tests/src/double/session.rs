//! The session at a coordinator, as a 2019 peer holds it: no subprotocol, no headers of its own.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::time::timeout;

use super::wire::{Connect, Decoded, Kind, Message, WebRtc, Welcome, decode};
use crate::PATIENCE;
use crate::socket::{Incoming, Socket};

/// A session at a coordinator. For tests that speak every signal themselves, too.
#[derive(Debug)]
pub struct Session {
    socket: Socket,
    /// What this peer is called, from WELCOME.
    pub alias: u64,
    /// The servers in WELCOME, in its order.
    pub available_servers: Vec<u64>,
}

impl Session {
    /// Dials `url` (with path and query) and waits for WELCOME.
    ///
    /// # Errors
    /// When the upgrade is refused, or something else comes first.
    pub async fn dial(url: &str) -> Result<Self> {
        let socket = Socket::open(url).await?;
        if let Some(protocol) = &socket.protocol {
            bail!("the coordinator chose the subprotocol {protocol:?}, and none was offered");
        }
        let mut session = Self {
            socket,
            alias: 0,
            available_servers: Vec::new(),
        };
        let first = session.expect().await?;
        let Message::Welcome(Welcome {
            alias,
            available_servers,
            ..
        }) = first.message
        else {
            bail!("{first:?} came before WELCOME");
        };
        session.alias = alias;
        session.available_servers = available_servers;
        Ok(session)
    }

    /// The next signal, within [`PATIENCE`].
    ///
    /// # Errors
    /// When none comes, or the session ends.
    pub async fn expect(&mut self) -> Result<Decoded> {
        let next = timeout(PATIENCE, self.next());
        next.await
            .context("no signal in time")??
            .context("the session was closed")
    }

    /// The next signal, or `None` when the session has ended. May be dropped while it waits.
    ///
    /// # Errors
    /// When the signal does not decode.
    pub async fn next(&mut self) -> Result<Option<Decoded>> {
        match self.socket.next().await? {
            Incoming::Signal(bytes) => decode(&bytes).map(Some),
            Incoming::Closed(_) => Ok(None),
        }
    }

    /// Sends any signal.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn send(&mut self, message: &Message) -> Result<()> {
        self.socket.send(message.encode()).await
    }

    /// Asks a server for an offer.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn connect(&mut self, to_alias: u64) -> Result<()> {
        let connect = Connect {
            kind: Kind::Connect.into(),
            from_alias: 0,
            to_alias,
        };
        self.send(&Message::Connect(connect)).await
    }

    /// Sends OFFER, ANSWER or CANDIDATE.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn webrtc(&mut self, kind: Kind, to_alias: u64, data: Bytes) -> Result<()> {
        let signal = WebRtc {
            kind: kind.into(),
            from_alias: 0,
            to_alias,
            data,
        };
        self.send(&Message::WebRtc(signal)).await
    }
}
