//! What waits for one lane of one peer while its engine accepts no more. Pure: packets, limits and
//! the time in, a verdict out. It decides what a full queue means; the caller counts and closes.
//! Packets are shared (`Bytes`), so a queue holds references, not copies.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

#[cfg(test)]
mod tests;

/// What a packet takes in the queue, besides its bytes: its place, and its share of growth.
pub(crate) const PACKET_BYTES: usize = 96;

/// Limits of one lane's outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Most bytes that wait, the sum of the packets' lengths.
    pub bytes_max: usize,
    /// Most packets that wait.
    pub count_max: usize,
    /// What happens when it is full.
    pub policy: Policy,
    /// [`Policy::Buffered`] only: how long more than half of either limit may be in use before the
    /// peer is a slow consumer.
    pub grace: Duration,
}

impl Config {
    /// For the reliable lane: 1 MiB, 16,384 packets, nothing dropped, 5 s of grace.
    pub const RELIABLE: Self = Self {
        bytes_max: 1024 * 1024,
        count_max: 16_384,
        policy: Policy::Buffered,
        grace: Duration::from_secs(5),
    };

    /// For the unreliable lane: 128 KiB, 512 packets, the oldest dropped. What is older than that
    /// is of no use to anybody: at 147,000 deliveries/s to 50 peers, 512 packets are 170 ms.
    pub const UNRELIABLE: Self = Self {
        bytes_max: 128 * 1024,
        count_max: 512,
        policy: Policy::FixedQueue,
        grace: Duration::ZERO,
    };
}

/// What a lane does with packets that its engine does not accept at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Keeps all in order and never leaves a gap: when a limit is reached, or half of one is in use
    /// for longer than the grace, the peer is a slow consumer and gets nothing more.
    Buffered,
    /// Keeps the newest: the oldest make room.
    FixedQueue,
    /// Keeps nothing: what the engine does not accept is dropped.
    Discard,
}

/// The queue of one lane of one peer.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
    pressed_since: Option<Instant>,
    slow: bool,
    /// How many times the configured limits it holds, less one.
    more_times: usize,
}

/// What became of a packet that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It waits.
    Queued {
        /// Older ones that were dropped for it.
        evicted: u64,
    },
    /// The policy keeps nothing, or the packet alone is larger than the whole outbox.
    Discarded,
    /// No room, and the policy leaves no gaps: the peer is a slow consumer. Said once; see
    /// [`Push::Refused`].
    Overrun,
    /// The peer was found to be a slow consumer before this packet.
    Refused,
}

impl Outbox {
    /// Queues a packet that the engine did not accept.
    pub fn push(&mut self, now: Instant, packet: &Bytes, config: &Config) -> Push {
        if self.slow {
            return Push::Refused;
        }
        let (bytes_max, count_max) = self.limits(config);
        let fits = packet.len() <= bytes_max && count_max > 0;
        match config.policy {
            Policy::Discard => return Push::Discarded,
            Policy::FixedQueue if !fits => return Push::Discarded,
            Policy::Buffered if !self.has_room(packet.len(), config) => {
                self.slow = true;
                return Push::Overrun;
            }
            Policy::FixedQueue | Policy::Buffered => {}
        }
        let mut evicted = 0;
        while !self.has_room(packet.len(), config) && self.pop().is_some() {
            evicted += 1;
        }
        self.bytes += packet.len();
        self.queue.push_back(packet.clone());
        self.note_pressure(now, config);
        Push::Queued { evicted }
    }

    /// The packet that goes next.
    pub fn front(&self) -> Option<&Bytes> {
        self.queue.front()
    }

    /// Removes the packet that goes next, because the engine accepted it.
    pub fn pop(&mut self) -> Option<Bytes> {
        let packet = self.queue.pop_front()?;
        self.bytes -= packet.len();
        Some(packet)
    }

    /// Call when a run of [`Outbox::pop`] is over: the clock of the grace stops or goes on, and the
    /// memory of a burst is given back.
    pub fn settle(&mut self, now: Instant, config: &Config) {
        self.note_pressure(now, config);
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// The peer is closed for it: drops everything and refuses the rest. Says how many were dropped.
    pub(crate) fn give_up(&mut self) -> u64 {
        let dropped = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        *self = Self {
            slow: true,
            ..Self::default()
        };
        dropped
    }

    /// Whether the peer was found to be a slow consumer.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    /// Whether the grace is over; true once, then the outbox refuses everything.
    pub fn check_grace(&mut self, now: Instant, config: &Config) -> bool {
        let over = self
            .deadline(config)
            .is_some_and(|deadline| deadline <= now);
        self.slow |= over;
        over
    }

    /// When the grace ends, while half of a limit is in use.
    pub fn deadline(&self, config: &Config) -> Option<Instant> {
        if self.slow {
            return None;
        }
        self.pressed_since.map(|since| since + config.grace)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Sum of the waiting packets' lengths.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on it holds this many times the configured limits.
    pub fn scale(&mut self, times: usize) {
        self.more_times = times.saturating_sub(1);
    }

    /// Bytes and packets that may wait.
    fn limits(&self, config: &Config) -> (usize, usize) {
        let times = self.more_times.saturating_add(1);
        (
            config.bytes_max.saturating_mul(times),
            config.count_max.saturating_mul(times),
        )
    }

    fn has_room(&self, bytes: usize, config: &Config) -> bool {
        let (bytes_max, count_max) = self.limits(config);
        self.queue.len() < count_max && self.bytes + bytes <= bytes_max
    }

    fn note_pressure(&mut self, now: Instant, config: &Config) {
        let (bytes_max, count_max) = self.limits(config);
        let pressed = config.policy == Policy::Buffered
            && (self.bytes > bytes_max / 2 || self.queue.len() > count_max / 2);
        self.pressed_since = match (pressed, self.pressed_since) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, since) => since,
        };
    }
}
