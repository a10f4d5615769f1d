//! The two lanes of a peer.

use std::fmt;

/// One of the two ways to a peer: a data channel each on WebRTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Ordered, retransmitted until acknowledged. The channel labelled `reliable`.
    Reliable,
    /// Unordered, sent once. The channel labelled `unreliable`.
    Unreliable,
}

impl Lane {
    /// Both, in the order in which an acceptor opens them.
    pub const ALL: [Self; 2] = [Self::Reliable, Self::Unreliable];

    /// The data channel's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
        }
    }

    /// 0 for reliable, 1 for unreliable: for tables with a place for each.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Reliable => 0,
            Self::Unreliable => 1,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
