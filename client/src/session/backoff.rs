//! The wait before the next try: capped, exponential, jittered. The commserver's core has one of its
//! own: neither may import the other, and a crate for three lines of arithmetic would cost more than
//! it saves.

use std::time::Duration;

use super::{config, random::Random};

#[derive(Debug)]
pub(super) struct Backoff {
    config: config::Backoff,
    tries: u32,
}

impl Backoff {
    pub(super) const fn new(config: config::Backoff) -> Self {
        Self { config, tries: 0 }
    }

    /// The next wait: the step's on top of `least`, for whoever asked for that asked many.
    pub(super) fn next(&mut self, least: Duration, random: &mut Random) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        let step = self
            .config
            .first
            .saturating_mul(factor)
            .min(self.config.max);
        let half = step / 2;
        least + half + half.mul_f64(random.fraction())
    }

    pub(super) fn reset(&mut self) {
        self.tries = 0;
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
        let mut backoff = Backoff::new(config);
        let mut random = Random::new(7);
        let mut next = |backoff: &mut Backoff, least| backoff.next(least, &mut random);
        for step_ms in [100_u64, 200, 400, 400] {
            let wait = next(&mut backoff, Duration::ZERO);
            let step = Duration::from_millis(step_ms);
            assert!((step / 2..=step).contains(&wait), "{wait:?} of {step:?}");
        }
        backoff.reset();
        assert!(next(&mut backoff, Duration::ZERO) <= Duration::from_millis(100));
        let asked = next(&mut backoff, Duration::from_secs(9));
        assert!((Duration::from_secs(9)..Duration::from_millis(9_201)).contains(&asked));
        for _ in 0..100 {
            assert!(next(&mut backoff, Duration::ZERO) <= Duration::from_millis(400));
        }
    }
}
