//! One session: reads signals for the hub, writes what the hub has for it, pings, and sees to its
//! deadlines.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use coordinator_core::{Region, Resume, SessionId};
use futures_util::SinkExt as _;
use proto::{Reason, Role};
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};
use tokio_tungstenite::tungstenite;
use tokio_util::sync::CancellationToken;

use crate::{
    Shared,
    config::SERVER_SHARES,
    hub::{Command, Seat},
    metrics::{Dropped, End},
    outbox,
    pace::Pace,
};

/// Whose session it is.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) role: Role,
    /// Whether the subprotocol was negotiated.
    pub(crate) ours: bool,
    /// As the authenticator found.
    pub(crate) identity: Bytes,
    /// What its token is called.
    pub(crate) token_id: Option<Arc<str>>,
    /// When its credentials end.
    pub(crate) expires: Option<SystemTime>,
    /// What it may take up.
    pub(crate) resume: Option<Resume>,
    /// Where it says that it is.
    pub(crate) region: Option<Region>,
}

/// Serves `socket` until it, the other side or the server ends.
pub(crate) async fn run(shared: &Shared, owner: Owner, socket: WebSocket) {
    let (role, ours) = (owner.role, owner.ours);
    let expiry_min = shared.timeouts.expiry_min;
    let expires_at = owner.expires.and_then(|at| expiry(at, expiry_min));
    let limits = &shared.limits;
    let (outbox_limits, shares, rate) = if role == Role::Client {
        (limits.client_outbox, 1, limits.core.client_rate)
    } else {
        (limits.server_outbox, SERVER_SHARES, limits.core.server_rate)
    };
    let (outbox_sender, outbox) = outbox::new(outbox_limits, shares, &shared.waiting);
    let (close, closing) = oneshot::channel();
    let (id_sender, id) = oneshot::channel();
    let open = Command::Open {
        owner,
        seat: Seat {
            outbox: outbox_sender,
            close,
        },
        id: id_sender,
    };
    // The hub outlives its sessions, so neither fails while the server is up.
    if shared.hub.send(open).await.is_err() {
        return;
    }
    let Ok(id) = id.await else {
        return;
    };
    shared.metrics.session_opened(role);
    tracing::debug!(session = id.0, ?role, ours, "session opened");
    let mut session = Session {
        id,
        shared,
        socket,
        outbox,
        closing,
        heard: Instant::now(),
        pace: Pace::new(Instant::now(), rate),
        resume_at: None,
        expires_at,
    };
    let end = session.serve().await;
    shared.metrics.session_closed(role, end);
    tracing::debug!(session = id.0, ?end, "session closed");
    // First the others are told, then the one that is closed.
    let closed = Command::Closed { session: id };
    let told = shared.hub.send(closed).await;
    debug_assert!(told.is_ok(), "the hub outlives its sessions");
    let timeout = shared.timeouts.close;
    match end {
        End::Ours(reason) => {
            let (socket, outbox) = (&mut session.socket, &mut session.outbox);
            // What still waits for it; nothing does for whoever is closed for not reading.
            let last_words = std::iter::from_fn(|| outbox.try_recv());
            farewell(socket, ours, last_words, reason, timeout).await;
        }
        End::Closed => answered(&mut session.socket, timeout).await,
        End::Gone | End::WriteTimeout => {}
    }
}

struct Session<'a> {
    id: SessionId,
    shared: &'a Shared,
    socket: WebSocket,
    outbox: outbox::Receiver,
    closing: oneshot::Receiver<Reason>,
    /// When the last frame came.
    heard: Instant,
    pace: Pace,
    /// Until when it is not read.
    resume_at: Option<Instant>,
    /// Until when it may be here.
    expires_at: Option<Instant>,
}

