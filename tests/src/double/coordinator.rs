//! A 2019 coordinator: counts aliases from 1, lists the servers, relays signals and writes
//! `from_alias` over them. It stamps no roles and knows no subprotocol.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::wire::{Kind, Message, Welcome, decode};

/// A coordinator that runs until it is dropped.
#[derive(Debug)]
pub struct Coordinator {
    /// Where it listens.
    pub addr: SocketAddr,
    _task: JoinSet<()>,
}

impl Coordinator {
    /// Starts one on a port of the system's choice.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(serve(listener));
        Ok(Self { addr, _task: task })
    }

    /// The URL that peers dial, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }
}

/// What the sessions' tasks tell the one that owns the registry.
enum Input {
    Opened {
        is_server: bool,
        outbox: mpsc::Sender<Bytes>,
        alias: u64,
    },
    Signal {
        alias: u64,
        bytes: Bytes,
    },
    Closed {
        alias: u64,
    },
}

#[derive(Default)]
struct Registry {
    sessions: BTreeMap<u64, mpsc::Sender<Bytes>>,
    servers: Vec<u64>,
}

async fn serve(listener: TcpListener) {
    let (inputs, mut inbox) = mpsc::channel(QUEUE);
    let mut sessions = JoinSet::new();
    let mut registry = Registry::default();
    let mut aliases = 0;
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                aliases += 1;
                sessions.spawn(run_session(stream, aliases, inputs.clone()));
            }
            Some(input) = inbox.recv() => registry.handle_input(input),
        }
    }
}

impl Registry {
    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Opened {
                is_server,
                outbox,
                alias,
            } => {
                let welcome = Welcome {
                    kind: Kind::Welcome.into(),
                    alias,
                    available_servers: self.servers.clone(),
                };
                self.sessions.insert(alias, outbox);
                self.send(alias, Message::Welcome(welcome).encode());
                if is_server {
                    self.servers.push(alias);
                    self.servers.sort_unstable();
                }
            }
            Input::Signal { alias, bytes } => self.relay(alias, &bytes),
            Input::Closed { alias } => {
                self.sessions.remove(&alias);
                self.servers.retain(|server| *server != alias);
            }
        }
    }

    fn relay(&mut self, sender: u64, bytes: &[u8]) {
        let Ok(mut signal) = decode(bytes) else {
            return;
        };
        let to_alias = match &mut signal.message {
            Message::Connect(message) => {
                message.from_alias = sender;
                message.to_alias
            }
            Message::WebRtc(message) => {
                message.from_alias = sender;
                message.to_alias
            }
            Message::ConnectionRefused(message) => {
                message.from_alias = sender;
                message.to_alias
            }
            _ => return,
        };
        self.send(to_alias, signal.message.encode());
    }

    /// Silent when there is no such session, as in 2019.
    fn send(&self, alias: u64, bytes: Bytes) {
        if let Some(outbox) = self.sessions.get(&alias) {
            outbox.try_send(bytes).ok();
        }
    }
}

async fn run_session(stream: TcpStream, alias: u64, inputs: mpsc::Sender<Input>) {
    // A session that breaks is a session that ends.
    drop(speak(stream, alias, &inputs).await);
    drop(inputs.send(Input::Closed { alias }).await);
}

async fn speak(stream: TcpStream, alias: u64, inputs: &mpsc::Sender<Input>) -> Result<()> {
    let mut is_server = false;
    let socket = upgrade(stream, &mut is_server).await?;
    let (mut sink, mut frames) = socket.split();
    let (outbox, mut queue) = mpsc::channel(QUEUE);
    inputs
        .send(Input::Opened {
            is_server,
            outbox,
            alias,
        })
        .await?;
    loop {
        tokio::select! {
            frame = frames.next() => match frame.context("the socket has ended")?? {
                Frame::Binary(bytes) => inputs.send(Input::Signal { alias, bytes }).await?,
                Frame::Close(_) => return Ok(()),
                _ => {}
            },
            bytes = queue.recv() => sink.send(Frame::Binary(bytes.context("no owner")?)).await?,
        }
    }
}

async fn upgrade(stream: TcpStream, is_server: &mut bool) -> Result<WebSocketStream<TcpStream>> {
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let look = |request: &Request, response: Response| {
        *is_server = request.uri().path() == "/discover";
        Ok(response)
    };
    let limits = WebSocketConfig::default().max_message_size(Some(SIGNAL_BYTES_MAX));
    Ok(tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(limits)).await?)
}

/// The 2019 coordinator reads no larger signals: it closes the session.
const SIGNAL_BYTES_MAX: usize = 5000;
/// Signals that may wait.
const QUEUE: usize = 256;
