//! Default limits, in one place, each with its arithmetic. Servers may be configured lower.

/// Largest encoded packet that a commserver takes: room for a few hundred positions, and one that
/// SCTP still fragments into about 14 datagrams.
pub const PACKET_BYTES_MAX: usize = 16 * 1024;

/// `max-message-size` in our SDP. Above it a browser's `send()` throws; between
/// [`PACKET_BYTES_MAX`] and this the sender gets an ERROR and keeps its channel.
pub const CHANNEL_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Largest WebSocket message at the coordinator. An SDP of ours is about 600 bytes, a browser's
/// with many interfaces a few thousand; the 2019 coordinator reads 5,000. Each of tens of thousands
/// of sessions may hold a few of this size.
pub const SIGNAL_BYTES_MAX: usize = 16 * 1024;

/// Longest topic, in bytes of UTF-8.
pub const TOPIC_BYTES_MAX: usize = 256;

/// Topics that one client may be subscribed to.
pub const SUBSCRIPTIONS_MAX: usize = 1024;

/// What a topic list may inflate to: [`SUBSCRIPTIONS_MAX`] longest topics and their separators.
pub const CLIENT_TOPIC_LIST_BYTES_MAX: usize = SUBSCRIPTIONS_MAX * (TOPIC_BYTES_MAX + 1);

/// The same for a server's list, which holds what all its clients want: 16 MiB, a hundred thousand
/// topics of 160 bytes.
pub const SERVER_TOPIC_LIST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Above this a PLAIN topic list to a 2019 server is sent as GZIP: such a server reads at most
/// 5,120 bytes a message.
pub const PLAIN_TOPIC_LIST_BYTES_MAX: usize = 5_000;

/// What a 2019 server reads at most in one message.
pub const PACKET_BYTES_MAX_2019: usize = 5_120;

/// Largest INTEREST message.
pub const INTEREST_CHUNK_BYTES_MAX: usize = 32 * 1024;

/// Servers that a client's WELCOME lists: the assigned one and fallbacks.
pub const AVAILABLE_SERVERS_MAX: usize = 4;

/// Room for revocations, in bytes: some ten thousand, which a commserver that comes back is told of
/// in one go.
pub const REVOCATIONS_BYTES_MAX: usize = 1024 * 1024;

/// Packets held in order while an authentication is pending.
pub const HELD_PACKETS_MAX: usize = 32;

/// Bytes held in order while an authentication is pending.
pub const HELD_BYTES_MAX: usize = 64 * 1024;
