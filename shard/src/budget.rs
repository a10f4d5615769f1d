//! How much a peer may send on a lane: packets and bytes per second, with a burst. Pure: the time
//! and what came in, whether it may pass out. What becomes of the rest is the caller's to say.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// What a lane of every peer may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Packets per second; 0 for no limit.
    pub packets_per_s: u64,
    /// Bytes per second, the sum of the packets' lengths; 0 for no limit.
    pub bytes_per_s: u64,
    /// After a silence so much time's worth may come at once.
    pub burst: Duration,
}

impl Config {
    /// Much more than a person's application sends: 10,000 packets/s and 16 MiB/s, 2 s at once.
    pub const GENEROUS: Self = Self {
        packets_per_s: 10_000,
        bytes_per_s: 16 * 1024 * 1024,
        burst: Duration::from_secs(2),
    };

    /// No limit.
    pub const NONE: Self = Self {
        packets_per_s: 0,
        bytes_per_s: 0,
        burst: Duration::ZERO,
    };

    /// The same, but no more than these; what is `None` stays as it is.
    #[must_use]
    pub fn at_most(self, packets: Option<NonZeroU64>, bytes: Option<NonZeroU64>) -> Self {
        Self {
            packets_per_s: lower(self.packets_per_s, packets),
            bytes_per_s: lower(self.bytes_per_s, bytes),
            burst: self.burst,
        }
    }
}

/// The lower of two rates, of which 0 is no limit.
fn lower(per_s: u64, limit: Option<NonZeroU64>) -> u64 {
    match limit.map(NonZeroU64::get) {
        Some(limit) if per_s == 0 || limit < per_s => limit,
        _ => per_s,
    }
}

/// What is left to one lane of one peer. It lets a packet through while one is left and any byte, so
/// with its bytes the last one may go into debt.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    packets: Bucket,
    bytes: Bucket,
}

impl Budget {
    /// Whether a packet may pass.
    pub(crate) fn allows(&self, now: Instant, config: &Config) -> bool {
        self.next(config).is_none_or(|next| next <= now)
    }

    /// A packet passes.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize, config: &Config) {
        self.packets.take(now, 1, config.packets_per_s);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.take(now, bytes, config.bytes_per_s);
    }

    /// When the next packet may pass; `None` when it might have for ever.
    pub(crate) fn next(&self, config: &Config) -> Option<Instant> {
        let packets = self.packets.next(config.packets_per_s, config.burst);
        let bytes = self.bytes.next(config.bytes_per_s, config.burst);
        packets.max(bytes)
    }
}

/// A token bucket, told by the time at which it is full.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    fn take(&mut self, now: Instant, amount: u64, per_s: u64) {
        if per_s > 0 {
            let from = self.full_at.map_or(now, |full_at| full_at.max(now));
            self.full_at = Some(from + time_for(amount, per_s));
        }
    }

    /// When one is in it.
    fn next(&self, per_s: u64, burst: Duration) -> Option<Instant> {
        let one = time_for(1, per_s);
        // Whatever the burst, one fits.
        self.full_at?
            .checked_sub(burst.max(one))
            .map(|empty| empty + one)
    }
}

/// How long it takes to refill so much.
fn time_for(amount: u64, per_s: u64) -> Duration {
    Duration::from_nanos(amount.saturating_mul(NANOS_PER_S) / per_s.max(1))
}

