//! Room that all peers share: for what waits for them, and for what came from them and is not read.
//! Who is within its share finds it always. Of the others, one that sends is left unread until there
//! is some; one that is sent to loses unreliable packets, and for a reliable one whoever holds most
//! is closed as the slow consumer that it is.

use super::{
    Peers,
    seats::{Seat, lane_config},
};
use crate::{
    outbox::Policy,
    pool::{Account, Pool},
    stats::{DropReason, Stats, count},
};
use rtc_peer::Lane;

/// What all peers hold.
#[derive(Debug)]
pub(super) struct Pools {
    /// Of what came from them.
    received: Pool,
    /// Of what is to go to them.
    waiting: Pool,
}

/// What one holds.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    received: Account,
    waiting: Account,
}

impl Pools {
    pub(super) fn new(received: Pool, waiting: Pool) -> Self {
        Self { received, waiting }
    }

    /// A peer is there.
    pub(super) fn seat(&mut self, seat: &mut Seat) {
        self.received.set_shares(&mut seat.accounts.received, 1);
        self.waiting.set_shares(&mut seat.accounts.waiting, 1);
    }

    /// What waits for it may be as much as for so many.
    pub(super) fn scale(&mut self, seat: &mut Seat, times: usize) {
        self.waiting.set_shares(&mut seat.accounts.waiting, times);
    }

    /// It has gone.
    pub(super) fn vacate(&mut self, seat: &mut Seat) {
        self.received.set_shares(&mut seat.accounts.received, 0);
        self.waiting.set_shares(&mut seat.accounts.waiting, 0);
    }

    /// Before a peer is given what came: how much of it may be held.
    pub(super) fn limit_received(&self, seat: &mut Seat) {
        let room = self.received.room(&seat.accounts.received);
        seat.peer.set_received_max(room);
    }

    /// What a peer holds may have changed.
    pub(super) fn settle(&mut self, seat: &mut Seat) {
        self.settle_received(seat);
        self.settle_waiting(seat);
    }

    pub(super) fn settle_received(&mut self, seat: &mut Seat) {
        let held = seat.peer.received_bytes();
        self.received.settle(&mut seat.accounts.received, held);
    }

    pub(super) fn settle_waiting(&mut self, seat: &mut Seat) {
        let held = seat.waiting_cost();
        self.waiting.settle(&mut seat.accounts.waiting, held);
    }

    /// Whether so much more may wait for a peer.
    pub(super) fn has_room(&self, seat: &Seat, bytes: usize) -> bool {
        let account = &seat.accounts.waiting;
        account.held().saturating_add(bytes) <= self.waiting.room(account)
    }

    /// Whether a peer that was refused a packet would find room for it now.
    fn has_room_again(&self, seat: &Seat) -> bool {
        let account = &seat.accounts.received;
        account.held().saturating_add(REFUSED_BYTES_MAX) <= self.received.room(account)
    }

    /// How far a peer that can be closed for it is above what is its own.
    fn excess(&self, seat: &Seat) -> Option<usize> {
        let account = &seat.accounts.waiting;
        let counts = !seat.closing && self.waiting.is_above_share(account);
        counts.then(|| account.held_per_share())
    }

    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.held()
    }

    pub(super) fn count(&self, stats: &Stats) {
        stats.received_bytes.set(count(self.received.held()));
        stats.waiting_bytes.set(count(self.waiting.held()));
    }
}

impl Accounts {
    /// It is about to be closed: what waits for it counts no more.
    pub(super) fn is_written_off(&self) -> bool {
        self.waiting.is_closed()
    }
}

impl Peers {
    /// Finds room for a packet to a peer that is above its share, when all is taken.
    pub(super) fn find_room(
        &mut self,
        index: usize,
        lane: Lane,
        bytes: usize,
    ) -> Result<(), DropReason> {
        if lane_config(&self.config, lane).policy != Policy::Buffered {
            return Err(DropReason::PoolEmpty);
        }
        loop {
            let excess = |seat: &Seat| self.pools.excess(seat);
            let most = self.seats.most(excess).filter(|most| *most != index);
            self.write_off(most.unwrap_or(index));
            match self.seats.at(index) {
                Some(seat) if seat.accounts.is_written_off() => {
                    return Err(DropReason::SlowConsumer);
                }
                Some(seat) if self.pools.has_room(seat, bytes) => return Ok(()),
                Some(_) => {}
                None => return Err(DropReason::PeerGone),
            }
        }
    }

    /// Takes a peer for a slow consumer: what waits in its outboxes is dropped at once, the rest
    /// goes when its owner closes it, within the pass.
    fn write_off(&mut self, index: usize) {
        let key = self.seats.key(index);
        let Some(seat) = self.seats.at(index) else {
            return;
        };
        let dropped = Lane::ALL.map(|lane| seat.lane(lane).1.give_up());
        self.stats
            .count_drops(DropReason::SlowConsumer, dropped.iter().sum());
        self.pools.waiting.set_shares(&mut seat.accounts.waiting, 0);
        self.stats.slow_consumers.add(1);
        self.stats.crowded_out.add(1);
        self.work.slow.push_back((key, Lane::Reliable));
    }

    /// Puts a peer that was refused a packet on the list of those who wait for room.
    pub(super) fn note_starved(&mut self, index: usize) {
        if let Some(seat) = self.seats.at(index)
            && seat.peer.wants_room()
            && !std::mem::replace(&mut seat.starved, true)
        {
            self.work.starved.push_back(index);
        }
    }

    /// Lets some of those who wait for room go on, if there is some.
    pub(super) fn wake_starved(&mut self) {
        for _ in 0..self.work.starved.len().min(STARVED_PER_PASS) {
            let Some(index) = self.work.starved.pop_front() else {
                return;
            };
            let Some(seat) = self.seats.at(index).filter(|seat| seat.starved) else {
                continue;
            };
            if self.pools.has_room_again(seat) {
                seat.starved = false;
                self.pools.limit_received(seat);
                self.touch(index);
            } else {
                self.work.starved.push_back(index);
            }
        }
    }
}

/// What an engine may keep of one who was refused: a datagram, and its place in the tables.
const REFUSED_BYTES_MAX: usize = 4096;
/// A bound for what a pass does about them.
const STARVED_PER_PASS: usize = 64;
