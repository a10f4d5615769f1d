//! Session descriptions and candidates as they travel through the coordinator.

use bytes::Bytes;

/// One signalling message of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What `data` holds.
    pub kind: SignalKind,
    /// JSON: a browser's `RTCSessionDescriptionInit` or `RTCIceCandidateInit`.
    pub data: Bytes,
}

/// The kinds of [`Signal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// The acceptor's session description.
    Offer,
    /// The dialer's session description.
    Answer,
    /// An ICE candidate of either side.
    Candidate,
}
