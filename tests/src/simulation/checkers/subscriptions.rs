//! What a member has asked its server for, and what the server has agreed to, read off the wire.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proto::{
    AckMessage, ErrorMessage, Lane, Message as _, MessageType, SubscribeMessage,
    SubscriptionMessage, UnsubscribeMessage, peek, topic_list,
};

use super::super::clock::At;

/// The subscriptions of one member on one peer.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    asked: VecDeque<Asked>,
    topics: BTreeMap<String, Standing>,
    changes: u64,
}

/// Where a topic stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    state: State,
    /// When the server's answer came.
    since: At,
    /// Rises whenever the topic is asked about.
    change: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    On,
    /// The request that it was in was answered with an error, about this topic or another.
    Unclear,
}

/// Something that the server will answer, or at least has dealt with once it answers what follows.
#[derive(Debug)]
enum Asked {
    Change {
        id: u32,
        on: bool,
        topics: Vec<String>,
    },
    Replace {
        topics: Vec<String>,
        /// An error came about it: which of the topics stand is not known.
        refused: bool,
    },
    Ping(Bytes),
}

impl Asked {
    fn switches_on(&self, topic: &str) -> bool {
        match self {
            Self::Change { on, topics, .. } => *on && topics.iter().any(|asked| asked == topic),
            Self::Replace { topics, .. } => topics.iter().any(|asked| asked == topic),
            Self::Ping(_) => false,
        }
    }

    fn switches_off(&self, topic: &str) -> bool {
        match self {
            Self::Change { on, topics, .. } => !on && topics.iter().any(|asked| asked == topic),
            Self::Replace { topics, .. } => topics.iter().all(|asked| asked != topic),
            Self::Ping(_) => false,
        }
    }
}

impl Subscriptions {
    /// The member sends something on the reliable lane.
    pub(super) fn sent(&mut self, bytes: &Bytes) {
        let topics = |entries: Vec<proto::SubscriptionEntry>| {
            entries
                .into_iter()
                .map(|entry| entry.topic)
                .collect::<Vec<String>>()
        };
        let asked = match peek::message_type(bytes) {
            Some(MessageType::Subscribe) => {
                SubscribeMessage::decode(&bytes[..]).ok().map(|asked| {
                    let (id, topics) = (asked.id, topics(asked.entries));
                    Asked::Change {
                        id,
                        on: true,
                        topics,
                    }
                })
            }
            Some(MessageType::Unsubscribe) => {
                UnsubscribeMessage::decode(&bytes[..]).ok().map(|asked| {
                    let (id, topics) = (asked.id, topics(asked.entries));
                    Asked::Change {
                        id,
                        on: false,
                        topics,
                    }
                })
            }
            Some(MessageType::Subscription) => read_list(bytes).map(|topics| Asked::Replace {
                topics,
                refused: false,
            }),
            Some(MessageType::Ping) => Some(Asked::Ping(bytes.clone())),
            _ => None,
        };
        let Some(asked) = asked else { return };
        self.changes += 1;
        let change = self.changes;
        let none = Standing {
            state: State::Off,
            since: At::ZERO,
            change,
        };
        match &asked {
            Asked::Change { topics, .. } => {
                for topic in topics {
                    self.topics.entry(topic.clone()).or_insert(none).change = change;
                }
            }
            Asked::Replace { topics, .. } => {
                for topic in topics {
                    self.topics.entry(topic.clone()).or_insert(none);
                }
                for standing in self.topics.values_mut() {
                    standing.change = change;
                }
            }
            Asked::Ping(_) => {}
        }
        self.asked.push_back(asked);
    }

    /// The server sends something on the reliable lane.
    pub(super) fn received(&mut self, now: At, bytes: &Bytes) {
        let Some((last, agreed)) = self.answered(bytes) else {
            return self.note_refusal(bytes);
        };
        // The server deals with them in order.
        let dealt_with: Vec<Asked> = self.asked.drain(..=last).collect();
        for (index, asked) in dealt_with.iter().enumerate() {
            self.apply(now, asked, agreed || index < last);
        }
    }

