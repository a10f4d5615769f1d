//! The client's task: its session, its peer, and how it reads what comes.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::super::engine::Lane;
use super::super::peer::{self, Peer};
use super::super::session::Session;
use super::super::wire::{Decoded, Message, TopicFw, TopicIdentityFw, decode};
use super::{Command, Packet};

/// The client's task.
pub(super) struct Worker {
    /// Gone when the coordinator is: the peer stays.
    pub(super) session: Option<Session>,
    pub(super) server: u64,
    pub(super) peer: Peer,
    pub(super) inbox: mpsc::Receiver<((), peer::Event)>,
    pub(super) outbox: mpsc::Receiver<Command>,
    pub(super) deliver: mpsc::Sender<Result<Packet>>,
    pub(super) lanes: BTreeSet<Lane>,
    pub(super) opened: Option<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) async fn run(mut self) {
        let Err(reason) = self.serve().await else {
            return;
        };
        // Told before `opened` is dropped, so that whoever waits for it finds the reason.
        drop(self.deliver.send(Err(reason)).await);
    }

    async fn serve(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                signal = next_signal(&mut self.session) => match signal {
                    Ok(Some(signal)) => self.handle_signal(signal.message).await?,
                    Ok(None) | Err(_) => self.session = None,
                },
                Some(((), event)) = self.inbox.recv() => self.handle_event(event).await?,
                command = self.outbox.recv() => match command {
                    Some(Command::Send(lane, bytes)) => self.peer.send(lane, bytes).await,
                    Some(Command::Move) => self.peer.move_away().await,
                    Some(Command::Close) => self.peer.close().await,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn handle_signal(&mut self, message: Message) -> Result<()> {
        match message {
            Message::WebRtc(signal) if signal.from_alias == self.server => {
                self.peer.signal(signal.kind(), signal.data).await;
                Ok(())
            }
            Message::ConnectionRefused(refusal) => bail!("refused, reason {}", refusal.reason),
            // As the 2019 client does: what it does not wait for, it skips.
            _ => Ok(()),
        }
    }

    async fn handle_event(&mut self, event: peer::Event) -> Result<()> {
        match event {
            peer::Event::Signal(kind, data) => {
                let session = self
                    .session
                    .as_mut()
                    .context("no coordinator to answer through")?;
                session.webrtc(kind, self.server, data).await
            }
            peer::Event::Open(lane) => {
                self.lanes.insert(lane);
                if self.lanes.len() == 2
                    && let Some(opened) = self.opened.take()
                {
                    // Nobody waits any more when the test has given up.
                    opened.send(()).ok();
                }
                Ok(())
            }
            peer::Event::Packet(lane, bytes) => {
                let packet = read(lane, bytes)?;
                Ok(self.deliver.send(Ok(packet)).await?)
            }
            peer::Event::Closed(reason) => bail!("{reason}"),
        }
    }
}

/// The session's next signal; never, without a session.
async fn next_signal(session: &mut Option<Session>) -> Result<Option<Decoded>> {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

/// A packet as a 2019 client reads it.
fn read(lane: Lane, bytes: Bytes) -> Result<Packet> {
    let decoded = decode(&bytes).context("the server sent something that does not decode")?;
    let fields = decoded.unknown_fields;
    Ok(match decoded.message {
        Message::TopicFw(TopicFw {
            from_alias, body, ..
        }) if fields.is_empty() => Packet::Forward {
            lane,
            from_alias,
            body,
        },
        Message::TopicIdentityFw(TopicIdentityFw {
            from_alias,
            identity,
            role,
            body,
            ..
        }) if fields.is_empty() => Packet::Identity {
            lane,
            from_alias,
            identity,
            role,
            body,
        },
        Message::Ping(_) => Packet::Pong { lane, bytes },
        _ => Packet::Foreign {
            lane,
            bytes,
            fields,
        },
    })
}
