//! The pause between attempts: doubles from a smallest to a largest, with jitter, for ever. One for
//! everybody who dials, so that clients and servers press on what has come back in the same way.

use std::time::Duration;

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

    /// The next pause: half of the step, and as much of the other half as `jitter` says, which is
    /// drawn at random from 0 to 1, so that many who lost the same server do not come back together.
    pub fn step(&mut self, jitter: f64) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        let half = self.min.saturating_mul(factor).min(self.max) / 2;
        half + half.mul_f64(jitter.clamp(0.0, 1.0))
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

    const MIN: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(4);

    #[test]
    fn doubles_to_the_cap_and_starts_again() {
        for jitter in [0.0, 0.5, 1.0] {
            let mut backoff = Backoff::new(MIN, MAX);
            for step_ms in [500, 1_000, 2_000, 4_000, 4_000] {
                let step = Duration::from_millis(step_ms);
                let pause = step / 2 + (step / 2).mul_f64(jitter);
                assert_eq!(backoff.step(jitter), pause, "{jitter} of {step:?}");
            }
            assert_eq!(backoff.attempts(), 5);
            for _ in 0..100 {
                assert!(backoff.step(jitter) <= MAX);
            }
            backoff.reset();
            assert_eq!(backoff.attempts(), 0);
            assert!(backoff.step(jitter) <= MIN);
        }
    }

    #[test]
    fn the_longest_there_is_overflows_nothing() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..100 {
            assert!(backoff.step(1.0) >= Duration::MAX / 2);
        }
    }

    #[test]
    fn a_jitter_that_is_none_stays_within_the_step() {
        for jitter in [-1.0, 2.0, f64::INFINITY] {
            let pause = Backoff::new(MIN, MAX).step(jitter);
            assert!(pause >= MIN / 2 && pause <= MIN, "{pause:?} for {jitter}");
        }
    }
}
