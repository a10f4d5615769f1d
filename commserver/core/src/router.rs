//! One hop: from a client to local subscribers and to links with interest, from a link to local
//! clients only. A packet takes at most three forms, and each is encoded at most once.

use bytes::Bytes;
use proto::{
    Lane,
    frame::{self, Forward, Origin},
    peek::TopicPacket,
};

use crate::{
    io::{Delivery, PeerId, Recipients},
    topics::{Form, Topic},
};

/// Who sent the packet, and so how far it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A client of ours: it goes to everybody else.
    Client(PeerId),
    /// Another server: it goes to clients of ours, whoever published it is not among them.
    Link,
}

/// The deliveries of one packet, by form.
#[derive(Debug, Default)]
pub(crate) struct Routed {
    pub(crate) bare: Option<Delivery>,
    pub(crate) topical: Option<Delivery>,
    pub(crate) servers: Option<Delivery>,
    /// Servers left out because they do not read frames that large.
    pub(crate) over_recipient_limit: u64,
}

/// Decides who gets a packet and encodes it for them. `reads` says whether a server takes a frame
/// of that many bytes.
pub(crate) fn route(
    topic: &Topic,
    packet: &TopicPacket<'_>,
    origin: Origin<'_>,
    sender: Sender,
    lane: Lane,
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
    let servers = topic.subscribers(Form::Server);
    if matches!(sender, Sender::Client(_)) && !servers.is_empty() {
        let frame = frame::relay(packet, origin, 0);
        let mut fitting = Recipients::from_slice(servers);
        fitting.retain(|server| reads(*server, frame.len()));
        let left_out = servers.len() - fitting.len();
        routed.over_recipient_limit = u64::try_from(left_out).unwrap_or(u64::MAX);
        routed.servers = delivery(fitting, lane, frame);
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

/// All subscribers but the sender. One copy of the slice; a client is in it at most once.
fn recipients(subscribers: &[PeerId], sender: Sender) -> Recipients {
    let mut recipients = Recipients::from_slice(subscribers);
    if let Sender::Client(sender) = sender
        && let Some(at) = subscribers.iter().position(|&peer| peer == sender)
    {
        recipients.swap_remove(at);
    }
    recipients
}
