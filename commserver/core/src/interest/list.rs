//! What a 2019 server is told: the whole list in one message, as much of it as such a server reads.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{Format, Message, MessageType, SubscriptionMessage, limits, topic_list};

use crate::{io::PeerId, topics::TopicTable};

/// The list of one link. What is on it stays on it as long as it is wanted, so a list that is full
/// does not change with what comes and goes beside it.
#[derive(Debug)]
pub(crate) struct List {
    told: BTreeSet<Arc<str>>,
    /// Topics that the other side should be told of.
    wanted: usize,
    /// There was no room for all of them.
    full: bool,
    /// When the next one is to be sent, if the last one is not right any more.
    due: Option<Instant>,
    not_before: Instant,
}

impl List {
    /// For a new link, which is to be told of so many topics.
    pub(crate) const fn new(now: Instant, wanted: usize) -> Self {
        Self {
            told: BTreeSet::new(),
            wanted,
            full: false,
            due: Some(now),
            not_before: now,
        }
    }

    /// A topic is wanted, or is not any more.
    pub(crate) fn note(&mut self, now: Instant, topic: &str, wanted: bool) {
        let stale = if wanted {
            self.wanted += 1;
            !self.full
        } else {
            self.wanted = self.wanted.saturating_sub(1);
            self.told.contains(topic)
        };
        if stale {
            self.due.get_or_insert(self.not_before.max(now));
        }
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Topics that the other side should know of, and does not.
    pub(crate) fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.told.len())
    }

    /// The next list, when it is time for one.
    pub(crate) fn poll(&mut self, now: Instant, table: &TopicTable, link: PeerId) -> Option<Bytes> {
        self.due.take_if(|due| *due <= now)?;
        self.told.retain(|topic| table.is_told(link, topic));
        let mut candidates: Vec<Arc<str>> = self.told.iter().cloned().collect();
        let mut bytes: usize = candidates.iter().map(|topic| topic.len() + 1).sum();
        self.full = false;
        for topic in table.told_to(link) {
            if topic.len() > limits::PLAIN_TOPIC_LIST_BYTES_MAX || self.told.contains(topic) {
                continue;
            }
            bytes += topic.len() + 1;
            if bytes > PLAIN_BYTES_MAX {
                self.full = true;
                break;
            }
            candidates.push(Arc::clone(topic));
        }
        let list = longest(&candidates);
        self.full |= list.topics < candidates.len();
        candidates.truncate(list.topics);
        self.told = candidates.into_iter().collect();
        self.not_before = if list.compressed { now + PAUSE } else { now };
        Some(list.frame)
    }

    pub(crate) fn check_invariants(&self, table: &TopicTable, link: PeerId) {
        let wanted = table.told_to(link).count();
        assert_eq!(self.wanted, wanted, "what is missing is counted");
        let stale = self.told.iter().any(|topic| !table.is_told(link, topic));
        assert!(!stale || self.due.is_some(), "a wrong list is replaced");
    }
}

/// A SUBSCRIPTION, as it is sent.
struct Encoded {
    frame: Bytes,
    topics: usize,
    compressed: bool,
}

/// A list of as many of these as fit, from the front. Compressing costs milliseconds, so a few
/// attempts must do: each guesses from the two around it.
fn longest(topics: &[Arc<str>]) -> Encoded {
    let all = encode(topics);
    if all.fits() {
        return all;
    }
    let (mut best, mut over) = (encode(&[]), all);
    for _ in 0..ATTEMPTS_MAX {
        let (fits, between) = (best.topics, over.topics - best.topics);
        if between <= 1 {
            break;
        }
        let room = limits::PACKET_BYTES_MAX_2019.saturating_sub(best.frame.len());
        let bytes = over.frame.len().saturating_sub(best.frame.len()).max(1);
        // Never close to an end: the guess of the last attempts would be no news.
        let margin = between / 8;
        let guess = (between * room / bytes).clamp(margin.max(1), (between - margin).max(2) - 1);
        let attempt = encode(topics.get(..fits + guess).unwrap_or_default());
        if attempt.fits() {
            best = attempt;
        } else {
            over = attempt;
        }
    }
    best
}

impl Encoded {
    fn fits(&self) -> bool {
        self.frame.len() <= limits::PACKET_BYTES_MAX_2019
    }
}

/// PLAIN, or GZIP when that would be too large. Sorted, for then they compress best.
fn encode(topics: &[Arc<str>]) -> Encoded {
    let mut sorted: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    sorted.sort_unstable();
    let plain = topic_list::encode_plain(sorted);
    let compressed = plain.len() > limits::PLAIN_TOPIC_LIST_BYTES_MAX;
    let (format, list) = if compressed {
        (Format::Gzip, topic_list::compress(&plain))
    } else {
        (Format::Plain, plain)
    };
    let message = SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: format.into(),
        topics: list,
    };
    Encoded {
        frame: message.encode_to_vec().into(),
        topics: topics.len(),
        compressed,
    }
}

/// A list is compressed up to so many times before it is sent.
const ATTEMPTS_MAX: usize = 8;
/// Of a list before it is compressed: thirteen times what such a server reads. To compress it takes
/// a millisecond or two.
const PLAIN_BYTES_MAX: usize = 64 * 1024;
/// Between two lists that had to be compressed.
const PAUSE: Duration = Duration::from_millis(500);
