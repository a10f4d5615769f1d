//! The WebSocket to the coordinator: one task per client, which dials, hangs up and carries
//! signals as the session says.
//!
//! Every wait has a deadline. The task ends when its client does.

use std::{future::pending, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use proto::{RESUME_SUBPROTOCOL_PREFIX, Reason, SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX, limits};
use tls::{Connector, Stream};
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        error::{ProtocolError, SubProtocolError, UrlError},
        handshake::client::Request,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::session::{Input, Secret, SocketId};

/// Where the coordinator is and how to talk to it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) coordinator: Url,
    pub(crate) tls: Connector,
    pub(crate) region: Option<String>,
    pub(crate) timeouts: Timeouts,
}

/// Deadlines of the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From dialing to the upgrade. 10 s.
    pub dial: Duration,
    /// For writing one message, and for a polite close. 5 s.
    pub write: Duration,
    /// Without anything from the coordinator, which pings every 30 s by default. 90 s.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(10),
            write: Duration::from_secs(5),
            idle: Duration::from_secs(90),
        }
    }
}

/// What the session wants of the socket.
#[derive(Debug)]
pub(crate) enum Order {
    Dial(SocketId, Shown),
    HangUp(SocketId),
    Signal(SocketId, Bytes),
}

/// What the coordinator is shown at the upgrade.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) token: Option<Secret>,
    pub(crate) resume: Option<Secret>,
}

impl Shown {
    /// The entries of the header that says which protocols we speak: ours, and the tokens.
    fn subprotocols(&self) -> Vec<u8> {
        let mut offered = SUBPROTOCOL.to_owned();
        if let Some(token) = &self.token {
            offered += ", ";
            offered += TOKEN_SUBPROTOCOL_PREFIX;
            BASE64_URL_SAFE_NO_PAD.encode_string(token.expose(), &mut offered);
        }
        let mut offered = offered.into_bytes();
        if let Some(resume) = &self.resume {
            offered.extend_from_slice(b", ");
            offered.extend_from_slice(RESUME_SUBPROTOCOL_PREFIX.as_bytes());
            offered.extend_from_slice(resume.expose());
        }
        offered
    }
}

/// How to knock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner<'a> {
    /// With our subprotocol.
    Ours(&'a Shown),
    /// As in 2019.
    Plain,
}

/// A URL that is no coordinator's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a coordinator's URL such as ws://127.0.0.1:9090, got {url}: {problem}")]
pub struct BadUrl {
    pub(crate) url: Url,
    pub(crate) problem: &'static str,
}

type Socket = WebSocketStream<Stream>;

impl Config {
    /// The upgrade request, with the tokens where a URL's log does not show them; or, for a
    /// coordinator of 2019, without a word of ours.
    pub(crate) fn request(&self, manner: Manner<'_>) -> Result<Request, BadUrl> {
        let bad = |problem| BadUrl {
            url: self.coordinator.clone(),
            problem,
        };
        if !matches!(self.coordinator.scheme(), "ws" | "wss") {
            return Err(bad("only the schemes ws and wss are supported"));
        }
        let mut url = self.coordinator.clone();
        let path = url.path().trim_end_matches('/');
        if !path.ends_with("/connect") {
            let path = format!("{path}/connect");
            url.set_path(&path);
        }
        if let (Manner::Ours(_), Some(region)) = (manner, &self.region) {
            url.query_pairs_mut().append_pair("region", region);
        }
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|_| bad("it has no host, or is otherwise malformed"))?;
        let Manner::Ours(shown) = manner else {
            return Ok(request);
        };
        let mut offered = HeaderValue::try_from(shown.subprotocols())
            .map_err(|_| bad("the resume token does not fit into a header"))?;
        offered.set_sensitive(true);
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, offered);
        Ok(request)
    }
}

/// Serves one client until `stop`, or until nobody is left to give orders or to be told.
///
/// `tell` hands an input to the session; it waits while the session is busy, and answers false
/// when it is gone.
pub(crate) async fn run<T, F>(
    config: Config,
    mut orders: mpsc::Receiver<Order>,
    tell: T,
    stop: CancellationToken,
) where
    T: Fn(Input) -> F,
    F: Future<Output = bool>,
{
    let mut line = Line {
        config,
        socket: None,
    };
    loop {
        let input = tokio::select! {
            biased;
            // The last orders are carried out: a hang-up is among them.
            order = orders.recv() => match order {
                Some(order) => line.carry_out(order, &mut orders).await,
                None => break,
            },
            input = line.receive() => Some(input),
            () = stop.cancelled() => {
                orders.close();
                None
            }
        };
        if let Some(input) = input
            && !tell(input).await
        {
            break;
        }
    }
    line.hang_up().await;
}

/// The socket, if there is one.
struct Line {
    config: Config,
    socket: Option<(SocketId, Socket)>,
}

