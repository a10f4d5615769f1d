//! The peers of a shard: their engines, outboxes, names and deadlines. No I/O and no clock. This
//! file is the owner's side; `drive` is the shard's.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rtc_peer::{Fingerprint, Input, Lane, Peer, Role, SendError, Signal};

use crate::{
    budget::{self, Budget},
    config::Config,
    deadlines::Deadlines,
    demux::Demux,
    outbox::Push,
    pool::Pool,
    stats::{DropReason, Stats, count},
};

mod drive;
mod room;
mod seats;
#[cfg(test)]
mod tests;

use room::Pools;
pub use seats::PeerKey;
use seats::{Seats, lane_config};

/// All peers of a shard.
#[derive(Debug)]
pub struct Peers {
    config: Config,
    local_addrs: Vec<SocketAddr>,
    rng: StdRng,
    seats: Seats,
    demux: Demux,
    deadlines: Deadlines,
    unproved: Budget,
    pools: Pools,
    work: Work,
    /// When there was something last that somebody waits for.
    worked: Option<Instant>,
    stats: Arc<Stats>,
}

/// What is to be done before the pass ends.
#[derive(Debug, Default)]
struct Work {
    /// Slow consumers not told of yet: each peer at most once for each lane.
    slow: VecDeque<(PeerKey, Lane)>,
    /// Slots whose engine may have events; each peer at most once.
    unpolled: VecDeque<usize>,
    /// Slots whose engine may have datagrams; each peer at most once.
    unflushed: VecDeque<usize>,
    /// Slots whose flush met an event; each peer at most once.
    held: Vec<usize>,
    /// Slots whose engine was refused room; each peer at most once.
    starved: VecDeque<usize>,
}

/// There are [`Config::peers_max`] peers already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {peers_max} places for peers are taken")]
pub struct Full {
    /// The limit.
    pub peers_max: usize,
}

/// What became of a packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The engine has it; it leaves at the end of the pass.
    Accepted,
    /// It waits in the outbox.
    Queued,
    /// It is gone, and counted in [`Stats::dropped`].
    Dropped(DropReason),
}

impl Peers {
    pub(crate) fn new(mut config: Config, local_addrs: Vec<SocketAddr>, stats: Arc<Stats>) -> Self {
        let slots_max = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        config.peers_max = config.peers_max.min(slots_max);
        Self {
            local_addrs,
            rng: StdRng::seed_from_u64(config.seed),
            seats: Seats::default(),
            demux: Demux::default(),
            deadlines: Deadlines::default(),
            unproved: Budget::default(),
            pools: Pools::new(Pool::new(config.received), Pool::new(config.waiting)),
            work: Work::default(),
            worked: None,
            stats,
            config,
        }
    }

    /// Opens a peer; an acceptor's offer comes as the first [`crate::Event::Signal`].
    pub fn open(&mut self, now: Instant, role: Role) -> Result<PeerKey, Full> {
        let peers_max = self.config.peers_max;
        if self.len() >= peers_max {
            self.stats.peers_refused.add(1);
            return Err(Full { peers_max });
        }
        let settings = &self.config.peer;
        let peer = Peer::new(
            now,
            rtc_peer::Config {
                role,
                certificate: self.config.certificate.clone(),
                local_addrs: self.local_addrs.clone(),
                dtls: settings.dtls,
                message_bytes_max: settings.message_bytes_max,
                send_buffer_bytes: settings.send_buffer_bytes,
                handshake_timeout: settings.handshake_timeout,
                idle_timeout: settings.idle_timeout,
                seed: self.rng.random(),
            },
        );
        let user = peer.local_ufrag().to_owned();
        let index = self.seats.insert(peer);
        if let Some(seat) = self.seats.at(index) {
            self.pools.seat(seat);
        }
        self.demux.insert(index, &user);
        self.stats.peers_opened.add(1);
        self.count_peers();
        self.touch(index);
        Ok(self.seats.key(index))
    }

    /// Gives a peer what the remote's signalling sent.
    pub fn handle_signal(&mut self, now: Instant, key: PeerKey, signal: Signal) {
        if let Some((index, seat)) = self.seats.find(key) {
            seat.peer.handle_input(now, Input::Signal(signal));
            self.touch(index);
        }
    }

