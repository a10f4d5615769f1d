//! The few messages that a relay answers with.

use std::time::SystemTime;

use bytes::Bytes;
use proto::{AckMessage, Message as _, MessageType, ReadyMessage, WebRtcMessage, frame, limits};

use crate::session::SERVER;

/// After AUTH.
pub(crate) fn ready(alias: u64) -> Bytes {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ready = ReadyMessage {
        r#type: MessageType::Ready.into(),
        alias,
        capabilities: frame::capabilities(false),
        packet_limit: u32::try_from(limits::PACKET_BYTES_MAX).unwrap_or(u32::MAX),
        server_time_ms: since_1970.map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        }),
        ..Default::default()
    };
    ready.encode_to_vec().into()
}

/// After SUBSCRIBE and UNSUBSCRIBE.
pub(crate) fn ack(id: u32) -> Bytes {
    let ack = AckMessage {
        r#type: MessageType::Ack.into(),
        id,
    };
    ack.encode_to_vec().into()
}

/// A description or a candidate for the client.
pub(crate) fn signal(alias: u64, kind: MessageType, data: Vec<u8>) -> Bytes {
    let signal = WebRtcMessage {
        r#type: kind.into(),
        from_alias: SERVER,
        to_alias: alias,
        data: data.into(),
        ..Default::default()
    };
    signal.encode_to_vec().into()
}
