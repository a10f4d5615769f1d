//! A WebSocket to a coordinator, and nothing of what is said on it.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, StatusCode};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::PATIENCE;

/// How a dial ended.
#[derive(Debug)]
pub enum Dialed {
    /// Upgraded.
    Open(Box<Socket>),
    /// Answered by HTTP.
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The response's body.
        body: Bytes,
    },
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A binary message.
    Signal(Bytes),
    /// The other side closed, with this code; `None` without one, or without a goodbye.
    Closed(Option<u16>),
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The subprotocol that the other side chose.
    pub protocol: Option<String>,
}

impl Socket {
    /// Dials `url` and offers `protocols`.
    ///
    /// # Errors
    /// When nobody answers; a refusal is no error.
    pub async fn dial(url: &str, protocols: &[&str]) -> Result<Dialed> {
        let mut request = url.into_client_request()?;
        if !protocols.is_empty() {
            let offer = HeaderValue::from_str(&protocols.join(", "))?;
            request
                .headers_mut()
                .insert("sec-websocket-protocol", offer);
        }
        let dial = tokio_tungstenite::connect_async(request);
        match timeout(PATIENCE, dial).await.context("nobody answers")? {
            Ok((stream, response)) => {
                let protocol = chosen(&response)?;
                Ok(Dialed::Open(Box::new(Self { stream, protocol })))
            }
            Err(Error::Http(response)) => {
                let status = response.status();
                let body = response.into_body().unwrap_or_default().into();
                Ok(Dialed::Refused { status, body })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same, without subprotocols, where a refusal is an error.
    ///
    /// # Errors
    /// When there is no socket.
    pub async fn open(url: &str) -> Result<Self> {
        match Self::dial(url, &[]).await? {
            Dialed::Open(socket) => Ok(*socket),
            Dialed::Refused { status, body } => {
                bail!("refused: {status} {}", String::from_utf8_lossy(&body))
            }
        }
    }

    /// What comes next. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// When it is text, which nobody sends.
    pub async fn next(&mut self) -> Result<Incoming> {
        loop {
            match self.stream.next().await {
                Some(Ok(Frame::Binary(bytes))) => return Ok(Incoming::Signal(bytes)),
                Some(Ok(Frame::Text(text))) => bail!("text on the signalling socket: {text}"),
                Some(Ok(Frame::Close(close))) => {
                    return Ok(Incoming::Closed(close.map(|close| close.code.into())));
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
                Some(Err(_)) | None => return Ok(Incoming::Closed(None)),
            }
        }
    }

    /// What comes next, within [`PATIENCE`].
    ///
    /// # Errors
    /// When nothing does.
    pub async fn expect(&mut self) -> Result<Incoming> {
        timeout(PATIENCE, self.next())
            .await
            .context("nothing on the signalling socket")?
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.send_frame(Frame::Binary(bytes)).await
    }

    /// Sends any frame.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn send_frame(&mut self, frame: Frame) -> Result<()> {
        Ok(self.stream.send(frame).await?)
    }
}

fn chosen<T>(response: &Response<T>) -> Result<Option<String>> {
    let header = response.headers().get("sec-websocket-protocol");
    Ok(header
        .map(HeaderValue::to_str)
        .transpose()?
        .map(str::to_owned))
}
