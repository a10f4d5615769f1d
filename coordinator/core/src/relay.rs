//! Whose signals reach whom.

use std::time::Instant;

use bytes::Bytes;
use proto::Reason;

use crate::{
    Alias, Coordinator, DropReason, SessionId,
    registry::Session,
    signal::{Kind, Signal},
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
        let signal = Signal::decode(bytes)?;
        let delivered = self.deliver(from, signal);
        if let Err((Kind::Connect, to, _)) = delivered {
            self.refuse_connect(from, to);
        }
        delivered.map_err(|(_, _, reason)| reason)
    }

    fn deliver(&mut self, from: SessionId, signal: Signal) -> Result<(), Undelivered> {
        let (kind, to) = (signal.kind(), signal.to());
        let undelivered = |reason| (kind, to, reason);
        let target = self.registry.by_alias(to);
        let target = target.ok_or_else(|| undelivered(DropReason::TargetGone))?;
        let sender = self.registry.session(from);
        let sender = sender.ok_or_else(|| undelivered(DropReason::SessionGone))?;
        if !may_reach(sender, target, kind) {
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

/// Servers reach each other and the clients that asked for them; clients reach servers. Nobody
/// reaches a stranger.
fn may_reach(sender: &Session, target: &Session, kind: Kind) -> bool {
    match (sender.is_server(), target.is_server()) {
        (true, true) => sender.alias != target.alias,
        (true, false) => kind != Kind::Connect && target.has_contacted(sender.alias),
        (false, true) => matches!(kind, Kind::Connect | Kind::Answer | Kind::Candidate),
        (false, false) => false,
    }
}
