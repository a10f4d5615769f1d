//! A cheap look into a packet: its type, and for published packets the fields that routing needs,
//! borrowed from the packet's own bytes.
//!
//! prost would copy the topic into a `String` for every packet; this does not allocate. It takes
//! exactly what prost takes: unknown fields are skipped, the last value of a repeated scalar wins.

use crate::MessageType;

/// The type of a message, when its bytes start with a known one.
///
/// prost writes field 1 first, as every 2019 implementation does; a message that has it elsewhere
/// is read to its end.
#[must_use]
pub fn message_type(bytes: &[u8]) -> Option<MessageType> {
    raw_type(bytes).and_then(|number| MessageType::try_from(number).ok())
}

/// The number in field 1, known or not; `None` for bytes that are no message at all.
/// A message without the field has type 0.
#[must_use]
pub fn raw_type(bytes: &[u8]) -> Option<i32> {
    if let [0x08, value @ 0..=0x7f, ..] = bytes {
        return Some(i32::from(*value));
    }
    let mut number = 0;
    for field in Fields(bytes) {
        if let Field {
            number: 1,
            value: Value::Varint(value),
        } = field?
        {
            number = truncate(value);
        }
    }
    Some(number)
}

/// A TOPIC or TOPIC_IDENTITY packet, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicPacket<'a> {
    /// TOPIC_IDENTITY, rather than TOPIC.
    pub with_identity: bool,
    /// As written by the sender: to be believed from an authenticated server only.
    pub from_alias: u64,
    /// Not yet validated.
    pub topic: &'a str,
    /// The identity field: to be believed from an authenticated server only.
    pub identity: &'a [u8],
    /// The role field, ditto.
    pub role: i32,
    /// The application's bytes.
    pub body: &'a [u8],
    /// Server links crossed so far.
    pub hops: u32,
    /// The publisher's count, 0 for none.
    pub seq: u64,
}

impl<'a> TopicPacket<'a> {
    /// Reads a TOPIC or TOPIC_IDENTITY packet; `None` when it is neither or malformed.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let kind = raw_type(bytes)?;
        let with_identity = match MessageType::try_from(kind) {
            Ok(MessageType::Topic) => false,
            Ok(MessageType::TopicIdentity) => true,
            _ => return None,
        };
        let mut packet = Self {
            with_identity,
            from_alias: 0,
            topic: "",
            identity: &[],
            role: 0,
            body: &[],
            hops: 0,
            seq: 0,
        };
        for field in Fields(bytes) {
            let field = field?;
            match (field.number, field.value, with_identity) {
                (2, Value::Varint(value), _) => packet.from_alias = value,
                (3, Value::Bytes(value), _) => packet.topic = std::str::from_utf8(value).ok()?,
                (4, Value::Bytes(value), false) | (6, Value::Bytes(value), true) => {
                    packet.body = value;
                }
                (4, Value::Bytes(value), true) => packet.identity = value,
                (5, Value::Varint(value), true) => packet.role = truncate(value),
                (16, Value::Varint(value), _) => packet.hops = u32::try_from(value).ok()?,
                (17, Value::Varint(value), _) => packet.seq = value,
                (1, Value::Varint(value), _) if truncate(value) == kind => {}
                // A known field with another wire type is not this message, and nothing is a
                // message of two types.
                (1..=4 | 16 | 17, ..) | (5 | 6, _, true) => return None,
                _ => {}
            }
        }
        Some(packet)
    }
}

/// A TOPIC_FW or TOPIC_IDENTITY_FW packet, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardPacket<'a> {
    /// TOPIC_IDENTITY_FW, rather than TOPIC_FW.
    pub with_identity: bool,
    /// The publisher.
    pub from_alias: u64,
    /// The publisher's identity, verified by the server.
    pub identity: &'a [u8],
    /// The publisher's role, verified by the server.
    pub role: i32,
    /// The application's bytes.
    pub body: &'a [u8],
    /// Empty from a server of 2019.
    pub topic: &'a str,
    /// The publisher's count, 0 for none.
    pub seq: u64,
}

impl<'a> ForwardPacket<'a> {
    /// Reads a TOPIC_FW or TOPIC_IDENTITY_FW packet; `None` when it is neither or malformed.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let kind = raw_type(bytes)?;
        let with_identity = match MessageType::try_from(kind) {
            Ok(MessageType::TopicFw) => false,
            Ok(MessageType::TopicIdentityFw) => true,
            _ => return None,
        };
        let mut packet = Self {
            with_identity,
            from_alias: 0,
            identity: &[],
            role: 0,
            body: &[],
            topic: "",
            seq: 0,
        };
        for field in Fields(bytes) {
            let field = field?;
            match (field.number, field.value, with_identity) {
                (2, Value::Varint(value), _) => packet.from_alias = value,
                (3, Value::Bytes(value), false) | (5, Value::Bytes(value), true) => {
                    packet.body = value;
                }
                (3, Value::Bytes(value), true) => packet.identity = value,
                (4, Value::Varint(value), true) => packet.role = truncate(value),
                (16, Value::Bytes(value), _) => packet.topic = std::str::from_utf8(value).ok()?,
                (17, Value::Varint(value), _) => packet.seq = value,
                (1, Value::Varint(value), _) if truncate(value) == kind => {}
                // Likewise.
                (1..=3 | 16 | 17, ..) | (4 | 5, _, true) => return None,
                _ => {}
            }
        }
        Some(packet)
    }
}

