//! The two lanes between joined engines.

use bytes::Bytes;
use proto::Lane;

use super::{
    clock::At,
    engines::{Happening, Step},
    event::Event,
    network::Network,
    node::EngineKey,
    plan::RETRANSMISSION_MAX,
    sabotage::Sabotage,
    trace::What,
};

impl Network {
    /// Sends a packet. What is sent on a lane that is not open is lost.
    pub(super) fn send_packet(&mut self, key: EngineKey, lane: Lane, bytes: Bytes) {
        let engine = &self.engines[key.0];
        let Some(remote) = engine.remote.filter(|_| engine.is_lane_open(lane)) else {
            return;
        };
        let mut copies = 1;
        let at = match lane {
            Lane::Reliable => {
                copies += usize::from(self.strikes(Sabotage::DuplicateReliable, 2));
                copies -= usize::from(self.strikes(Sabotage::LoseReliable, 2));
                self.reliable_arrival(key, remote)
            }
            Lane::Unreliable => {
                copies += usize::from(self.strikes(Sabotage::DuplicateUnreliable, 5));
                if self.dice.percent(self.loss) {
                    return;
                }
                let ends = (
                    self.engines[key.0].life.node,
                    self.engines[remote.0].life.node,
                );
                // Up to twice as long, so that packets overtake each other.
                let wait = self.delay(ends.0, ends.1);
                let free_at = self.free_at(ends.0, ends.1);
                free_at + wait + self.dice.between(At::ZERO, wait)
            }
        };
        // Early enough to overtake the packet before it.
        let early = lane == Lane::Reliable && self.strikes(Sabotage::ReorderReliable, 5);
        let at = if early { self.now() } else { at };
        for _ in 0..copies {
            let step = Step::Arrive(lane, bytes.clone());
            self.queue.push(at, Event::Engine(remote, step));
        }
    }

    /// When something arrives that is sent on the reliable lane now: never before what was sent
    /// before it. What the network loses is sent again until it does not.
    pub(super) fn reliable_arrival(&mut self, from: EngineKey, to: EngineKey) -> At {
        let ends = (self.engines[from.0].life.node, self.engines[to.0].life.node);
        let mut at = self.arrival(ends.0, ends.1);
        if self.dice.percent(self.loss) {
            at += self.dice.between(At::ZERO, RETRANSMISSION_MAX);
        }
        let engine = &mut self.engines[from.0];
        engine.last_arrival = engine.last_arrival.max(at);
        engine.last_arrival
    }

    pub(super) fn arrive(&mut self, key: EngineKey, lane: Lane, bytes: Bytes) -> Option<Happening> {
        let stalls = self.is_stalled(key);
        let engine = &mut self.engines[key.0];
        match lane {
            Lane::Reliable if stalls || !engine.stalled.is_empty() => {
                engine.stalled.push_back(bytes);
                return None;
            }
            Lane::Unreliable if stalls || !engine.is_lane_open(lane) => return None,
            _ => {}
        }
        self.note_packet(key, lane, &bytes);
        Some(Happening::Packet(lane, bytes))
    }

    /// What stalled gets through, in order, when the path is whole and somebody reads.
    pub(super) fn flush(&mut self, key: EngineKey) -> Vec<Happening> {
        if self.is_stalled(key) {
            return Vec::new();
        }
        let stalled = std::mem::take(&mut self.engines[key.0].stalled);
        let remote = self.engines[key.0].remote;
        if remote.is_none_or(|remote| self.engines[remote.0].is_closed()) {
            // Nobody is left to retransmit it.
            return Vec::new();
        }
        let mut told = Vec::new();
        for bytes in stalled {
            self.note_packet(key, Lane::Reliable, &bytes);
            told.push(Happening::Packet(Lane::Reliable, bytes));
        }
        told
    }

    fn note_packet(&mut self, key: EngineKey, lane: Lane, bytes: &Bytes) {
        let to = self.engines[key.0].life.node;
        if let Some(from) = self.remote_node(key) {
            let bytes = bytes.clone();
            self.note(What::Packet {
                from,
                to,
                lane,
                bytes,
            });
        }
    }
}
