//! Those who are not to be here any more, in the coordinator's word.

use std::time::{Duration, Instant};

use proto::{Reason, RevokedMessage, revocation::Target};

use super::Broker;
use crate::{
    Identity, PeerId,
    peer::{Peer, State, is_server},
};

impl Broker {
    /// Closes those who are meant, and remembers, so that they do not come back. What was said
    /// before holds on: a coordinator that has forgotten it lets nobody in again.
    pub(super) fn handle_revoked(&mut self, now: Instant, message: &RevokedMessage) {
        for entry in &message.entries {
            let Some(target) = Target::of_entry(entry) else {
                continue;
            };
            let until = now.checked_add(Duration::from_secs(entry.for_s));
            let until = until.unwrap_or(now + FOR_MAX);
            let forgotten = self.revoked.set_at_any_cost(now, &target, until);
            self.stats.revocations_forgotten += u64::try_from(forgotten).unwrap_or(u64::MAX);
        }
        let meant = |id: &PeerId| self.is_revoked(now, *id, None);
        let meant: Vec<PeerId> = self.peers.ids().filter(meant).collect();
        for id in meant {
            self.close(now, id, Reason::Revoked);
        }
        self.stats.revocations = self.revoked.len();
    }

    /// Whether a client is meant, by what is known of it or by what has just been found.
    pub(super) fn is_revoked(&self, now: Instant, id: PeerId, found: Option<&Identity>) -> bool {
        let Some(peer) = self.peers.get(id).filter(|peer| is_client(peer)) else {
            return false;
        };
        let mut targets: Vec<Target> = vec![Target::Alias(peer.alias)];
        if let State::Ready(ready) = &peer.state {
            let token = ready.access.token_id.as_ref();
            targets.extend(Target::all_of(&ready.identity, token, None));
        }
        if let Some(found) = found {
            let token = found.token_id.as_ref();
            targets.extend(Target::all_of(&found.identity, token, None));
        }
        self.revoked.covers(now, targets)
    }
}

/// No link is closed: a server is in the cluster as long as it knows the secret.
fn is_client(peer: &Peer) -> bool {
    match &peer.state {
        State::Ready(ready) => !ready.is_link(),
        _ => !is_server(peer.stamp),
    }
}

/// As good as for ever.
const FOR_MAX: Duration = Duration::from_hours(24 * 366);
