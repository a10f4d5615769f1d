//! The WebSocket to a coordinator, as a 2019 peer holds it: no subprotocol, no headers of its own.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::PATIENCE;
use super::wire::{Connect, Decoded, Kind, Message, WebRtc, Welcome, decode};

/// A session at a coordinator. For tests that speak every signal themselves, too.
#[derive(Debug)]
pub struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
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
        let connect = tokio_tungstenite::connect_async(url);
        let (socket, response) = timeout(PATIENCE, connect).await.context("the upgrade")??;
        if let Some(protocol) = response.headers().get("sec-websocket-protocol") {
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
        self.expect_within(PATIENCE)
            .await?
            .context("the session was closed")
    }

    /// The next signal, or `None` when the session has ended.
    ///
    /// # Errors
    /// When neither happens in time.
    pub async fn expect_within(&mut self, patience: Duration) -> Result<Option<Decoded>> {
        timeout(patience, self.next())
            .await
            .context("no signal in time")?
    }

    /// The next signal, or `None` when the session has ended.
    ///
    /// # Errors
    /// When the socket breaks or the signal does not decode.
    pub async fn next(&mut self) -> Result<Option<Decoded>> {
        while let Some(frame) = self.socket.next().await {
            match frame? {
                Frame::Binary(bytes) => return decode(&bytes).map(Some),
                Frame::Text(text) => bail!("text on the signalling socket: {text}"),
                Frame::Close(_) => return Ok(None),
                Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
            }
        }
        Ok(None)
    }

    /// Sends any signal.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn send(&mut self, message: &Message) -> Result<()> {
        self.send_raw(message.encode()).await
    }

    /// Sends bytes of any kind as one binary frame.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn send_raw(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.socket.send(Frame::Binary(bytes)).await?)
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