    /// Sends a packet. It leaves with everything else for this peer at the end of the pass.
    pub fn send(&mut self, now: Instant, key: PeerKey, lane: Lane, bytes: &Bytes) -> Sent {
        match self.try_send(now, key, lane, bytes) {
            Ok(sent) => sent,
            Err(reason) => {
                self.stats.count_drop(reason);
                Sent::Dropped(reason)
            }
        }
    }

    /// Closes a peer: what its engine holds goes out as far as it may at once, then the goodbye.
    /// Of its events only [`crate::Event::Closed`] follows.
    pub fn close(&mut self, now: Instant, key: PeerKey) {
        if let Some((index, seat)) = self.seats.find(key)
            && !seat.closing
        {
            seat.closing = true;
            seat.peer.handle_input(now, Input::Close);
            self.touch(index);
        }
    }

    /// Closes a peer and tells the other side why, in a number of the owner's. Unlike a packet it
    /// arrives even where the lanes are clogged.
    pub fn close_with(&mut self, now: Instant, key: PeerKey, code: u16) {
        if let Some((index, seat)) = self.seats.find(key)
            && !seat.closing
        {
            seat.closing = true;
            seat.peer.handle_input(now, Input::CloseWith(code));
            self.touch(index);
        }
    }

    /// Our certificate's fingerprint and the remote's proved one, once DTLS is up.
    #[must_use]
    pub fn fingerprints(&self, key: PeerKey) -> Option<(Fingerprint, Fingerprint)> {
        self.seats.view(key)?.peer.fingerprints()
    }

    /// The engine of a peer, to look at.
    #[must_use]
    pub fn engine(&self, key: PeerKey) -> Option<&Peer> {
        Some(&self.seats.view(key)?.peer)
    }

    /// Changes how long a peer may be silent.
    pub fn set_idle_timeout(&mut self, now: Instant, key: PeerKey, timeout: Duration) {
        if let Some((index, seat)) = self.seats.find(key) {
            seat.peer.set_idle_timeout(now, timeout);
            self.touch(index);
        }
    }

    /// Closes a peer as [`rtc_peer::CloseReason::IdleTimeout`] unless something authenticated (a
    /// consent check, a DTLS record) comes from it from now on within that time. Asked again
    /// meanwhile, the earlier deadline holds. For one who has a reason to doubt that anybody is
    /// there still.
    pub fn expect_traffic(&mut self, now: Instant, key: PeerKey, within: Duration) {
        if let Some((index, seat)) = self.seats.find(key) {
            seat.peer.expect_traffic(now, within);
            self.touch(index);
        }
    }

    /// Lets a peer's outboxes hold this many times the configured limits, and gives it as many
    /// shares of what may wait for all: for one that stands for many, as a server does for its clients.
    pub fn scale_outboxes(&mut self, key: PeerKey, times: usize) {
        if let Some((_, seat)) = self.seats.find(key) {
            self.pools.scale(seat, times.max(1));
            for lane in Lane::ALL {
                seat.lane(lane).1.scale(times);
            }
        }
    }

    /// Gives a peer budgets of its own, instead of everybody's. What it has used already counts.
    pub fn set_budgets(
        &mut self,
        key: PeerKey,
        reliable: budget::Config,
        unreliable: budget::Config,
    ) {
        if let Some((_, seat)) = self.seats.find(key) {
            seat.set_budgets(reliable, unreliable);
        }
    }

    /// Leaves the reliable lane of a peer unread until then, as if it had sent more than it may: for
    /// what an owner finds that a packet has cost.
    pub fn leave_unread(&mut self, now: Instant, key: PeerKey, until: Instant) {
        if let Some((index, seat)) = self.seats.find(key)
            && seat.leave_unread(now, until)
        {
            self.stats.rate_pauses.add(1);
            self.touch(index);
        }
    }

    /// Lifts the budgets of a peer: for one that stands for many, as a server does for its clients.
    pub fn exempt(&mut self, now: Instant, key: PeerKey) {
        if let Some((index, seat)) = self.seats.find(key) {
            seat.exempt(now);
            self.touch(index);
        }
    }

