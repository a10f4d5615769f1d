//! The messages of the 2019 protocol as its peers know them: no field and no type beyond.
//!
//! [`decode`] also names the field numbers that such a peer does not know, because skipping them
//! silently would hide that somebody sends them to it.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

/// Message types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Kind {
    Unknown = 0,
    Welcome = 1,
    Connect = 2,
    Offer = 3,
    Answer = 4,
    Candidate = 5,
    Ping = 6,
    Subscription = 7,
    Auth = 8,
    Topic = 9,
    TopicFw = 10,
    TopicIdentity = 11,
    TopicIdentityFw = 12,
    ConnectionRefused = 13,
    Error = 14,
}

/// Roles, as AUTH and the identity packets carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Role {
    Unknown = 0,
    Client = 1,
    CommunicationServer = 2,
    CommunicationServerHub = 3,
}

/// How a topic list is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Format {
    Unknown = 0,
    Plain = 1,
    Gzip = 2,
}

/// Declares one message: a struct whose field 1 is its type.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $field_name:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            /// Always the message's type.
            #[prost(enumeration = "Kind", tag = "1")]
            pub kind: i32,
            $($(#[$field])* #[allow(missing_docs, reason = "the names are the protocol's")]
            pub $field_name: $type,)*
        }
    };
}

message!(
    /// The part that all messages share.
    Header {}
);
message!(
    /// Coordinator to session, first.
    Welcome {
        #[prost(uint64, tag = "2")] alias: u64,
        #[prost(uint64, repeated, tag = "3")] available_servers: Vec<u64>,
    }
);
message!(
    /// A peer asks a server for an offer.
    Connect {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(uint64, tag = "3")] to_alias: u64,
    }
);
message!(
    /// OFFER, ANSWER and CANDIDATE.
    WebRtc {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(uint64, tag = "3")] to_alias: u64,
        #[prost(bytes = "bytes", tag = "4")] data: Bytes,
    }
);
message!(
    /// A server has no room (reason 1) or turns the peer away (2).
    ConnectionRefused {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(uint64, tag = "3")] to_alias: u64,
        #[prost(int32, tag = "4")] reason: i32,
        #[prost(bytes = "bytes", tag = "5")] data: Bytes,
    }
);
message!(
    /// Echoed byte for byte.
    Ping {
        #[prost(double, tag = "2")] time: f64,
    }
);
message!(
    /// The whole set of topics.
    Subscription {
        #[prost(enumeration = "Format", tag = "2")] format: i32,
        #[prost(bytes = "bytes", tag = "3")] topics: Bytes,
    }
);
message!(
    /// First on `reliable`.
    Auth {
        #[prost(enumeration = "Role", tag = "2")] role: i32,
        #[prost(bytes = "bytes", tag = "3")] body: Bytes,
    }
);
message!(
    /// A packet on its way in, and between servers.
    Topic {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(string, tag = "3")] topic: String,
        #[prost(bytes = "bytes", tag = "4")] body: Bytes,
    }
);
message!(
    /// A packet on its way out to a client.
    TopicFw {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(bytes = "bytes", tag = "3")] body: Bytes,
    }
);
message!(
    /// A packet with the sender's identity, in and between servers.
    TopicIdentity {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(string, tag = "3")] topic: String,
        #[prost(bytes = "bytes", tag = "4")] identity: Bytes,
        #[prost(enumeration = "Role", tag = "5")] role: i32,
        #[prost(bytes = "bytes", tag = "6")] body: Bytes,
    }
);
message!(
    /// A packet with the sender's identity, out to a client.
    TopicIdentityFw {
        #[prost(uint64, tag = "2")] from_alias: u64,
        #[prost(bytes = "bytes", tag = "3")] identity: Bytes,
        #[prost(enumeration = "Role", tag = "4")] role: i32,
        #[prost(bytes = "bytes", tag = "5")] body: Bytes,
    }
);

/// Any message of the protocol.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant for each message above")]
pub enum Message {
    Welcome(Welcome),
    Connect(Connect),
    WebRtc(WebRtc),
    ConnectionRefused(ConnectionRefused),
    Ping(Ping),
    Subscription(Subscription),
    Auth(Auth),
    Topic(Topic),
    TopicFw(TopicFw),
    TopicIdentity(TopicIdentity),
    TopicIdentityFw(TopicIdentityFw),
    /// A type that the 2019 protocol does not have, or does not use.
    Other(i32),
}

