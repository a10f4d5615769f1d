//! What the application wants to hear, and the requests that say so to the server.
//!
//! The wanted set outlives every peer. A request belongs to one call of the application, goes out
//! as one or more messages of the wire (a large one does not fit into one packet), and is answered
//! when all of those are; what is unanswered when the peer is lost goes out again to the next one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use proto::{
    Message, MessageType, SubscribeMessage, SubscriptionEntry, UnsubscribeMessage, limits, topic,
    topic_list,
};

use super::event::{RequestError, RequestId, ServerError};

/// Why a request was not even made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// One of the topics is none.
    #[error("{topic:?} is not a topic")]
    BadTopic {
        /// The first that is wrong.
        topic: String,
        /// What is wrong with it.
        #[source]
        source: topic::TopicError,
    },
    /// There would be more subscriptions than the configured limit.
    #[error("there would be more than {0} subscriptions")]
    TooManySubscriptions(usize),
    /// As many requests as the configured limit wait for an answer.
    #[error("{0} requests are waiting for an answer already")]
    TooManyRequests(usize),
    /// The session has ended.
    #[error("the session has ended: {0}")]
    Stopped(proto::Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Subscribe,
    Unsubscribe,
}

/// A topic that is wanted.
#[derive(Debug, Default)]
struct Wanted {
    /// A server has agreed to it once: a later request that fails does not take it away.
    confirmed: bool,
    /// The message that asked for it last; only that one's answer counts.
    asked_by: Option<u32>,
}

/// One call of the application.
#[derive(Debug)]
struct Request {
    kind: Kind,
    topics: Vec<Arc<str>>,
    /// Messages not answered yet.
    outstanding: usize,
    failure: Option<RequestError>,
}

/// One message that waits for ACK or ERROR.
#[derive(Debug)]
struct Asked {
    /// `None`: the subscriptions of an earlier peer, carried over.
    request: Option<RequestId>,
    kind: Kind,
    topics: Vec<Arc<str>>,
    deadline: Instant,
}

/// What an answer means to the application.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Nothing, or not yet.
    None,
    /// Its request is done.
    Request(RequestId, Result<(), RequestError>),
    /// A subscription that the last server had is refused by this one.
    Lost(ServerError),
}

#[derive(Debug)]
pub(super) struct Subscriptions {
    wanted: BTreeMap<Arc<str>, Wanted>,
    requests: BTreeMap<RequestId, Request>,
    asked: BTreeMap<u32, Asked>,
    /// Of a refused request, and perhaps subscribed all the same: the server applies what it can.
    withdrawn: Vec<Arc<str>>,
    subscriptions_max: usize,
    requests_max: usize,
    last_request: u64,
    last_asked: u32,
}

impl Subscriptions {
    pub(super) fn new(subscriptions_max: usize, requests_max: usize) -> Self {
        Self {
            wanted: BTreeMap::new(),
            requests: BTreeMap::new(),
            asked: BTreeMap::new(),
            withdrawn: Vec::new(),
            subscriptions_max,
            requests_max,
            last_request: 0,
            last_asked: 0,
        }
    }

    /// The topic, if it is wanted: shared, so that a message costs no copy of it.
    pub(super) fn wanted(&self, topic: &str) -> Option<Arc<str>> {
        self.wanted
            .get_key_value(topic)
            .map(|(topic, _)| Arc::clone(topic))
    }

    pub(super) fn topics(&self) -> impl ExactSizeIterator<Item = &str> {
        self.wanted.keys().map(|topic| &**topic)
    }

    pub(super) fn subscribe(&mut self, topics: &[&str]) -> Result<RequestId, RequestRefused> {
        self.check(topics)?;
        let new = topics
            .iter()
            .filter(|topic| !self.wanted.contains_key(**topic))
            .count();
        if self.wanted.len() + new > self.subscriptions_max {
            return Err(RequestRefused::TooManySubscriptions(self.subscriptions_max));
        }
        let topics = topics.iter().map(|topic| self.want(topic)).collect();
        Ok(self.request(Kind::Subscribe, topics))
    }

    pub(super) fn unsubscribe(&mut self, topics: &[&str]) -> Result<RequestId, RequestRefused> {
        self.check(topics)?;
        for topic in topics {
            self.wanted.remove(*topic);
        }
        let topics = topics.iter().map(|&topic| Arc::from(topic)).collect();
        Ok(self.request(Kind::Unsubscribe, topics))
    }

    /// The name of a request that is answered elsewhere.
    pub(super) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// The messages that carry a request out, each within `packet_bytes_max`.
    pub(super) fn ask(
        &mut self,
        request: RequestId,
        packet_bytes_max: usize,
        deadline: Instant,
    ) -> Vec<Bytes> {
        let Some(found) = self.requests.get(&request) else {
            return Vec::new();
        };
        let (kind, topics) = (found.kind, found.topics.clone());
        let frames = self.send(Some(request), kind, topics, packet_bytes_max, deadline);
        if let Some(found) = self.requests.get_mut(&request) {
            found.outstanding = frames.len();
        }
        frames
    }

