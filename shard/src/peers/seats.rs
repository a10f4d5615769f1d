//! Where the peers of a shard sit: slots that are used again, with a generation that makes the keys
//! of earlier occupants stale, and what the shard keeps beside each engine.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use rtc_peer::{Lane, Output, Peer, Transmit};

use super::room::Accounts;
use crate::{
    budget::{self, Budget},
    config::Config,
    outbox::{self, Outbox},
    stats::{DropReason, Stats},
};

/// Names a peer of one shard for as long as it lives. A stale key is harmless: it finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey {
    /// Slot.
    pub index: u32,
    /// How many peers had the slot before.
    pub generation: u32,
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// All slots, free ones included.
#[derive(Debug, Default)]
pub(super) struct Seats {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// `None` in a free slot.
    seat: Option<Box<Seat>>,
}

impl Seats {
    /// Seats a peer; returns its slot.
    pub(super) fn insert(&mut self, peer: Peer) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(index) {
            slot.seat = Some(Box::new(Seat::new(peer)));
        }
        index
    }

    /// Frees a slot. Its key is stale from now on.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index)
            && slot.seat.take().is_some()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
        }
    }

    /// The key of whoever sits in a slot now.
    pub(super) fn key(&self, index: usize) -> PeerKey {
        PeerKey {
            // peers_max is below 2^32: Peers::new cuts it.
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: self.slots.get(index).map_or(0, |slot| slot.generation),
        }
    }

    /// The slot and seat of a key that is not stale.
    pub(super) fn find(&mut self, key: PeerKey) -> Option<(usize, &mut Seat)> {
        let index = usize::try_from(key.index).ok()?;
        let slot = self.slots.get_mut(index)?;
        if slot.generation != key.generation {
            return None;
        }
        Some((index, slot.seat.as_deref_mut()?))
    }

    /// As [`Seats::find`], to look only.
    pub(super) fn view(&self, key: PeerKey) -> Option<&Seat> {
        let slot = self.slots.get(usize::try_from(key.index).ok()?)?;
        let seat = slot.seat.as_deref()?;
        (slot.generation == key.generation).then_some(seat)
    }

    /// Whoever sits in a slot.
    pub(super) fn at(&mut self, index: usize) -> Option<&mut Seat> {
        self.slots.get_mut(index)?.seat.as_deref_mut()
    }

    /// The slot of whoever has most of something.
    pub(super) fn most(&self, measure: impl Fn(&Seat) -> Option<usize>) -> Option<usize> {
        let seats = self.slots.iter().map(|slot| slot.seat.as_deref());
        let measured = seats.enumerate().filter_map(|(index, seat)| {
            let measure = measure(seat?)?;
            Some((measure, index))
        });
        measured.max().map(|(_, index)| index)
    }

    /// The keys of all who sit.
    pub(super) fn keys(&self) -> Vec<PeerKey> {
        let indices = 0..self.slots.len();
        let keys = indices.map(|index| self.key(index));
        keys.filter(|key| self.view(*key).is_some()).collect()
    }

    /// How many sit.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// What a peer may still send.
#[derive(Debug, Default)]
struct Budgets {
    reliable: Budget,
    unreliable: Budget,
    /// Its own, where they are not everybody's.
    own: Option<[budget::Config; 2]>,
    /// It may send what it likes.
    exempt: bool,
    /// Until then its reliable lane is left unread.
    paused_until: Option<Instant>,
}

/// What becomes of a packet that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Passes,
    /// It passes, and was the last for now.
    Last,
    /// It is over the budget.
    Dropped,
}

/// A peer and what the shard keeps about it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) peer: Peer,
    outboxes: [Outbox; 2],
    budgets: Budgets,
    pub(super) accounts: Accounts,
    /// It stands in the list of those who wait for room.
    pub(super) starved: bool,
    /// It stands in the list of those to be polled for events.
    pub(super) unpolled: bool,
    /// It stands in the list of those to be flushed.
    pub(super) unflushed: bool,
    /// It was told to close: it accepts nothing more, and tells nothing but that it closed.
    pub(super) closing: bool,
    /// It told that it closed; freed when its last datagrams are out.
    pub(super) closed: bool,
    /// Came out of the engine while datagrams were asked for: at most one.
    event: Option<Output>,
    /// Came out of the engine while events were asked for: a handshake's or a goodbye's few.
    transmits: VecDeque<Transmit>,
    /// What the engine dropped, as far as it was counted.
    drops: [u64; ENGINE_DROPS],
}

