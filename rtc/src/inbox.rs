//! Packets that arrived and that the owner has not taken. What waits here is taken from the window
//! that SCTP offers, so an owner who does not read slows the other side down.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Lane;

/// What waits on both lanes, each in order.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    reliable: Queue,
    unreliable: Queue,
    arrivals: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<(u64, Bytes)>,
    paused: bool,
}

impl Inbox {
    pub(crate) fn push(&mut self, lane: Lane, packet: Bytes) {
        self.arrivals += 1;
        self.bytes += packet.len() + PACKET_BYTES;
        let arrival = self.arrivals;
        self.queue_mut(lane).packets.push_back((arrival, packet));
    }

    /// The packet that came first of those on lanes that are not paused.
    pub(crate) fn pop(&mut self) -> Option<(Lane, Bytes)> {
        let waiting = Lane::ALL.into_iter().filter_map(|lane| {
            let queue = self.queue(lane);
            let (arrival, _) = queue.packets.front().filter(|_| !queue.paused)?;
            Some((*arrival, lane))
        });
        let (_, lane) = waiting.min_by_key(|(arrival, _)| *arrival)?;
        let queue = self.queue_mut(lane);
        let (_, packet) = queue.packets.pop_front()?;
        if queue.packets.is_empty() {
            // The memory of a burst is given back.
            queue.packets = VecDeque::new();
        }
        self.bytes -= packet.len() + PACKET_BYTES;
        Some((lane, packet))
    }

    pub(crate) fn set_paused(&mut self, lane: Lane, paused: bool) {
        self.queue_mut(lane).paused = paused;
    }

    pub(crate) fn is_paused(&self, lane: Lane) -> bool {
        self.queue(lane).paused
    }

    /// What the waiting packets take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Reliable => &self.reliable,
            Lane::Unreliable => &self.unreliable,
        }
    }

    fn queue_mut(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Reliable => &mut self.reliable,
            Lane::Unreliable => &mut self.unreliable,
        }
    }
}

/// A packet's place in the queue and its allocation.
const PACKET_BYTES: usize = 96;