    /// Somebody waits for what is going on: it is no mere keep-alive. Which packets are, the owner
    /// knows; a shard that is never told so takes long rests if it may, see
    /// [`Config::pace_idle`](crate::Config::pace_idle).
    pub fn note_work(&mut self, now: Instant) {
        self.worked = Some(now);
    }

    /// When somebody was last known to wait.
    pub(crate) fn worked(&self) -> Option<Instant> {
        self.worked
    }

    /// Bytes that wait for a peer on a lane: in its outbox and in its engine.
    #[must_use]
    pub fn waiting_bytes(&self, key: PeerKey, lane: Lane) -> usize {
        self.seats.view(key).map_or(0, |seat| {
            seat.outbox(lane).bytes() + seat.peer.buffered_bytes(lane)
        })
    }

    /// How many peers there are, those that are closing included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there is no peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn try_send(
        &mut self,
        now: Instant,
        key: PeerKey,
        lane: Lane,
        bytes: &Bytes,
    ) -> Result<Sent, DropReason> {
        let (index, seat) = self.seats.find(key).ok_or(DropReason::PeerGone)?;
        if seat.closing {
            return Err(DropReason::PeerGone);
        }
        if seat.outbox(lane).is_slow() {
            return Err(DropReason::SlowConsumer);
        }
        let cost = bytes.len() + Peer::SENT_PACKET_BYTES;
        if !self.pools.has_room(seat, cost) {
            self.find_room(index, lane, cost)?;
        }
        let sent = self.give(now, key, lane, bytes);
        if let Some(seat) = self.seats.at(index) {
            self.pools.settle_waiting(seat);
        }
        sent
    }

    /// To the engine, or else to the outbox.
    fn give(
        &mut self,
        now: Instant,
        key: PeerKey,
        lane: Lane,
        bytes: &Bytes,
    ) -> Result<Sent, DropReason> {
        let (index, seat) = self.seats.find(key).ok_or(DropReason::PeerGone)?;
        let (peer, outbox) = seat.lane(lane);
        // Behind what waits, in order.
        if outbox.is_empty() {
            match peer.send(now, lane, bytes) {
                Ok(()) => {
                    self.stats.count_packet_out(lane, bytes.len());
                    self.touch_flush(index);
                    return Ok(Sent::Accepted);
                }
                Err(SendError::Full) => {}
                Err(error) => return Err(refusal(error)),
            }
        }
        match outbox.push(now, bytes, lane_config(&self.config, lane)) {
            Push::Queued { evicted } => {
                self.stats.lane(lane).queued.add(1);
                self.stats.count_drops(DropReason::Evicted, evicted);
                // The clock of the grace may have started.
                self.touch_flush(index);
                Ok(Sent::Queued)
            }
            Push::Discarded => Err(DropReason::Discarded),
            Push::Refused => Err(DropReason::SlowConsumer),
            Push::Overrun => {
                self.stats.slow_consumers.add(1);
                self.work.slow.push_back((key, lane));
                Err(DropReason::SlowConsumer)
            }
        }
    }

    /// The engine was given something: it is to be polled and flushed in this pass.
    fn touch(&mut self, index: usize) {
        if let Some(seat) = self.seats.at(index)
            && !std::mem::replace(&mut seat.unpolled, true)
        {
            self.work.unpolled.push_back(index);
        }
        self.touch_flush(index);
    }

    /// The engine was given a packet, which makes no events: it is to be flushed in this pass.
    fn touch_flush(&mut self, index: usize) {
        if let Some(seat) = self.seats.at(index)
            && !std::mem::replace(&mut seat.unflushed, true)
        {
            self.work.unflushed.push_back(index);
        }
    }

    fn count_peers(&self) {
        self.stats.peers.set(count(self.len()));
    }
}

/// Why a packet that an engine refused for good is gone.
fn refusal(error: SendError) -> DropReason {
    match error {
        SendError::Full => DropReason::Discarded,
        SendError::NotOpen => DropReason::LaneNotOpen,
        SendError::TooLarge => DropReason::TooLarge,
    }
}
