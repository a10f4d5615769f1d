//! What waits for one session to read: bounded by count and by bytes, never waited for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::config::Outbox;

/// The hub's end.
#[derive(Debug)]
pub(crate) struct Sender {
    queue: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The session's end.
#[derive(Debug)]
pub(crate) struct Receiver {
    queue: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// The session does not keep up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

pub(crate) fn new(limits: Outbox) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(limits.count_max.max(1));
    let bytes = Arc::new(AtomicUsize::new(0));
    let sender = Sender {
        queue: sender,
        bytes: Arc::clone(&bytes),
        bytes_max: limits.bytes_max,
    };
    let receiver = Receiver {
        queue: receiver,
        bytes,
    };
    (sender, receiver)
}

impl Sender {
    /// Takes `frame`, unless there is no room or the session is gone. One that is alone is taken
    /// whatever its size.
    pub(crate) fn try_send(&self, frame: Bytes) -> Result<(), Full> {
        let size = frame.len();
        // The hub alone adds, so nothing comes between the look and the addition.
        let before = self.bytes.load(Ordering::Relaxed);
        if before > 0 && before.saturating_add(size) > self.bytes_max {
            return Err(Full);
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.queue.try_send(frame).map_err(|_| Full)
    }
}

impl Receiver {
    /// The next one; `None` when the hub has let go of the session.
    pub(crate) async fn recv(&mut self) -> Option<Bytes> {
        let frame = self.queue.recv().await?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }

    /// The next one, if it is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Bytes> {
        let frame = self.queue.try_recv().ok()?;
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Outbox = Outbox {
        count_max: 3,
        bytes_max: 10,
    };

    fn frame(size: usize) -> Bytes {
        vec![0; size].into()
    }

    #[tokio::test]
    async fn count_is_bounded() {
        let (sender, mut receiver) = new(LIMITS);
        for _ in 0..3 {
            assert_eq!(sender.try_send(frame(1)), Ok(()));
        }
        assert_eq!(sender.try_send(frame(1)), Err(Full));
        assert!(receiver.recv().await.is_some());
        assert_eq!(sender.try_send(frame(1)), Ok(()));
    }

    #[tokio::test]
    async fn bytes_are_bounded() {
        for (second, taken) in [(4, true), (5, true), (6, false)] {
            let (sender, mut receiver) = new(LIMITS);
            assert_eq!(sender.try_send(frame(5)), Ok(()));
            assert_eq!(sender.try_send(frame(second)).is_ok(), taken, "{second}");
            assert!(receiver.try_recv().is_some());
            assert_eq!(sender.try_send(frame(5)), Ok(()), "room again");
        }
    }

    #[tokio::test]
    async fn a_large_one_goes_alone() {
        let (sender, mut receiver) = new(LIMITS);
        assert_eq!(sender.try_send(frame(11)), Ok(()));
        assert_eq!(sender.try_send(frame(1)), Err(Full));
        assert!(receiver.recv().await.is_some());
        assert_eq!(sender.try_send(frame(1)), Ok(()));
    }

    #[tokio::test]
    async fn the_end_is_seen_from_both_sides() {
        let (sender, receiver) = new(LIMITS);
        drop(receiver);
        assert_eq!(sender.try_send(frame(1)), Err(Full));
        let (sender, mut receiver) = new(LIMITS);
        drop(sender);
        assert_eq!(receiver.recv().await, None);
        assert_eq!(receiver.try_recv(), None);
    }
}
