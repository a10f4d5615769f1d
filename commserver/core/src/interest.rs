//! What servers tell each other about the topics that their clients want.
//!
//! Between our own servers this is INTEREST: a snapshot on a new link, then changes, each message
//! one version on. A link is reliable and ordered, so a gap is a broken peer and the link is closed;
//! the redial brings a new snapshot. A 2019 server gets its one SUBSCRIPTION again.
//!
//! Only topics of local clients are announced, never those that other servers want.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{
    Format, InterestMessage, Message, MessageType, SubscriptionMessage, limits, topic_list,
};

/// Our side: what was announced, and what has changed since.
#[derive(Debug)]
pub(crate) struct Announcer {
    window: Duration,
    changes_max: usize,
    version: u64,
    announced: BTreeSet<Arc<str>>,
    changed: BTreeSet<Arc<str>>,
    due: Option<Instant>,
}

/// A SUBSCRIPTION for 2019 servers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) frame: Bytes,
    /// Topics that had to be left out.
    pub(crate) missing: usize,
}

impl Announcer {
    pub(crate) fn new(window: Duration, changes_max: usize) -> Self {
        Self {
            window,
            changes_max: changes_max.max(1),
            version: 0,
            announced: BTreeSet::new(),
            changed: BTreeSet::new(),
            due: None,
        }
    }

    /// Whether clients want this topic has changed. Announced within the window, at once when too
    /// much has changed already.
    pub(crate) fn mark(&mut self, now: Instant, topic: Arc<str>) {
        self.changed.insert(topic);
        let window = if self.changed.len() < self.changes_max {
            self.window
        } else {
            Duration::ZERO
        };
        let due = now + window;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// What has changed since the last time, when the window has passed: INTEREST messages in
    /// order, none when it has all changed back.
    pub(crate) fn poll(&mut self, now: Instant, wanted: impl Fn(&str) -> bool) -> Vec<Bytes> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for topic in std::mem::take(&mut self.changed) {
            if wanted(&topic) {
                if self.announced.insert(Arc::clone(&topic)) {
                    add.push(topic);
                }
            } else if self.announced.remove(&topic) {
                remove.push(topic);
            }
        }
        let mut changes = Vec::new();
        let (mut add, mut remove) = (add.into_iter().peekable(), remove.into_iter().peekable());
        while add.peek().is_some() || remove.peek().is_some() {
            self.version += 1;
            let mut chunk = Chunk::new(self.version);
            chunk.fill(&mut add, |message| &mut message.add);
            chunk.fill(&mut remove, |message| &mut message.remove);
            changes.push(chunk.message.encode_to_vec().into());
        }
        changes
    }

    /// Everything announced so far, for a new link.
    pub(crate) fn snapshot(&self) -> Vec<Bytes> {
        let mut topics = self.announced.iter().cloned().peekable();
        let mut chunks = Vec::new();
        loop {
            let mut chunk = Chunk::new(self.version);
            chunk.message.snapshot_begin = chunks.is_empty();
            chunk.fill(&mut topics, |message| &mut message.add);
            let last = topics.peek().is_none();
            chunk.message.snapshot_end = last;
            chunks.push(chunk.message.encode_to_vec().into());
            if last {
                return chunks;
            }
        }
    }

    /// Everything announced so far, for a 2019 server: GZIP when PLAIN is too large for one, and
    /// where that is too large as well, as many topics as fit.
    pub(crate) fn list(&self) -> List {
        let mut count = self.announced.len();
        loop {
            let topics = self.announced.iter().take(count).map(|topic| &**topic);
            let plain = topic_list::encode_plain(topics);
            let (format, topics) = if plain.len() > limits::PLAIN_TOPIC_LIST_BYTES_MAX {
                (Format::Gzip, topic_list::compress(&plain))
            } else {
                (Format::Plain, plain)
            };
            let message = SubscriptionMessage {
                r#type: MessageType::Subscription.into(),
                format: format.into(),
                topics,
            };
            let frame = Bytes::from(message.encode_to_vec());
            if frame.len() <= limits::PACKET_BYTES_MAX_2019 || count == 0 {
                let missing = self.announced.len() - count;
                return List { frame, missing };
            }
            count = count * 3 / 4;
        }
    }

