//! How fast one session is read: one that signals faster than it may is left to wait in its own
//! TCP connection, before the state machine would have to drop what it sends.

use std::time::Duration;

use coordinator_core::Rate;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Pace {
    /// What one frame costs.
    interval: Duration,
    /// How far a session may be ahead.
    credit: Duration,
    /// When everything read so far is paid for.
    paid_at: Instant,
}

impl Pace {
    /// Keeps within `rate`, with half of its burst: signals that come evenly may still reach the
    /// state machine in lumps.
    pub(crate) fn new(now: Instant, rate: Rate) -> Self {
        let interval = rate.interval();
        Self {
            interval,
            credit: interval * (rate.burst / 2).max(1),
            paid_at: now,
        }
    }

    /// Takes notice of a frame; returns until when none should be read.
    pub(crate) fn charge(&mut self, now: Instant) -> Option<Instant> {
        self.paid_at = self.paid_at.max(now) + self.interval;
        let resume_at = self.paid_at - self.credit;
        (resume_at > now).then_some(resume_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 6,
    };

    #[tokio::test(start_paused = true)]
    async fn half_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(start, RATE);
        let ms = |at: Option<Instant>| at.map(|at| at.duration_since(start).as_millis());
        let frames: Vec<_> = (0..5).map(|_| ms(pace.charge(start))).collect();
        assert_eq!(frames, [None, None, None, Some(100), Some(200)]);
        let later = start + Duration::from_secs(10);
        assert_eq!(pace.charge(later), None, "a pause pays for all");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_nothing_is_one() {
        let rate = Rate {
            per_second: 0,
            burst: 0,
        };
        let start = Instant::now();
        let mut pace = Pace::new(start, rate);
        assert_eq!(pace.charge(start), None);
        assert!(pace.charge(start).is_some());
    }
}
