//! What sessions send: signals that the coordinator relays, read, stamped with who sent them, and
//! written again; and what is for itself.
//!
//! Written again from what was understood, not patched: a receiver must never see a claim of the
//! sender's beside the stamp, whichever of two values its decoder prefers.

use bytes::Bytes;
use proto::{
    ConnectMessage, ConnectionRefusedMessage, LoadMessage, Message, MessageType, Role,
    WebRtcMessage, peek,
};

use crate::{alias::Alias, stats::DropReason};

/// What a session may send.
#[derive(Debug)]
pub(crate) enum Received {
    /// For somebody else.
    Signal(Signal),
    /// For the coordinator.
    Load(LoadMessage),
}

/// A signal on its way from one session to another.
#[derive(Debug)]
pub(crate) enum Signal {
    Connect(ConnectMessage),
    /// OFFER, ANSWER or CANDIDATE.
    WebRtc(WebRtcMessage),
    Refused(ConnectionRefusedMessage),
}

/// What a signal is for, as far as the rules of who may reach whom go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Offer,
    Answer,
    Candidate,
    Refused,
}

impl Received {
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DropReason> {
        let number = peek::raw_type(&bytes).ok_or(DropReason::Undecodable)?;
        let kind = MessageType::try_from(number).map_err(|_| DropReason::UnknownType)?;
        let received =
            match kind {
                MessageType::Connect => ConnectMessage::decode(bytes)
                    .map(|message| Self::Signal(Signal::Connect(message))),
                MessageType::WebrtcOffer
                | MessageType::WebrtcAnswer
                | MessageType::WebrtcIceCandidate => WebRtcMessage::decode(bytes)
                    .map(|message| Self::Signal(Signal::WebRtc(message))),
                MessageType::ConnectionRefused => ConnectionRefusedMessage::decode(bytes)
                    .map(|message| Self::Signal(Signal::Refused(message))),
                MessageType::Load => LoadMessage::decode(bytes).map(Self::Load),
                _ => return Err(DropReason::UnexpectedType),
            };
        received.map_err(|_| DropReason::Undecodable)
    }
}

impl Signal {
    pub(crate) const fn to(&self) -> Alias {
        Alias::from_wire(match self {
            Self::Connect(message) => message.to_alias,
            Self::WebRtc(message) => message.to_alias,
            Self::Refused(message) => message.to_alias,
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Refused(_) => Kind::Refused,
            Self::WebRtc(message) => match message.r#type() {
                MessageType::WebrtcOffer => Kind::Offer,
                MessageType::WebrtcAnswer => Kind::Answer,
                _ => Kind::Candidate,
            },
        }
    }

    /// As the receiver gets it: whatever the sender wrote about itself is overwritten.
    pub(crate) fn encode_stamped(self, from: Alias, role: Role) -> Bytes {
        let bytes = match self {
            Self::Connect(mut message) => {
                message.from_alias = from.number();
                message.from_role = role.into();
                message.encode_to_vec()
            }
            Self::WebRtc(mut message) => {
                message.from_alias = from.number();
                message.from_role = role.into();
                message.encode_to_vec()
            }
            Self::Refused(mut message) => {
                message.from_alias = from.number();
                message.encode_to_vec()
            }
        };
        bytes.into()
    }
}

/// Whether the role is one of the cluster's own servers.
pub(crate) const fn is_server(role: Role) -> bool {
    matches!(
        role,
        Role::CommunicationServer | Role::CommunicationServerHub
    )
}
