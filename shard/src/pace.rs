//! The rest between two passes. Under load, what arrives meanwhile is taken together: one flush then
//! carries several packets for each peer, and packets that share a datagram share nearly all that
//! it costs. Where there are keep-alives alone, many of them share a turn of the thread, which is
//! nearly all that they cost.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Decides how long to rest, and rests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From the start of a pass to that of the next, at most.
    most: Duration,
    /// The same, where there are keep-alives alone.
    idle: Duration,
}

/// What is known of a pass when it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) start: Instant,
    /// When there was something last that somebody waits for.
    pub(crate) worked: Option<Instant>,
    /// It brought datagrams.
    pub(crate) received: bool,
}

impl Pace {
    /// [`crate::Config::pace`] and [`crate::Config::pace_idle`].
    pub(crate) fn new(most: Duration, idle: Duration) -> Self {
        Self { most, idle }
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

    /// How long to rest where there are keep-alives alone. After a pass that brought nothing not at
    /// all: then they are so few that what comes next comes to a thread that waits for it.
    fn idle_rest(self, pass: Pass, took: Duration) -> Duration {
        if pass.received {
            self.idle.saturating_sub(took)
        } else {
            Duration::ZERO
        }
    }

    /// Rests after a pass; `true` when it did. It is the thread that sleeps, for the runtime's timers
    /// count milliseconds, and that is as long as the longest rest under load.
    pub(crate) fn rest_after(self, pass: Pass) -> bool {
        if self.most.is_zero() && self.idle.is_zero() {
            return false;
        }
        let now = Instant::now();
        let mut rest = self.rest(now - pass.start);
        let works = |worked| now.saturating_duration_since(worked) < IDLE_AFTER;
        if !pass.worked.is_some_and(works) {
            rest = rest.max(self.idle_rest(pass, now - pass.start));
        }
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

/// With nothing to do for so long, what comes next is the first of its kind, and may be late by a
/// rest: not what answers it, and not what comes at ten times a second.
const IDLE_AFTER: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_follows_the_pass_up_to_the_limit() {
        let pace = Pace::new(Duration::from_millis(1), Duration::ZERO);
        let rests = [(0, 0), (20, 0), (30, 120), (200, 800), (600, 400), (901, 0)];
        for (took, rest) in rests.into_iter().chain([(1000, 0), (5000, 0)]) {
            let [took, rest] = [took, rest].map(Duration::from_micros);
            assert_eq!(pace.rest(took), rest, "{took:?}");
        }
        assert_eq!(
            Pace::new(Duration::ZERO, Duration::ZERO).rest(Duration::from_micros(200)),
            Duration::ZERO
        );
    }

    #[test]
    fn a_rest_lasts_until_the_limit() {
        let start = Instant::now()
            .checked_sub(Duration::from_millis(1))
            .unwrap();
        let pass = Pass {
            start,
            worked: Some(start),
            received: true,
        };
        assert!(Pace::new(Duration::from_secs(1), Duration::ZERO).rest_after(pass));
        assert!(Instant::now() >= start + Duration::from_millis(5));
        assert!(!Pace::new(Duration::ZERO, Duration::ZERO).rest_after(pass));
    }

    #[test]
    fn who_has_nothing_but_keep_alives_rests_longer() {
        let pace = Pace::new(Duration::ZERO, Duration::from_millis(5));
        let start = Instant::now();
        let mut pass = Pass {
            start,
            worked: Some(start),
            received: true,
        };
        assert!(!pace.rest_after(pass), "there was work just now");
        pass.worked = start.checked_sub(IDLE_AFTER);
        assert!(pace.rest_after(pass));
        assert!(Instant::now() >= start + Duration::from_millis(5));
        assert!(!pace.rest_after(pass), "it is over");
        pass.start = Instant::now();
        pass.received = false;
        assert!(!pace.rest_after(pass), "nobody is there");
    }
}
