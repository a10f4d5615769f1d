//! Going away: who can go elsewhere is asked to, for a while; then everybody is closed.

use std::time::Instant;

use bytes::Bytes;
use proto::{Lane, Message, MessageType, MigrateMessage, Reason};

use super::Broker;
use crate::{
    Drain, Output, PeerId,
    io::Recipients,
    peer::{State, is_server},
};

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    /// Not at all.
    No,
    /// Those who are here may go until then; nobody comes any more.
    Draining { until: Option<Instant> },
    /// Nothing is waited for any more: the shell ends.
    Drained,
    /// Everybody is closed.
    Down,
}

impl Broker {
    /// Lets no client in any more, and asks ours to go.
    pub(super) fn drain(&mut self, now: Instant) {
        if self.going != Going::No {
            return;
        }
        let Drain { timeout, within } = self.config.drain;
        self.going = Going::Draining {
            until: now.checked_add(timeout),
        };
        self.stats.draining = true;
        self.turn_away(now);
        if timeout.is_zero() || !self.others_take_clients() {
            return;
        }
        let migrate = MigrateMessage {
            r#type: MessageType::Migrate.into(),
            within_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
        };
        // Those of 2019 could make nothing of it.
        let ready = self.peers.ids().filter(|&id| {
            let ready = self.peers.ready(id);
            ready.is_some_and(|ready| !ready.is_link() && ready.hello.ours)
        });
        let recipients: Recipients = ready.collect();
        let asked = u64::try_from(recipients.len()).unwrap_or(u64::MAX);
        self.stats.migrations_asked += asked;
        let frame = Bytes::from(migrate.encode_to_vec());
        self.deliver(recipients, Lane::Reliable, frame);
    }

    /// Clients that are not let in yet begin anew elsewhere.
    fn turn_away(&mut self, now: Instant) {
        let ids: Vec<PeerId> = self.peers.ids().collect();
        for id in ids {
            let Some(peer) = self.peers.get(id) else {
                continue;
            };
            let is_client = !peer.dialed && !is_server(peer.stamp);
            if !is_client || matches!(peer.state, State::Ready(_)) {
                continue;
            }
            if matches!(peer.state, State::Signalling) {
                self.refuse(peer.alias, Reason::ShuttingDown);
            }
            self.close(now, id, Reason::ShuttingDown);
        }
    }

    /// Whether there is nothing more to wait for: nobody is here, nobody has anywhere to go, or the
    /// time is over.
    pub(super) fn advance_drain(&mut self, now: Instant) {
        let Going::Draining { until } = self.going else {
            return;
        };
        let over = until.is_none_or(|until| until <= now);
        if over || self.peers.clients() == 0 || !self.others_take_clients() {
            self.going = Going::Drained;
            self.outputs.push_back(Output::Drained);
        }
    }

    /// Whether clients may find another server, as far as we know. One that is linked and not listed
    /// is on its way back to a restarted coordinator.
    fn others_take_clients(&self) -> bool {
        let mut links = self.peers.links();
        self.mesh.takes_clients() || links.any(|(peer, _)| !self.mesh.lists(peer.alias))
    }

    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        match self.going {
            Going::Draining { until } => until,
            _ => None,
        }
    }

    pub(super) fn shut_down(&mut self, now: Instant) {
        self.going = Going::Down;
        self.mesh.unreachable();
        self.load.unreachable();
        let ids: Vec<PeerId> = self.peers.ids().collect();
        for id in ids {
            self.close(now, id, Reason::ShuttingDown);
        }
    }
}
