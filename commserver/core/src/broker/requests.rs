//! What peers ask for: SUBSCRIPTION, which replaces the whole set, SUBSCRIBE and UNSUBSCRIBE, which
//! change it and are answered.

use std::time::Instant;

use bytes::Bytes;
use proto::{
    AckMessage, Message, MessageType, Reason, SubscribeMessage, SubscriptionMessage,
    UnsubscribeMessage, limits, topic_list,
};

use super::Broker;
use crate::{Drop, Output, PeerId};

impl Broker {
    /// Replaces the peer's set of topics.
    pub(super) fn handle_subscription(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Some(ready) = self.peers.ready(id) else {
            return;
        };
        let is_link = ready.is_link();
        let bytes_max = if is_link {
            limits::SERVER_TOPIC_LIST_BYTES_MAX
        } else {
            limits::CLIENT_TOPIC_LIST_BYTES_MAX
        };
        let Ok(message) = SubscriptionMessage::decode(bytes.clone()) else {
            self.drop_one(Drop::Malformed);
            return self.complain(id, is_link, Reason::Malformed, 0, "");
        };
        let Ok(list) = topic_list::decode(message.format, &message.topics, bytes_max) else {
            self.charge(now, id, bytes_max / BYTES_OF_A_TOPIC);
            self.drop_one(Drop::Malformed);
            return self.complain(id, is_link, Reason::BadTopicList, 0, "");
        };
        if is_link {
            self.topics.keep_only(id, list.topics());
            for topic in list.topics() {
                self.add_interest(id, topic);
            }
        } else {
            let looked_at = list.topics().take(self.config.limits.named_topics_max());
            self.topics.keep_only(id, looked_at.clone());
            let inflated = list.bytes() / BYTES_OF_A_TOPIC;
            self.charge(now, id, inflated.saturating_add(looked_at.count()));
            self.subscribe_all(id, list.topics(), 0);
        }
    }

    /// Adds topics to the peer's set.
    pub(super) fn handle_subscribe(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Ok(message) = SubscribeMessage::decode(&bytes[..]) else {
            self.drop_one(Drop::Malformed);
            return self.complain(id, false, Reason::Malformed, 0, "");
        };
        self.charge(now, id, message.entries.len());
        let topics = message.entries.iter().map(|entry| entry.topic.as_str());
        if self.subscribe_all(id, topics, message.id) {
            self.acknowledge(id, message.id);
        }
    }

    /// Takes topics from the peer's set. One that is not in it is no mistake.
    pub(super) fn handle_unsubscribe(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Ok(message) = UnsubscribeMessage::decode(&bytes[..]) else {
            self.drop_one(Drop::Malformed);
            return self.complain(id, false, Reason::Malformed, 0, "");
        };
        self.charge(now, id, message.entries.len());
        for entry in &message.entries {
            self.topics.remove(id, &entry.topic);
        }
        self.acknowledge(id, message.id);
    }

    pub(super) fn acknowledge(&mut self, peer: PeerId, id: u32) {
        let ack = AckMessage {
            r#type: MessageType::Ack.into(),
            id,
        };
        self.send(peer, ack.encode_to_vec().into());
    }

    /// Counts topics that a client has named; who goes too fast is left unread for a while.
    fn charge(&mut self, now: Instant, id: PeerId, topics: usize) {
        let rate = self.config.limits.topic_rate();
        let Some(ready) = self.peers.ready_mut(id).filter(|ready| !ready.is_link()) else {
            return;
        };
        if let Some(until) = ready.topic_budget.take(now, topics, rate) {
            let (peer, until) = (id, self.topic_turns.take(until, topics));
            self.outputs.push_back(Output::LeaveUnread { peer, until });
        }
    }

    /// Subscribes a client to all of these that it may; the first that it may not is named in the
    /// one ERROR that answers. Says whether all went well.
    fn subscribe_all<'a>(
        &mut self,
        id: PeerId,
        topics: impl Iterator<Item = &'a str>,
        request: u32,
    ) -> bool {
        let mut first_wrong = None;
        let mut forbidden = 0;
        let named_max = self.config.limits.named_topics_max();
        for (nth, topic) in topics.enumerate() {
            // Filters take their time: in one list no more are looked at than could be granted.
            let verdict = if nth >= named_max {
                Err((Reason::TooManySubscriptions, Drop::TooManySubscriptions))
            } else if forbidden < self.config.limits.subscriptions_max {
                self.subscribe(id, topic)
            } else {
                Err((Reason::TopicForbidden, Drop::TopicForbidden))
            };
            if let Err((why, drop)) = verdict {
                forbidden += usize::from(why == Reason::TopicForbidden);
                self.drop_one(drop);
                first_wrong.get_or_insert((why, topic));
            }
        }
        if let Some((why, topic)) = first_wrong {
            self.send_error(id, why, request, named(topic));
        }
        first_wrong.is_none()
    }

    fn subscribe(&mut self, id: PeerId, topic: &str) -> Result<(), (Reason, Drop)> {
        let limits = &self.config.limits;
        if !limits.take_topic(topic) {
            return Err((Reason::BadTopic, Drop::BadTopic));
        }
        let Some(ready) = self.peers.ready(id) else {
            return Ok(());
        };
        if self.topics.contains(id, topic) {
            return Ok(());
        }
        let subscriptions_max = limits.subscriptions_max.min(ready.access.subscriptions_max);
        if self.topics.count_of_peer(id) >= subscriptions_max {
            return Err((Reason::TooManySubscriptions, Drop::TooManySubscriptions));
        }
        if !ready.access.subscribe.matches(topic) {
            return Err((Reason::TopicForbidden, Drop::TopicForbidden));
        }
        let added = self.topics.add(id, ready.form(), topic);
        added.map_err(|_| (Reason::TooManyTopics, Drop::TooManyTopics))
    }
}

/// A topic as an ERROR names it: a wrong one may be of any length, so its start has to do.
pub(super) fn named(topic: &str) -> &str {
    let end = topic.floor_char_boundary(limits::TOPIC_BYTES_MAX);
    topic.get(..end).unwrap_or_default()
}

/// To inflate and to read so much of a list costs about what a topic does; and a list of longest
/// topics is charged twice.
const BYTES_OF_A_TOPIC: usize = limits::TOPIC_BYTES_MAX;
