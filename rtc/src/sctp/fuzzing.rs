//! A way in for the fuzz targets, past DTLS: an association, and another that turns on it.

#![expect(
    clippy::indexing_slicing,
    reason = "what goes wrong here is a finding about the fuzz targets themselves"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Event, HELD_BYTES_MAX, Protocol, Sctp, packet};
use crate::dcep::Reliability;

/// An association, and another that turns on it.
#[derive(Debug)]
pub struct Association {
    now: Instant,
    /// Ours, then theirs.
    ends: [Sctp; 2],
    /// Common header of what they send, once they know our tag.
    header: [u8; packet::COMMON_HEADER_BYTES],
    /// The highest TSN that we sent.
    sent: u32,
    messages: u64,
    ended: bool,
}

impl Association {
    /// Ours waits for the handshake.
    #[must_use]
    pub fn waiting(now: Instant) -> Self {
        let end = |active| Sctp::new(now, active, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX);
        let mut header = [0; packet::COMMON_HEADER_BYTES];
        header[..4].copy_from_slice(&[0x13, 0x88, 0x13, 0x88]);
        Self {
            now,
            ends: [end(false), end(true)],
            header,
            sent: 0,
            messages: 0,
            ended: false,
        }
    }

    /// Lets both talk honestly, as long as they have something to say.
    pub fn exchange(&mut self) {
        for _ in 0..EXCHANGES_MAX {
            let mut quiet = true;
            while let Some(packet) = self.ends[1].poll_packet(self.now) {
                quiet = false;
                if let Some(header) = packet.first_chunk() {
                    self.header = *header;
                }
                self.ends[0].handle(self.now, packet);
            }
            for packet in self.drain() {
                quiet = false;
                self.ends[1].handle(self.now, packet);
            }
            while self.ends[1].poll_event().is_some() {}
            if quiet {
                return;
            }
        }
    }

    /// They send a packet of these chunks, with the right tag and checksum.
    pub fn attack(&mut self, chunks: &[u8]) {
        let mut packet = [&self.header[..], chunks].concat();
        packet::seal(&mut packet);
        self.attack_raw(packet.into());
    }

    /// They send these bytes.
    pub fn attack_raw(&mut self, packet: Bytes) {
        self.ends[0].handle(self.now, packet);
        self.drain();
    }

    /// We send a message.
    pub fn write(&mut self, stream: u16, bytes: &Bytes) {
        self.write_from(0, stream, bytes);
        self.drain();
    }

    /// They write a message, which [`Self::exchange`] brings to us.
    pub fn write_theirs(&mut self, stream: u16, bytes: &Bytes) {
        self.write_from(1, stream, bytes);
    }

    /// Our owner holds that many bytes of what came.
    pub fn set_held(&mut self, bytes: usize) {
        // What it took of a packet that had been refused comes out of the drain, like all else.
        let _events = self.ends[0].set_held(self.now, bytes, HELD_BYTES_MAX);
        self.drain();
    }

    /// Time passes, and what is due is done.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        for end in 0..2 {
            if self.ends[end].deadline().is_some_and(|due| due <= self.now) {
                self.ends[end].handle_timeout(self.now);
            }
        }
        self.drain();
    }

    /// The TSN up to which everything of theirs came.
    #[must_use]
    pub fn contiguous(&self) -> u32 {
        self.ends[0].guard.contiguous()
    }

    /// The highest TSN of ours.
    #[must_use]
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// Messages that reached us.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether ours has ended.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    fn write_from(&mut self, end: usize, stream: u16, bytes: &Bytes) {
        let end = &mut self.ends[end];
        end.open_stream(stream, false, Reliability::Reliable);
        end.write(self.now, stream, Protocol::Binary, bytes);
    }

    fn drain(&mut self) -> Vec<Bytes> {
        let mut packets = Vec::new();
        while let Some(packet) = self.ends[0].poll_packet(self.now) {
            assert!(packet.len() <= PACKET_BYTES_MAX, "{} bytes", packet.len());
            self.sent = packet::data(&packet)
                .last()
                .map_or(self.sent, |data| data.tsn);
            packets.push(packet);
            assert!(packets.len() <= PACKETS_MAX, "no end of packets");
        }
        while let Some(event) = self.ends[0].poll_event() {
            assert!(!self.ended, "{event:?} after the end");
            match event {
                Event::Message { .. } | Event::MessageTooLarge => self.messages += 1,
                Event::Closed { .. } | Event::Failed => self.ended = true,
                _ => {}
            }
        }
        packets
    }
}

const MESSAGE_BYTES_MAX: u32 = 64 * 1024;
const PACKET_BYTES_MAX: usize = 1200 - 37;
/// More than any window holds.
const PACKETS_MAX: usize = 10_000;
const EXCHANGES_MAX: usize = 100;
