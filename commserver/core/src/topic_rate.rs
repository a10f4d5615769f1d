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

/// Those who wait, all together: each goes on at a time of its own. They began together, or meant to,
/// and a list of a thousand topics takes as long as hundreds of packets, for which all others wait.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// When whoever had the last turn is done, if it asks for as much again.
    free_at: Option<Instant>,
}

impl Turns {
    /// When somebody may go on who named so many topics and is to wait until then at least.
    pub(crate) fn take(&mut self, until: Instant, topics: usize) -> Instant {
        let topics = u32::try_from(topics).unwrap_or(u32::MAX);
        let takes = FOR_A_TOPIC.saturating_mul(topics).min(TURN_MAX);
        let free_at = self.free_at.map_or(until, |free_at| free_at.max(until));
        let turn = free_at.min(until + TURN_WAIT_MAX);
        self.free_at = Some(turn + takes);
        turn
    }
}

/// To name a topic takes a tenth of that, so those who wait are given a tenth of the time.
const FOR_A_TOPIC: Duration = Duration::from_micros(5);
/// Nobody is given more of it, whatever was named.
const TURN_MAX: Duration = Duration::from_millis(50);
/// Nobody waits longer for a turn, however many do: an echo is expected sooner or later.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

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
    fn those_who_waited_together_go_on_one_after_the_other() {
        let now = Instant::now();
        let mut turns = Turns::default();
        let at: Vec<Instant> = (0..3).map(|_| turns.take(now, 1_000)).collect();
        assert_eq!(at, [now, now + after(5), now + after(10)]);
        assert_eq!(turns.take(now + after(12), 1_000), now + after(15));
        let later = now + after(1_000);
        assert_eq!(turns.take(later, 1_000), later, "nobody else is there");
    }

    #[test]
    fn nobody_waits_long_for_a_turn() {
        let now = Instant::now();
        let mut turns = Turns::default();
        let at: Vec<Instant> = (0..1_000).map(|_| turns.take(now, usize::MAX)).collect();
        assert_eq!(at.get(1), Some(&(now + TURN_MAX)));
        assert_eq!(at.last(), Some(&(now + TURN_WAIT_MAX)));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let rate = TopicRate { per_s: 0, burst: 0 };
        let mut budget = TopicBudget::default();
        assert_eq!(budget.take(Instant::now(), usize::MAX, rate), None);
    }
}
