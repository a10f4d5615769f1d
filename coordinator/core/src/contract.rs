//! What happens to a coordinator, and what it wants done: all that the shell knows of it.

use bytes::Bytes;
use proto::{Reason, Role};

/// A session, as the shell calls it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What happens to a coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A WebSocket is open and its owner authenticated.
    SessionOpened {
        /// A new id.
        session: SessionId,
        /// What the owner may be.
        role: Role,
        /// Whether the subprotocol was negotiated.
        ours: bool,
    },
    /// A WebSocket message came.
    Signal {
        /// From whom.
        session: SessionId,
        /// Not yet looked at.
        bytes: Bytes,
    },
    /// A WebSocket is gone, whoever closed it.
    SessionClosed {
        /// Which.
        session: SessionId,
    },
}

/// What a coordinator wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a WebSocket message.
    Send {
        /// To whom.
        session: SessionId,
        /// The encoded signal.
        bytes: Bytes,
    },
    /// Close a session that the coordinator has already forgotten.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
}