    /// The messages that tell a new peer everything: what was wanted before, then each request
    /// that is not answered yet.
    pub(super) fn ask_everything(
        &mut self,
        packet_bytes_max: usize,
        deadline: Instant,
    ) -> Vec<Bytes> {
        let unanswered: Vec<RequestId> = self.requests.keys().copied().collect();
        let requested: BTreeSet<&Arc<str>> = self
            .requests
            .values()
            .flat_map(|request| &request.topics)
            .collect();
        // First what a server has agreed to already: where room is short, that keeps its place.
        let carried = self
            .wanted
            .iter()
            .filter(|(topic, wanted)| wanted.confirmed || !requested.contains(topic));
        let carried = carried.map(|(topic, _)| Arc::clone(topic)).collect();
        let mut frames = self.send(None, Kind::Subscribe, carried, packet_bytes_max, deadline);
        for request in unanswered {
            frames.extend(self.ask(request, packet_bytes_max, deadline));
        }
        frames
    }

    /// An ACK, or an ERROR that answers.
    pub(super) fn answer(&mut self, id: u32, result: Result<(), ServerError>) -> Answer {
        let Some(asked) = self.asked.remove(&id) else {
            return Answer::None;
        };
        if asked.kind == Kind::Subscribe {
            for topic in &asked.topics {
                self.settle(topic, id, result.is_ok(), asked.request.is_some());
            }
        }
        match (asked.request, result) {
            (Some(request), result) => {
                self.finish_one(request, result.map_err(RequestError::Refused))
            }
            (None, Err(error)) if asked.kind == Kind::Subscribe => Answer::Lost(error),
            (None, _) => Answer::None,
        }
    }

    /// The messages that take back what a refused request may have left behind: a request is
    /// agreed to as a whole or not at all.
    pub(super) fn withdraw(&mut self, packet_bytes_max: usize, deadline: Instant) -> Vec<Bytes> {
        let topics = std::mem::take(&mut self.withdrawn);
        self.send(None, Kind::Unsubscribe, topics, packet_bytes_max, deadline)
    }

