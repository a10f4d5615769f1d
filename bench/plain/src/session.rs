//! One client's signalling: WELCOME, CONNECT, and the descriptions and candidates of its peer.

use std::sync::Arc;

use axum::extract::ws::{Message as Frame, WebSocket};
use bytes::Bytes;
use proto::{
    ConnectMessage, Message as _, MessageType, WebRtcMessage, WelcomeMessage, frame, peek,
};
use tokio::sync::mpsc;

use crate::{
    Shared,
    relay::{Peer, SERVER},
};

/// Until the client's socket closes; its peer ends with it.
pub(crate) async fn run(shared: Arc<Shared>, mut socket: WebSocket) {
    let peer = shared.relay.join();
    let (signals, mut outgoing) = mpsc::channel(SIGNALS_MAX);
    let welcome = WelcomeMessage {
        r#type: MessageType::Welcome.into(),
        alias: peer.alias,
        available_servers: vec![SERVER],
        capabilities: frame::capabilities(false),
        ..Default::default()
    };
    let mut open = socket.send(binary(welcome.encode_to_vec())).await.is_ok();
    while open {
        tokio::select! {
            Some(signal) = outgoing.recv() => open = socket.send(Frame::Binary(signal)).await.is_ok(),
            received = socket.recv() => match received {
                Some(Ok(Frame::Binary(bytes))) => {
                    // A faulty client has a faulty peer.
                    let _handled = handle(&shared, &peer, &signals, &bytes).await;
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => open = false,
                Some(Ok(_)) => {}
            },
        }
    }
    shared.relay.leave(&peer);
    peer.close().await;
}

async fn handle(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    signals: &mpsc::Sender<Bytes>,
    bytes: &[u8],
) -> anyhow::Result<()> {
    match peek::message_type(bytes) {
        Some(MessageType::Connect) if peer.connection.get().is_none() => {
            let connect = ConnectMessage::decode(bytes)?;
            anyhow::ensure!(connect.to_alias == SERVER, "there is no other server");
            // It is large, and rare: on the heap, or every session would have room for it.
            Box::pin(crate::peer::open(shared, peer, signals.clone())).await?;
        }
        Some(MessageType::WebrtcAnswer) => {
            if let Some(connection) = peer.connection.get() {
                let answer = serde_json::from_slice(&WebRtcMessage::decode(bytes)?.data)?;
                connection.set_remote_description(answer).await?;
            }
        }
        Some(MessageType::WebrtcIceCandidate) => {
            if let Some(connection) = peer.connection.get() {
                let candidate = serde_json::from_slice(&WebRtcMessage::decode(bytes)?.data)?;
                connection.add_ice_candidate(candidate).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// An offer or a candidate for the client.
pub(crate) fn signal(peer: &Peer, kind: MessageType, data: Vec<u8>) -> Bytes {
    let signal = WebRtcMessage {
        r#type: kind.into(),
        from_alias: SERVER,
        to_alias: peer.alias,
        data: data.into(),
        ..Default::default()
    };
    signal.encode_to_vec().into()
}

fn binary(bytes: Vec<u8>) -> Frame {
    Frame::Binary(bytes.into())
}

/// An offer and a handful of candidates.
const SIGNALS_MAX: usize = 64;
