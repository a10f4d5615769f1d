//! How fast one session may signal.

use std::time::{Duration, Instant};

/// So many signals a second, after so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Signals a second, in the long run. 0 is taken as 1.
    pub per_second: u32,
    /// Signals at once, after a pause. 0 is taken as 1.
    pub burst: u32,
}

impl Rate {
    /// The time of one signal, in the long run.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

/// The state of one session's rate: the time at which everything admitted so far is paid for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    paid_at: Instant,
}

impl Bucket {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { paid_at: now }
    }

    /// Takes one signal, or refuses it.
    pub(crate) fn admit(&mut self, now: Instant, rate: Rate) -> bool {
        let paid_at = self.paid_at.max(now);
        let debt_max = rate.interval() * (rate.burst.max(1) - 1);
        if paid_at.duration_since(now) > debt_max {
            return false;
        }
        self.paid_at = paid_at + rate.interval();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn admits_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let admitted: Vec<bool> = (0..5).map(|_| bucket.admit(start, RATE)).collect();
        assert_eq!(admitted, [true, true, true, false, false]);
        let early = start + Duration::from_millis(99);
        assert!(!bucket.admit(early, RATE));
        let in_time = start + Duration::from_millis(100);
        assert!(bucket.admit(in_time, RATE));
        assert!(!bucket.admit(in_time, RATE));
    }

    #[test]
    fn a_pause_fills_it_to_the_burst_and_no_further() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let later = start + Duration::from_secs(3600);
        let admitted = (0..10).filter(|_| bucket.admit(later, RATE)).count();
        assert_eq!(admitted, 3);
    }

    #[test]
    fn zeroes_do_no_harm() {
        let rate = Rate {
            per_second: 0,
            burst: 0,
        };
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert!(bucket.admit(start, rate));
        assert!(!bucket.admit(start, rate));
    }
}