impl Message {
    /// The message's bytes. `Other` has none but its type.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Welcome(message) => message.encode_to_vec(),
            Self::Connect(message) => message.encode_to_vec(),
            Self::WebRtc(message) => message.encode_to_vec(),
            Self::ConnectionRefused(message) => message.encode_to_vec(),
            Self::Ping(message) => message.encode_to_vec(),
            Self::Subscription(message) => message.encode_to_vec(),
            Self::Auth(message) => message.encode_to_vec(),
            Self::Topic(message) => message.encode_to_vec(),
            Self::TopicFw(message) => message.encode_to_vec(),
            Self::TopicIdentity(message) => message.encode_to_vec(),
            Self::TopicIdentityFw(message) => message.encode_to_vec(),
            Self::Other(kind) => Header { kind: *kind }.encode_to_vec(),
        }
        .into()
    }
}

/// A message as it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What it says.
    pub message: Message,
    /// The numbers of the fields that the 2019 protocol does not know, in order.
    pub unknown_fields: Vec<u32>,
}

/// A TOPIC that is so many bytes long when it is encoded, and its body.
#[must_use]
pub fn topic_of_size(topic: &str, size: usize) -> (Bytes, Bytes) {
    let encode = |body: usize| {
        let body = Bytes::from(vec![b'x'; body]);
        let packet = Topic {
            kind: Kind::Topic.into(),
            from_alias: 0,
            topic: topic.to_owned(),
            body: body.clone(),
        };
        (Message::Topic(packet).encode(), body)
    };
    let overhead = encode(size).0.len() - size;
    let fitting = (size - overhead - 4..=size)
        .map(encode)
        .find(|(bytes, _)| bytes.len() == size);
    fitting.unwrap_or_default()
}

/// Decodes one message.
///
/// # Errors
/// When the bytes are not a protobuf message.
pub fn decode(bytes: &[u8]) -> Result<Decoded> {
    let header = Header::decode(bytes).context("the header does not decode")?;
    let (message, fields) = match Kind::try_from(header.kind) {
        Ok(Kind::Welcome) => (Message::Welcome(Welcome::decode(bytes)?), 3),
        Ok(Kind::Connect) => (Message::Connect(Connect::decode(bytes)?), 3),
        Ok(Kind::Offer | Kind::Answer | Kind::Candidate) => {
            (Message::WebRtc(WebRtc::decode(bytes)?), 4)
        }
        Ok(Kind::ConnectionRefused) => (
            Message::ConnectionRefused(ConnectionRefused::decode(bytes)?),
            5,
        ),
        Ok(Kind::Ping) => (Message::Ping(Ping::decode(bytes)?), 2),
        Ok(Kind::Subscription) => (Message::Subscription(Subscription::decode(bytes)?), 3),
        Ok(Kind::Auth) => (Message::Auth(Auth::decode(bytes)?), 3),
        Ok(Kind::Topic) => (Message::Topic(Topic::decode(bytes)?), 4),
        Ok(Kind::TopicFw) => (Message::TopicFw(TopicFw::decode(bytes)?), 3),
        Ok(Kind::TopicIdentity) => (Message::TopicIdentity(TopicIdentity::decode(bytes)?), 6),
        Ok(Kind::TopicIdentityFw) => (Message::TopicIdentityFw(TopicIdentityFw::decode(bytes)?), 5),
        Ok(Kind::Unknown | Kind::Error) | Err(_) => (Message::Other(header.kind), 1),
    };
    let mut unknown_fields = field_numbers(bytes)?;
    unknown_fields.retain(|number| *number > fields);
    Ok(Decoded {
        message,
        unknown_fields,
    })
}

/// The field numbers of a message, as they stand in it.
fn field_numbers(mut bytes: &[u8]) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).context("a field's key")?;
        if wire_type == WireType::EndGroup {
            bail!("a group ends that did not begin");
        }
        skip_field(wire_type, number, &mut bytes, DecodeContext::default())
            .with_context(|| format!("field {number}"))?;
        numbers.push(number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_beyond_the_protocol_are_named() {
        let mut bytes = Message::TopicFw(TopicFw {
            kind: Kind::TopicFw.into(),
            from_alias: 7,
            body: Bytes::from_static(b"hello"),
        })
        .encode()
        .to_vec();
        assert_eq!(decode(&bytes).unwrap().unknown_fields, Vec::<u32>::new());
        prost::encoding::string::encode(16, &"topic".to_owned(), &mut bytes);
        prost::encoding::uint64::encode(17, &3, &mut bytes);
        let decoded = decode(&bytes).unwrap();
        assert_eq!(decoded.unknown_fields, [16, 17]);
        assert!(matches!(decoded.message, Message::TopicFw(packet) if packet.body == "hello"));
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(decode(b"\xff\xff\xff").is_err());
        assert!(decode(b"\x0c").is_err());
    }
}
