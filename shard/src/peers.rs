//! The peers of a shard: their engines, outboxes, names and deadlines. The owner sends through
//! this; the shard feeds it datagrams and takes events and datagrams out. No I/O and no clock.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rtc_peer::{Fingerprint, Input, Lane, Output, Peer, Role, SendError, Signal, Transmit};

use crate::{
    batch::Batch,
    config::Config,
    deadlines::Deadlines,
    demux::{Bound, Demux, Destination, Path},
    handler::Event,
    outbox::{Outbox, Push},
    socket::Datagram,
    stats::{DropReason, Stats, count},
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

/// All peers of a shard.
#[derive(Debug)]
pub struct Peers {
    config: Config,
    local_addrs: Vec<SocketAddr>,
    rng: StdRng,
    slots: Vec<Slot>,
    free: Vec<usize>,
    demux: Demux,
    deadlines: Deadlines,
    work: Work,
    stats: Arc<Stats>,
}

/// What is to be done before the pass ends.
#[derive(Debug, Default)]
struct Work {
    /// Events made by something else than an engine's output: at most two per peer.
    events: VecDeque<Event>,
    /// Slots whose engine may have events; each at most once.
    unpolled: VecDeque<usize>,
    /// Slots whose engine may have datagrams; each at most once.
    unflushed: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    /// `None` in a free slot.
    seat: Option<Box<Seat>>,
}

/// A peer and what the shard keeps about it.
#[derive(Debug)]
struct Seat {
    peer: Peer,
    outboxes: [Outbox; 2],
    unpolled: bool,
    unflushed: bool,
    /// [`Peers::close`] was called: nothing more is accepted.
    closing: bool,
    /// The engine said that it is closed; freed when its last datagrams are out.
    closed: bool,
    /// Came out of the engine while the other kind was asked for: at most one of each.
    event: Option<Output>,
    transmit: Option<Transmit>,
}

// --- for the owner ---

impl Peers {
    /// Opens a peer; an acceptor's offer comes as the first [`Event::Signal`].
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
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.demux.insert(index, peer.local_ufrag());
        let key = self.key(index);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.seat = Some(Box::new(Seat::new(peer)));
        }
        self.stats.peers_opened.add(1);
        self.count_peers();
        self.touch(index);
        Ok(key)
    }

    /// Gives a peer what the remote's signalling sent.
    pub fn handle_signal(&mut self, now: Instant, key: PeerKey, signal: Signal) {
        if let Some((index, seat)) = self.find(key) {
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
    /// [`Event::Closed`] follows.
    pub fn close(&mut self, now: Instant, key: PeerKey) {
        if let Some((index, seat)) = self.find(key)
            && !seat.closing
        {
            seat.closing = true;
            seat.peer.handle_input(now, Input::Close);
            self.touch(index);
        }
    }

    /// Our certificate's fingerprint and the remote's proved one, once DTLS is up.
    #[must_use]
    pub fn fingerprints(&self, key: PeerKey) -> Option<(Fingerprint, Fingerprint)> {
        self.seat(key)?.peer.fingerprints()
    }

    /// Changes how long a peer may be silent.
    pub fn set_idle_timeout(&mut self, now: Instant, key: PeerKey, timeout: Duration) {
        if let Some((index, seat)) = self.find(key) {
            seat.peer.set_idle_timeout(now, timeout);
            self.touch(index);
        }
    }

    /// Bytes that wait for a peer on a lane: in its outbox and in its engine.
    #[must_use]
    pub fn waiting_bytes(&self, key: PeerKey, lane: Lane) -> usize {
        self.seat(key).map_or(0, |seat| {
            seat.outbox(lane).bytes() + seat.peer.buffered_bytes(lane)
        })
    }

    /// How many peers there are, those that are closing included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is no peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// --- for the shard ---

impl Peers {
    pub(crate) fn new(config: Config, local_addrs: Vec<SocketAddr>, stats: Arc<Stats>) -> Self {
        Self {
            local_addrs,
            rng: StdRng::seed_from_u64(config.seed),
            slots: Vec::new(),
            free: Vec::new(),
            demux: Demux::default(),
            deadlines: Deadlines::default(),
            work: Work::default(),
            stats,
            config,
        }
    }

    /// Gives a datagram to the peer that it belongs to.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        if let Err(reason) = self.try_handle_datagram(now, datagram) {
            self.stats.count_drop(reason);
        }
    }

    fn try_handle_datagram(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
    ) -> Result<(), DropReason> {
        let path = Path {
            local: datagram.local.ip(),
            remote: datagram.remote,
        };
        let destination = self.demux.route(&path, datagram.bytes)?;
        let (Destination::Bound(index) | Destination::Claimed(index)) = destination;
        let seat = seat_at(&mut self.slots, index).ok_or(DropReason::PeerGone)?;
        if destination == Destination::Claimed(index) {
            if !seat.peer.accepts_stun(datagram.bytes) {
                return Err(DropReason::BadIntegrity);
            }
            if self.demux.bind(index, path) == Bound::Rebound {
                self.stats.rebinds.add(1);
            }
        }
        seat.peer.handle_input(
            now,
            Input::Datagram {
                local: datagram.local,
                remote: datagram.remote,
                bytes: datagram.bytes,
            },
        );
        self.touch(index);
        Ok(())
    }

    /// Wakes one peer whose deadline is reached; false when there is none.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> bool {
        let Some(index) = self.deadlines.pop_due(now) else {
            return false;
        };
        let key = self.key(index);
        if let Some(seat) = seat_at(&mut self.slots, index) {
            seat.peer.handle_input(now, Input::Tick);
            for lane in Lane::ALL {
                let config = lane_config(&self.config, lane);
                if seat.outbox_mut(lane).check_grace(now, config) {
                    self.stats.slow_consumers.add(1);
                    let event = Event::SlowConsumer { peer: key, lane };
                    self.work.events.push_back(event);
                }
            }
            self.touch(index);
        }
        true
    }

    /// The next event of any peer.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            if let Some(event) = self.work.events.pop_front() {
                return Some(event);
            }
            let index = *self.work.unpolled.front()?;
            if let Some(event) = self.poll_peer(now, index) {
                return Some(event);
            }
            self.work.unpolled.pop_front();
            if let Some(seat) = seat_at(&mut self.slots, index) {
                seat.unpolled = false;
            }
        }
    }

    /// Whether [`Peers::poll_event`] may have something.
    pub(crate) fn has_events(&self) -> bool {
        !self.work.events.is_empty() || !self.work.unpolled.is_empty()
    }

    /// Writes out the datagrams of one peer that was touched; false when there is none left.
    pub(crate) fn flush_peer(&mut self, batch: &mut Batch) -> bool {
        let Some(index) = self.work.unflushed.pop_front() else {
            return false;
        };
        let Some(seat) = seat_at(&mut self.slots, index) else {
            return true;
        };
        seat.unflushed = false;
        while let Some(transmit) = seat.poll_transmit() {
            let path = Path {
                local: transmit.local.ip(),
                remote: transmit.remote,
            };
            self.demux.note_sent(index, &path, &transmit.bytes);
            batch.push(transmit.local, transmit.remote, &transmit.bytes);
        }
        if seat.event.is_some() {
            self.touch(index);
            return true;
        }
        if seat.closed {
            self.release(index);
            return true;
        }
        let deadline = seat.deadline(&self.config);
        self.deadlines.set(index, deadline);
        true
    }

    /// When a peer wants to be woken next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Closes everybody.
    pub(crate) fn close_all(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            self.close(now, self.key(index));
        }
    }

    fn poll_peer(&mut self, now: Instant, index: usize) -> Option<Event> {
        let peer = self.key(index);
        loop {
            let seat = seat_at(&mut self.slots, index)?;
            match seat.poll_event()? {
                Output::Signal(signal) => return Some(Event::Signal { peer, signal }),
                Output::LaneOpen(lane) => return Some(Event::LaneOpen { peer, lane }),
                Output::Packet { lane, bytes } => {
                    let stats = self.stats.lane(lane);
                    stats.packets_in.add(1);
                    stats.bytes_in.add(count(bytes.len()));
                    return Some(Event::Packet { peer, lane, bytes });
                }
                Output::Writable(lane) => self.drain_outbox(now, index, lane),
                Output::Transmit(_) => {}
                Output::Closed(reason) => {
                    seat.closed = true;
                    seat.closing = true;
                    let unsent: usize = seat.outboxes.iter().map(Outbox::len).sum();
                    self.stats.count_drops(DropReason::Unsent, count(unsent));
                    self.stats.peers_closed.add(1);
                    return Some(Event::Closed { peer, reason });
                }
            }
        }
    }

    fn try_send(
        &mut self,
        now: Instant,
        key: PeerKey,
        lane: Lane,
        bytes: &Bytes,
    ) -> Result<Sent, DropReason> {
        let (index, seat) = self.find(key).ok_or(DropReason::PeerGone)?;
        if seat.closing {
            return Err(DropReason::PeerGone);
        }
        if seat.outbox(lane).is_empty() {
            match seat.peer.send(now, lane, bytes) {
                Ok(()) => {
                    self.count_sent(lane, bytes);
                    self.touch(index);
                    return Ok(Sent::Accepted);
                }
                Err(SendError::Full) => {}
                Err(SendError::NotOpen) => return Err(DropReason::LaneNotOpen),
                Err(SendError::TooLarge) => return Err(DropReason::TooLarge),
            }
        }
        self.queue(now, index, lane, bytes)
    }

    fn queue(
        &mut self,
        now: Instant,
        index: usize,
        lane: Lane,
        bytes: &Bytes,
    ) -> Result<Sent, DropReason> {
        let key = self.key(index);
        let seat = seat_at(&mut self.slots, index).ok_or(DropReason::PeerGone)?;
        let config = lane_config(&self.config, lane);
        match seat.outbox_mut(lane).push(now, bytes, config) {
            Push::Queued { evicted } => {
                self.stats.lane(lane).queued.add(1);
                self.stats.count_drops(DropReason::Evicted, evicted);
                // The clock of the grace may have started.
                self.touch(index);
                Ok(Sent::Queued)
            }
            Push::Discarded => Err(DropReason::Discarded),
            Push::Refused => Err(DropReason::SlowConsumer),
            Push::Overrun => {
                self.stats.slow_consumers.add(1);
                let event = Event::SlowConsumer { peer: key, lane };
                self.work.events.push_back(event);
                Err(DropReason::SlowConsumer)
            }
        }
    }

    /// The engine has room again.
    fn drain_outbox(&mut self, now: Instant, index: usize, lane: Lane) {
        let config = *lane_config(&self.config, lane);
        let Some(seat) = seat_at(&mut self.slots, index) else {
            return;
        };
        let [reliable, unreliable] = &mut seat.outboxes;
        let outbox = match lane {
            Lane::Reliable => reliable,
            Lane::Unreliable => unreliable,
        };
        while let Some(packet) = outbox.front() {
            match seat.peer.send(now, lane, packet) {
                Ok(()) => {
                    let stats = self.stats.lane(lane);
                    stats.packets_out.add(1);
                    stats.bytes_out.add(count(packet.len()));
                }
                Err(SendError::Full) => break,
                Err(SendError::NotOpen) => self.stats.count_drop(DropReason::LaneNotOpen),
                Err(SendError::TooLarge) => self.stats.count_drop(DropReason::TooLarge),
            }
            outbox.pop();
        }
        outbox.settle(now, &config);
        self.touch(index);
    }

    fn count_sent(&self, lane: Lane, bytes: &Bytes) {
        let stats = self.stats.lane(lane);
        stats.packets_out.add(1);
        stats.bytes_out.add(count(bytes.len()));
    }

    /// Frees a slot: nothing leads to its peer any more.
    fn release(&mut self, index: usize) {
        self.demux.remove(index);
        self.deadlines.set(index, None);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.seat = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
        }
        self.count_peers();
    }

    /// The engine was given something: it is to be polled and flushed in this pass.
    fn touch(&mut self, index: usize) {
        if let Some(seat) = seat_at(&mut self.slots, index) {
            if !std::mem::replace(&mut seat.unpolled, true) {
                self.work.unpolled.push_back(index);
            }
            if !std::mem::replace(&mut seat.unflushed, true) {
                self.work.unflushed.push_back(index);
            }
        }
    }

    fn find(&mut self, key: PeerKey) -> Option<(usize, &mut Seat)> {
        let index = usize::try_from(key.index).ok()?;
        let slot = self.slots.get_mut(index)?;
        if slot.generation != key.generation {
            return None;
        }
        Some((index, slot.seat.as_deref_mut()?))
    }

    fn seat(&self, key: PeerKey) -> Option<&Seat> {
        let slot = self.slots.get(usize::try_from(key.index).ok()?)?;
        slot.seat
            .as_deref()
            .filter(|_| slot.generation == key.generation)
    }

    fn key(&self, index: usize) -> PeerKey {
        PeerKey {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: self.slots.get(index).map_or(0, |slot| slot.generation),
        }
    }

    fn count_peers(&self) {
        self.stats.peers.set(count(self.len()));
    }
}