impl Session<'_> {
    async fn serve(&mut self) -> End {
        let timeouts = &self.shared.timeouts;
        let mut ping = time::interval(timeouts.ping_interval);
        ping.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        ping.reset();
        let idle = time::sleep(timeouts.idle);
        tokio::pin!(idle);
        loop {
            let result = tokio::select! {
                reason = &mut self.closing => {
                    Err(End::Ours(reason.unwrap_or(Reason::ShuttingDown)))
                }
                () = self.shared.stop.cancelled() => Err(End::Ours(Reason::ShuttingDown)),
                () = &mut idle => {
                    let deadline = self.heard + timeouts.idle;
                    idle.as_mut().reset(deadline);
                    if deadline <= Instant::now() {
                        Err(End::Ours(Reason::IdleTimeout))
                    } else {
                        Ok(())
                    }
                }
                () = time::sleep_until(self.expires_at.unwrap_or(self.heard)),
                    if self.expires_at.is_some() => Err(End::Ours(Reason::TokenExpired)),
                _ = ping.tick() => self.write(Message::Ping(Bytes::new())).await,
                frame = self.outbox.recv() => match frame {
                    Some(frame) => self.write(Message::Binary(frame)).await,
                    // The reason comes with it.
                    None => {
                        let reason = (&mut self.closing).await;
                        Err(End::Ours(reason.unwrap_or(Reason::ShuttingDown)))
                    }
                },
                message = self.socket.recv(), if self.resume_at.is_none() => {
                    self.read(message).await
                }
                () = time::sleep_until(self.resume_at.unwrap_or(self.heard)),
                    if self.resume_at.is_some() =>
                {
                    self.resume_at = None;
                    Ok(())
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    async fn read(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let message = message.ok_or(End::Gone)?.map_err(read_error)?;
        self.heard = Instant::now();
        self.resume_at = self.pace.charge(self.heard);
        if self.resume_at.is_some() {
            self.shared.metrics.paused();
        }
        match message {
            Message::Binary(bytes) => self.signal(bytes).await,
            Message::Text(_) => {
                self.shared.metrics.dropped(Dropped::TextFrame);
                Ok(())
            }
            // tungstenite answers pings.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Closed),
        }
    }

    async fn signal(&mut self, bytes: Bytes) -> Result<(), End> {
        if bytes.len() > self.shared.limits.core.signal_bytes_max {
            return Err(End::Ours(Reason::MessageTooLarge));
        }
        let session = self.id;
        let command = Command::Signal { session, bytes };
        let sent = self.shared.hub.send(command).await;
        sent.map_err(|mpsc::error::SendError(_)| End::Ours(Reason::ShuttingDown))
    }

    /// Writes `first` and all that waits behind it, with one flush.
    async fn write(&mut self, first: Message) -> Result<(), End> {
        let (socket, outbox) = (&mut self.socket, &mut self.outbox);
        let write = async {
            socket.feed(first).await?;
            for _ in 0..WRITES_PER_FLUSH {
                let Some(frame) = outbox.try_recv() else {
                    break;
                };
                socket.feed(Message::Binary(frame)).await?;
            }
            socket.flush().await
        };
        tokio::pin!(write);
        let ending = tokio::select! {
            biased;
            written = time::timeout(self.shared.timeouts.write, &mut write) => {
                return match written {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) => Err(End::Gone),
                    Err(_) => Err(End::WriteTimeout),
                };
            }
            reason = &mut self.closing => reason.unwrap_or(Reason::ShuttingDown),
            () = self.shared.stop.cancelled() => Reason::ShuttingDown,
        };
        // What has been begun is ended, but whoever does not read is not asked for long.
        if ending != Reason::SessionQueueFull {
            let rest = time::timeout(self.shared.timeouts.close, write).await;
            tracing::trace!(session = self.id.0, written = rest.is_ok(), "last frames");
        }
        Err(End::Ours(ending))
    }
}

/// When a session ends with its credentials. `None` is beyond what there is.
fn expiry(expires: SystemTime, min: Duration) -> Option<Instant> {
    let left = expires.duration_since(SystemTime::now());
    Instant::now().checked_add(left.unwrap_or_default().max(min))
}

/// Sends `last_words`, tells the other side why, and gives it `timeout` to take notice.
pub(crate) async fn farewell(
    socket: &mut WebSocket,
    ours: bool,
    last_words: impl Iterator<Item = Bytes>,
    reason: Reason,
    timeout: Duration,
) {
    let farewell = async {
        for frame in last_words {
            socket.feed(Message::Binary(frame)).await?;
        }
        if ours {
            let error = Message::Binary(reason.error_frame());
            socket.feed(error).await?;
        }
        let close = CloseFrame {
            code: close_code(ours, reason),
            reason: reason.name().into(),
        };
        socket.send(Message::Close(Some(close))).await?;
        // Reading on until the other side has closed: a TCP connection closed with bytes unread
        // is reset, and what was just written may be lost.
        while let Some(message) = socket.recv().await {
            message?;
        }
        Ok::<(), axum::Error>(())
    };
    match time::timeout(timeout, farewell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::trace!(%error, "the other side was gone before its close"),
        Err(_) => tracing::trace!("the other side did not answer its close"),
    }
}

/// The other side has closed: writes the answer, so that it sees a clean end.
async fn answered(socket: &mut WebSocket, timeout: Duration) {
    // tungstenite has the answer ready; reading on writes it, and ends with the connection.
    match time::timeout(timeout, socket.recv()).await {
        Ok(None | Some(Ok(_))) => {}
        Ok(Some(Err(error))) => tracing::trace!(%error, "the other side was gone after its close"),
        Err(_) => tracing::trace!("the other side did not take the answer to its close"),
    }
}

/// Ours are told the reason's own number; others get the nearest of RFC 6455 section 7.4.1 and of
/// the registry that it opened.
const fn close_code(ours: bool, reason: Reason) -> u16 {
    if ours {
        return reason.close_code();
    }
    match reason {
        Reason::ShuttingDown => axum::extract::ws::close_code::AWAY,
        Reason::MessageTooLarge => axum::extract::ws::close_code::SIZE,
        Reason::Overloaded | Reason::SessionQueueFull => axum::extract::ws::close_code::AGAIN,
        _ => axum::extract::ws::close_code::POLICY,
    }
}

/// Larger than what is read at all counts as too large; anything else that cannot be read breaks
/// RFC 6455, or is the end of the connection.
fn read_error(error: axum::Error) -> End {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::Ours(Reason::MessageTooLarge),
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => End::Gone,
        Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => {
            End::Ours(Reason::ProtocolViolation)
        }
        _ => End::Gone,
    }
}

/// Runs `task` to its end, or until `token` is cancelled.
pub(crate) async fn unless(token: &CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = token.cancelled() => {}
        () = task => {}
    }
}

/// So that a session which is sent a lot still reads and pings.
const WRITES_PER_FLUSH: usize = 64;
