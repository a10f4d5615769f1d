//! Packets of ready peers: sizes, types, and the way of a published packet.

use std::time::Instant;

use bytes::Bytes;
use proto::{Lane, MessageType, Reason, frame::Origin, limits, peek, peek::TopicPacket};
use smallvec::smallvec;

use super::{Broker, requests::named};
use crate::{
    Drop, Output, PeerId, Stats,
    peer::State,
    router::{self, Sender, Way},
};

impl Broker {
    pub(super) fn handle_packet(&mut self, now: Instant, id: PeerId, lane: Lane, bytes: Bytes) {
        let Some(peer) = self.peers.get(id) else {
            return self.drop_one(Drop::StalePeer);
        };
        let State::Ready(ready) = &peer.state else {
            return self.handle_early(now, id, lane, bytes);
        };
        let is_link = ready.is_link();
        let bytes_max = if is_link {
            // A relayed packet is its client's and an identity; interest comes in larger chunks.
            limits::CHANNEL_MESSAGE_BYTES_MAX
        } else {
            self.config.limits.packet_bytes_max
        };
        if bytes.len() > bytes_max {
            self.drop_one(Drop::PacketTooLarge);
            return self.complain(id, is_link, Reason::PacketTooLarge, 0, "");
        }
        Stats::count(&mut self.stats.packets_in, lane, 1);
        match peek::raw_type(&bytes).map(MessageType::try_from) {
            Some(Ok(MessageType::Topic | MessageType::TopicIdentity)) => {
                self.publish(now, id, lane, &bytes);
            }
            // Byte for byte, and no more bytes out than came in.
            Some(Ok(MessageType::Ping)) => self.deliver(smallvec![id], lane, bytes),
            Some(Ok(
                kind @ (MessageType::Subscription
                | MessageType::Subscribe
                | MessageType::Unsubscribe
                | MessageType::Auth
                | MessageType::Interest
                | MessageType::Ack
                | MessageType::Renamed),
            )) => {
                if lane == Lane::Reliable {
                    self.handle_request(now, id, kind, &bytes);
                } else {
                    self.drop_one(Drop::WrongLane);
                    self.complain(id, is_link, Reason::WrongLane, 0, "");
                }
            }
            Some(Ok(MessageType::Error)) => self.drop_one(Drop::ErrorReceived),
            Some(_) => self.drop_one(Drop::UnknownType),
            None => {
                self.drop_one(Drop::Malformed);
                self.complain(id, is_link, Reason::Malformed, 0, "");
            }
        }
    }

    fn handle_request(&mut self, now: Instant, id: PeerId, kind: MessageType, bytes: &Bytes) {
        let is_link = self.peers.ready(id).is_some_and(|ready| ready.is_link());
        match (kind, is_link) {
            (MessageType::Subscription, _) => self.handle_subscription(now, id, bytes),
            (MessageType::Subscribe, false) => self.handle_subscribe(now, id, bytes),
            (MessageType::Unsubscribe, false) => self.handle_unsubscribe(now, id, bytes),
            (MessageType::Auth, false) => self.handle_renewal(now, id, bytes),
            (MessageType::Interest, true) => self.handle_interest(now, id, bytes),
            (MessageType::Ack, true) => self.handle_ack(id),
            (MessageType::Renamed, true) => self.handle_renamed(now, id, bytes),
            _ => self.drop_one(Drop::NotAllowed),
        }
    }

    /// Tells a client what was wrong. A link is not told: it could only log it.
    pub(super) fn complain(
        &mut self,
        id: PeerId,
        link: bool,
        why: Reason,
        request: u32,
        topic: &str,
    ) {
        if !link {
            self.send_error(id, why, request, topic);
        }
    }

