//! What happens to a coordinator, and what it wants done: all that the shell knows of it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use proto::{Reason, Role, WelcomeMessage, revocation::Target};

use crate::{Alias, Region};

/// A session, as the shell calls it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What a session takes up where it was left. A token carries it, which the shell signs and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The alias that it had.
    pub alias: Alias,
    /// Drawn when the alias was first given: should two coordinators ever have given the same one,
    /// neither of the two sessions replaces the other.
    pub series: u64,
}

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
        /// Who the owner is, as the authenticator found; empty for nobody in particular.
        identity: Bytes,
        /// What the owner's token is called.
        token_id: Option<Arc<str>>,
        /// What it may take up, as its token says: one that was given to the same role and identity.
        resume: Option<Resume>,
        /// Where it says that it is.
        region: Option<Region>,
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
    /// Somebody is not to be here any more, until then; a time that has passed takes that back. See
    /// [`crate::Coordinator::is_revoked`] for whether there was room to remember it.
    Revoke {
        /// Who.
        target: Target,
        /// Until when.
        until: Instant,
    },
    /// All sessions are about to be closed. Nobody is told any more of another's end: the peers
    /// that they have serve on.
    ShuttingDown,
}

/// What a coordinator wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a WELCOME.
    Welcome {
        /// To whom.
        session: SessionId,
        /// Still without a resume token.
        welcome: WelcomeMessage,
        /// What the session may take up later: the shell makes a token of it. `None` for one that
        /// speaks only the 2019 protocol.
        resume: Option<Resume>,
    },
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
