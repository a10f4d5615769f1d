//! What servers tell each other about the topics that are wanted on their side.
//!
//! Between our own servers this is INTEREST: a snapshot on a new link, then changes, each message
//! one version on. A link is reliable and ordered, so a gap is a broken peer and the link is closed;
//! the redial brings a new snapshot. A 2019 server gets a SUBSCRIPTION again and again.
//!
//! Which links are told of which topics is the topic table's to say.

mod list;
mod outgoing;

use std::time::{Duration, Instant};

use proto::InterestMessage;

pub(crate) use self::{list::List, outgoing::Outgoing};

/// When changes are announced: those within a window together.
#[derive(Debug)]
pub(crate) struct Window {
    length: Duration,
    changes_max: usize,
    due: Option<Instant>,
}

impl Window {
    pub(crate) const fn new(length: Duration, changes_max: usize) -> Self {
        Self {
            length,
            changes_max,
            due: None,
        }
    }

    /// So much has changed since the last announcement. Announced within the window, at once when
    /// it is too much already.
    pub(crate) fn note(&mut self, now: Instant, changes: usize) {
        if changes >= self.changes_max.max(1) {
            self.due = Some(now);
        } else if changes > 0 {
            self.due.get_or_insert(now + self.length);
        }
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time. The next change opens another window.
    pub(crate) fn pass(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    pub(crate) fn check_invariants(&self, changes: usize) {
        assert_eq!(self.due.is_some(), changes > 0, "changes are announced");
    }
}

/// What a link is told, in its way.
#[derive(Debug)]
pub(crate) enum Telling {
    /// INTEREST.
    Changes(Outgoing),
    /// SUBSCRIPTION, for a 2019 server.
    Lists(List),
}

/// The other side of a link: how much of what it announces has arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    version: Option<u64>,
    in_snapshot: bool,
}

/// What an INTEREST message does to what is known about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Forget everything, then apply it.
    Replace,
    /// Apply it.
    Apply,
    /// It does not follow from the message before.
    Gap,
}

impl Received {
    /// Takes the next message into account.
    pub(crate) fn step(&mut self, message: &InterestMessage) -> Step {
        let follows = match (self.version, self.in_snapshot, message.snapshot_begin) {
            (_, false, true) => true,
            (Some(version), true, false) => message.version == version,
            (Some(version), false, false) => {
                !message.snapshot_end && version.checked_add(1) == Some(message.version)
            }
            (None, _, false) | (_, true, true) => false,
        };
        if !follows {
            return Step::Gap;
        }
        let continues = message.snapshot_begin || self.in_snapshot;
        self.in_snapshot = continues && !message.snapshot_end;
        self.version = Some(message.version);
        if message.snapshot_begin {
            Step::Replace
        } else {
            Step::Apply
        }
    }
}

#[cfg(test)]
mod tests;
