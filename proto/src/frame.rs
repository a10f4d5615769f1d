//! Packets ready to send. Each is encoded once and shared by all its recipients.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::{
    Capability, Message, MessageType, TopicIdentityMessage, TopicMessage, peek::TopicPacket,
};

/// Where a packet came from, as the server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The publisher's alias.
    pub alias: u64,
    /// The publisher's verified identity.
    pub identity: &'a [u8],
    /// The publisher's verified role, as a number of [`crate::Role`].
    pub role: i32,
}

/// A packet forwarded to clients: TOPIC_FW or TOPIC_IDENTITY_FW in both its forms, in one buffer.
///
/// The form for our clients is the form for 2019 clients with `topic` and `seq` appended, so the
/// shorter one is a prefix of the longer and shares its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    bytes: Bytes,
    prefix: usize,
}

impl Forward {
    /// Encodes `packet` as forwarded from `origin`.
    #[must_use]
    pub fn new(packet: &TopicPacket<'_>, origin: Origin<'_>) -> Self {
        let kind = if packet.with_identity {
            MessageType::TopicIdentityFw
        } else {
            MessageType::TopicFw
        };
        let capacity = packet.body.len() + packet.topic.len() + origin.identity.len() + 48;
        let mut out = BytesMut::with_capacity(capacity);
        put_varint(&mut out, 1, enum_value(kind.into()));
        put_varint(&mut out, 2, origin.alias);
        if packet.with_identity {
            put_bytes(&mut out, 3, origin.identity);
            put_varint(&mut out, 4, enum_value(origin.role));
            put_bytes(&mut out, 5, packet.body);
        } else {
            put_bytes(&mut out, 3, packet.body);
        }
        let prefix = out.len();
        put_bytes(&mut out, 16, packet.topic.as_bytes());
        put_varint(&mut out, 17, packet.seq);
        Self {
            bytes: out.freeze(),
            prefix,
        }
    }

    /// The form for clients that announced [`Capability::ForwardTopic`].
    #[must_use]
    pub fn with_topic(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The form for 2019 clients.
    #[must_use]
    pub fn without_topic(&self) -> Bytes {
        self.bytes.slice(..self.prefix)
    }
}

/// A packet relayed to another server: TOPIC or TOPIC_IDENTITY with the true origin.
#[must_use]
pub fn relay(packet: &TopicPacket<'_>, origin: Origin<'_>, hops: u32) -> Bytes {
    let capacity = packet.body.len() + packet.topic.len() + origin.identity.len() + 48;
    let mut out = BytesMut::with_capacity(capacity);
    let kind = if packet.with_identity {
        MessageType::TopicIdentity
    } else {
        MessageType::Topic
    };
    put_varint(&mut out, 1, enum_value(kind.into()));
    put_varint(&mut out, 2, origin.alias);
    put_bytes(&mut out, 3, packet.topic.as_bytes());
    if packet.with_identity {
        put_bytes(&mut out, 4, origin.identity);
        put_varint(&mut out, 5, enum_value(origin.role));
        put_bytes(&mut out, 6, packet.body);
    } else {
        put_bytes(&mut out, 4, packet.body);
    }
    put_varint(&mut out, 16, hops.into());
    put_varint(&mut out, 17, packet.seq);
    out.freeze()
}

/// A TOPIC or TOPIC_IDENTITY packet as a client publishes it.
#[must_use]
pub fn publish(topic: &str, body: Bytes, seq: u64, with_identity: bool) -> Bytes {
    let bytes = if with_identity {
        let kind = MessageType::TopicIdentity.into();
        let topic = topic.into();
        TopicIdentityMessage {
            r#type: kind,
            topic,
            body,
            seq,
            ..Default::default()
        }
        .encode_to_vec()
    } else {
        let kind = MessageType::Topic.into();
        let topic = topic.into();
        TopicMessage {
            r#type: kind,
            topic,
            body,
            seq,
            ..Default::default()
        }
        .encode_to_vec()
    };
    bytes.into()
}

/// What every peer of this project announces in WELCOME, AUTH and READY.
#[must_use]
pub fn capabilities(server: bool) -> Vec<i32> {
    let mut all = vec![Capability::ForwardTopic.into(), Capability::Requests.into()];
    if server {
        all.push(Capability::DeltaInterest.into());
    }
    all
}

// Like prost, these leave out a field that has its default value.

pub(crate) fn put_varint(out: &mut BytesMut, field: u32, value: u64) {
    if value != 0 {
        encode_varint(u64::from(field << 3), out);
        encode_varint(value, out);
    }
}

pub(crate) fn put_bytes(out: &mut BytesMut, field: u32, value: &[u8]) {
    if !value.is_empty() {
        encode_varint(u64::from(field << 3 | 2), out);
        // A usize always fits: no slice is longer than 2^63 bytes.
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        out.reserve(encoded_len_varint(length) + value.len());
        encode_varint(length, out);
        out.put_slice(value);
    }
}

/// Enums travel as sign-extended varints; ours are never negative, a foreign one may be.
pub(crate) fn enum_value(number: i32) -> u64 {
    i64::from(number).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TopicFwMessage, TopicIdentityFwMessage};
    use proptest::prelude::*;

