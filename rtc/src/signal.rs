//! Session descriptions and candidates as they travel through the coordinator.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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

impl Signal {
    pub(crate) fn description(kind: SignalKind, sdp: &str) -> Self {
        let kind_name = match kind {
            SignalKind::Offer => "offer",
            SignalKind::Answer | SignalKind::Candidate => "answer",
        };
        let json = Description {
            kind: kind_name.into(),
            sdp: sdp.into(),
        };
        Self {
            kind,
            // Two strings always serialise.
            data: serde_json::to_vec(&json).unwrap_or_default().into(),
        }
    }

    /// The SDP of an offer or answer; `None` when it is neither.
    pub(crate) fn sdp(&self) -> Option<String> {
        let json: Description<'_> = serde_json::from_slice(&self.data).ok()?;
        let kind = match self.kind {
            SignalKind::Offer => "offer",
            SignalKind::Answer => "answer",
            SignalKind::Candidate => return None,
        };
        (json.kind == kind).then(|| json.sdp.into_owned())
    }

    /// The `candidate:…` of a candidate, empty at their end; `None` when it is none.
    pub(crate) fn candidate(&self) -> Option<String> {
        if self.kind != SignalKind::Candidate {
            return None;
        }
        let json: Candidate<'_> = serde_json::from_slice(&self.data).ok()?;
        Some(json.candidate.into_owned())
    }
}

#[derive(Deserialize, Serialize)]
struct Description<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    sdp: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Candidate<'a> {
    #[serde(borrow)]
    candidate: std::borrow::Cow<'a, str>,
}
