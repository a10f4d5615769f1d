//! One WebRTC data-channel peer, sans-IO, as acceptor or dialer.
//!
//! A [`Peer`] is a state machine: it never reads a clock, a socket or an entropy source for
//! what it decides; everything comes in by [`Peer::handle_input`] and [`Peer::send`], everything
//! goes out by [`Peer::poll_output`], which the caller drains to `None` after every input or
//! batch of inputs and sends. Bundling is done there: many `send`s before one drain fill packets.
//!
//! ```
//! use std::time::Instant;
//! use rtc_peer::{Certificate, Config, Input, Output, Peer, Role, SignalKind};
//!
//! let now = Instant::now();
//! let certificate = Certificate::generate()?;
//! let addr = "192.0.2.1:7000".parse().expect("an address");
//! let role = Role::Acceptor { ice_lite: true };
//! let mut peer = Peer::new(now, Config::new(role, certificate, vec![addr], 1));
//! while let Some(output) = peer.poll_output() {
//!     // An acceptor begins with its offer, which the owner brings to the other side.
//!     assert!(matches!(output, Output::Signal(signal) if signal.kind == SignalKind::Offer));
//! }
//! let deadline = peer.next_deadline().expect("a peer that is not closed has one");
//! peer.handle_input(deadline, Input::Tick);
//! assert!(matches!(peer.poll_output(), Some(Output::Closed(_))), "nobody answered");
//! # Ok::<(), rtc_peer::CertificateError>(())
//! ```
//!
//! Deliberately not here: sockets, the choice between peers that share a socket (see
//! [`stun_local_ufrag`] and [`Peer::accepts_stun`], which the `shard` crate uses for it), media,
//! TURN, and what the packets mean.

mod certificate;
mod channels;
mod config;
mod dcep;
mod dtls;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ice;
mod inbox;
mod peer;
mod sctp;
mod sdp;
mod signal;
mod stats;
mod stun;

pub use certificate::{Certificate, CertificateError, Fingerprint};
pub use config::{Config, DtlsRole, Role};
pub use peer::{CloseReason, Input, Output, Peer, SendError, Transmit};
pub use signal::{Signal, SignalKind};
pub use stats::Stats;
pub use stun::stun_local_ufrag;

/// One of the two data channels of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Ordered and complete, as long as the peer lives.
    Reliable,
    /// Unordered and never retransmitted.
    Unreliable,
}

impl Lane {
    /// Both lanes, in the order in which the acceptor opens them.
    pub const ALL: [Self; 2] = [Self::Reliable, Self::Unreliable];

    /// The label of its data channel.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
        }
    }
}