    fn packet<'a>(
        with_identity: bool,
        topic: &'a str,
        body: &'a [u8],
        seq: u64,
    ) -> TopicPacket<'a> {
        TopicPacket {
            with_identity,
            from_alias: 99,
            topic,
            identity: b"claimed",
            role: 9,
            body,
            hops: 0,
            seq,
        }
    }

    proptest! {
        #[test]
        fn forward_is_what_prost_writes(alias: u64, topic in "[a-z]{0,20}", body: Vec<u8>, seq: u64) {
            let origin = Origin { alias, identity: b"ann", role: 1 };
            let forward = Forward::new(&packet(false, &topic, &body, seq), origin);
            let mut message = TopicFwMessage {
                r#type: MessageType::TopicFw.into(),
                from_alias: alias, body: body.clone().into(), topic: topic.clone(), seq,
            };
            prop_assert_eq!(&forward.with_topic()[..], message.encode_to_vec());
            (message.topic, message.seq) = (String::new(), 0);
            prop_assert_eq!(&forward.without_topic()[..], message.encode_to_vec());
        }

        #[test]
        fn identity_is_the_servers_word(alias: u64, body: Vec<u8>, seq: u64) {
            let origin = Origin { alias, identity: b"ann", role: 1 };
            let forward = Forward::new(&packet(true, "t", &body, seq), origin);
            let mut message = TopicIdentityFwMessage {
                r#type: MessageType::TopicIdentityFw.into(),
                from_alias: alias, identity: Bytes::from_static(b"ann"), role: 1,
                body: body.clone().into(), topic: "t".into(), seq,
            };
            prop_assert_eq!(&forward.with_topic()[..], message.encode_to_vec());
            (message.topic, message.seq) = (String::new(), 0);
            prop_assert_eq!(&forward.without_topic()[..], message.encode_to_vec());
        }

        #[test]
        fn relay_keeps_all_but_the_claims(alias: u64, topic in "[a-z]{1,20}", body: Vec<u8>, seq: u64, with_identity: bool) {
            let origin = Origin { alias, identity: b"ann", role: 1 };
            let bytes = relay(&packet(with_identity, &topic, &body, seq), origin, 1);
            let relayed = TopicPacket::decode(&bytes).expect("a topic packet");
            let (identity, role): (&[u8], i32) = if with_identity { (b"ann", 1) } else { (b"", 0) };
            prop_assert_eq!(relayed, TopicPacket {
                with_identity, from_alias: alias, topic: &topic, identity, role, body: &body, hops: 1, seq,
            });
        }
    }

    #[test]
    fn publish_is_readable() {
        for with_identity in [false, true] {
            let bytes = publish("a/b", Bytes::from_static(b"hi"), 3, with_identity);
            let read = TopicPacket::decode(&bytes).expect("a topic packet");
            assert_eq!((read.topic, read.body, read.seq), ("a/b", &b"hi"[..], 3));
            assert_eq!(read.with_identity, with_identity);
        }
    }
}
