//! How a publication is known again wherever it turns up: its number stands in its body.

use std::fmt;

use bytes::Bytes;
use proto::peek;

/// One publication of one member, unique in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PublicationId {
    pub(super) member: u32,
    /// Counted by the member in the order in which it publishes.
    pub(super) number: u32,
}

impl PublicationId {
    /// A body that carries the id, with so many bytes behind it.
    pub(super) fn body(self, padding: usize) -> Bytes {
        let mut body = Vec::with_capacity(HEADER + padding);
        body.extend_from_slice(MARK);
        body.extend_from_slice(&self.member.to_be_bytes());
        body.extend_from_slice(&self.number.to_be_bytes());
        body.resize(HEADER + padding, 0x55);
        body.into()
    }

    /// The id in a body, if there is one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let rest = body.strip_prefix(MARK)?;
        let (member, rest) = rest.split_first_chunk::<4>()?;
        let (number, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            member: u32::from_be_bytes(*member),
            number: u32::from_be_bytes(*number),
        })
    }

    /// The id in a TOPIC or TOPIC_IDENTITY packet.
    pub(super) fn in_packet(packet: &[u8]) -> Option<Self> {
        Self::read(peek::TopicPacket::decode(packet)?.body)
    }
}

impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}.{}", self.member, self.number)
    }
}

const MARK: &[u8] = b"sim:";
const HEADER: usize = MARK.len() + 8;
