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
    /// Another server: it goes to clients of ours.
    Link,
    /// Another server, and we are the hub: it goes to the other servers too.
    ThroughHub(PeerId),
}

/// Where a packet comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) sender: Sender,
    /// The client of ours that published it, here or, before it came here, at another server.
    pub(crate) publisher: Option<PeerId>,
    /// Links that it has crossed to come here.
    pub(crate) hops: u32,
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

/// Decides who gets a packet and encodes it for them. `reads` says whether a server takes a frame
/// of that many bytes.
pub(crate) fn route(
    topic: &Topic,
    packet: &TopicPacket<'_>,
    origin: Origin<'_>,
    way: Way,
    lane: Lane,
    reads: impl Fn(PeerId, usize) -> bool,
) -> Routed {
    let Way {
        sender,
        publisher,
        hops,
    } = way;
    let mut routed = Routed::default();
    let bare = others(topic.subscribers(Form::Bare), publisher);
    let topical = others(topic.subscribers(Form::Topical), publisher);
    if !bare.is_empty() || !topical.is_empty() {
        let forward = Forward::new(packet, origin);
        routed.bare = delivery(bare, lane, forward.without_topic());
        routed.topical = delivery(topical, lane, forward.with_topic());
    }
    let mut servers = match sender {
        Sender::Link => Recipients::new(),
        Sender::Client(_) => others(topic.subscribers(Form::Server), None),
        Sender::ThroughHub(link) => others(topic.subscribers(Form::Server), Some(link)),
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

/// All subscribers but one, to whom it does not go back. One copy of the slice; a peer is in it at
/// most once.
fn others(subscribers: &[PeerId], one: Option<PeerId>) -> Recipients {
    let mut recipients = Recipients::from_slice(subscribers);
    if let Some(at) = subscribers.iter().position(|&peer| Some(peer) == one) {
        recipients.swap_remove(at);
    }
    recipients
}
