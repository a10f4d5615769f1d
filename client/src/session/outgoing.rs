//! Publications on their way out: counted per topic and lane, and the reliable ones kept while
//! there is no peer that takes them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use proto::{Lane, Reason, frame, topic};

use super::config::{Offline, Overflow};

/// What became of a publication that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Handed to the lane.
    Sent,
    /// Waits for the next peer, or for room on the lane.
    Queued,
    /// Unreliable, and the lane is not open: dropped, and counted.
    Dropped,
}

/// Why a publication was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic is none.
    #[error("not a topic")]
    BadTopic(#[from] topic::TopicError),
    /// The encoded packet is larger than the server takes.
    #[error("the packet has {bytes} bytes, the server takes {bytes_max}")]
    TooLarge {
        /// Encoded size.
        bytes: usize,
        /// The server's limit, or the default limit while there is no server.
        bytes_max: usize,
    },
    /// There is no peer to take it, and nothing is queued by configuration.
    #[error("there is no server to take it just now")]
    Offline,
    /// There is no peer to take it, and the queue is full.
    #[error("there is no server to take it just now, and the queue is full")]
    QueueFull,
    /// The session has ended.
    #[error("the session has ended: {0}")]
    Stopped(Reason),
}

#[derive(Debug)]
pub(super) struct Outgoing {
    offline: Offline,
    counted_topics_max: usize,
    /// Publications so far, per topic and lane.
    counts: BTreeMap<Arc<str>, [u64; 2]>,
    queue: VecDeque<Bytes>,
    queue_bytes: usize,
}

/// An encoded publication whose number is not taken yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) frame: Bytes,
    pub(super) seq: u64,
}

impl Outgoing {
    pub(super) fn new(offline: Offline, counted_topics_max: usize) -> Self {
        Self {
            offline,
            counted_topics_max,
            counts: BTreeMap::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
        }
    }

    /// Encodes a publication under the next number of its topic and lane, or under none.
    pub(super) fn draft(&self, topic: &str, lane: Lane, body: Bytes, with_identity: bool) -> Draft {
        let seq = match self.counts.get(topic) {
            Some(counts) => counts.get(lane.index()).map_or(0, |count| count + 1),
            None if self.counts.len() < self.counted_topics_max => 1,
            None => 0,
        };
        Draft {
            frame: frame::publish(topic, body, seq, with_identity),
            seq,
        }
    }

    /// The publication is accepted: its number is taken.
    pub(super) fn count(&mut self, topic: &str, lane: Lane, draft: &Draft) {
        if draft.seq == 0 {
            return;
        }
        if !self.counts.contains_key(topic) {
            self.counts.insert(topic.into(), [0; 2]);
        }
        if let Some(counts) = self.counts.get_mut(topic)
            && let Some(count) = counts.get_mut(lane.index())
        {
            *count = draft.seq;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Keeps a reliable publication. Returns how many older ones gave way.
    pub(super) fn push(&mut self, frame: Bytes) -> Result<u64, PublishError> {
        let Offline::Queue {
            count_max,
            bytes_max,
            overflow,
        } = self.offline
        else {
            return Err(PublishError::Offline);
        };
        let mut gave_way = 0;
        if count_max == 0 || frame.len() > bytes_max {
            return Err(PublishError::QueueFull);
        }
        while self.queue.len() >= count_max || self.queue_bytes + frame.len() > bytes_max {
            if overflow == Overflow::RejectNew || self.pop().is_none() {
                return Err(PublishError::QueueFull);
            }
            gave_way += 1;
        }
        self.queue_bytes += frame.len();
        self.queue.push_back(frame);
        Ok(gave_way)
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let frame = self.queue.pop_front()?;
        self.queue_bytes -= frame.len();
        Some(frame)
    }

    pub(super) fn check_invariants(&self) {
        let bytes: usize = self.queue.iter().map(Bytes::len).sum();
        assert_eq!(bytes, self.queue_bytes, "bytes queued");
        match self.offline {
            Offline::Fail => assert!(self.queue.is_empty(), "nothing is queued"),
            Offline::Queue {
                count_max,
                bytes_max,
                ..
            } => {
                assert!(
                    self.queue.len() <= count_max && bytes <= bytes_max,
                    "queue in bounds"
                );
            }
        }
        assert!(
            self.counts.len() <= self.counted_topics_max,
            "topics counted"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(count_max: usize, bytes_max: usize, overflow: Overflow) -> Outgoing {
        Outgoing::new(
            Offline::Queue {
                count_max,
                bytes_max,
                overflow,
            },
            2,
        )
    }

    #[test]
    fn counts_per_topic_and_lane_from_one() {
        let mut outgoing = outgoing(9, 99, Overflow::RejectNew);
        let mut next = |topic, lane| {
            let draft = outgoing.draft(topic, lane, Bytes::new(), false);
            outgoing.count(topic, lane, &draft);
            draft.seq
        };
        assert_eq!(
            [next("a", Lane::Reliable), next("a", Lane::Reliable)],
            [1, 2]
        );
        assert_eq!(
            [next("a", Lane::Unreliable), next("b", Lane::Reliable)],
            [1, 1]
        );
        assert_eq!(next("c", Lane::Reliable), 0, "a third topic is not counted");
        assert_eq!(next("a", Lane::Reliable), 3);
    }

    #[test]
    fn a_number_not_taken_is_given_again() {
        let outgoing = outgoing(9, 99, Overflow::RejectNew);
        for _ in 0..2 {
            assert_eq!(
                outgoing.draft("a", Lane::Reliable, Bytes::new(), false).seq,
                1
            );
        }
    }

    #[test]
    fn queue_limits_are_inclusive() {
        let mut by_count = outgoing(2, 99, Overflow::RejectNew);
        assert_eq!(by_count.push(Bytes::from_static(b"1")), Ok(0));
        assert_eq!(by_count.push(Bytes::from_static(b"2")), Ok(0));
        assert_eq!(
            by_count.push(Bytes::from_static(b"3")),
            Err(PublishError::QueueFull)
        );
        let mut by_bytes = outgoing(99, 4, Overflow::RejectNew);
        assert_eq!(by_bytes.push(Bytes::from_static(b"123")), Ok(0));
        assert_eq!(by_bytes.push(Bytes::from_static(b"4")), Ok(0));
        assert_eq!(
            by_bytes.push(Bytes::from_static(b"5")),
            Err(PublishError::QueueFull)
        );
        by_bytes.check_invariants();
    }

    #[test]
    fn oldest_give_way_until_the_new_one_fits() {
        let mut outgoing = outgoing(9, 4, Overflow::DropOldest);
        for frame in [&b"1"[..], b"2", b"34"] {
            assert_eq!(outgoing.push(Bytes::from_static(frame)), Ok(0));
        }
        assert_eq!(outgoing.push(Bytes::from_static(b"56")), Ok(2));
        assert_eq!(
            outgoing.push(Bytes::from_static(b"12345")),
            Err(PublishError::QueueFull)
        );
        outgoing.check_invariants();
        assert_eq!(outgoing.pop().as_deref(), Some(&b"34"[..]));
        assert_eq!(outgoing.pop().as_deref(), Some(&b"56"[..]));
        assert!(outgoing.pop().is_none() && outgoing.is_empty());
    }

    #[test]
    fn nothing_is_queued_where_it_shall_fail() {
        let mut outgoing = Outgoing::new(Offline::Fail, 1);
        assert_eq!(outgoing.push(Bytes::new()), Err(PublishError::Offline));
    }
}
