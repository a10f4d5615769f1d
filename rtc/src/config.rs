//! What a peer is told when it is made.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Certificate;

/// Everything that a [`Peer`](crate::Peer) needs to know from its owner.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which side of the pair this is.
    pub role: Role,
    /// The process's certificate.
    pub certificate: Certificate,
    /// Host candidates: addresses of the owner's socket that the other side may reach. Not
    /// empty; an unspecified address is no candidate.
    pub local_addrs: Vec<SocketAddr>,
    /// DTLS role; anything but [`DtlsRole::Auto`] is for tests.
    pub dtls: DtlsRole,
    /// Largest message that this side receives, bytes (RFC 8841 `max-message-size`). A larger
    /// one closes the peer.
    pub message_bytes_max: u32,
    /// Bytes queued per lane above which `send` refuses; a packet counts as at
    /// least 64, for SCTP's tables take more for it than that.
    pub send_buffer_bytes: usize,
    /// From `new` to the reliable lane being open.
    pub handshake_timeout: Duration,
    /// Longest silence (nothing authenticated received, consent checks included).
    pub idle_timeout: Duration,
    /// Source of the ICE credentials and of the tie-breaker: unpredictable in production, fixed
    /// in tests.
    pub seed: u64,
}

impl Config {
    /// Default of [`Config::message_bytes_max`].
    pub const MESSAGE_BYTES_MAX: u32 = 64 * 1024;
    /// Default of [`Config::send_buffer_bytes`].
    pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
    /// Default of [`Config::handshake_timeout`].
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
    /// Default of [`Config::idle_timeout`].
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

    /// The defaults around what has none.
    #[must_use]
    pub fn new(
        role: Role,
        certificate: Certificate,
        local_addrs: Vec<SocketAddr>,
        seed: u64,
    ) -> Self {
        Self {
            role,
            certificate,
            local_addrs,
            dtls: DtlsRole::Auto,
            message_bytes_max: Self::MESSAGE_BYTES_MAX,
            send_buffer_bytes: Self::SEND_BUFFER_BYTES,
            handshake_timeout: Self::HANDSHAKE_TIMEOUT,
            idle_timeout: Self::IDLE_TIMEOUT,
            seed,
        }
    }
}

/// Who makes the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes the offer and opens both channels.
    Acceptor {
        /// Answers connectivity checks without making any (RFC 8445 section 2.5).
        ice_lite: bool,
    },
    /// Answers the offer, as a full ICE agent.
    Dialer,
}

/// Which side of the DTLS handshake this peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// The acceptor offers `actpass` and takes what the answer leaves; the dialer is active
    /// unless the offer insists otherwise.
    Auto,
    /// Sends the ClientHello.
    Active,
    /// Waits for the ClientHello.
    Passive,
}
