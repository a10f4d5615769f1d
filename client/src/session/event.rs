//! What goes into a session and what comes out of it.

mod show;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proto::{ErrorMessage, Lane, Reason};

use super::Secret;

/// One signalling socket of a session, counted from 1. Inputs about an older one are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// One peer of a session, counted from 1. Inputs about an older one are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// One question for a token, counted from 1. Answers to an older one are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenRequest(pub u64);

/// The owner has no token just now. Why, it knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no token just now")]
pub struct TokenUnavailable;

/// One call of `subscribe` or `unsubscribe`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a WebRTC signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// A session description that proposes.
    Offer,
    /// A session description that accepts.
    Answer,
    /// An ICE candidate.
    Candidate,
}

/// What happened, as the shell tells it.
#[derive(Clone)]
pub enum Input {
    /// Time passed: the deadline may be reached.
    Tick,
    /// The owner's answer to [`Output::FetchToken`].
    Token {
        /// The question.
        request: TokenRequest,
        /// The token; without one the session tries again after a wait.
        result: Result<Secret, TokenUnavailable>,
    },
    /// The signalling socket is open, and the coordinator took us in.
    SignallingOpened {
        /// The socket of [`Output::Dial`].
        socket: SocketId,
    },
    /// The signalling socket could not be opened, or ended.
    SignallingClosed {
        /// The socket of [`Output::Dial`].
        socket: SocketId,
        /// The reason behind the close code or HTTP status. One that is not retryable stops the
        /// session.
        reason: Option<Reason>,
    },
    /// A binary message from the coordinator.
    Signal {
        /// The socket that it came from.
        socket: SocketId,
        /// The whole message.
        bytes: Bytes,
    },
    /// The local engine has something to say to the server.
    LocalSignal {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
        /// What it is.
        kind: SignalKind,
        /// JSON, as browsers have it.
        data: Bytes,
    },
    /// A lane of the peer is open.
    LaneOpened {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
        /// The lane.
        lane: Lane,
    },
    /// A message on a data channel.
    Packet {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
        /// The lane that it came on.
        lane: Lane,
        /// The whole message.
        bytes: Bytes,
    },
    /// The reliable lane's own buffer is as full as it should get: publications wait from here on.
    Congested {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
    },
    /// The reliable lane takes publications again.
    Writable {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
    },
    /// The peer is gone, for whatever reason, and so are its lanes.
    PeerClosed {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
        /// Why.
        reason: Reason,
    },
}

/// What the shell has to do.
#[derive(Clone, PartialEq)]
pub enum Output {
    /// Ask the owner for a token; [`Input::Token`] answers. Only where the token's source is
    /// [`super::TokenSource::Asked`]. An older question need not be answered any more.
    FetchToken {
        /// The question.
        request: TokenRequest,
    },
    /// Open a signalling socket; [`Input::SignallingOpened`] or [`Input::SignallingClosed`] answers.
    Dial {
        /// Its name from now on.
        socket: SocketId,
        /// Who we are.
        token: Option<Secret>,
        /// The resume token to show, so that the alias is kept. In characters that may stand in a
        /// `Sec-WebSocket-Protocol` header.
        resume: Option<Secret>,
    },
    /// Close the signalling socket, or stop opening it. No answer is needed.
    HangUp {
        /// The socket of [`Output::Dial`].
        socket: SocketId,
    },
    /// Send a binary message to the coordinator.
    Signal {
        /// The socket to send it on.
        socket: SocketId,
        /// The whole message.
        bytes: Bytes,
    },
    /// Make a peer as dialer: it waits for an offer.
    OpenPeer {
        /// Its name from now on.
        peer: PeerId,
    },
    /// Hand the server's signal to the engine.
    RemoteSignal {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
        /// What it is.
        kind: SignalKind,
        /// JSON, as browsers have it.
        data: Bytes,
    },
    /// Close the peer. No answer is needed.
    ClosePeer {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
    },
    /// Send a packet.
    Send {
        /// The peer of [`Output::OpenPeer`].
        peer: PeerId,
        /// The lane to send it on, which is open.
        lane: Lane,
        /// The whole packet.
        frame: Bytes,
    },
    /// Tell the application.
    Event(Event),
}

