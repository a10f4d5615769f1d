//! What waits for one session to read: bounded by count and by bytes, and by what may wait for all
//! together; never waited for. The hub puts in, the session takes out, and the hub may take
//! everything back at once, so that what it needs for others is there when it needs it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::Outbox;

/// What waits for all sessions together. Each that may come has shares of its own, kept for it from
/// the beginning; what is above them comes out of one pool.
#[derive(Debug)]
pub(crate) struct Total {
    shared_bytes: usize,
    /// Above their shares.
    drawn: AtomicUsize,
    held: AtomicUsize,
}

/// The hub's end.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Queue>);

/// The session's end.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Queue>);

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The session does not keep up, or is gone.
    Session,
    /// The session is above its shares, and all that may wait for all is taken.
    Total,
}

#[derive(Debug)]
struct Queue {
    limits: Outbox,
    shares: usize,
    total: Arc<Total>,
    waiting: Mutex<Waiting>,
    /// There is something to take, or will never be again.
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    /// Theirs, without what it costs to keep them.
    bytes: usize,
    /// One of the ends is gone.
    closed: bool,
}

pub(crate) fn new(limits: Outbox, shares: usize, total: &Arc<Total>) -> (Sender, Receiver) {
    let queue = Arc::new(Queue {
        limits,
        shares: shares.max(1),
        total: Arc::clone(total),
        waiting: Mutex::default(),
        news: Notify::new(),
    });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl Total {
    /// With so much for all above their shares.
    pub(crate) const fn new(shared_bytes: usize) -> Self {
        Self {
            shared_bytes,
            drawn: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        }
    }

    /// What waits for all.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Sender {
    /// Takes `frame`, unless there is no room or the session is gone. One that is alone is taken
    /// by the session whatever its size.
    pub(crate) fn try_send(&self, frame: Bytes) -> Result<(), Full> {
        let queue = &*self.0;
        let mut waiting = queue.waiting.lock();
        let bytes = waiting.bytes.saturating_add(frame.len());
        let crowded = waiting.bytes > 0 && bytes > queue.limits.bytes_max;
        if waiting.closed || crowded || waiting.frames.len() >= queue.limits.count_max.max(1) {
            return Err(Full::Session);
        }
        let before = waiting.cost();
        queue.add(before, before + frame.len() + FRAME_BYTES)?;
        waiting.bytes = bytes;
        waiting.frames.push_back(frame);
        drop(waiting);
        queue.news.notify_one();
        Ok(())
    }

    /// What waits and this, for each of the session's shares.
    pub(crate) fn held_per_share(&self, more: usize) -> usize {
        (self.0.waiting.lock().cost() + more) / self.0.shares
    }

    /// Nothing of what waits is for the session any more.
    pub(crate) fn take_back(&self) {
        self.0.close();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.waiting.lock().closed = true;
        self.0.news.notify_one();
    }
}

impl Receiver {
    /// The next one; `None` when the hub has let go of the session.
    pub(crate) async fn recv(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.try_recv() {
                return Some(frame);
            }
            if self.0.waiting.lock().closed {
                // What came in between came before the end.
                return self.try_recv();
            }
            self.0.news.notified().await;
        }
    }

    /// The next one, if it is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Bytes> {
        let mut waiting = self.0.waiting.lock();
        let before = waiting.cost();
        let frame = waiting.frames.pop_front()?;
        waiting.bytes -= frame.len();
        if waiting.frames.is_empty() {
            // After a burst it would keep the room of all that waited.
            waiting.frames.shrink_to(FRAMES_KEPT);
        }
        self.0.subtract(before, waiting.cost());
        Some(frame)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Queue {
    /// The hub alone adds, so nothing comes between the look and the addition.
    fn add(&self, before: usize, after: usize) -> Result<(), Full> {
        let total = &*self.total;
        let more = self.drawn(after) - self.drawn(before);
        let drawn = total.drawn.load(Ordering::Relaxed).saturating_add(more);
        if more > 0 && drawn > total.shared_bytes {
            return Err(Full::Total);
        }
        total.drawn.fetch_add(more, Ordering::Relaxed);
        total.held.fetch_add(after - before, Ordering::Relaxed);
        Ok(())
    }

    fn subtract(&self, before: usize, after: usize) {
        let less = self.drawn(before) - self.drawn(after);
        self.total.drawn.fetch_sub(less, Ordering::Relaxed);
        self.total.held.fetch_sub(before - after, Ordering::Relaxed);
    }

    /// Of what waits, the part above the session's shares.
    fn drawn(&self, cost: usize) -> usize {
        cost.saturating_sub(self.shares.saturating_mul(SHARE_BYTES))
    }

    fn close(&self) {
        let mut waiting = self.waiting.lock();
        self.subtract(waiting.cost(), 0);
        *waiting = Waiting {
            closed: true,
            ..Waiting::default()
        };
        drop(waiting);
        self.news.notify_one();
    }
}

impl Waiting {
    fn cost(&self) -> usize {
        self.bytes + self.frames.len() * FRAME_BYTES
    }
}

/// A share: WELCOME, or an offer and some candidates.
pub(crate) const SHARE_BYTES: usize = 4 * 1024;

/// A frame's place in a queue that has grown to twice what is in it, and its allocation.
const FRAME_BYTES: usize = 96;

/// Places that an empty queue may keep.
const FRAMES_KEPT: usize = 16;

#[cfg(test)]
mod tests;
