//! From a client to local subscribers and to links with interest; from a link to local clients,
//! and on a hub to the other links with interest. A packet takes at most three forms, and each is
//! encoded at most once.

use bytes::Bytes;
use proto::{
    Lane,
    frame::{self, Forward, Origin},
    peek::TopicPacket,
};

use crate::{
    io::{Delivery, PeerId, Recipients},
    mesh::HOPS_MAX,
    topics::{Form, Topic},
};

/// Who sent the packet, and so how far it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A client of ours: it goes to everybody else.
    Client(PeerId),
    /// Another server: it goes to clients of ours, whoever published it is not among them.
    Link,
    /// Another server, and we are the hub: it goes to the other servers too.
    ThroughHub(PeerId),
}

impl Sender {
    /// Who among the subscribers must not get it back.
    const fn peer(self) -> Option<PeerId> {
        match self {
            Self::Client(peer) | Self::ThroughHub(peer) => Some(peer),
            Self::Link => None,
        }
    }
}

/// The deliveries of one packet, by form.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    pub(crate) bare: Option<Delivery>,
    pub(crate) topical: Option<Delivery>,
    pub(crate) servers: Option<Delivery>,
    /// Servers left out because they do not read frames that large.
    pub(crate) over_recipient_limit: u64,
    /// Other servers want it, and it may cross no more links.
    pub(crate) over_hop_limit: bool,
}

/// Decides who gets a packet and encodes it for them. `hops` is the number of links that it has
/// crossed to come here; `reads` says whether a server takes a frame of that many bytes.
pub(crate) fn route(
    topic: &Topic,
    packet: &TopicPacket<'_>,
    origin: Origin<'_>,
    sender: Sender,
    lane: Lane,
    hops: u32,
    reads: impl Fn(PeerId, usize) -> bool,
) -> Routed {
    let mut routed = Routed::default();
    let bare = recipients(topic.subscribers(Form::Bare), sender);
    let topical = recipients(topic.subscribers(Form::Topical), sender);
    if !bare.is_empty() || !topical.is_empty() {
        let forward = Forward::new(packet, origin);
        routed.bare = delivery(bare, lane, forward.without_topic());
        routed.topical = delivery(topical, lane, forward.with_topic());
    }
    let mut servers = match sender {
        Sender::Link => Recipients::new(),
        _ => recipients(topic.subscribers(Form::Server), sender),
    };
    if !servers.is_empty() && hops >= HOPS_MAX {
        routed.over_hop_limit = true;
    } else if !servers.is_empty() {
        let frame = frame::relay(packet, origin, hops);
        let count = servers.len();
        servers.retain(|server| reads(*server, frame.len()));
        let left_out = count - servers.len();
        routed.over_recipient_limit = u64::try_from(left_out).unwrap_or(u64::MAX);
        routed.servers = delivery(servers, lane, frame);
    }
    routed
}

fn delivery(recipients: Recipients, lane: Lane, frame: Bytes) -> Option<Delivery> {
    (!recipients.is_empty()).then_some(Delivery {
        recipients,
        lane,
        frame,
    })
}

/// All subscribers but the sender. One copy of the slice; a peer is in it at most once.
fn recipients(subscribers: &[PeerId], sender: Sender) -> Recipients {
    let mut recipients = Recipients::from_slice(subscribers);
    if let Some(sender) = sender.peer()
        && let Some(at) = subscribers.iter().position(|&peer| peer == sender)
    {
        recipients.swap_remove(at);
    }
    recipients
}
