//! Who is who in a run.

use std::fmt;

/// A place in the cluster, which stays the same when its program is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// The coordinator.
    Coordinator,
    /// A communication server, by index.
    Server(usize),
    /// A client, honest or not, by index.
    Member(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => write!(f, "coordinator"),
            Self::Server(index) => write!(f, "server{index}"),
            Self::Member(index) => write!(f, "client{index}"),
        }
    }
}

/// One life of a node: what is meant for an earlier life is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Life {
    pub(super) node: Node,
    pub(super) run: u32,
}

/// A signalling socket, counted through the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SocketKey(pub(super) usize);

/// One side of a WebRTC peer, counted through the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EngineKey(pub(super) usize);

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket{}", self.0)
    }
}

impl fmt::Display for EngineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine{}", self.0)
    }
}