    /// The way of a published packet: one look into the topic table, one frame for each form.
    fn publish(&mut self, now: Instant, id: PeerId, lane: Lane, bytes: &Bytes) {
        let Some(ready) = self.peers.ready(id) else {
            return;
        };
        let is_link = ready.is_link();
        let Some(packet) = TopicPacket::decode(bytes) else {
            self.drop_one(Drop::Malformed);
            return self.complain(id, is_link, Reason::Malformed, 0, "");
        };
        if is_link && packet.hops >= self.mesh.hops_max() {
            return self.drop_one(Drop::HopLimit);
        }
        if ready.access.publish.is_some() && !self.may_publish(now, id, packet.topic) {
            return;
        }
        let Some(ready) = self.peers.ready(id) else {
            return;
        };
        // From a client nothing that it says about itself counts; a server vouches for its clients.
        let origin = if is_link {
            Origin {
                alias: packet.from_alias,
                identity: packet.identity,
                role: packet.role,
            }
        } else {
            Origin {
                alias: self.peers.get(id).map_or(0, |peer| peer.alias),
                identity: &ready.identity,
                role: ready.role.into(),
            }
        };
        let way = self.way_of(id, is_link, &packet);
        let topic = self.topics.get(packet.topic);
        if topic.is_none() && !self.config.limits.take_topic(packet.topic) {
            // What is in the table is valid, so only a packet that nobody gets has to be checked.
            self.drop_one(Drop::BadTopic);
            return self.complain(id, is_link, Reason::BadTopic, 0, named(packet.topic));
        }
        let peers = &self.peers;
        let routed = topic.map(|topic| {
            router::route(topic, &packet, origin, way, lane, |server, bytes| {
                let ready = peers.ready(server);
                bytes <= limits::PACKET_BYTES_MAX_2019 || ready.is_some_and(|r| r.hello.ours)
            })
        });
        let counts = if is_link {
            &mut self.stats.relayed_in
        } else {
            &mut self.stats.published
        };
        Stats::count(counts, lane, 1);
        if let Some(routed) = routed {
            self.hand_out(lane, way.sender, routed);
        }
    }

    /// Whether a client may publish to this topic. One that may not is told so now and then, however
    /// fast it goes on.
    fn may_publish(&mut self, now: Instant, id: PeerId, topic: &str) -> bool {
        let gate = self.peers.ready_mut(id);
        let Some(gate) = gate.and_then(|ready| ready.access.publish.as_deref_mut()) else {
            return true;
        };
        if gate.passes(topic) {
            return true;
        }
        let complains = gate.complains(now);
        self.drop_one(Drop::TopicForbidden);
        if complains {
            self.send_error(id, Reason::TopicForbidden, 0, named(topic));
        }
        false
    }

    /// Where a packet comes from. A client's has crossed no link, whatever it says about that; one
    /// that a link brings may be by a client that has been at the other server and is here by now.
    fn way_of(&self, id: PeerId, is_link: bool, packet: &TopicPacket<'_>) -> Way {
        if !is_link {
            return Way {
                sender: Sender::Client(id),
                publisher: Some(id),
                hops: 0,
            };
        }
        Way {
            sender: if self.config.hub {
                Sender::ThroughHub(id)
            } else {
                Sender::Link
            },
            publisher: self.peers.slots(packet.from_alias).current,
            hops: packet.hops.saturating_add(1),
        }
    }

    fn hand_out(&mut self, lane: Lane, sender: Sender, routed: router::Routed) {
        let stats = &mut self.stats;
        for delivery in [routed.bare, routed.topical].into_iter().flatten() {
            let count = u64::try_from(delivery.recipients.len()).unwrap_or(u64::MAX);
            Stats::count(&mut stats.delivered, lane, count);
            self.outputs.push_back(Output::Deliver(delivery));
        }
        if let Some(delivery) = routed.servers {
            let count = u64::try_from(delivery.recipients.len()).unwrap_or(u64::MAX);
            let counts = match sender {
                Sender::Client(_) => &mut stats.relayed_out,
                Sender::ThroughHub(_) | Sender::Link => &mut stats.forwarded,
            };
            Stats::count(counts, lane, count);
            self.outputs.push_back(Output::Deliver(delivery));
        }
        for _ in 0..routed.over_recipient_limit {
            stats.drop_one(Drop::RecipientLimit);
        }
        if routed.over_hop_limit {
            stats.drop_one(Drop::HopLimit);
        }
    }
}
