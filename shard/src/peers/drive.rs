//! The shard's side of the peers: datagrams and deadlines in, events and datagrams out.

use std::time::Instant;

use rtc_peer::{Input, Lane, Output, SendError};

use super::{
    Peers,
    seats::{Admission, lane_config},
};
use crate::{
    batch::Batch,
    demux::{Bound, Destination, Path},
    handler::Event,
    outbox::Outbox,
    socket::Datagram,
    stats::{DropReason, count},
};

impl Peers {
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
        let seat = self.seats.at(index).ok_or(DropReason::PeerGone)?;
        if destination == Destination::Claimed(index) {
            // The one thing of strangers that costs more than a look at the tables.
            if !self.unproved.allows(now, &self.config.unproved_budget) {
                return Err(DropReason::UnprovedLimited);
            }
            self.unproved.take(now, 0, &self.config.unproved_budget);
            if !seat.peer.accepts_stun(datagram.bytes) {
                return Err(DropReason::BadIntegrity);
            }
            if self.demux.bind(index, path) == Bound::Rebound {
                self.stats.rebinds.add(1);
            }
        }
        self.pools.limit_received(seat);
        seat.peer.handle_input(
            now,
            Input::Datagram {
                local: datagram.local,
                remote: datagram.remote,
                bytes: datagram.bytes,
            },
        );
        self.pools.settle_received(seat);
        self.touch(index);
        Ok(())
    }

    /// Wakes one peer whose deadline is reached; false when there is none.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> bool {
        let Some(index) = self.deadlines.pop_due(now) else {
            return false;
        };
        let key = self.seats.key(index);
        if let Some(seat) = self.seats.at(index) {
            let before = *seat.peer.stats();
            seat.peer.handle_input(now, Input::Tick);
            let after = seat.peer.stats();
            self.stats.repairs.add(after.repairs - before.repairs);
            self.stats.skips.add(after.skips - before.skips);
            seat.end_pause(now);
            for lane in Lane::ALL {
                let config = lane_config(&self.config, lane);
                if seat.lane(lane).1.check_grace(now, config) {
                    self.stats.slow_consumers.add(1);
                    self.work.slow.push_back((key, lane));
                }
            }
            self.touch(index);
        }
        true
    }

    /// When a peer wants to be woken next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The next event of any peer.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            if let Some((peer, lane)) = self.work.slow.pop_front() {
                // One that was told to close meanwhile tells nothing but that it closed.
                if self.seats.view(peer).is_some_and(|seat| !seat.closing) {
                    return Some(Event::SlowConsumer { peer, lane });
                }
                continue;
            }
            let index = *self.work.unpolled.front()?;
            if let Some(event) = self.poll_peer(now, index) {
                return Some(event);
            }
            self.work.unpolled.pop_front();
            if let Some(seat) = self.seats.at(index) {
                seat.unpolled = false;
            }
        }
    }

    /// Whether [`Peers::poll_event`] may have something.
    pub(crate) fn has_events(&self) -> bool {
        !self.work.slow.is_empty() || !self.work.unpolled.is_empty()
    }

    /// Takes the datagrams of one peer that was touched; false when there is no such peer left.
    pub(crate) fn flush_peer(&mut self, batch: &mut Batch) -> bool {
        let Some(index) = self.work.unflushed.pop_front() else {
            return false;
        };
        let Some(seat) = self.seats.at(index) else {
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
        seat.count_drops(&self.stats);
        self.pools.settle(seat);
        if seat.holds_event() {
            // It is told in the next pass, and the flush goes on there.
            self.work.held.push(index);
        } else if seat.closed {
            self.release(index);
        } else {
            let deadline = seat.deadline(&self.config);
            self.deadlines.set(index, deadline);
            self.note_starved(index);
        }
        true
    }

    /// The flush is over: whoever had an event in between is touched for the next pass, and who
    /// waited for room that there is now.
    pub(crate) fn end_flush(&mut self) {
        while let Some(index) = self.work.held.pop() {
            self.touch(index);
        }
        self.wake_starved();
        self.pools.count(&self.stats);
    }

    /// Closes everybody.
    pub(crate) fn close_all(&mut self, now: Instant) {
        for key in self.seats.keys() {
            self.close(now, key);
        }
    }

    fn poll_peer(&mut self, now: Instant, index: usize) -> Option<Event> {
        let peer = self.seats.key(index);
        loop {
            let seat = self.seats.at(index)?;
            let output = seat.poll_event()?;
            let muted = seat.closing;
            match output {
                Output::Closed(reason) => {
                    seat.closed = true;
                    seat.closing = true;
                    let unsent = Lane::ALL.map(|lane| seat.outbox(lane)).map(Outbox::len);
                    let unsent = count(unsent.iter().sum());
                    self.stats.count_drops(DropReason::Unsent, unsent);
                    let unacknowledged = Lane::ALL.map(|lane| seat.peer.buffered_packets(lane));
                    let unacknowledged = count(unacknowledged.iter().sum());
                    self.stats
                        .count_drops(DropReason::Unacknowledged, unacknowledged);
                    self.stats.peers_closed.add(1);
                    return Some(Event::Closed { peer, reason });
                }
                _ if muted => {}
                Output::Signal(signal) => return Some(Event::Signal { peer, signal }),
                Output::LaneOpen(lane) => return Some(Event::LaneOpen { peer, lane }),
                Output::Packet { lane, bytes } => {
                    match seat.admit(now, lane, bytes.len(), &self.config) {
                        Admission::Passes => {}
                        Admission::Last => self.stats.rate_pauses.add(1),
                        Admission::Dropped => {
                            self.stats.count_drop(DropReason::RateLimited);
                            continue;
                        }
                    }
                    let stats = self.stats.lane(lane);
                    stats.packets_in.add(1);
                    stats.bytes_in.add(count(bytes.len()));
                    return Some(Event::Packet { peer, lane, bytes });
                }
                Output::Writable(lane) => self.drain_outbox(now, index, lane),
                // Seats keep these back for the flush.
                Output::Transmit(_) => {}
            }
        }
    }

    /// The engine has room again.
    fn drain_outbox(&mut self, now: Instant, index: usize, lane: Lane) {
        let Some(seat) = self.seats.at(index) else {
            return;
        };
        let (peer, outbox) = seat.lane(lane);
        while let Some(packet) = outbox.front() {
            match peer.send(now, lane, packet) {
                Ok(()) => self.stats.count_packet_out(lane, packet.len()),
                Err(SendError::Full) => break,
                Err(error) => self.stats.count_drop(super::refusal(error)),
            }
            outbox.pop();
        }
        outbox.settle(now, lane_config(&self.config, lane));
        self.note_work(now);
        self.touch(index);
    }

    /// Frees a slot: nothing leads to its peer any more.
    fn release(&mut self, index: usize) {
        self.demux.remove(index);
        self.deadlines.set(index, None);
        if let Some(seat) = self.seats.at(index) {
            self.pools.vacate(seat);
        }
        self.seats.remove(index);
        self.count_peers();
    }
}
