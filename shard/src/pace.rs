//! The rest between two passes under load. What arrives meanwhile is taken together: one flush then
//! carries several packets for each peer, and packets that share a datagram share nearly all that
//! it costs.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Decides how long to rest, and rests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From the start of a pass to that of the next, at most.
    most: Duration,
}

impl Pace {
    /// `most` is [`crate::Config::pace`].
    pub(crate) fn new(most: Duration) -> Self {
        Self { most }
    }

    /// How long to rest after a pass that took that long: the longer the pass, the more there is to
    /// be gained, up to the limit. A pass that is longer than the limit is followed at once, and so,
    /// nearly, is one with little to do, as those of an idle or a lightly loaded shard are.
    fn rest(self, took: Duration) -> Duration {
        let rest = (took * PASSES).min(self.most).saturating_sub(took);
        if rest < REST_MIN {
            Duration::ZERO
        } else {
            rest
        }
    }

    /// Rests after a pass that began at `start`; `true` when it did. It is the thread that sleeps,
    /// for the runtime's timers count milliseconds, and that is as long as the longest rest.
    pub(crate) fn rest_since(self, start: Instant) -> bool {
        if self.most.is_zero() {
            return false;
        }
        let rest = self.rest(start.elapsed());
        if rest.is_zero() {
            return false;
        }
        thread::sleep(rest);
        true
    }
}

/// Of the time from pass to pass, a pass takes one part in so many, where the limit allows.
const PASSES: u32 = 5;

/// The system is late by half of that.
const REST_MIN: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_follows_the_pass_up_to_the_limit() {
        let pace = Pace::new(Duration::from_millis(1));
        let rests = [(0, 0), (20, 0), (30, 120), (200, 800), (600, 400), (901, 0)];
        for (took, rest) in rests.into_iter().chain([(1000, 0), (5000, 0)]) {
            let [took, rest] = [took, rest].map(Duration::from_micros);
            assert_eq!(pace.rest(took), rest, "{took:?}");
        }
        assert_eq!(
            Pace::new(Duration::ZERO).rest(Duration::from_micros(200)),
            Duration::ZERO
        );
    }

    #[test]
    fn a_rest_lasts_until_the_limit() {
        let start = Instant::now()
            .checked_sub(Duration::from_millis(1))
            .unwrap();
        assert!(Pace::new(Duration::from_secs(1)).rest_since(start));
        assert!(Instant::now() >= start + Duration::from_millis(5));
        assert!(!Pace::new(Duration::ZERO).rest_since(start));
    }
}
