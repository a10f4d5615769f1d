//! Clients that found no server when they came.
//!
//! They are told of servers in batches: after an outage of all servers, the first to come back
//! would otherwise be given everybody.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::SessionId;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// By id, which is by age.
    sessions: BTreeSet<SessionId>,
    /// When the next batch may go, after one that has gone.
    quiet_until: Option<Instant>,
}

impl Waiting {
    pub(crate) fn push(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    pub(crate) fn remove(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// Whether a batch may go.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.sessions.is_empty() && self.quiet_until.is_none_or(|until| until <= now)
    }

    /// Whose turn it is.
    pub(crate) fn first(&self) -> Option<SessionId> {
        self.sessions.first().copied()
    }

    /// A batch has gone.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.quiet_until = Some(now + BATCH_INTERVAL);
    }

    /// When the next batch goes, if there is a server by then.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.quiet_until.filter(|_| !self.sessions.is_empty())
    }

    pub(crate) fn count(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.iter().copied()
    }
}

/// With [`BATCH_INTERVAL`], 1,600 clients a second: about what one server's handshakes take.
pub(crate) const BATCH_MAX: usize = 32;

/// See [`BATCH_MAX`].
pub(crate) const BATCH_INTERVAL: Duration = Duration::from_millis(20);
