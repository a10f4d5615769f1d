//! The window that we offer, less what our owner holds: the association hands every message on at
//! once, so what waits above it has to be taken from the window that its SACKs tell.

use bytes::Bytes;

use super::packet;

/// What was offered, and what is to be.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes that the owner holds.
    held: usize,
    /// Bytes that the owner and the association may hold together.
    held_max: usize,
    /// The association's last SACK, as it made it.
    sack: Option<Bytes>,
    /// What the last SACK that went out offered.
    offered: Option<u32>,
    /// The other side is to be told again, though nothing came from it.
    update: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            held: 0,
            held_max: usize::MAX,
            sack: None,
            offered: None,
            update: false,
        }
    }
}

impl Window {
    /// Says how much the owner holds, and how much may be held; `true` when the other side is to be
    /// told because it may wait for that.
    pub(super) fn set_held(&mut self, held: usize, held_max: usize) -> bool {
        self.held = held;
        self.held_max = held_max;
        if let (Some(offered), Some(sack)) = (self.offered, &self.sack) {
            let reopened = self.open(sack).saturating_sub(offered);
            self.update |= offered < NARROW && reopened >= REOPENED;
        }
        self.update
    }

    /// What the association may hold.
    pub(super) fn room(&self) -> usize {
        if self.held >= HELD_BYTES_MAX {
            0
        } else {
            self.held_max.saturating_sub(self.held)
        }
    }

    /// Something was dropped because of that: who sends on all the same is told once more.
    pub(super) fn remind(&mut self) {
        self.update = self.sack.is_some();
    }

    /// Puts the window right in a packet that the association made.
    pub(super) fn correct(&mut self, packet: Bytes) -> Bytes {
        let Some(theirs) = packet::window(&packet) else {
            return packet;
        };
        let ours = self.open(&packet);
        self.update = false;
        self.offered = Some(ours);
        let corrected = if ours == theirs {
            packet.clone()
        } else {
            packet::with_window(&packet, ours)
        };
        // What it may have brought along is not told again.
        self.sack = packet::before(&packet, |kind| kind != packet::SACK);
        corrected
    }

    /// The last SACK once more, to be corrected, when it is time for it. What came since is
    /// acknowledged by the association's next.
    pub(super) fn poll_update(&mut self) -> Option<Bytes> {
        if !std::mem::take(&mut self.update) {
            return None;
        }
        self.sack.clone()
    }

    /// The window in a SACK of the association, less what is held. A window below one packet is
    /// none: who may send a few bytes at a time does.
    fn open(&self, sack: &[u8]) -> u32 {
        let held = u32::try_from(self.held).unwrap_or(u32::MAX);
        let most = u32::try_from(self.held_max).unwrap_or(u32::MAX);
        let window = packet::window(sack).unwrap_or_default().min(most);
        let open = window.saturating_sub(held);
        if open < super::PACKET_BYTES_MAX {
            0
        } else {
            open
        }
    }
}

/// What an owner may hold. More than the window: a whole window of packets of 50 bytes takes three
/// times as much to hold, and may arrive before the owner has looked once.
pub(crate) const HELD_BYTES_MAX: usize = 768 * 1024;
/// A sender with less than this may be waiting for more.
const NARROW: u32 = super::RECEIVE_BUFFER_BYTES / 2;
/// Worth a datagram of its own.
const REOPENED: u32 = 16 * 1024;