/// What the application is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A communication server has taken us in; the subscriptions are on their way to it.
    Connected {
        /// Our alias, as the server knows it: the same as before if it could be kept.
        alias: u64,
        /// The server's alias.
        server: u64,
    },
    /// The peer is lost, or left for another server on its own server's wish. The session goes on
    /// to find another: [`Event::Connected`] tells which, and under which alias. Until then
    /// publications wait or fail, as configured, and nothing is received.
    Disconnected {
        /// Why. [`Reason::ShuttingDown`] is the server's wish, [`Reason::Replaced`] another program
        /// that goes on under our alias.
        reason: Reason,
    },
    /// A try failed; the next one comes after a wait.
    Retrying {
        /// Why the try failed.
        reason: Reason,
        /// The wait.
        after: Duration,
    },
    /// The session has ended: the reason is one that trying again does not help, or
    /// [`Reason::Closed`]. Nothing comes after it.
    Stopped {
        /// Why.
        reason: Reason,
    },
    /// A packet of another publisher.
    Message(Message),
    /// A request was answered.
    Answered {
        /// The request.
        request: RequestId,
        /// What the server said.
        result: Result<(), RequestError>,
    },
    /// The server or the coordinator reports an error that closes nothing and answers nothing.
    Error(ServerError),
}

/// A packet of another publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The publisher's alias, as the server knows it.
    pub from_alias: u64,
    /// The topic; `None` from a server that speaks the 2019 protocol, which does not tell.
    pub topic: Option<Arc<str>>,
    /// The publisher's count for this topic and lane, from 1; 0 when it does not count.
    pub seq: u64,
    /// The lane that it came on.
    pub lane: Lane,
    /// The application's bytes.
    pub body: Bytes,
    /// Who the publisher is, as verified by the server, when it published with identity.
    pub identity: Option<Identity>,
}

/// Who a publisher is, as a server verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The bytes that the server's authenticator gave.
    pub bytes: Bytes,
    /// A number of [`proto::Role`].
    pub role: i32,
}

/// An ERROR, as it came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} (code {code}{}{topic})", if topic.is_empty() { "" } else { ", topic " })]
pub struct ServerError {
    /// The number in the table of reasons.
    pub code: u32,
    /// The reason with that number, if this version knows it.
    pub reason: Option<Reason>,
    /// The topic that it is about, or empty.
    pub topic: String,
    /// What a person is told.
    pub text: String,
    /// Whether trying again later may succeed.
    pub retryable: bool,
}

impl ServerError {
    pub(super) fn from_wire(error: ErrorMessage) -> Self {
        Self {
            code: error.code,
            reason: Reason::from_number(error.code),
            topic: error.topic,
            text: error.text,
            retryable: error.retryable,
        }
    }

    pub(super) fn of(reason: Reason, topic: &str) -> Self {
        Self {
            code: reason.number().into(),
            reason: Some(reason),
            topic: topic.into(),
            text: reason.text().into(),
            retryable: reason.retryable(),
        }
    }
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The server said no.
    #[error("the server refused")]
    Refused(#[source] ServerError),
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TimedOut,
    /// Of a flush: a publication was dropped, or the server was lost before it had confirmed.
    #[error("the server was lost before it had confirmed everything")]
    Unconfirmed,
    /// The session ended first.
    #[error("the session has ended: {0}")]
    Stopped(Reason),
}

/// The wait that an ERROR asks for: obeyed within reason, so that one wrong number does not park
/// a client for weeks.
pub(super) fn retry_after(error: &ErrorMessage) -> Duration {
    Duration::from_millis(error.retry_after_ms.into()).min(RETRY_AFTER_MAX)
}

const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);