impl Seat {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            outboxes: Default::default(),
            budgets: Budgets::default(),
            accounts: Accounts::default(),
            starved: false,
            unpolled: false,
            unflushed: false,
            closing: false,
            closed: false,
            event: None,
            transmits: VecDeque::new(),
            drops: [0; ENGINE_DROPS],
        }
    }

    /// What the engine has to tell. Datagrams that it has ready are kept for the flush.
    pub(super) fn poll_event(&mut self) -> Option<Output> {
        if let Some(event) = self.event.take() {
            return Some(event);
        }
        loop {
            match self.peer.poll_ready()? {
                Output::Transmit(transmit) => self.transmits.push_back(transmit),
                event => return Some(event),
            }
        }
    }

    /// What the engine has to send; an event that comes before it is kept, and ends the flush.
    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.transmits.pop_front() {
            return Some(transmit);
        }
        if self.event.is_some() {
            return None;
        }
        match self.peer.poll_output()? {
            Output::Transmit(transmit) => Some(transmit),
            event => {
                self.event = Some(event);
                None
            }
        }
    }

    /// Whether the flush ended before an event that is to be told first.
    pub(super) fn holds_event(&self) -> bool {
        self.event.is_some()
    }

    /// Counts what the engine dropped since the last time.
    pub(super) fn count_drops(&mut self, stats: &Stats) {
        let engine = self.peer.stats();
        let drops = [
            (DropReason::UnknownProtocol, engine.dropped_unknown),
            (DropReason::Oversize, engine.dropped_oversize),
            (DropReason::StunRefused, engine.dropped_stun),
            (DropReason::DtlsUnproven, engine.dropped_unproven),
            (DropReason::DtlsRefused, engine.dropped_dtls),
            (DropReason::TooEarly, engine.dropped_early),
            (DropReason::BadCandidate, engine.dropped_candidates),
            (DropReason::BadSignal, engine.dropped_signals),
            (DropReason::SctpRefused, engine.dropped_sctp),
            (DropReason::UnknownChannel, engine.dropped_packets),
        ];
        for ((reason, now), counted) in drops.into_iter().zip(&mut self.drops) {
            if now != *counted {
                stats.count_drops(reason, now - *counted);
                *counted = now;
            }
        }
    }

    /// The engine and one lane's outbox, to move packets between them.
    pub(super) fn lane(&mut self, lane: Lane) -> (&mut Peer, &mut Outbox) {
        let [reliable, unreliable] = &mut self.outboxes;
        let outbox = match lane {
            Lane::Reliable => reliable,
            Lane::Unreliable => unreliable,
        };
        (&mut self.peer, outbox)
    }

    /// What waits for it takes in memory, in its outboxes and its engine.
    pub(super) fn waiting_cost(&self) -> usize {
        let lanes = Lane::ALL.map(|lane| {
            let outbox = self.outbox(lane);
            let sent = self.peer.buffered_packets(lane) * Peer::SENT_PACKET_BYTES;
            let queued = outbox.len() * outbox::PACKET_BYTES;
            outbox.bytes() + queued + self.peer.buffered_bytes(lane) + sent
        });
        lanes.iter().sum()
    }

    pub(super) fn outbox(&self, lane: Lane) -> &Outbox {
        let [reliable, unreliable] = &self.outboxes;
        match lane {
            Lane::Reliable => reliable,
            Lane::Unreliable => unreliable,
        }
    }

    /// Charges a packet that came to the lane's budget. When that leaves nothing on the reliable
    /// lane, the lane is left unread from here on.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        lane: Lane,
        bytes: usize,
        config: &Config,
    ) -> Admission {
        if self.budgets.exempt {
            return Admission::Passes;
        }
        let everybodys = [config.reliable_budget, config.unreliable_budget];
        let [reliable, unreliable] = self.budgets.own.unwrap_or(everybodys);
        match lane {
            Lane::Unreliable => {
                let (budget, config) = (&mut self.budgets.unreliable, &unreliable);
                if !budget.allows(now, config) {
                    return Admission::Dropped;
                }
                budget.take(now, bytes, config);
                Admission::Passes
            }
            Lane::Reliable => {
                let (budget, config) = (&mut self.budgets.reliable, &reliable);
                budget.take(now, bytes, config);
                let next = budget.next(config).filter(|next| *next > now);
                if next.is_some_and(|next| self.leave_unread(now, next)) {
                    return Admission::Last;
                }
                Admission::Passes
            }
        }
    }

    /// Leaves its reliable lane unread until then, or for longer if that was said already. Says
    /// whether it was read up to now.
    pub(super) fn leave_unread(&mut self, now: Instant, until: Instant) -> bool {
        if self.budgets.exempt || self.closing {
            return false;
        }
        let paused_until = self.budgets.paused_until;
        let until = until.max(now + PAUSE_MIN);
        self.budgets.paused_until = Some(paused_until.map_or(until, |other| other.max(until)));
        if paused_until.is_none() {
            self.peer.set_paused(now, Lane::Reliable, true);
        }
        paused_until.is_none()
    }

    /// Reads its reliable lane again if it is time.
    pub(super) fn end_pause(&mut self, now: Instant) {
        if self.budgets.paused_until.is_some_and(|until| until <= now) {
            self.budgets.paused_until = None;
            self.peer.set_paused(now, Lane::Reliable, false);
        }
    }

    /// From now on it has budgets of its own.
    pub(super) fn set_budgets(&mut self, reliable: budget::Config, unreliable: budget::Config) {
        self.budgets.own = Some([reliable, unreliable]);
    }

    /// From now on it may send what it likes.
    pub(super) fn exempt(&mut self, now: Instant) {
        self.budgets.exempt = true;
        self.budgets.paused_until = None;
        self.peer.set_paused(now, Lane::Reliable, false);
    }

    /// When it wants to be woken: by its engine, because an outbox's grace ends, or to be read.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let graces = Lane::ALL.map(|lane| self.outbox(lane).deadline(lane_config(config, lane)));
        let others = [self.peer.next_deadline(), self.budgets.paused_until];
        graces.into_iter().chain(others).flatten().min()
    }
}

pub(super) fn lane_config(config: &Config, lane: Lane) -> &outbox::Config {
    match lane {
        Lane::Reliable => &config.reliable,
        Lane::Unreliable => &config.unreliable,
    }
}

/// Shortest pause: below it a peer at its limit would wake the shard for every packet.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// How many reasons of its own an engine has to drop something.
const ENGINE_DROPS: usize = 10;
