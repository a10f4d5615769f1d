//! Golden bytes of every message, shared with the TypeScript client: what stands in
//! `proto/fixtures/messages.json` is what both encode and decode.
//!
//! The expected fields are read through the schema itself (reflection), so that neither the
//! generated types nor the fixtures are taken at their own word.

#![expect(clippy::expect_used, reason = "a test says what it expects")]

use std::path::Path;

use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use proto::Message;
use serde_json::Value as Json;

/// Decodes with the generated type of that name and encodes again.
fn recode(name: &str, bytes: &[u8]) -> Vec<u8> {
    macro_rules! by_name {
        ($($kind:ident)+) => {
            match name {
                $(stringify!($kind) => proto::$kind::decode(bytes).expect(name).encode_to_vec(),)+
                other => panic!("no generated type for {other}: add it here"),
            }
        };
    }
    by_name!(
        MessageHeader WelcomeMessage ConnectMessage WebRtcMessage ConnectionRefusedMessage
        ServersMessage ServerEntry PingMessage SubscriptionMessage AuthMessage ReadyMessage
        TopicMessage TopicFwMessage TopicIdentityMessage TopicIdentityFwMessage SubscribeMessage
        UnsubscribeMessage SubscriptionEntry SubscriptionOptions AckMessage ErrorMessage
        InterestMessage RenamedMessage LoadMessage PeerGoneMessage ReplacedMessage MigrateMessage
        RefreshMessage RevokedMessage
    )
}

fn pool() -> DescriptorPool {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let files = protox::compile([schema.join("broker.proto")], [schema]).expect("the schema");
    DescriptorPool::from_file_descriptor_set(files).expect("a pool")
}

fn fixtures() -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/messages.json");
    let text = std::fs::read_to_string(path).expect("the fixtures");
    serde_json::from_str(&text).expect("an array")
}

/// Builds the message that the fixture's `fields` describe: 64-bit numbers are strings, bytes are
/// hexadecimal.
fn build(descriptor: &MessageDescriptor, fields: &Json) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in fields.as_object().expect("fields") {
        let field = descriptor
            .get_field_by_name(name)
            .unwrap_or_else(|| panic!("field {name}"));
        let value = match json {
            Json::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| value(&field.kind(), item))
                    .collect(),
            ),
            single => value(&field.kind(), single),
        };
        message.set_field(&field, value);
    }
    message
}

fn value(kind: &Kind, json: &Json) -> Value {
    let number = || match json {
        Json::String(text) => text.parse::<u64>().expect("a number"),
        other => other.as_u64().expect("a number"),
    };
    match kind {
        Kind::Uint64 => Value::U64(number()),
        Kind::Uint32 => Value::U32(number().try_into().expect("32 bits")),
        Kind::Enum(_) => Value::EnumNumber(number().try_into().expect("an enum")),
        Kind::Double => Value::F64(json.as_f64().expect("a double")),
        Kind::Bool => Value::Bool(json.as_bool().expect("a bool")),
        Kind::String => Value::String(json.as_str().expect("a string").into()),
        Kind::Bytes => Value::Bytes(unhex(json.as_str().expect("hexadecimal")).into()),
        Kind::Message(inner) => Value::Message(build(inner, json)),
        other => panic!("no message uses {other:?}"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| std::str::from_utf8(pair).expect("ASCII"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn bytes_and_fields_agree() {
    let pool = pool();
    for fixture in fixtures() {
        let name = fixture["name"].as_str().expect("a name");
        let kind = fixture["type"].as_str().expect("a type");
        let bytes = unhex(fixture["hex"].as_str().expect("bytes"));
        let descriptor = pool
            .get_message_by_name(&format!("broker.{kind}"))
            .expect(kind);
        assert_eq!(
            recode(kind, &bytes),
            bytes,
            "{name}: recoded by the generated type"
        );
        let built = build(&descriptor, &fixture["fields"]);
        assert_eq!(
            built.encode_to_vec(),
            bytes,
            "{name}: encoded from the fields"
        );
        let read = DynamicMessage::decode(descriptor, &bytes[..]).expect(name);
        assert_eq!(read, built, "{name}: decoded");
    }
}

#[test]
fn every_message_has_a_fixture() {
    let fixtures = fixtures();
    for message in pool().all_messages() {
        let named = |fixture: &Json| fixture["type"] == message.name();
        // What only ever stands inside another message is covered there.
        let inner = [
            "ServerEntry",
            "SubscriptionEntry",
            "SubscriptionOptions",
            "RevokedEntry",
        ];
        let found = fixtures.iter().any(named) || inner.contains(&message.name());
        assert!(found, "{} has no fixture", message.name());
    }
}
