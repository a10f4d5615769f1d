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
    /// When the next batch goes, while there are servers.
    next_at: Option<Instant>,
}

impl Waiting {
    pub(crate) fn push(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    pub(crate) fn remove(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        if self.sessions.is_empty() {
            self.next_at = None;
        }
    }

    /// There is no server any more.
    pub(crate) const fn pause(&mut self) {
        self.next_at = None;
    }

    /// Those whose turn it is, now that there is a server.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<SessionId> {
        if self.next_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let batch = (0..BATCH_MAX).map_while(|_| self.sessions.pop_first());
        let batch: Vec<SessionId> = batch.collect();
        self.next_at = (!self.sessions.is_empty()).then(|| now + BATCH_INTERVAL);
        batch
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next_at
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
