//! Whose signals reach whom.

use std::time::Instant;

use bytes::Bytes;
use proto::{LoadMessage, Reason};

use crate::{
    Alias, Coordinator, DropReason, SessionId,
    signal::{Kind, Received, Signal},
};

impl Coordinator {
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        from: SessionId,
        bytes: Bytes,
    ) -> Result<(), DropReason> {
        let size = bytes.len();
        let sender = self.registry.session_mut(from);
        let sender = sender.ok_or(DropReason::SessionGone)?;
        let rate = if sender.is_server() {
            self.limits.server_rate
        } else {
            self.limits.client_rate
        };
        if !sender.bucket.admit(now, rate) {
            return Err(DropReason::RateLimited);
        }
        if size > self.limits.signal_bytes_max {
            return Err(DropReason::TooLarge);
        }
        let signal = match Received::decode(bytes)? {
            Received::Signal(signal) => signal,
            Received::Load(load) => return self.hear_load(now, from, &load),
        };
        let delivered = self.deliver(from, signal);
        if let Err((Kind::Connect, to, _)) = delivered {
            self.refuse_connect(from, to);
        }
        delivered.map_err(|(_, _, reason)| reason)
    }

    /// A server says how it is doing.
    fn hear_load(
        &mut self,
        now: Instant,
        from: SessionId,
        load: &LoadMessage,
    ) -> Result<(), DropReason> {
        let server = self.registry.session_mut(from);
        let server = server.filter(|sender| sender.is_server());
        let server = server.ok_or(DropReason::ServerOnly)?;
        if !server.server.load.hear(now, load) {
            return Err(DropReason::BadLoad);
        }
        self.stats.loads += 1;
        self.servers_changed();
        Ok(())
    }

    fn deliver(&mut self, from: SessionId, signal: Signal) -> Result<(), Undelivered> {
        let (kind, to) = (signal.kind(), signal.to());
        let undelivered = |reason| (kind, to, reason);
        let target = self.registry.by_alias(to);
        let target = target.ok_or_else(|| undelivered(DropReason::TargetGone))?;
        let sender = self.registry.session(from);
        let sender = sender.ok_or_else(|| undelivered(DropReason::SessionGone))?;
        if !self.topology.may_reach(sender, target, kind) {
            return Err(undelivered(DropReason::TargetForbidden));
        }
        let bytes = signal.encode_stamped(sender.alias, sender.role);
        let to_session = target.id;
        let contacts_max = self.limits.contacts_max;
        if kind == Kind::Connect
            && let Some(sender) = self.registry.session_mut(from)
            && !sender.is_server()
        {
            sender.contact(to, contacts_max);
            self.registry.send_to(from, to);
            self.standings_due = true;
        }
        self.stats.relayed += 1;
        self.send(to_session, bytes);
        Ok(())
    }

    /// The same answer to whoever is not there and whoever may not be reached: aliases cannot be
    /// tried out.
    fn refuse_connect(&mut self, from: SessionId, to: Alias) {
        if self
            .registry
            .session(from)
            .is_some_and(|sender| sender.ours)
        {
            self.stats.errors += 1;
            let error = Reason::PeerUnavailable.error_about_peer(to.number());
            self.send(from, error);
        }
    }
}

type Undelivered = (Kind, Alias, DropReason);
