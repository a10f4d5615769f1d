//! The seam between a shard and its owner: what the owner is told, and what it implements.

use std::time::Instant;

use bytes::Bytes;
use rtc_peer::{CloseReason, Lane, Signal};

use crate::peers::{PeerKey, Peers};

/// What happened at a peer.
#[derive(Debug)]
pub enum Event {
    /// To be carried to the remote by the owner's signalling.
    Signal {
        /// Whose.
        peer: PeerKey,
        /// Offer, answer or candidate.
        signal: Signal,
    },
    /// Packets can be sent on this lane.
    LaneOpen {
        /// Whose.
        peer: PeerKey,
        /// Which.
        lane: Lane,
    },
    /// A packet came.
    Packet {
        /// From whom.
        peer: PeerKey,
        /// On which lane.
        lane: Lane,
        /// The packet, at most [`crate::PeerConfig::message_bytes_max`].
        bytes: Bytes,
    },
    /// The outbox of a lane that leaves no gaps is over its limits: what is sent on it from now on
    /// is dropped. Said once for each lane; closing the peer is the owner's part.
    SlowConsumer {
        /// Who.
        peer: PeerKey,
        /// Which lane.
        lane: Lane,
    },
    /// The peer is gone and its key is stale. Exactly once for each opened peer, after everything
    /// else about it, also when [`Peers::close`] was the cause.
    Closed {
        /// Who.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
    },
}

impl Event {
    /// Whose it is.
    #[must_use]
    pub const fn peer(&self) -> PeerKey {
        let (Self::Signal { peer, .. }
        | Self::LaneOpen { peer, .. }
        | Self::Packet { peer, .. }
        | Self::SlowConsumer { peer, .. }
        | Self::Closed { peer, .. }) = self;
        *peer
    }
}

/// The owner's logic, on the shard's own task. Nothing here may block or be slow: every peer of the
/// shard waits. What it sends leaves at the end of the pass.
pub trait Handler: Send + 'static {
    /// What other tasks may tell it, through [`crate::Handle`].
    type Command: Send + 'static;

    /// Something happened at a peer.
    fn handle_event(&mut self, now: Instant, event: Event, peers: &mut Peers);

    /// A command came through a [`crate::Handle`].
    fn handle_command(&mut self, now: Instant, command: Self::Command, peers: &mut Peers);

    /// [`Handler::next_deadline`] was reached.
    fn handle_timeout(&mut self, now: Instant, peers: &mut Peers);

    /// All events and commands of a pass were handled; what was sent is about to be flushed.
    fn handle_pass_end(&mut self, now: Instant, peers: &mut Peers) {
        _ = (now, peers);
    }

    /// The shard stops: the last chance to send something. Afterwards every peer is closed, and
    /// its [`Event::Closed`] still comes.
    fn handle_shutdown(&mut self, now: Instant, peers: &mut Peers) {
        _ = (now, peers);
    }

    /// When to be called next by the clock.
    fn next_deadline(&self) -> Option<Instant>;
}
