//! Whether two clocks agree: tokens that run out depend on it.

use std::time::{Duration, SystemTime};

use super::report::Report;

/// Reports how a clock differs from ours; it was read when ours showed `ours`.
pub(super) fn compare(report: &mut Report, whose: &str, theirs: SystemTime, ours: SystemTime) {
    let (off, side) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let what = format!("{whose} clock is {:.1} s {side} ours", off.as_secs_f64());
    if off > OFF_MAX {
        report.bad(
            STEP,
            what,
            "tokens that run out are refused too early or too late: set both clocks (NTP)",
        );
    } else {
        report.ok(STEP, what);
    }
}

/// Tokens commonly allow for a minute; half of it is the point to look at it.
const OFF_MAX: Duration = Duration::from_secs(30);

const STEP: &str = "clock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_minute_is_too_much_on_either_side() {
        let now = SystemTime::now();
        let ms = Duration::from_millis;
        for (theirs, well) in [
            (now, true),
            (now + ms(30_000), true),
            (now + ms(30_001), false),
            (now - ms(30_000), true),
            (now - ms(30_001), false),
        ] {
            let mut report = Report::new(String::new(), true);
            compare(&mut report, "its", theirs, now);
            assert_eq!(report.is_healthy(), well, "{theirs:?}");
        }
    }
}
