//! What is broken on purpose, to see that a checker notices. Each stands where a defect of that kind
//! would: in the network, or around a broker.

use bytes::Bytes;
use commserver_core::PeerId;
use proto::{
    Lane, Message as _, MessageType, Role, TopicFwMessage, TopicIdentityFwMessage,
    frame::{Forward, Origin},
    peek,
};

use super::{
    node::{EngineKey, Life, Node},
    world::World,
};

/// One thing that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// The network gives some packets of a reliable lane twice.
    DuplicateReliable,
    /// The network swaps some packets of a reliable lane.
    ReorderReliable,
    /// The network loses some packets of a reliable lane.
    LoseReliable,
    /// The network gives some packets of an unreliable lane twice.
    DuplicateUnreliable,
    /// A broker sends packets back to who published them.
    Echo,
    /// A broker gives packets to clients that did not subscribe.
    DeliverToStrangers,
    /// A broker relays what came from a link to its other links.
    RelayTwice,
    /// A broker says that a packet is from somebody else.
    LieAboutAlias,
    /// A broker passes on the identity that the publisher claims.
    LieAboutIdentity,
    /// A broker passes on the role that the publisher claims.
    LieAboutRole,
    /// A broker lets everybody publish and subscribe, whatever the verdict on them.
    BelieveEverybody,
    /// A broker lets everybody who is let in publish and subscribe to everything.
    ForgetGrants,
    /// A server never dials another one.
    NeverDial,
    /// A server keeps the links that it was told to close.
    KeepOldLinks,
    /// The coordinator gives everybody who comes back another alias.
    ForgetAliases,
    /// A client that lost its server stays away.
    StayAway,
    /// A server does not notice that a client has left.
    ForgetToForget,
    /// A server closes a client for no reason.
    Disturb,
    /// A core's assertion fails.
    Panic,
    /// An engine keeps a packet to itself.
    KeepPacket,
    /// A server has room for more than it was told.
    Hoard,
    /// A core's deadline has passed for ever.
    StandStill,
    /// Something random from outside the seed goes into the run.
    OutsideRandomness,
}

impl World {
    pub(super) fn strikes(&mut self, sabotage: Sabotage, percent: u32) -> bool {
        self.net.strikes(sabotage, percent)
    }

    /// Members that are no recipients of a publication become some.
    pub(super) fn add_strangers(&mut self, life: Life, to: &mut Vec<PeerId>, frame: &Bytes) {
        let Node::Server(index) = life.node else {
            return;
        };
        let is_forward = peek::message_type(frame) == Some(MessageType::TopicFw);
        if !is_forward || !self.strikes(Sabotage::DeliverToStrangers, 10) {
            return;
        }
        for (&peer, &engine) in &self.servers[index].engines {
            let is_member = matches!(self.net.remote_node(engine), Some(Node::Member(_)));
            if is_member && !to.contains(&peer) {
                to.push(peer);
            }
        }
    }

    /// A server loses patience with a client that has done nothing.
    pub(super) fn disturb(&mut self) {
        let index = self.work.below(self.plan.servers);
        let sessions = self.plan.sessions;
        let engines = self.servers[index].engines.iter();
        let is_honest = |key| {
            let node = self.net.remote_node(key);
            matches!(node, Some(Node::Member(member)) if member < sessions)
        };
        let mut honest = engines.filter(|&(_, &key)| is_honest(key));
        let found = honest.next().map(|(&peer, _)| peer);
        if let Some(peer) = found {
            self.declare_slow(index, peer);
        }
    }

    /// A frame for a member is changed.
    pub(super) fn distort(&mut self, to: EngineKey, frame: Bytes) -> Bytes {
        if !matches!(self.net.remote_node(to), Some(Node::Member(_))) {
            return frame;
        }
        match peek::message_type(&frame) {
            Some(MessageType::TopicFw) if self.strikes(Sabotage::LieAboutAlias, 10) => {
                let Ok(mut packet) = TopicFwMessage::decode(&frame[..]) else {
                    return frame;
                };
                packet.from_alias += 64;
                packet.encode_to_vec().into()
            }
            Some(MessageType::TopicIdentityFw) => {
                let Ok(mut packet) = TopicIdentityFwMessage::decode(&frame[..]) else {
                    return frame;
                };
                if self.strikes(Sabotage::LieAboutIdentity, 20) {
                    packet.identity = Bytes::from_static(b"somebody else");
                } else if self.strikes(Sabotage::LieAboutRole, 20) {
                    packet.role = Role::CommunicationServer.into();
                }
                packet.encode_to_vec().into()
            }
            _ => frame,
        }
    }

    /// A server does with a packet what it should not, besides what it should.
    pub(super) fn misroute(&mut self, life: Life, key: EngineKey, lane: Lane, bytes: &Bytes) {
        let Some(packet) = peek::TopicPacket::decode(bytes) else {
            return;
        };
        match self.net.remote_node(key) {
            Some(Node::Member(index))
                if index < self.plan.sessions && self.strikes(Sabotage::Echo, 10) =>
            {
                let origin = Origin {
                    alias: 1,
                    identity: &[],
                    role: 1,
                };
                let frame = Forward::new(&packet, origin).with_topic();
                self.net.send_packet(key, lane, frame);
            }
            Some(Node::Server(_)) if self.strikes(Sabotage::RelayTwice, 50) => {
                let Node::Server(index) = life.node else {
                    return;
                };
                let others: Vec<EngineKey> =
                    self.servers[index].engines.values().copied().collect();
                for other in others {
                    let is_link = matches!(self.net.remote_node(other), Some(Node::Server(_)));
                    if is_link && other != key {
                        self.net.send_packet(other, lane, bytes.clone());
                    }
                }
            }
            _ => {}
        }
    }
}
