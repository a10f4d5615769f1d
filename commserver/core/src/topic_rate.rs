//! How fast one client may change what it hears. A packet that changes a thousand topics costs as
//! much as hundreds that change one, so it is topics that are counted, and the reliable lane of who
//! is over its rate is left unread for a while: nothing is refused and nothing lost.

use std::time::{Duration, Instant};

/// So many topics a second, after so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicRate {
    /// Topics a second, in the long run; 0 for no limit.
    pub(crate) per_s: u32,
    /// Topics at once, after a pause.
    pub(crate) burst: usize,
}

/// What one client has used: the time at which all of it is paid for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TopicBudget {
    paid_at: Option<Instant>,
}

impl TopicBudget {
    /// So many topics were named; until when the client is to wait, if it is.
    pub(crate) fn take(&mut self, now: Instant, topics: usize, rate: TopicRate) -> Option<Instant> {
        if rate.per_s == 0 {
            return None;
        }
        let time_for = |topics: usize| {
            let topics = u64::try_from(topics).unwrap_or(u64::MAX);
            Duration::from_nanos(topics.saturating_mul(NANOS_PER_S) / u64::from(rate.per_s))
        };
        let from = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
        let paid_at = from.checked_add(time_for(topics))?;
        self.paid_at = Some(paid_at);
        paid_at
            .checked_sub(time_for(rate.burst))
            .filter(|until| *until > now)
    }
}

const NANOS_PER_S: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: TopicRate = TopicRate {
        per_s: 10,
        burst: 5,
    };

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_what_is_over_it_is_waited_for() {
        let now = Instant::now();
        for (topics, waits) in [(4, None), (5, None), (6, Some(100)), (15, Some(1_000))] {
            let until = TopicBudget::default().take(now, topics, RATE);
            assert_eq!(until, waits.map(|ms| now + after(ms)), "{topics}");
        }
    }

    #[test]
    fn a_pause_pays_up_to_a_burst_and_no_further() {
        let now = Instant::now();
        let mut budget = TopicBudget::default();
        assert_eq!(budget.take(now, 5, RATE), None);
        let later = now + after(200);
        assert_eq!(budget.take(later, 2, RATE), None);
        assert_eq!(budget.take(later, 1, RATE), Some(later + after(100)));
        let much_later = now + after(3_600_000);
        assert_eq!(budget.take(much_later, 5, RATE), None);
        let until = budget.take(much_later, 1, RATE);
        assert_eq!(until, Some(much_later + after(100)));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let rate = TopicRate { per_s: 0, burst: 0 };
        let mut budget = TopicBudget::default();
        assert_eq!(budget.take(Instant::now(), usize::MAX, rate), None);
    }
}
