//! What arrives at members, on the wire and at the application.

use bytes::Bytes;
use proto::{Lane, MessageType, Role, peek};

use super::{Check, Checkers, attachments::Verdict};
use crate::simulation::{clock::At, node::EngineKey, publication::PublicationId, trace::Shown};

/// What a packet says about a publication.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) alias: u64,
    pub(super) topic: Option<&'a str>,
    pub(super) lane: Lane,
    pub(super) identity: Option<(&'a [u8], i32)>,
}

impl Checkers {
    /// A packet has arrived at a member.
    pub(crate) fn member_receives(
        &mut self,
        now: At,
        engine: EngineKey,
        lane: Lane,
        bytes: &Bytes,
    ) {
        let Some(attachment) = self.attachments.get_mut(&engine) else {
            return;
        };
        let member = attachment.member;
        let kind = peek::message_type(bytes);
        if !attachment.is_let_in() && kind != Some(MessageType::Error) {
            let text = format!(
                "client{member} was not let in, and is sent {}",
                Shown(bytes)
            );
            return self.fail(Check::Authentication, text);
        }
        if lane == Lane::Reliable {
            attachment.subscriptions.received(now, bytes);
        }
        match kind {
            Some(MessageType::TopicFw | MessageType::TopicIdentityFw) => {
                match peek::ForwardPacket::decode(bytes) {
                    Some(packet) => self.forward_arrives(now, engine, lane, packet),
                    None => self.fail(Check::Truth, format!("client{member} is sent garbage")),
                }
            }
            Some(
                MessageType::Topic
                | MessageType::TopicIdentity
                | MessageType::Interest
                | MessageType::Subscription
                | MessageType::Renamed,
            ) => {
                let text = format!("client{member} is taken for a server: {}", Shown(bytes));
                self.fail(Check::Authentication, text);
            }
            _ => {}
        }
    }

    fn forward_arrives(
        &mut self,
        now: At,
        engine: EngineKey,
        lane: Lane,
        packet: peek::ForwardPacket<'_>,
    ) {
        self.counts.arrived += 1;
        let Some(id) = PublicationId::read(packet.body) else {
            return self.fail(
                Check::Truth,
                "a packet arrived that nobody published".into(),
            );
        };
        let Some(attachment) = self.attachments.get(&engine) else {
            return;
        };
        let (member, server) = (attachment.member, attachment.server);
        let topical = attachment.topical == Some(true);
        let Some(topic) = self.publications.get(&id).map(|known| &known.topic) else {
            let text = format!("{id} arrived, which nobody published");
            return self.fail(Check::Truth, text);
        };
        let late = now.saturating_sub(self.travel_max);
        let subscribed = attachment.subscriptions.may_receive(late, topic, lane);
        let granted = attachment.grants();
        let granted = granted.is_some_and(|grants| grants.subscribe.matches(topic));
        let Some(publication) = self.publications.get_mut(&id) else {
            return;
        };
        let (origin, source) = (publication.server, publication.engine);
        let before = publication
            .arrived
            .iter()
            .filter_map(|seen| self.attachments.get(seen));
        let moved = before.filter(|seen| seen.member == member).count() > 0;
        let first = publication.arrived.insert(engine);
        self.counts.repeated_after_move += u64::from(moved && first);
        // On another peer than it was published on it may come: the client keeps it to itself.
        let echoed = source == engine;
        let routed = origin == server || publication.linked.contains(&server);
        self.require(!echoed, Check::NoEcho, || {
            format!("client{member} got {id} back")
        });
        self.require(subscribed, Check::OnlySubscribers, || {
            format!(
                "client{member} got {id} on {:?} without a subscription",
                packet.topic
            )
        });
        self.require(granted, Check::Grants, || {
            format!("client{member} got {id}, and may not hear its topic")
        });
        self.require(topical || packet.topic.is_empty(), Check::Truth, || {
            format!("client{member} of 2019 got {id} with its topic")
        });
        self.require(first, Check::AtMostOnce, || {
            format!("client{member} got {id} twice")
        });
        self.require(routed, Check::Hops, || {
            format!("client{member} on server{server} got {id}, which was never sent there")
        });
        if lane == Lane::Reliable {
            let last = self.last.insert((engine, source), id);
            self.require(last.is_none_or(|last| last < id), Check::Order, || {
                format!("client{member} got {id} after {last:?}")
            });
        }
        let seen = Seen {
            alias: packet.from_alias,
            // Who speaks the 2019 protocol only is not told.
            topic: topical.then_some(packet.topic),
            lane,
            identity: packet
                .with_identity
                .then_some((packet.identity, packet.role)),
        };
        self.check_truth(id, seen);
    }

    /// What is said about a publication is what its publisher was known to be, and it was let in.
    pub(super) fn check_truth(&mut self, id: PublicationId, seen: Seen<'_>) {
        let Some(publication) = self.publications.get(&id) else {
            return;
        };
        let Some(publisher) = self.attachments.get(&publication.engine) else {
            return;
        };
        let Verdict::LetIn(found) = &publisher.verdict else {
            let member = publication.member;
            let text = format!("{id} was passed on, but client{member} was not let in");
            return self.fail(Check::Authentication, text);
        };
        let role = i32::from(Role::Client);
        let truth = Seen {
            alias: publisher.alias,
            topic: Some(&publication.topic),
            lane: publication.lane,
            identity: publication
                .with_identity
                .then_some((&found.identity[..], role)),
        };
        let granted = found.grants.publish.matches(&publication.topic);
        let holds = seen.alias == truth.alias
            && (seen.topic.is_none() || seen.topic == truth.topic)
            && seen.lane == truth.lane
            && seen.identity == truth.identity;
        let text = format!("{id} is {truth:?}, and was passed on as {seen:?}");
        self.require(holds, Check::Truth, || text);
        self.require(granted, Check::Grants, || {
            format!("{id} was passed on, and may not have been published")
        });
    }

    /// The application of a member is told of a message.
    pub(crate) fn application_told(&mut self, member: usize, message: &client::session::Message) {
        let Some(id) = PublicationId::read(&message.body) else {
            return self.fail(
                Check::Truth,
                format!("client{member} is told of no publication"),
            );
        };
        let mut peers = self.attachments.values();
        let is_own = peers
            .any(|peer| peer.member == member && peer.alive && peer.alias == message.from_alias);
        self.require(!is_own, Check::NoEcho, || {
            format!("client{member} is told of {id}, which is its own")
        });
        let Some(publication) = self.publications.get_mut(&id) else {
            return self.fail(
                Check::Truth,
                format!("client{member} is told of {id}, which is none"),
            );
        };
        let told = publication.told.entry(member).or_default();
        *told += 1;
        let told = *told;
        let arrived = self.arrivals(id, member);
        self.require(told <= arrived, Check::AtMostOnce, || {
            format!("client{member} got {id} {arrived} times, and was told of it {told} times")
        });
    }

    /// On how many peers a member has got it.
    pub(super) fn arrivals(&self, id: PublicationId, member: usize) -> usize {
        let Some(publication) = self.publications.get(&id) else {
            return 0;
        };
        let engines = publication.arrived.iter();
        let seen = engines.filter_map(|engine| self.attachments.get(engine));
        seen.filter(|seen| seen.member == member).count()
    }
}