impl Seat {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            outboxes: Default::default(),
            unpolled: false,
            unflushed: false,
            closing: false,
            closed: false,
            event: None,
            transmit: None,
        }
    }

    /// What the engine has to tell; a datagram that comes before it is kept for the flush.
    fn poll_event(&mut self) -> Option<Output> {
        if let Some(event) = self.event.take() {
            return Some(event);
        }
        if self.transmit.is_some() {
            return None;
        }
        match self.peer.poll_output()? {
            Output::Transmit(transmit) => {
                self.transmit = Some(transmit);
                None
            }
            event => Some(event),
        }
    }

    /// What the engine has to send; an event that comes before it is kept, and ends the flush.
    fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.transmit.take() {
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

    fn outbox(&self, lane: Lane) -> &Outbox {
        let [reliable, unreliable] = &self.outboxes;
        match lane {
            Lane::Reliable => reliable,
            Lane::Unreliable => unreliable,
        }
    }

    fn outbox_mut(&mut self, lane: Lane) -> &mut Outbox {
        let [reliable, unreliable] = &mut self.outboxes;
        match lane {
            Lane::Reliable => reliable,
            Lane::Unreliable => unreliable,
        }
    }

    fn deadline(&self, config: &Config) -> Option<Instant> {
        let graces = Lane::ALL.map(|lane| self.outbox(lane).deadline(lane_config(config, lane)));
        let engine = self.peer.next_deadline();
        graces.into_iter().chain([engine]).flatten().min()
    }
}

fn lane_config(config: &Config, lane: Lane) -> &crate::outbox::Config {
    match lane {
        Lane::Reliable => &config.reliable,
        Lane::Unreliable => &config.unreliable,
    }
}

fn seat_at(slots: &mut [Slot], index: usize) -> Option<&mut Seat> {
    slots.get_mut(index)?.seat.as_deref_mut()
}
