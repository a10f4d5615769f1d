//! Who waits, and who is next: one at a time, at a pace, and no more than so many wait.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

#[derive(Debug)]
pub(super) struct Gate {
    waiting: Semaphore,
    turns: Arc<Semaphore>,
    /// When the next turn may begin.
    next: Mutex<Instant>,
    interval: Duration,
}

/// The next one waits until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, never read")] OwnedSemaphorePermit);

impl Gate {
    pub(super) fn new(per_s: u32, waiting_max: usize, now: Instant) -> Self {
        Self {
            // The one whose turn it is has waited too.
            waiting: Semaphore::new(waiting_max.saturating_add(1).min(Semaphore::MAX_PERMITS)),
            turns: Arc::new(Semaphore::new(1)),
            next: Mutex::new(now),
            interval: Duration::from_secs(1) / per_s.max(1),
        }
    }

    /// A turn, after a wait; `None` when too many wait already.
    pub(super) async fn enter(&self) -> Option<Turn> {
        let place = self.waiting.try_acquire().ok()?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let due = {
            let mut next = self.next.lock();
            let due = (*next).max(Instant::now());
            *next = due + self.interval;
            due
        };
        sleep_until(due).await;
        drop(place);
        Some(Turn(turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    #[tokio::test(start_paused = true)]
    async fn turns_come_one_at_a_time_and_at_a_pace() {
        let gate = Arc::new(Gate::new(4, 100, Instant::now()));
        let begin = Instant::now();
        let mut turns = JoinSet::new();
        for _ in 0..8 {
            let gate = Arc::clone(&gate);
            turns.spawn(async move {
                let turn = gate.enter().await.expect("there is room");
                let at = Instant::now();
                drop(turn);
                at
            });
        }
        let mut begun = turns.join_all().await;
        begun.sort_unstable();
        for (nth, at) in begun.iter().enumerate() {
            let due = begin + Duration::from_millis(250) * u32::try_from(nth).expect("few");
            assert!(*at >= due && *at < due + Duration::from_millis(5), "{nth}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_takes_long_holds_up_the_next() {
        let gate = Arc::new(Gate::new(1000, 1, Instant::now()));
        let turn = gate.enter().await.expect("nobody waits");
        let next = gate.enter();
        tokio::pin!(next);
        let held = tokio::time::timeout(Duration::from_secs(60), next.as_mut()).await;
        assert!(held.is_err(), "two turns at once");
        drop(turn);
        assert!(next.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_wait() {
        for waiting_max in [0, 1, 5] {
            let gate = Gate::new(1000, waiting_max, Instant::now());
            let turn = gate.enter().await.expect("nobody waits");
            let mut waiting = Vec::new();
            for _ in 0..=waiting_max {
                waiting.push(Box::pin(gate.enter()));
            }
            for enter in &mut waiting {
                let pending = tokio::time::timeout(Duration::from_millis(1), enter).await;
                assert!(pending.is_err(), "its turn has not come");
            }
            assert!(gate.enter().await.is_none(), "{waiting_max}: too many wait");
            // Whoever does not wait any more makes room.
            waiting.clear();
            drop(turn);
            assert!(gate.enter().await.is_some());
        }
    }
}
