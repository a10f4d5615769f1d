//! The data channel establishment protocol (RFC 8832): two messages.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Lane;

/// A message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Open(Open),
    Ack,
}

/// DATA_CHANNEL_OPEN: what the opener wants of a channel. Priority and protocol are not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) label: String,
    pub(crate) unordered: bool,
    pub(crate) reliability: Reliability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reliability {
    Reliable,
    /// How often a message is sent again at most.
    Retransmits(u32),
    /// How long a message is sent again at most, milliseconds.
    LifetimeMs(u32),
}

impl Open {
    /// The channel of a lane, as the acceptor opens it.
    pub(crate) fn lane(lane: Lane) -> Self {
        let (unordered, reliability) = match lane {
            Lane::Reliable => (false, Reliability::Reliable),
            Lane::Unreliable => (true, Reliability::Retransmits(0)),
        };
        Self {
            label: lane.label().to_owned(),
            unordered,
            reliability,
        }
    }
}

impl Message {
    pub(crate) fn encode(&self) -> Bytes {
        let open = match self {
            Self::Ack => return Bytes::from_static(&[ACK]),
            Self::Open(open) => open,
        };
        let (kind, parameter) = match open.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::Retransmits(count) => (1, count),
            Reliability::LifetimeMs(time) => (2, time),
        };
        let label = open.label.as_bytes();
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + label.len());
        bytes.put_u8(OPEN);
        bytes.put_u8(kind | if open.unordered { UNORDERED } else { 0 });
        bytes.put_u16(0);
        bytes.put_u32(parameter);
        bytes.put_u16(u16::try_from(label.len()).unwrap_or(u16::MAX));
        bytes.put_u16(0);
        bytes.put_slice(label);
        bytes.freeze()
    }

    /// `None` when it is neither of the two messages.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            ACK => Some(Self::Ack),
            OPEN => decode_open(rest).map(Self::Open),
            _ => None,
        }
    }
}

fn decode_open(bytes: &[u8]) -> Option<Open> {
    let (header, texts) = bytes.split_first_chunk::<11>()?;
    let [channel, _, _, p0, p1, p2, p3, l0, l1, q0, q1] = *header;
    let parameter = u32::from_be_bytes([p0, p1, p2, p3]);
    let label_bytes = usize::from(u16::from_be_bytes([l0, l1]));
    let protocol_bytes = usize::from(u16::from_be_bytes([q0, q1]));
    if texts.len() != label_bytes + protocol_bytes {
        return None;
    }
    let reliability = match channel & !UNORDERED {
        0 => Reliability::Reliable,
        1 => Reliability::Retransmits(parameter),
        2 => Reliability::LifetimeMs(parameter),
        _ => return None,
    };
    Some(Open {
        label: String::from_utf8(texts.get(..label_bytes)?.to_vec()).ok()?,
        unordered: channel & UNORDERED != 0,
        reliability,
    })
}

const OPEN: u8 = 3;
const ACK: u8 = 2;
const UNORDERED: u8 = 0x80;
const HEADER_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lanes_open_as_003_opens_them() {
        let unreliable = Message::Open(Open::lane(Lane::Unreliable)).encode();
        assert_eq!(
            &unreliable[..],
            b"\x03\x81\0\0\0\0\0\0\0\x0a\0\0unreliable",
            "unordered, partially reliable by retransmissions, of which none"
        );
        let reliable = Message::Open(Open::lane(Lane::Reliable)).encode();
        assert_eq!(&reliable[..], b"\x03\0\0\0\0\0\0\0\0\x08\0\0reliable");
    }

    #[test]
    fn lengths_must_add_up() {
        let bytes = Message::Open(Open::lane(Lane::Reliable)).encode();
        assert_eq!(Message::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Message::decode(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Message::decode(&[]), None);
        assert_eq!(Message::decode(&[ACK]), Some(Message::Ack));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            label in ".{0,40}",
            unordered: bool,
            reliability in prop_oneof![
                Just(Reliability::Reliable),
                any::<u32>().prop_map(Reliability::Retransmits),
                any::<u32>().prop_map(Reliability::LifetimeMs),
            ],
        ) {
            let open = Message::Open(Open { label, unordered, reliability });
            prop_assert_eq!(Message::decode(&open.encode()), Some(open));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Message::decode(&bytes);
        }
    }
}
