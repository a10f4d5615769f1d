//! The pause between attempts: doubles from a smallest to a largest, with jitter, for ever.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Counts attempts and says how long to wait before the next one.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// Pauses of about `min`, then twice that, and so on until `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            attempts: 0,
        }
    }

    /// The next pause: between half of the step and all of it, so that many who lost the same
    /// server do not come back together.
    pub fn step(&mut self, rng: &mut impl Rng) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        let step = self.min.saturating_mul(factor).min(self.max);
        step.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// Steps since the last success.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked: the next pause is the smallest again.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

    #[test]
    fn doubles_to_the_cap_and_starts_again() {
        let (min, max) = (Duration::from_millis(500), Duration::from_secs(4));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut backoff = Backoff::new(min, max);
        for step_ms in [500, 1_000, 2_000, 4_000, 4_000] {
            let step = Duration::from_millis(step_ms);
            let pause = backoff.step(&mut rng);
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }
        for _ in 0..100 {
            assert!(backoff.step(&mut rng) <= max);
        }
        backoff.reset();
        assert!(backoff.step(&mut rng) <= min);
    }
}
