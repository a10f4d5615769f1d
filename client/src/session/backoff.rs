//! The wait before the next try: capped, exponential, jittered.

use std::time::Duration;

use super::config;

#[derive(Debug)]
pub(super) struct Backoff {
    config: config::Backoff,
    tries: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(config: config::Backoff, seed: u64) -> Self {
        Self {
            config,
            tries: 0,
            random: seed,
        }
    }

    /// The next wait: the step's on top of `least`, for whoever asked for that asked many.
    pub(super) fn next(&mut self, least: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        let step = self
            .config
            .first
            .saturating_mul(factor)
            .min(self.config.max);
        let half = step / 2;
        least + half + half.mul_f64(self.fraction())
    }

    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// From 0 to 1, by splitmix64: deterministic on every platform, and jitter needs no more.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_within_its_step() {
        let config = config::Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_millis(400),
            ..Default::default()
        };
        let mut backoff = Backoff::new(config, 7);
        for step_ms in [100_u64, 200, 400, 400] {
            let wait = backoff.next(Duration::ZERO);
            let step = Duration::from_millis(step_ms);
            assert!((step / 2..=step).contains(&wait), "{wait:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next(Duration::ZERO) <= Duration::from_millis(100));
        let asked = backoff.next(Duration::from_secs(9));
        assert!((Duration::from_secs(9)..Duration::from_millis(9_201)).contains(&asked));
        for _ in 0..100 {
            assert!(backoff.next(Duration::ZERO) <= Duration::from_millis(400));
        }
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let waits = |seed| {
            let mut backoff = Backoff::new(config::Backoff::default(), seed);
            [(); 3].map(|()| backoff.next(Duration::ZERO))
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
