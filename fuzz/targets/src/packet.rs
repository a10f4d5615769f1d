//! A packet or a signal, as bytes: what the cheap look at it says is what the decoder says, and what
//! is written again is read as the same.

use proto::{
    Message, MessageHeader, MessageType, TopicFwMessage, TopicIdentityFwMessage,
    TopicIdentityMessage, TopicMessage,
    frame::{self, Forward, Origin},
    peek::{self, ForwardPacket, TopicPacket},
    region, resume, topic,
};

/// Runs one input.
pub fn run(bytes: &[u8]) {
    check_type(bytes);
    if let Some(packet) = TopicPacket::decode(bytes) {
        check_topic(bytes, &packet);
        check_forwarded(&packet);
    }
    if let Some(packet) = ForwardPacket::decode(bytes) {
        check_forward(bytes, &packet);
    }
    check_all_types(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_text(text);
    }
}

/// Unless something says twice what it is, both agree on its type.
fn check_type(bytes: &[u8]) {
    let number = peek::raw_type(bytes);
    let is_quick = matches!(bytes, [0x08, 0..=0x7f, ..]);
    if let Ok(header) = MessageHeader::decode(bytes)
        && let Some(number) = number
        && !is_quick
    {
        assert_eq!(number, header.r#type);
    }
    let known = number.and_then(|number| MessageType::try_from(number).ok());
    assert_eq!(peek::message_type(bytes), known);
}

fn check_topic(bytes: &[u8], packet: &TopicPacket<'_>) {
    if packet.with_identity {
        let read = TopicIdentityMessage::decode(bytes).expect("a packet");
        assert_eq!(read.r#type(), MessageType::TopicIdentity);
        assert_eq!(read.identity, packet.identity);
        assert_eq!(read.role, packet.role);
        assert_eq!((read.from_alias, &read.topic[..]), origin(packet));
        assert_eq!((read.hops, read.seq), (packet.hops, packet.seq));
        assert_eq!(read.body, packet.body);
    } else {
        let read = TopicMessage::decode(bytes).expect("a packet");
        assert_eq!(read.r#type(), MessageType::Topic);
        assert_eq!((read.from_alias, &read.topic[..]), origin(packet));
        assert_eq!((read.hops, read.seq), (packet.hops, packet.seq));
        assert_eq!(read.body, packet.body);
    }
}

const fn origin<'a>(packet: &TopicPacket<'a>) -> (u64, &'a str) {
    (packet.from_alias, packet.topic)
}

/// What a server makes of it for others is what it was, from whom it says.
fn check_forwarded(packet: &TopicPacket<'_>) {
    let ann = Origin {
        alias: 7,
        identity: b"ann",
        role: 1,
    };
    let (identity, role): (&[u8], i32) = match packet.with_identity {
        true => (ann.identity, ann.role),
        false => (&[], 0),
    };
    let relayed = frame::relay(packet, ann, packet.hops);
    let expected = TopicPacket {
        from_alias: ann.alias,
        identity,
        role,
        ..*packet
    };
    assert_eq!(TopicPacket::decode(&relayed), Some(expected));
    let forward = Forward::new(packet, ann);
    let mut expected = ForwardPacket {
        with_identity: packet.with_identity,
        from_alias: ann.alias,
        identity,
        role,
        body: packet.body,
        topic: packet.topic,
        seq: packet.seq,
    };
    let with_topic = forward.with_topic();
    assert_eq!(ForwardPacket::decode(&with_topic), Some(expected));
    (expected.topic, expected.seq) = ("", 0);
    let without_topic = forward.without_topic();
    assert_eq!(ForwardPacket::decode(&without_topic), Some(expected));
    assert!(with_topic.starts_with(&without_topic));
}

fn check_forward(bytes: &[u8], packet: &ForwardPacket<'_>) {
    if packet.with_identity {
        let read = TopicIdentityFwMessage::decode(bytes).expect("a packet");
        assert_eq!(read.r#type(), MessageType::TopicIdentityFw);
        assert_eq!(read.identity, packet.identity);
        assert_eq!(read.role, packet.role);
        assert_eq!((read.from_alias, read.seq), (packet.from_alias, packet.seq));
        assert_eq!(read.topic, packet.topic);
        assert_eq!(read.body, packet.body);
    } else {
        let read = TopicFwMessage::decode(bytes).expect("a packet");
        assert_eq!(read.r#type(), MessageType::TopicFw);
        assert_eq!((read.from_alias, read.seq), (packet.from_alias, packet.seq));
        assert_eq!(read.topic, packet.topic);
        assert_eq!(read.body, packet.body);
    }
}

/// Every type takes any bytes, and what it makes of them it reads as what it wrote.
fn check_all_types(bytes: &[u8]) {
    macro_rules! check {
        ($($kind:ident)+) => {
            $(check_one::<proto::$kind>(bytes);)+
        };
    }
    check!(
        MessageHeader WelcomeMessage ConnectMessage WebRtcMessage ConnectionRefusedMessage
        ServersMessage ServerEntry PingMessage SubscriptionMessage AuthMessage ReadyMessage
        TopicMessage TopicFwMessage TopicIdentityMessage TopicIdentityFwMessage SubscribeMessage
        UnsubscribeMessage SubscriptionEntry SubscriptionOptions AckMessage ErrorMessage
        InterestMessage RenamedMessage LoadMessage PeerGoneMessage ReplacedMessage MigrateMessage
        RefreshMessage RevokedMessage
    );
}

/// Compared as bytes: a time may be no number, which is not even equal to itself.
fn check_one<M: Message + Default>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let written = message.encode_to_vec();
        assert_eq!(written.len(), message.encoded_len());
        let again = M::decode(&written[..]).expect("what was written");
        assert_eq!(again.encode_to_vec(), written);
    }
}

fn check_text(text: &str) {
    if topic::validate(text, TOPIC_BYTES_MAX).is_ok() {
        assert!((1..=TOPIC_BYTES_MAX).contains(&text.len()));
        assert!(!text.contains(char::is_whitespace) && !text.contains(char::is_control));
    }
    if region::is_region(text) || resume::is_token(text) {
        assert!(text.is_ascii() && !text.contains(['\r', '\n', ' ', '/']));
    }
}

const TOPIC_BYTES_MAX: usize = 64;