impl Line {
    async fn carry_out(
        &mut self,
        order: Order,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Option<Input> {
        match order {
            Order::Dial(socket, shown) => {
                self.hang_up().await;
                self.dial(socket, &shown, orders).await
            }
            Order::HangUp(socket) => {
                if matches!(&self.socket, Some((open, _)) if *open == socket) {
                    self.hang_up().await;
                }
                None
            }
            Order::Signal(socket, bytes) => self.send(socket, bytes).await,
        }
    }

    /// Dials until the socket is open, or it fails, or the session has changed its mind.
    async fn dial(
        &mut self,
        socket: SocketId,
        shown: &Shown,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Option<Input> {
        let closed = |reason| Some(Input::SignallingClosed { socket, reason });
        let dialed = timeout(self.config.timeouts.dial, open(&self.config, shown));
        // While this socket is not open, the only order there can be is to leave it.
        let left = async {
            loop {
                match orders.recv().await {
                    Some(Order::HangUp(left)) if left == socket => return,
                    Some(_) => {}
                    None => return,
                }
            }
        };
        tokio::select! {
            dialed = dialed => match dialed {
                Ok(Ok(stream)) => {
                    self.socket = Some((socket, stream));
                    Some(Input::SignallingOpened { socket })
                }
                Ok(Err(error)) => {
                    let trouble = tls::trouble(&error);
                    tracing::debug!(%error, ?trouble, "the coordinator cannot be reached");
                    closed(refusal(&error))
                }
                Err(_) => closed(Some(Reason::HandshakeTimeout)),
            },
            () = left => None,
        }
    }

    async fn send(&mut self, to: SocketId, bytes: Bytes) -> Option<Input> {
        let (socket, stream) = self.socket.as_mut().filter(|(open, _)| *open == to)?;
        let socket = *socket;
        let sent = timeout(
            self.config.timeouts.write,
            stream.send(Message::Binary(bytes)),
        )
        .await;
        if matches!(sent, Ok(Ok(()))) {
            return None;
        }
        self.socket = None;
        let reason = None;
        Some(Input::SignallingClosed { socket, reason })
    }

    /// The next signal, or the end of the socket. Waits for ever while there is none.
    async fn receive(&mut self) -> Input {
        let Some((socket, stream)) = &mut self.socket else {
            return pending().await;
        };
        let socket = *socket;
        let reason = loop {
            match timeout(self.config.timeouts.idle, stream.next()).await {
                Ok(Some(Ok(Message::Binary(bytes)))) => return Input::Signal { socket, bytes },
                Ok(Some(Ok(Message::Close(frame)))) => {
                    break frame.and_then(|frame| Reason::from_close_code(frame.code.into()));
                }
                // Text is nobody's signal; pings are answered underneath.
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "the coordinator is lost");
                    break None;
                }
                Ok(None) => break None,
                Err(_) => break Some(Reason::IdleTimeout),
            }
        };
        self.socket = None;
        Input::SignallingClosed { socket, reason }
    }

    async fn hang_up(&mut self) {
        if let Some((_, mut stream)) = self.socket.take() {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            };
            // Polite, but the other side may be gone already.
            let _closed = timeout(self.config.timeouts.write, stream.close(Some(frame))).await;
        }
    }
}

/// Opens the socket; a second time, without the subprotocol, when the first answer ignores it.
async fn open(config: &Config, shown: &Shown) -> Result<Socket, tungstenite::Error> {
    let ignored = ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol);
    match connect(config, Manner::Ours(shown)).await {
        Err(tungstenite::Error::Protocol(error)) if error == ignored => {
            connect(config, Manner::Plain).await
        }
        opened => opened,
    }
}

async fn connect(config: &Config, manner: Manner<'_>) -> Result<Socket, tungstenite::Error> {
    // The URL was checked when the client was made.
    let request = config.request(manner).map_err(|_| UrlError::NoHostName)?;
    let url = &config.coordinator;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let stream = config.tls.dial(host, port, url.scheme() == "wss").await?;
    let opened = client_async_with_config(request, stream, Some(web_socket_config())).await;
    opened.map(|(stream, _)| stream)
}

/// The reason behind an HTTP status, from a coordinator that did not take up the subprotocol.
fn refusal(error: &tungstenite::Error) -> Option<Reason> {
    match error {
        tungstenite::Error::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED => Some(Reason::Unauthenticated),
            StatusCode::FORBIDDEN => Some(Reason::Forbidden),
            StatusCode::SERVICE_UNAVAILABLE => Some(Reason::Overloaded),
            _ => None,
        },
        _ => None,
    }
}

/// Buffers for signals of a few hundred bytes, thousands of times in one process.
fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(4 * 1024)
        .max_write_buffer_size(4 * limits::SIGNAL_BYTES_MAX)
        .max_message_size(Some(limits::SIGNAL_BYTES_MAX))
        .max_frame_size(Some(limits::SIGNAL_BYTES_MAX))
}

#[cfg(test)]
mod tests;
