//! What happened, in plain numbers: the shell turns them into metrics.

/// Counted since the start, except where it says "now".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Sessions of clients, now.
    pub clients: u64,
    /// Sessions of servers and hubs, now.
    pub servers: u64,
    /// Those servers to which clients are sent, now: live, with room, and not silent.
    pub servers_live: u64,
    /// Those without room, now.
    pub servers_full: u64,
    /// Those that are about to go, now.
    pub servers_draining: u64,
    /// Those that have said how they are doing and are silent since, now.
    pub servers_stale: u64,
    /// Hubs, now: no clients are sent to them, however they are doing.
    pub hubs: u64,
    /// Clients that wait for a server that has room, now.
    pub waiting: u64,
    /// Signals relayed.
    pub relayed: u64,
    /// LOADs taken.
    pub loads: u64,
    /// WELCOMEs.
    pub welcomes: u64,
    /// SERVERS.
    pub server_lists: u64,
    /// PEER_GONEs.
    pub peers_gone: u64,
    /// ERRORs about a peer that is not there.
    pub errors: u64,
    /// Sessions refused because there is no room for another.
    pub refused: u64,
    /// Sessions closed because their owner was revoked.
    pub revoked: u64,
    /// Those who are not to be here any more, now.
    pub revocations: u64,
    /// Revocations for which there was no room.
    pub revocations_refused: u64,
    /// Sessions that had something to take up.
    pub resumes: Resumes,
    /// Signals that went nowhere.
    pub dropped: Dropped,
}

impl Stats {
    /// Servers that are no hubs, by whether clients are sent to them, named as a metric's label.
    #[must_use]
    pub const fn servers_by_state(&self) -> [(&'static str, u64); 4] {
        [
            ("live", self.servers_live),
            ("full", self.servers_full),
            ("draining", self.servers_draining),
            ("stale", self.servers_stale),
        ]
    }
}

/// Sessions that had something to take up, by what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resumes {
    /// They have their alias again.
    pub kept: u64,
    /// They have it again, and the session that had it is replaced.
    pub replaced: u64,
    /// Somebody else has the alias now; they were given another.
    pub in_use: u64,
    /// No coordinator gives such an alias; they were given another.
    pub absurd: u64,
}

impl Resumes {
    /// Every outcome with its count, named as a metric's label.
    #[must_use]
    pub const fn by_result(&self) -> [(&'static str, u64); 4] {
        [
            ("kept", self.kept),
            ("replaced", self.replaced),
            ("in_use", self.in_use),
            ("absurd", self.absurd),
        ]
    }
}

macro_rules! drops {
    ($($(#[doc = $doc:literal])+ $field:ident $reason:ident;)+) => {
        /// Signals that went nowhere, by reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Dropped {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        /// Why a signal went nowhere.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $reason,)+
        }

        impl Dropped {
            /// Every reason with its count.
            #[must_use]
            pub fn by_reason(&self) -> Vec<(DropReason, u64)> {
                vec![$((DropReason::$reason, self.$field)),+]
            }

            pub(crate) const fn count(&mut self, reason: DropReason) {
                match reason {
                    $(DropReason::$reason => self.$field += 1,)+
                }
            }
        }

        impl DropReason {
            /// As a metric's label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($field),)+
                }
            }
        }
    };
}

drops! {
    /// No message at all.
    undecodable Undecodable;
    /// Of a type that this coordinator does not know.
    unknown_type UnknownType;
    /// Of a type that is not relayed.
    unexpected_type UnexpectedType;
    /// Larger than a signal may be.
    too_large TooLarge;
    /// Faster than the session may signal.
    rate_limited RateLimited;
    /// To somebody who is not there.
    target_gone TargetGone;
    /// To somebody whom the sender may not reach.
    target_forbidden TargetForbidden;
    /// From a session that is closed.
    session_gone SessionGone;
    /// From a client, and for servers only to send.
    server_only ServerOnly;
    /// A LOAD of which the state is not known.
    bad_load BadLoad;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_counter() {
        let mut dropped = Dropped::default();
        for (reason, _) in Dropped::default().by_reason() {
            dropped.count(reason);
        }
        let counts = dropped.by_reason();
        assert!(counts.iter().all(|&(_, count)| count == 1), "{counts:?}");
        assert_eq!(DropReason::TargetGone.label(), "target_gone");
    }
}
