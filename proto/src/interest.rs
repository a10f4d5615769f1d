//! INTEREST, written topic by topic up to its limit: a server that tells of a hundred thousand
//! topics makes no `String` for each.

use bytes::{Bytes, BytesMut};
use prost::encoding::encoded_len_varint;

use crate::{
    MessageType,
    frame::{enum_value, put_bytes, put_varint},
    limits::INTEREST_CHUNK_BYTES_MAX,
};

/// One message in the making.
///
/// Its reader takes all of `remove` before all of `add`, wherever they stand, so one message must
/// not name a topic twice.
#[derive(Debug)]
pub struct Writer {
    out: BytesMut,
    topics: usize,
}

impl Writer {
    /// A message of this version; `begin` says that it is the first of a snapshot.
    #[must_use]
    pub fn new(version: u64, begin: bool) -> Self {
        let mut out = BytesMut::with_capacity(64);
        put_varint(&mut out, 1, enum_value(MessageType::Interest.into()));
        put_varint(&mut out, 2, version);
        put_varint(&mut out, 5, u64::from(begin));
        Self { out, topics: 0 }
    }

    /// Adds a topic to what is wanted or to what is not wanted any more. Says whether there was
    /// room; a topic larger than a whole message has one of its own.
    pub fn push(&mut self, topic: &str, wanted: bool) -> bool {
        let field = if wanted { ADD } else { REMOVE };
        // A usize always fits: no text is longer than 2^63 bytes.
        let length = u64::try_from(topic.len()).unwrap_or(u64::MAX);
        let bytes = 1 + encoded_len_varint(length) + topic.len();
        let fits = self.out.len() + bytes + END_BYTES <= INTEREST_CHUNK_BYTES_MAX;
        if !fits && self.topics > 0 {
            return false;
        }
        put_bytes(&mut self.out, field, topic.as_bytes());
        self.topics += 1;
        true
    }

    /// The message; `end` says that it is the last of a snapshot.
    #[must_use]
    pub fn finish(mut self, end: bool) -> Bytes {
        put_varint(&mut self.out, 6, u64::from(end));
        self.out.freeze()
    }
}

const ADD: u32 = 3;
const REMOVE: u32 = 4;
/// `snapshot_end`.
const END_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InterestMessage, Message};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prost_reads_what_is_written(
            version: u64, begin: bool, end: bool,
            topics in proptest::collection::vec(("[a-z/]{1,20}", any::<bool>()), 0..20),
        ) {
            let mut writer = Writer::new(version, begin);
            for (topic, wanted) in &topics {
                prop_assert!(writer.push(topic, *wanted));
            }
            let of = |kind| {
                let topics = topics.iter().filter(move |(_, wanted)| *wanted == kind);
                topics.map(|(topic, _)| topic.clone()).collect::<Vec<_>>()
            };
            let read = InterestMessage::decode(writer.finish(end)).expect("INTEREST");
            prop_assert_eq!(read, InterestMessage {
                r#type: MessageType::Interest.into(),
                version, add: of(true), remove: of(false),
                snapshot_begin: begin, snapshot_end: end,
            });
        }

        #[test]
        fn fills_a_message_to_its_limit_and_not_beyond(length in 1..9_000_usize, version: u64) {
            let topic = "x".repeat(length);
            let mut writer = Writer::new(version, true);
            while writer.push(&topic, true) {}
            let message = writer.finish(true);
            prop_assert!(message.len() <= INTEREST_CHUNK_BYTES_MAX);
            prop_assert!(message.len() + length + 3 > INTEREST_CHUNK_BYTES_MAX);
        }
    }

    #[test]
    fn a_topic_larger_than_a_message_has_one_of_its_own() {
        let long = "x".repeat(INTEREST_CHUNK_BYTES_MAX);
        let mut writer = Writer::new(1, false);
        assert!(writer.push(&long, true));
        assert!(!writer.push("a", true));
        let mut writer = Writer::new(1, false);
        assert!(writer.push("a", true));
        assert!(!writer.push(&long, true));
    }
}