    /// Whether a packet on this topic may come now; `late` is how long ago one on the unreliable
    /// lane may have been sent.
    pub(super) fn may_receive(&self, late: At, topic: &str, lane: Lane) -> bool {
        let standing = self.topics.get(topic);
        let stands = standing.is_some_and(|standing| match standing.state {
            State::On | State::Unclear => true,
            // The unreliable lane may lag behind the reliable one, where the answer came.
            State::Off => {
                lane == Lane::Unreliable && standing.since > At::ZERO && standing.since >= late
            }
        });
        stands || self.asked.iter().any(|asked| asked.switches_on(topic))
    }

    /// Which change it was, if it was agreed on by then.
    pub(super) fn settled(&self, before: At, topic: &str) -> Option<u64> {
        let standing = self.topics.get(topic)?;
        let doomed = self.asked.iter().any(|asked| asked.switches_off(topic));
        let settled = standing.state == State::On && standing.since <= before && !doomed;
        settled.then_some(standing.change)
    }

    /// The change still stands.
    pub(super) fn stands(&self, topic: &str, change: u64) -> bool {
        let standing = self.topics.get(topic);
        standing.is_some_and(|standing| standing.change == change)
    }

    /// Which of what was asked a packet answers, and how.
    fn answered(&self, bytes: &Bytes) -> Option<(usize, bool)> {
        let with_id = |wanted: u32| {
            let has_id = |asked: &Asked| matches!(asked, Asked::Change { id, .. } if *id == wanted);
            self.asked.iter().position(has_id)
        };
        match peek::message_type(bytes)? {
            MessageType::Ack => {
                let ack = AckMessage::decode(&bytes[..]).ok()?;
                Some((with_id(ack.id)?, true))
            }
            MessageType::Error => {
                let error = ErrorMessage::decode(&bytes[..]).ok()?;
                Some((with_id(error.id)?, false))
            }
            MessageType::Ping => {
                let is_echoed = |asked: &Asked| matches!(asked, Asked::Ping(ping) if ping == bytes);
                Some((self.asked.iter().position(is_echoed)?, true))
            }
            _ => None,
        }
    }

    /// An error that answers no request may be about a list.
    fn note_refusal(&mut self, bytes: &Bytes) {
        if peek::message_type(bytes) != Some(MessageType::Error) {
            return;
        }
        for asked in &mut self.asked {
            if let Asked::Replace { refused, .. } = asked {
                *refused = true;
            }
        }
    }

    fn apply(&mut self, now: At, asked: &Asked, agreed: bool) {
        match asked {
            Asked::Change { on, topics, .. } => {
                let state = match (agreed, on) {
                    (false, _) => State::Unclear,
                    (true, true) => State::On,
                    (true, false) => State::Off,
                };
                for topic in topics {
                    self.set(now, topic, state);
                }
            }
            Asked::Replace { topics, refused } => {
                let known: Vec<String> = self.topics.keys().cloned().collect();
                for topic in known {
                    let state = match (topics.contains(&topic), refused) {
                        (true, false) => State::On,
                        (true, true) => State::Unclear,
                        (false, _) => State::Off,
                    };
                    self.set(now, &topic, state);
                }
            }
            Asked::Ping(_) => {}
        }
    }

    fn set(&mut self, now: At, topic: &str, state: State) {
        if let Some(standing) = self.topics.get_mut(topic)
            && standing.state != state
        {
            standing.state = state;
            standing.since = now;
        }
    }
}

fn read_list(bytes: &Bytes) -> Option<Vec<String>> {
    let message = SubscriptionMessage::decode(&bytes[..]).ok()?;
    let bytes_max = proto::limits::CLIENT_TOPIC_LIST_BYTES_MAX;
    let list = topic_list::decode(message.format, &message.topics, bytes_max).ok()?;
    Some(list.topics().map(Into::into).collect())
}
