//! Who is not to be here any more: closed, not let in, and told to the servers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{
    Reason,
    revocation::{Target, messages},
};

use crate::{
    Coordinator, Output, Resume, SessionId, count,
    registry::{Newcomer, Session},
};

impl Coordinator {
    /// From now on until then. Where there is no room nothing happens: see [`Self::is_revoked`].
    pub(crate) fn revoke(&mut self, now: Instant, target: Target, until: Instant) {
        if self.revoked.set(now, target.clone(), until).is_err() {
            self.stats.revocations_refused += 1;
            return;
        }
        let entry = target.to_entry(seconds(until.saturating_duration_since(now)));
        for bytes in messages([entry]) {
            self.tell_servers(&bytes);
        }
        let clients = self.registry.sessions().filter(|it| !it.is_server());
        let meant = clients.filter(|client| {
            let alias = Some(client.alias.number());
            let mut all = Target::all_of(&client.identity, client.token_id.as_ref(), alias);
            until > now && all.any(|known| known == target)
        });
        let mut meant: Vec<SessionId> = meant.map(|client| client.id).collect();
        meant.sort_unstable();
        for session in meant {
            self.stats.revoked += 1;
            self.close(session);
            let reason = Reason::Revoked;
            self.outputs.push_back(Output::Close { session, reason });
        }
        self.stats.revocations = count(self.revoked.len());
    }

    /// Whether somebody who asks to be let in is meant. The alias is the one to be taken up: it is
    /// what the operator has seen of a client without a name.
    pub(crate) fn shuts_out(&self, now: Instant, newcomer: &Newcomer) -> bool {
        let alias = |resume: Resume| resume.alias.number();
        let (name, token) = (&newcomer.identity, newcomer.token_id.as_ref());
        let all = Target::all_of(name, token, newcomer.resume.map(alias));
        !newcomer.is_server() && self.revoked.covers(now, all)
    }

    /// Whether this holds now.
    #[must_use]
    pub fn is_revoked(&self, now: Instant, target: &Target) -> bool {
        self.revoked.covers(now, [target.clone()])
    }

    /// All that hold now, and until when.
    pub fn revocations(&self, now: Instant) -> impl Iterator<Item = (&Target, Instant)> {
        self.revoked.current(now)
    }

    /// Tells a server that comes all of it.
    pub(crate) fn send_revocations(&mut self, now: Instant, id: SessionId) {
        let current = self.revoked.current(now);
        let entries = current
            .map(|(target, until)| target.to_entry(seconds(until.saturating_duration_since(now))));
        for bytes in messages(entries) {
            self.send(id, bytes);
        }
    }

    fn tell_servers(&mut self, bytes: &Bytes) {
        let servers = self.registry.servers().filter(|server| server.ours);
        let servers: Vec<SessionId> = servers.map(|server: &Session| server.id).collect();
        for id in servers {
            self.send(id, bytes.clone());
        }
    }
}

/// Rounded up: better a second too long than let in too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
