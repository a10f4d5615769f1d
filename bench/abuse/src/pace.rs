//! So many a second, in portions.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

#[derive(Debug)]
pub(crate) struct Pace {
    portions: Interval,
    per_s: u32,
    /// What is left over of the portions so far, in thousandths.
    rest: u32,
}

impl Pace {
    pub(crate) fn new(per_s: u32) -> Self {
        let mut portions = interval(PORTION);
        // Who was held up makes up for it, but not for all.
        portions.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self {
            portions,
            per_s,
            rest: 0,
        }
    }

    /// How many are due now.
    pub(crate) async fn due(&mut self) -> u32 {
        self.portions.tick().await;
        let thousandths = self.rest + self.per_s % 1_000 * PORTION_MS;
        self.rest = thousandths % 1_000;
        self.per_s / 1_000 * PORTION_MS + thousandths / 1_000
    }
}

const PORTION_MS: u32 = 2;
const PORTION: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_as_many_as_were_asked_for() {
        for per_s in [1, 499, 500, 1_000, 1_001, 50_000] {
            let mut pace = Pace::new(per_s);
            let mut all = 0;
            for _ in 0..1_000 / PORTION_MS {
                all += pace.due().await;
            }
            assert_eq!(all, per_s);
        }
    }
}