const NANOS_PER_S: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: Config = Config {
        packets_per_s: 3,
        bytes_per_s: 0,
        burst: Duration::from_secs(2),
    };
    const BYTES: Config = Config {
        packets_per_s: 0,
        bytes_per_s: 1000,
        burst: Duration::from_secs(2),
    };

    /// How many of `packets` pass, all at one time.
    fn passed(budget: &mut Budget, now: Instant, packets: &[usize], config: &Config) -> usize {
        let passes = packets.iter().filter(|bytes| {
            let allowed = budget.allows(now, config);
            if allowed {
                budget.take(now, **bytes, config);
            }
            allowed
        });
        passes.count()
    }

    #[test]
    fn limits_lower_and_never_raise() {
        for (per_s, limit, lowered) in [
            (10, None, 10),
            (10, Some(9), 9),
            (10, Some(10), 10),
            (10, Some(11), 10),
            (0, None, 0),
            (0, Some(1), 1),
        ] {
            let limit = limit.and_then(NonZeroU64::new);
            let config = Config {
                packets_per_s: per_s,
                bytes_per_s: per_s,
                burst: Duration::from_secs(2),
            };
            let packets = config.at_most(limit, None);
            assert_eq!(
                (packets.packets_per_s, packets.bytes_per_s),
                (lowered, per_s)
            );
            let bytes = config.at_most(None, limit);
            assert_eq!((bytes.packets_per_s, bytes.bytes_per_s), (per_s, lowered));
        }
    }

    #[test]
    fn a_burst_of_packets_passes_and_not_one_more() {
        for (burst, passes) in [(5, 5), (6, 6), (7, 6)] {
            let mut budget = Budget::default();
            let now = Instant::now();
            assert_eq!(passed(&mut budget, now, &vec![9; burst], &PACKETS), passes);
        }
    }

    #[test]
    fn a_burst_of_bytes_passes_and_the_last_packet_may_go_into_debt() {
        for (packets, passes) in [
            (&[999, 1000, 1][..], 3),
            (&[1000, 1000, 1], 2),
            (&[1999, 60_000, 1], 2),
            (&[60_000, 1], 1),
        ] {
            let mut budget = Budget::default();
            let now = Instant::now();
            assert_eq!(
                passed(&mut budget, now, packets, &BYTES),
                passes,
                "{packets:?}"
            );
        }
    }

    #[test]
    fn it_refills_with_the_time_up_to_a_burst() {
        let start = Instant::now();
        for (ms, passes) in [(333, 0), (334, 1), (667, 2), (2001, 6), (60_000, 6)] {
            let mut budget = Budget::default();
            assert_eq!(passed(&mut budget, start, &[1; 6], &PACKETS), 6);
            let later = start + Duration::from_millis(ms);
            assert_eq!(
                passed(&mut budget, later, &[1; 9], &PACKETS),
                passes,
                "{ms}"
            );
        }
    }

    #[test]
    fn it_says_when_the_next_may_pass() {
        let now = Instant::now();
        let mut budget = Budget::default();
        assert_eq!(budget.next(&BYTES), None);
        budget.take(now, 60_000, &BYTES);
        let next = budget.next(&BYTES).expect("it is in debt");
        assert!(!budget.allows(next - Duration::from_nanos(1), &BYTES));
        assert!(budget.allows(next, &BYTES));
        assert_eq!(next, now + Duration::from_millis(58_001));
    }

    #[test]
    fn a_burst_shorter_than_one_packet_holds_one_all_the_same() {
        let config = Config {
            burst: Duration::from_millis(100),
            ..PACKETS
        };
        let now = Instant::now();
        let mut budget = Budget::default();
        assert_eq!(passed(&mut budget, now, &[1; 9], &config), 1);
        let later = now + Duration::from_millis(334);
        assert_eq!(passed(&mut budget, later, &[1; 9], &config), 1);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let mut budget = Budget::default();
        let now = Instant::now();
        assert_eq!(
            passed(&mut budget, now, &[60_000; 1000], &Config::NONE),
            1000
        );
        assert_eq!(budget.next(&Config::NONE), None);
    }

    /// Over a long time nothing is gained or lost by asking often.
    #[test]
    fn the_rate_holds_over_time() {
        let start = Instant::now();
        let mut budget = Budget::default();
        let tick = |ms| start + Duration::from_millis(ms);
        let passes: usize = (0..100_000)
            .map(|ms| passed(&mut budget, tick(ms), &[1], &PACKETS))
            .sum();
        assert!((305..=306).contains(&passes), "{passes} in 100 s");
    }
}