    pub(crate) fn check_invariants(&self, is_wanted: impl Fn(&str) -> bool) {
        assert_eq!(
            self.due.is_some(),
            !self.changed.is_empty(),
            "changes are announced"
        );
        for topic in &self.announced {
            let stays = is_wanted(topic) || self.changed.contains(topic);
            assert!(
                stays,
                "{topic} is not wanted any more, and that will be announced"
            );
        }
    }

    /// Whether this wanted topic was announced, or will be.
    pub(crate) fn covers(&self, topic: &str) -> bool {
        self.announced.contains(topic) || self.changed.contains(topic)
    }
}

/// One INTEREST message that stays within its limit.
struct Chunk {
    message: InterestMessage,
    bytes: usize,
}

impl Chunk {
    fn new(version: u64) -> Self {
        Self {
            message: InterestMessage {
                r#type: MessageType::Interest.into(),
                version,
                ..InterestMessage::default()
            },
            bytes: HEAD_BYTES_MAX,
        }
    }

    fn fill(
        &mut self,
        topics: &mut std::iter::Peekable<impl Iterator<Item = Arc<str>>>,
        list: impl Fn(&mut InterestMessage) -> &mut Vec<String>,
    ) {
        while let Some(topic) = topics.next_if(|topic| {
            let bytes = self.bytes + topic.len() + ENTRY_BYTES_MAX;
            bytes <= limits::INTEREST_CHUNK_BYTES_MAX || self.bytes == HEAD_BYTES_MAX
        }) {
            self.bytes += topic.len() + ENTRY_BYTES_MAX;
            list(&mut self.message).push(topic.as_ref().to_owned());
        }
    }
}

/// The other side of a link: how much of what it announces has arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    version: Option<u64>,
    in_snapshot: bool,
}

/// Announcements on their way to one link: a few at a time, so that a large snapshot neither fills
/// its outbox nor delays what clients publish. The other side acknowledges each.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    waiting: VecDeque<Bytes>,
    unacknowledged: usize,
}

/// The link is too far behind for more to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind;

impl Outgoing {
    /// Puts a message behind those before it.
    pub(crate) fn push(&mut self, frame: Bytes) -> Result<(), Behind> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Behind);
        }
        self.waiting.push_back(frame);
        Ok(())
    }

    /// The next message to send now, if any: to be called until `None`.
    pub(crate) fn poll(&mut self) -> Option<Bytes> {
        if self.unacknowledged >= UNACKNOWLEDGED_MAX {
            return None;
        }
        let frame = self.waiting.pop_front()?;
        self.unacknowledged += 1;
        Some(frame)
    }

    /// The other side has taken one in.
    pub(crate) const fn acknowledge(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
    }

    pub(crate) fn check_invariants(&self) {
        assert!(
            self.waiting.len() <= WAITING_MAX,
            "announcements are bounded"
        );
        assert!(
            self.unacknowledged <= UNACKNOWLEDGED_MAX,
            "and sent a few at a time"
        );
        let stuck = !self.waiting.is_empty() && self.unacknowledged < UNACKNOWLEDGED_MAX;
        assert!(!stuck, "what may be sent is sent");
    }
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

/// Of 32 KiB each: a quarter of a link's outbox.
const UNACKNOWLEDGED_MAX: usize = 8;
/// Twice what a full topic table comes to: 131,072 topics of 256 bytes are 1,024 messages.
const WAITING_MAX: usize = 2_048;
/// Type, version and both flags.
const HEAD_BYTES_MAX: usize = 2 + 11 + 2 + 2;
/// A field's key, and the length of anything up to 16 KiB less one; a longer topic has a chunk of
/// its own.
const ENTRY_BYTES_MAX: usize = 1 + 2;

#[cfg(test)]
mod tests;
