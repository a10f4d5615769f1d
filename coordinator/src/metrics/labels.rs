//! The labels: each an enum, so that no stranger can invent a time series.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use proto::Reason;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// By us.
    Ours(Reason),
    /// By the other side, with a close.
    Closed,
    /// The connection ended without one.
    Gone,
    /// The other side did not read for too long.
    WriteTimeout,
}

impl EncodeLabelValue for End {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Ours(reason) => reason.name(),
            Self::Closed => "PeerClosed",
            Self::Gone => "PeerGone",
            Self::WriteTimeout => "WriteTimeout",
        })
    }
}

/// Why somebody got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    /// As the other side was told.
    For(Reason),
    /// The request was for no WebSocket at all.
    NotAnUpgrade,
}

impl EncodeLabelValue for Refused {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::For(reason) => reason.name(),
            Self::NotAnUpgrade => "NotAnUpgrade",
        })
    }
}

/// Whose session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Role {
    Client,
    Server,
    Hub,
}

impl From<proto::Role> for Role {
    fn from(role: proto::Role) -> Self {
        match role {
            proto::Role::CommunicationServer => Self::Server,
            proto::Role::CommunicationServerHub => Self::Hub,
            proto::Role::Client | proto::Role::UnknownRole => Self::Client,
        }
    }
}

/// Frames that never reach the state machine, or never leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Dropped {
    /// The protocol has binary frames only.
    TextFrame,
    /// To a session that does not read, or is just being closed.
    Outbox,
}

/// Why a resume token counted for nothing before the state machine saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NoResume {
    /// It is none of this cluster's.
    Invalid,
    /// It was good once.
    Expired,
    /// It is for another identity or role.
    Foreign,
}

impl NoResume {
    pub(super) const ALL: [Self; 3] = [Self::Invalid, Self::Expired, Self::Foreign];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
        }
    }
}

/// What came of reading the certificate again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Reload {
    /// There is another one.
    Changed,
    /// It cannot be used.
    Failed,
}

/// How an HTTP request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Request {
    /// With a response, or an upgrade.
    Served,
    /// It took too long.
    TimedOut,
    /// There was no agreement on TLS.
    TlsFailed,
    /// It was no HTTP.
    Malformed,
    /// The connection ended first.
    Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRole {
    pub(super) role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByEnd {
    pub(super) role: Role,
    pub(super) reason: End,
}

/// One label, `result`.
pub(super) type ByResult<Result> = [(&'static str, Result); 1];

/// One label, `reason`.
pub(super) type By<Reason> = [(&'static str, Reason); 1];

pub(super) const fn by<Reason: Copy>(reason: Reason) -> By<Reason> {
    [("reason", reason)]
}
