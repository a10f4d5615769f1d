//! How a shard is set up, with defaults for a server of a few thousand peers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rtc_peer::{Certificate, DtlsRole};

use crate::{budget, impair::Impair, outbox, pool};

/// What a shard is bound with. Nothing is read after [`crate::Shard::bind`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the socket; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Addresses to offer to peers instead of the socket's own, e.g. the public one of a server
    /// behind a one-to-one NAT. Empty: the bound address, or when that is unspecified, those of the
    /// interfaces. At most [`LOCAL_ADDRS_MAX`] are used.
    pub advertise: Vec<IpAddr>,
    /// DTLS certificate, one for the process.
    pub certificate: Certificate,
    /// Most peers at once; one more is refused.
    pub peers_max: usize,
    /// Outbox of every peer's reliable lane.
    pub reliable: outbox::Config,
    /// Outbox of every peer's unreliable lane.
    pub unreliable: outbox::Config,
    /// What may wait for all peers together, in outboxes and engines.
    pub waiting: pool::Config,
    /// What may be held of what all peers sent: not taken, behind a gap, or in parts.
    pub received: pool::Config,
    /// What every peer may send on its reliable lane. More is left unread until it may pass, which
    /// slows the peer down.
    pub reliable_budget: budget::Config,
    /// What every peer may send on its unreliable lane. More is dropped.
    pub unreliable_budget: budget::Config,
    /// Datagrams that a peer has to prove, for all peers together: connectivity checks that name one,
    /// from an address that is not known to be its. More are dropped unproved.
    pub unproved_budget: budget::Config,
    /// Settings of every peer's engine.
    pub peer: PeerConfig,
    /// Most commands that wait; [`crate::Handle::try_send`] refuses one more.
    pub commands_max: usize,
    /// A bad network for tests; `None` for the network as it is.
    pub impair: Option<Impair>,
    /// From it comes everything random about the peers (ICE credentials among it): give it from the
    /// system's randomness, except in a test that is to be repeated.
    pub seed: u64,
    /// Socket buffers to ask for, bytes each way; 0 keeps the system's default. What was granted is
    /// in [`crate::Stats`].
    pub socket_buffer_bytes: usize,
    /// Longest time that a shard under load lets pass between two passes, so that more packets share
    /// a datagram; zero for none. Its thread sleeps meanwhile, so it must be its own.
    pub pace: Duration,
    /// The same for a shard that has nothing but keep-alives, so that they share a turn of its
    /// thread; zero for none. What else comes then may be late by that much; while it comes, see
    /// [`crate::Peers::note_work`], there are no such rests.
    pub pace_idle: Duration,
    /// Buffers of 64 KiB that one receive call fills, 1 to 32. Memory is touched only as far as
    /// datagrams reach: 4 is plenty for a client's socket.
    pub receive_buffers: usize,
}

impl Config {
    /// A server's defaults on a port that the system chooses on the loopback interface, without
    /// budgets and without limits for all peers together.
    #[must_use]
    pub fn new(certificate: Certificate, seed: u64) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: Vec::new(),
            certificate,
            peers_max: 4096,
            reliable: outbox::Config::RELIABLE,
            unreliable: outbox::Config::UNRELIABLE,
            waiting: pool::Config::NONE,
            received: pool::Config::NONE,
            reliable_budget: budget::Config::NONE,
            unreliable_budget: budget::Config::NONE,
            unproved_budget: budget::Config::NONE,
            peer: PeerConfig::default(),
            commands_max: 1024,
            impair: None,
            seed,
            socket_buffer_bytes: 4 * 1024 * 1024,
            pace: Duration::ZERO,
            pace_idle: Duration::ZERO,
            receive_buffers: 32,
        }
    }
}

/// What every peer's engine is created with; see [`rtc_peer::Config`].
#[derive(Debug, Clone, Copy)]
pub struct PeerConfig {
    /// Largest message to accept, as the SDP says (`max-message-size`), bytes.
    pub message_bytes_max: u32,
    /// What the engine holds per lane before packets wait in the outbox, bytes.
    pub send_buffer_bytes: usize,
    /// From opening a peer to its reliable lane being open.
    pub handshake_timeout: Duration,
    /// Without authenticated traffic, consent checks included.
    pub idle_timeout: Duration,
    /// For tests: which side of the DTLS handshake to take.
    pub dtls: DtlsRole,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 65_536,
            send_buffer_bytes: 128 * 1024,
            handshake_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(15),
            dtls: DtlsRole::Auto,
        }
    }
}

/// Most addresses offered to a peer, as candidates in its SDP.
pub const LOCAL_ADDRS_MAX: usize = 8;
