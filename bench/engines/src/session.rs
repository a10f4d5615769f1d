//! One client's signalling: WELCOME, CONNECT, and the descriptions and candidates of its peer, which
//! the driver owns.

use axum::extract::ws::{Message as Frame, WebSocket};
use bytes::Bytes;
use proto::{Message as _, MessageType, WebRtcMessage, WelcomeMessage, frame, peek};
use tokio::sync::mpsc;

/// What a session tells the driver; `alias` is the client's.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client came: the driver says its alias and then its offer.
    Join { signals: mpsc::Sender<Bytes> },
    /// It wants a peer.
    Connect { alias: u64 },
    /// It answers.
    Answer { alias: u64, data: Bytes },
    /// It can be reached at an address.
    Candidate { alias: u64, data: Bytes },
    /// It is gone.
    Leave { alias: u64 },
}

/// Until the client's socket closes; its peer ends with it.
pub(crate) async fn run(commands: mpsc::Sender<Command>, mut socket: WebSocket) {
    let (signals, mut outgoing) = mpsc::channel(SIGNALS_MAX);
    if commands.send(Command::Join { signals }).await.is_err() {
        return;
    }
    // The driver's first word is the WELCOME.
    let Some(welcome) = outgoing.recv().await else {
        return;
    };
    let Ok(WelcomeMessage { alias, .. }) = WelcomeMessage::decode(welcome.clone()) else {
        return;
    };
    let mut open = socket.send(Frame::Binary(welcome)).await.is_ok();
    while open {
        tokio::select! {
            Some(signal) = outgoing.recv() => open = socket.send(Frame::Binary(signal)).await.is_ok(),
            received = socket.recv() => match received {
                Some(Ok(Frame::Binary(bytes))) => {
                    if let Some(command) = command(alias, &bytes) {
                        open = commands.send(command).await.is_ok();
                    }
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => open = false,
                Some(Ok(_)) => {}
            },
        }
    }
    // A driver that is gone has no peers.
    let _told = commands.send(Command::Leave { alias }).await;
}

/// What a signal is to the driver; a faulty one is nothing.
fn command(alias: u64, bytes: &[u8]) -> Option<Command> {
    let data = |bytes| WebRtcMessage::decode(bytes).ok().map(|signal| signal.data);
    match peek::message_type(bytes)? {
        MessageType::Connect => Some(Command::Connect { alias }),
        MessageType::WebrtcAnswer => {
            let data = data(bytes)?;
            Some(Command::Answer { alias, data })
        }
        MessageType::WebrtcIceCandidate => {
            let data = data(bytes)?;
            Some(Command::Candidate { alias, data })
        }
        _ => None,
    }
}

/// The driver's greeting.
pub(crate) fn welcome(alias: u64) -> Bytes {
    let welcome = WelcomeMessage {
        r#type: MessageType::Welcome.into(),
        alias,
        available_servers: vec![SERVER],
        capabilities: frame::capabilities(false),
        ..Default::default()
    };
    welcome.encode_to_vec().into()
}

/// This server's own alias.
pub(crate) const SERVER: u64 = 1;

/// A WELCOME, an offer and a handful of candidates.
const SIGNALS_MAX: usize = 64;
