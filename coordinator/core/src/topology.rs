//! Who is to be linked with whom, and so: who is told of whom, and whose signals reach whom.

use proto::Role;

use crate::{
    registry::Session,
    signal::{Kind, is_server},
};

/// How servers are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// Each with each. A hub is a server like the others, but clients are not sent to it.
    #[default]
    Mesh,
    /// Each with the hub, of which there is one. Clients are at the others.
    Star,
}

impl Topology {
    /// Every one, by its name.
    pub const ALL: [(&str, Self); 2] = [("mesh", Self::Mesh), ("star", Self::Star)];

    /// Whether two servers are told of each other.
    pub(crate) fn links(self, one: Role, other: Role) -> bool {
        match self {
            Self::Mesh => true,
            Self::Star => is_hub(one) != is_hub(other),
        }
    }

    /// Whether there may be one hub at most.
    pub(crate) fn has_one_hub(self) -> bool {
        self == Self::Star
    }

    /// Servers reach those that they are told of and the clients that asked for them; clients reach
    /// servers that are for clients. Nobody reaches a stranger.
    pub(crate) fn may_reach(self, sender: &Session, target: &Session, kind: Kind) -> bool {
        match (sender.is_server(), target.is_server()) {
            (true, true) => sender.alias != target.alias && self.links(sender.role, target.role),
            (true, false) => kind != Kind::Connect && target.has_contacted(sender.alias),
            (false, true) => {
                is_for_clients(target.role)
                    && matches!(kind, Kind::Connect | Kind::Answer | Kind::Candidate)
            }
            (false, false) => false,
        }
    }
}

/// Whether clients may be sent to a server.
pub(crate) fn is_for_clients(server: Role) -> bool {
    is_server(server) && !is_hub(server)
}

pub(crate) fn is_hub(role: Role) -> bool {
    role == Role::CommunicationServerHub
}