    /// The next message whose answer is overdue.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Option<Answer> {
        // Ids rise with time, and every message waits equally long.
        let first = self
            .asked
            .first_entry()
            .filter(|first| first.get().deadline <= now)?;
        let asked = first.remove();
        Some(match asked.request {
            Some(request) => self.finish_one(request, Err(RequestError::TimedOut)),
            None => Answer::None,
        })
    }

    /// When the oldest message's answer is overdue.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.asked
            .first_key_value()
            .map(|(_, asked)| asked.deadline)
    }

    /// The peer is gone: nothing is asked any more. Returns the requests that this answers: a
    /// server that is gone sends nothing, so whoever unsubscribed has what it wanted.
    pub(super) fn peer_lost(&mut self) -> Vec<RequestId> {
        self.asked.clear();
        self.withdrawn.clear();
        let done: Vec<RequestId> = self
            .requests
            .iter()
            .filter(|(_, request)| request.kind == Kind::Unsubscribe)
            .map(|(&id, _)| id)
            .collect();
        for id in &done {
            self.requests.remove(id);
        }
        for request in self.requests.values_mut() {
            request.outstanding = 0;
            request
                .topics
                .retain(|topic| self.wanted.contains_key(topic));
        }
        done
    }

    /// A request that has nothing left to ask for.
    pub(super) fn take_empty(&mut self) -> Option<Answer> {
        let empty = self
            .requests
            .iter()
            .find(|(_, request)| request.topics.is_empty());
        let id = *empty?.0;
        Some(self.finish_one(id, Ok(())))
    }

    /// The server has ended this one, and no other would do otherwise.
    pub(super) fn end(&mut self, topic: &str) {
        self.wanted.remove(topic);
    }

    /// Every request at once is done: on a server of 2019, which never answers, or at the end.
    pub(super) fn finish_all(&mut self) -> Vec<RequestId> {
        self.asked.clear();
        std::mem::take(&mut self.requests).into_keys().collect()
    }

    pub(super) fn check_invariants(&self) {
        assert!(
            self.wanted.len() <= self.subscriptions_max,
            "more subscriptions than allowed"
        );
        assert!(
            self.requests.len() <= self.requests_max,
            "more requests than allowed"
        );
        for (id, request) in &self.requests {
            let asked = self
                .asked
                .values()
                .filter(|asked| asked.request == Some(*id))
                .count();
            assert_eq!(asked, request.outstanding, "messages outstanding of {id:?}");
        }
    }

    fn check(&self, topics: &[&str]) -> Result<(), RequestRefused> {
        if self.requests.len() >= self.requests_max {
            return Err(RequestRefused::TooManyRequests(self.requests_max));
        }
        for topic in topics {
            topic::validate(topic, limits::TOPIC_BYTES_MAX).map_err(|source| {
                RequestRefused::BadTopic {
                    topic: (*topic).into(),
                    source,
                }
            })?;
        }
        Ok(())
    }

    fn want(&mut self, topic: &str) -> Arc<str> {
        if let Some(topic) = self.wanted(topic) {
            return topic;
        }
        let topic: Arc<str> = topic.into();
        self.wanted.insert(Arc::clone(&topic), Wanted::default());
        topic
    }

    fn request(&mut self, kind: Kind, topics: Vec<Arc<str>>) -> RequestId {
        let id = self.next_request();
        self.requests.insert(
            id,
            Request {
                kind,
                topics,
                outstanding: 0,
                failure: None,
            },
        );
        id
    }

    fn settle(&mut self, topic: &str, id: u32, agreed: bool, asked_now: bool) {
        let Some(wanted) = self.wanted.get_mut(topic) else {
            return;
        };
        if wanted.asked_by != Some(id) {
            return;
        }
        wanted.confirmed |= agreed;
        if !wanted.confirmed
            && asked_now
            && let Some((topic, _)) = self.wanted.remove_entry(topic)
        {
            self.withdrawn.push(topic);
        }
    }

    fn finish_one(&mut self, id: RequestId, result: Result<(), RequestError>) -> Answer {
        let Some(request) = self.requests.get_mut(&id) else {
            return Answer::None;
        };
        request.outstanding = request.outstanding.saturating_sub(1);
        if let Err(error) = result {
            request.failure.get_or_insert(error);
        }
        if request.outstanding > 0 {
            return Answer::None;
        }
        let failure = self
            .requests
            .remove(&id)
            .and_then(|request| request.failure);
        Answer::Request(id, failure.map_or(Ok(()), Err))
    }

    fn send(
        &mut self,
        request: Option<RequestId>,
        kind: Kind,
        topics: Vec<Arc<str>>,
        packet_bytes_max: usize,
        deadline: Instant,
    ) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let mut rest = topics.into_iter().peekable();
        while rest.peek().is_some() {
            let id = self.next_asked();
            let mut topics = Vec::new();
            let mut room = packet_bytes_max.saturating_sub(HEADER_BYTES_MAX);
            while let Some(topic) = rest.next_if(|topic| {
                topics.is_empty() || topic.len() + ENTRY_OVERHEAD_BYTES_MAX <= room
            }) {
                room = room.saturating_sub(topic.len() + ENTRY_OVERHEAD_BYTES_MAX);
                topics.push(topic);
            }
            frames.push(encode(kind, id, &topics));
            for topic in &topics {
                if let Some(wanted) = self.wanted.get_mut(topic) {
                    wanted.asked_by = Some(id);
                }
            }
            self.asked.insert(
                id,
                Asked {
                    request,
                    kind,
                    topics,
                    deadline,
                },
            );
        }
        frames
    }

    /// 0 is "no request" on the wire. Four thousand million requests later it starts again at 1.
    fn next_asked(&mut self) -> u32 {
        self.last_asked = self.last_asked.checked_add(1).unwrap_or(1);
        self.last_asked
    }
}

/// Type and id: two bytes, and a varint with its key.
const HEADER_BYTES_MAX: usize = 2 + 6;

/// Around each topic: key and length of the entry, key and length of the topic. A topic has at
/// most 256 bytes, so each length has at most two.
const ENTRY_OVERHEAD_BYTES_MAX: usize = 3 + 3;

/// What [`topic_list`] makes of the whole set for a server of 2019: the message, or nothing when
/// it is larger than such a server reads.
pub(super) fn list_2019<'a>(topics: impl IntoIterator<Item = &'a str>) -> Option<Bytes> {
    let plain = topic_list::encode_plain(topics);
    let (format, topics) = if plain.len() > limits::PLAIN_TOPIC_LIST_BYTES_MAX {
        (proto::Format::Gzip, topic_list::compress(&plain))
    } else {
        (proto::Format::Plain, plain)
    };
    let message = proto::SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: format.into(),
        topics,
    };
    let bytes = message.encode_to_vec();
    (bytes.len() <= limits::PACKET_BYTES_MAX_2019).then(|| bytes.into())
}

fn encode(kind: Kind, id: u32, topics: &[Arc<str>]) -> Bytes {
    let entries = topics
        .iter()
        .map(|topic| SubscriptionEntry {
            topic: topic.to_string(),
            options: None,
        })
        .collect();
    match kind {
        Kind::Subscribe => {
            let r#type = MessageType::Subscribe.into();
            SubscribeMessage {
                r#type,
                id,
                entries,
            }
            .encode_to_vec()
        }
        Kind::Unsubscribe => {
            let r#type = MessageType::Unsubscribe.into();
            UnsubscribeMessage {
                r#type,
                id,
                entries,
            }
            .encode_to_vec()
        }
    }
    .into()
}