/// The fields of a message, one after the other; `None` where the bytes are no message.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            // Nothing after a malformed field can be trusted.
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Option<Field<'a>> {
        let key = u32::try_from(self.varint()?).ok()?;
        let number = key >> 3;
        if number == 0 {
            return None;
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups (3, 4) are not used by any message here.
            _ => return None,
        };
        Some(Field { number, value })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Enums are 32-bit: protobuf keeps the low half of a longer varint.
#[expect(
    clippy::as_conversions,
    reason = "keeping the low 32 bits is what protobuf defines"
)]
const fn truncate(value: u64) -> i32 {
    value as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Forward, Origin};
    use crate::{Message, TopicIdentityMessage, TopicMessage};
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_prost_writes(
            from_alias: u64, topic in "\\PC{0,40}", body: Vec<u8>, hops: u32, seq: u64,
        ) {
            let message = TopicMessage {
                r#type: MessageType::Topic.into(),
                from_alias, topic: topic.clone(), body: Bytes::from(body.clone()), hops, seq,
            };
            let bytes = message.encode_to_vec();
            let packet = TopicPacket::decode(&bytes).expect("a topic packet");
            prop_assert_eq!(packet, TopicPacket {
                with_identity: false, from_alias, topic: &topic, identity: &[], role: 0,
                body: &body, hops, seq,
            });
        }

        #[test]
        fn reads_identity_packets(
            from_alias: u64, identity: Vec<u8>, role in 0..9_i32, body: Vec<u8>, seq: u64,
        ) {
            let message = TopicIdentityMessage {
                r#type: MessageType::TopicIdentity.into(),
                from_alias, topic: "a/b".into(), identity: Bytes::from(identity.clone()), role,
                body: Bytes::from(body.clone()), hops: 0, seq,
            };
            let bytes = message.encode_to_vec();
            let packet = TopicPacket::decode(&bytes).expect("a topic packet");
            prop_assert_eq!(packet, TopicPacket {
                with_identity: true, from_alias, topic: "a/b", identity: &identity, role,
                body: &body, hops: 0, seq,
            });
        }

        #[test]
        fn reads_forwarded_packets(
            with_identity: bool, alias: u64, topic in "[a-z/]{0,20}", body: Vec<u8>, seq: u64,
        ) {
            let published = TopicPacket {
                with_identity, from_alias: 0, topic: &topic, identity: &[], role: 0, body: &body,
                hops: 0, seq,
            };
            let origin = Origin { alias, identity: b"ann", role: 1 };
            let forward = Forward::new(&published, origin);
            let (identity, role): (&[u8], i32) = if with_identity { (b"ann", 1) } else { (b"", 0) };
            let mut expected = ForwardPacket {
                with_identity, from_alias: alias, identity, role, body: &body, topic: &topic, seq,
            };
            let bytes = forward.with_topic();
            prop_assert_eq!(ForwardPacket::decode(&bytes), Some(expected));
            (expected.topic, expected.seq) = ("", 0);
            let bytes = forward.without_topic();
            prop_assert_eq!(ForwardPacket::decode(&bytes), Some(expected));
        }

        #[test]
        fn agrees_with_prost_on_arbitrary_bytes(tail: Vec<u8>) {
            for kind in [0x09_u8, 0x0b] {
                let mut bytes = vec![0x08, kind];
                bytes.extend_from_slice(&tail);
                let Some(packet) = TopicPacket::decode(&bytes) else { continue };
                if packet.with_identity {
                    let message = TopicIdentityMessage::decode(&bytes[..]).expect("prost agrees");
                    prop_assert_eq!(&message.topic, packet.topic);
                    prop_assert_eq!(&message.body[..], packet.body);
                } else if let Ok(message) = TopicMessage::decode(&bytes[..]) {
                    prop_assert_eq!(&message.topic, packet.topic);
                    prop_assert_eq!(&message.body[..], packet.body);
                }
            }
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _type = message_type(&bytes);
            let _packet = TopicPacket::decode(&bytes);
            let _packet = ForwardPacket::decode(&bytes);
        }
    }

    /// The receiver's decoder would refuse it, or take it for something else.
    #[test]
    fn a_packet_has_one_type() {
        let publish: &[u8] = b"\x08\x09\x1a\x01a";
        let forward: &[u8] = b"\x08\x0a\x1a\x01a";
        for (good, again) in [(publish, b"\x08\x09"), (forward, b"\x08\x0a")] {
            let is_packet = |more: &[u8]| {
                let bytes = [good, more].concat();
                TopicPacket::decode(&bytes).is_some() || ForwardPacket::decode(&bytes).is_some()
            };
            assert!(is_packet(b""));
            assert!(is_packet(again));
            assert!(!is_packet(b"\x08\x06"), "another type");
            assert!(!is_packet(b"\x0a\x00"), "a type that is no number");
        }
    }

    #[test]
    fn type_is_found_anywhere() {
        assert_eq!(message_type(&[0x08, 0x06]), Some(MessageType::Ping));
        assert_eq!(
            message_type(&[0x10, 0x01, 0x08, 0x06]),
            Some(MessageType::Ping)
        );
        assert_eq!(message_type(&[]), Some(MessageType::UnknownMessageType));
        assert_eq!(raw_type(&[0x08, 0x80, 0x01]), Some(128));
        assert_eq!(message_type(&[0x08, 0x80, 0x01]), None);
        assert_eq!(message_type(&[0x08]), None);
        assert_eq!(message_type(&[0xff]), None);
    }
}
