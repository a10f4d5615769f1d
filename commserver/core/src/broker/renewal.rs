//! Credentials that end: the client is told in time, shows new ones on the peer that it has, or is
//! closed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{AuthMessage, Message, MessageType, Reason, RefreshMessage};

use super::Broker;
use crate::{
    Drop, Identity, Output, PeerId,
    grants::Access,
    peer::{Peer, State},
};

impl Broker {
    /// Its credentials are new: looks when they end.
    pub(super) fn await_end(&mut self, now: Instant, id: PeerId) {
        let timings = &self.config.timings;
        let Some(ready) = self.peers.ready_mut(id) else {
            return;
        };
        ready.renewal.last = now;
        let Some(at) = ready.access.expires else {
            ready.renewal.close_at = None;
            return self.peers.set_deadline(id, None);
        };
        // Half of what is left is soon enough for those that do not last long, and one who has been
        // asked always has the time to answer.
        let left = at.saturating_duration_since(now);
        let lead = timings.refresh_before.min(left / 2);
        let ask_at = now + left.saturating_sub(lead).max(INTERVAL);
        let close_at = at.max(ask_at + timings.refresh_timeout);
        ready.renewal.close_at = Some(close_at);
        let due = if ready.hello.ours { ask_at } else { close_at };
        self.peers.set_deadline(id, Some(due));
    }

    /// It is time to ask for new credentials, or to close who has shown none.
    pub(super) fn handle_ending(&mut self, now: Instant, id: PeerId) {
        let renewal = self.peers.ready(id).map(|ready| ready.renewal);
        let Some(close_at) = renewal.and_then(|renewal| renewal.close_at) else {
            return;
        };
        if close_at <= now {
            return self.close(now, id, Reason::TokenExpired);
        }
        self.stats.refreshes += 1;
        let within = close_at.saturating_duration_since(now).as_millis();
        let refresh = RefreshMessage {
            r#type: MessageType::Refresh.into(),
            within_ms: u32::try_from(within).unwrap_or(u32::MAX),
        };
        self.send(id, refresh.encode_to_vec().into());
        self.peers.set_deadline(id, Some(close_at));
    }

    /// AUTH of a client that is let in already. One at a time, and not too often: each is a question
    /// to the authenticator.
    pub(super) fn handle_renewal(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Ok(auth) = AuthMessage::decode(bytes.clone()) else {
            self.drop_one(Drop::Malformed);
            return self.complain(id, false, Reason::Malformed, 0, "");
        };
        let Some(Peer {
            pair,
            state: State::Ready(ready),
            ..
        }) = self.peers.get_mut(id)
        else {
            return;
        };
        let renewal = &mut ready.renewal;
        if renewal.judged || now.saturating_duration_since(renewal.last) < INTERVAL {
            return self.drop_one(Drop::AuthNotDue);
        }
        if auth.role() != ready.role {
            return self.close(now, id, Reason::Forbidden);
        }
        renewal.judged = true;
        renewal.last = now;
        self.outputs.push_back(Output::Authenticate {
            peer: id,
            role: ready.role,
            body: auth.body,
            pair: *pair,
        });
    }

    /// The authenticator's word on new credentials. Those that are not good end the peer, as they
    /// would have at the door; while nobody can tell, the old ones serve on.
    pub(super) fn handle_renewed(
        &mut self,
        now: Instant,
        id: PeerId,
        result: Result<Identity, Reason>,
    ) {
        let revoked = self.is_revoked(now, id, result.as_ref().ok());
        let Some(ready) = self.peers.ready_mut(id) else {
            return;
        };
        ready.renewal.judged = false;
        match result {
            Err(Reason::AuthUnavailable) => self.ask_again(now, id),
            Err(reason) => self.close(now, id, reason),
            Ok(_) if revoked => self.close(now, id, Reason::Revoked),
            Ok(found) if found.identity != ready.identity => {
                self.close(now, id, Reason::Forbidden);
            }
            Ok(found) => {
                ready.access = Access::new(&found, &self.hashing);
                self.stats.renewals += 1;
                self.await_end(now, id);
                self.confirm_renewal(now, id);
                self.end_what_is_not_granted(id);
            }
        }
    }

    /// Nobody could tell whether the new credentials are good: in half of the time that is left.
    fn ask_again(&mut self, now: Instant, id: PeerId) {
        let renewal = self.peers.ready(id).map(|ready| ready.renewal);
        if let Some(close_at) = renewal.and_then(|renewal| renewal.close_at) {
            let half = close_at.saturating_duration_since(now) / 2;
            let ask_at = now + half.max(INTERVAL);
            self.peers.set_deadline(id, Some(ask_at.min(close_at)));
        }
    }

    fn confirm_renewal(&mut self, now: Instant, id: PeerId) {
        let ready = self.peers.ready(id).filter(|ready| ready.hello.ours);
        if let Some(frame) = ready.map(|ready| self.ready_frame(now, id, ready, Bytes::new())) {
            self.send(id, frame);
        }
    }

    /// Ends the subscriptions that its new credentials do not allow any more; it is told of each.
    fn end_what_is_not_granted(&mut self, id: PeerId) {
        let Some(ready) = self.peers.ready(id) else {
            return;
        };
        let granted = &ready.access.subscribe;
        let topics = self.topics.of_peer(id);
        let ended = topics.filter(|topic| !granted.matches(topic)).cloned();
        let mut ended: Vec<_> = ended.collect();
        ended.sort_unstable();
        for topic in ended {
            self.topics.remove(id, &topic);
            self.send_error(id, Reason::SubscriptionEnded, 0, &topic);
        }
    }
}

/// Between two renewals of one client, and before the first.
const INTERVAL: Duration = Duration::from_secs(1);
