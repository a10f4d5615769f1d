//! Thresholds that a run has to meet, such as `lost=0` or `p99=20ms`.

use std::{fmt, str::FromStr, time::Duration};

use crate::{Report, report::Grouped};

/// One threshold.
#[derive(Debug, Clone)]
pub struct Requirement {
    metric: Metric,
    threshold: Threshold,
}

/// A threshold that was not met.
#[derive(Debug, Clone)]
pub struct Miss {
    requirement: Requirement,
    got: String,
}

/// Why a text is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No `=`, or an unknown name.
    #[error("expected NAME=VALUE with NAME one of {NAMES}, got {0:?}")]
    Name(String),
    /// The value does not go with the name.
    #[error("{name}: expected {expected}, got {value:?}")]
    Value {
        /// Of the metric.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        value: String,
    },
}

#[derive(Debug, Clone, Copy)]
struct Metric {
    name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// As many or fewer; also as a share of what was expected.
    AtMost(fn(&Report) -> u64),
    /// As many or more.
    AtLeast(fn(&Report) -> u64),
    /// As long or shorter, and measured at all.
    Within(fn(&Report) -> Option<Duration>),
}

#[derive(Debug, Clone, Copy)]
enum Threshold {
    Count(u64),
    /// Of what was expected, in millionths.
    Share(u64),
    Duration(Duration),
}

impl Requirement {
    /// What is wrong, if anything.
    #[must_use]
    pub fn check(&self, report: &Report) -> Option<Miss> {
        let (met, got) = match (self.metric.kind, self.threshold) {
            (Kind::AtMost(value), Threshold::Count(limit)) => {
                let got = value(report);
                (got <= limit, Grouped(got).to_string())
            }
            (Kind::AtMost(value), Threshold::Share(millionths)) => {
                let got = value(report);
                let limit = u128::from(report.expected) * u128::from(millionths);
                let got_text = format!("{} of {}", Grouped(got), Grouped(report.expected));
                (u128::from(got) * 1_000_000 <= limit, got_text)
            }
            (Kind::AtLeast(value), Threshold::Count(limit)) => {
                let got = value(report);
                (got >= limit, Grouped(got).to_string())
            }
            (Kind::Within(value), Threshold::Duration(limit)) => {
                let got = value(report);
                let met = got.is_some_and(|got| got <= limit);
                (
                    met,
                    got.map_or_else(|| "nothing".into(), |got| format!("{got:?}")),
                )
            }
            // The parser pairs them.
            _ => (false, "nothing comparable".into()),
        };
        (!met).then(|| Miss {
            requirement: self.clone(),
            got,
        })
    }
}

impl FromStr for Requirement {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let unknown = || ParseError::Name(text.into());
        let (name, value) = text.split_once('=').ok_or_else(unknown)?;
        let metric = *METRICS
            .iter()
            .find(|metric| metric.name == name.trim())
            .ok_or_else(unknown)?;
        let value = value.trim();
        let bad = |expected| ParseError::Value {
            name: metric.name,
            expected,
            value: value.into(),
        };
        let threshold = match metric.kind {
            Kind::AtMost(_) => match value.strip_suffix('%') {
                Some(percent) => parse_percent(percent.trim()).map(Threshold::Share),
                None => value.parse().ok().map(Threshold::Count),
            }
            .ok_or_else(|| bad("a whole number, or a share such as 0.1%"))?,
            Kind::AtLeast(_) => {
                let count = value.parse().map_err(|_| bad("a whole number"))?;
                Threshold::Count(count)
            }
            Kind::Within(_) => {
                let within = crate::parse_duration(value).ok();
                Threshold::Duration(within.ok_or_else(|| bad("a duration such as 20ms"))?)
            }
        };
        Ok(Self { metric, threshold })
    }
}

/// Percent, to millionths of the whole.
fn parse_percent(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: u64 = format!("{part:0<4}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(10_000)?.checked_add(part)
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric.name;
        let sign = if matches!(self.metric.kind, Kind::AtLeast(_)) {
            "at least"
        } else {
            "at most"
        };
        match self.threshold {
            Threshold::Count(count) => write!(f, "{name} {sign} {}", Grouped(count)),
            Threshold::Share(millionths) => {
                let (whole, part) = (millionths / 10_000, millionths % 10_000);
                write!(f, "{name} {sign} {whole}.{part:04} %")
            }
            Threshold::Duration(duration) => write!(f, "{name} {sign} {duration:?}"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "required {}, got {}", self.requirement, self.got)
    }
}

const fn at_most(name: &'static str, value: fn(&Report) -> u64) -> Metric {
    Metric {
        name,
        kind: Kind::AtMost(value),
    }
}

const fn at_least(name: &'static str, value: fn(&Report) -> u64) -> Metric {
    Metric {
        name,
        kind: Kind::AtLeast(value),
    }
}

const fn within(name: &'static str, value: fn(&Report) -> Option<Duration>) -> Metric {
    Metric {
        name,
        kind: Kind::Within(value),
    }
}

fn latency(report: &Report, us: u64) -> Option<Duration> {
    (report.delivered > 0).then(|| Duration::from_micros(us))
}

/// Whoever is not back has no time: then there is no percentile either.
fn recovery(report: &Report, ms: f64) -> Option<Duration> {
    let took = Duration::try_from_secs_f64(ms / 1000.0).ok()?;
    (ms > 0.0 && report.unrecovered == 0).then_some(took)
}

fn connect(report: &Report, ms: f64) -> Option<Duration> {
    let took = Duration::try_from_secs_f64(ms / 1000.0).ok()?;
    (report.connected > 0).then_some(took)
}

const METRICS: &[Metric] = &[
    at_most("failed", |report| report.failed),
    at_most("lost", |report| report.lost),
    at_most("away", |report| report.away),
    at_most("duplicated", |report| report.duplicated),
    at_most("reordered", |report| report.reordered),
    at_most("corrupt", |report| report.corrupt),
    at_most("socket_drops", |report| report.socket_drops),
    at_most("errors", |report| report.errors.values().sum()),
    at_most("reconnects", |report| report.reconnects),
    at_most("unrecovered", |report| report.unrecovered),
    at_most("aliases_changed", |report| report.aliases_changed),
    at_least("connected", |report| report.connected),
    at_least("published", |report| report.published),
    at_least("delivered", |report| report.delivered),
    at_least("publish_per_s", |report| report.publish_per_s),
    at_least("deliver_per_s", |report| report.deliver_per_s),
    within("p50", |report| latency(report, report.latency_us.p50)),
    within("p90", |report| latency(report, report.latency_us.p90)),
    within("p99", |report| latency(report, report.latency_us.p99)),
    within("p999", |report| latency(report, report.latency_us.p999)),
    within("max", |report| latency(report, report.latency_us.max)),
    within("connect_p50", |report| {
        connect(report, report.connect_ms.p50)
    }),
    within("connect_p90", |report| {
        connect(report, report.connect_ms.p90)
    }),
    within("connect_p99", |report| {
        connect(report, report.connect_ms.p99)
    }),
    within("connect_max", |report| {
        connect(report, report.connect_ms.max)
    }),
    within("recovery_p50", |report| {
        recovery(report, report.recovery_ms.p50)
    }),
    within("recovery_p90", |report| {
        recovery(report, report.recovery_ms.p90)
    }),
    within("recovery_p99", |report| {
        recovery(report, report.recovery_ms.p99)
    }),
    within("recovery_max", |report| {
        recovery(report, report.recovery_ms.max)
    }),
];

/// For the error message and `--help`; a test compares.
pub const NAMES: &str = "failed, lost, away, duplicated, reordered, corrupt, socket_drops, errors, \
    reconnects, unrecovered, aliases_changed (at most), connected, published, delivered, \
    publish_per_s, deliver_per_s (at least), p50, p90, p99, p999, max, connect_p50, connect_p90, \
    connect_p99, connect_max, recovery_p50, recovery_p90, recovery_p99, recovery_max (durations, at \
    most; what was not measured, or who is not back, misses them)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn miss(text: &str) -> Option<String> {
        let requirement: Requirement = text.parse().expect("a requirement");
        requirement.check(&report()).map(|miss| miss.to_string())
    }

    #[test]
    fn thresholds_are_inclusive() {
        for met in [
            "lost=10",
            "p99=20ms",
            "connected=49",
            "lost=0.0041%",
            "connect_max=50ms",
            "recovery_p99=5s",
            "aliases_changed=2",
        ] {
            assert_eq!(miss(met), None, "{met}");
        }
        for missed in [
            "lost=9",
            "p99=19999us",
            "connected=50",
            "lost=0.0040%",
            "errors=0",
            "recovery_p99=4999ms",
            "aliases_changed=1",
        ] {
            assert!(miss(missed).is_some(), "{missed}");
        }
    }

    #[test]
    fn a_miss_says_both_sides() {
        assert_eq!(
            miss("lost=0").as_deref(),
            Some("required lost at most 0, got 10")
        );
        let p99 = miss("p99=5ms");
        assert_eq!(p99.as_deref(), Some("required p99 at most 5ms, got 20ms"));
        let share = miss("lost=0.001%");
        assert_eq!(
            share.as_deref(),
            Some("required lost at most 0.0010 %, got 10 of 245,000")
        );
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let mut nothing = report();
        (nothing.delivered, nothing.latency_us.p99) = (0, 0);
        let required: Requirement = "p99=1s".parse().expect("a requirement");
        let miss = required.check(&nothing).map(|miss| miss.to_string());
        assert_eq!(
            miss.as_deref(),
            Some("required p99 at most 1s, got nothing")
        );
    }

    #[test]
    fn who_is_not_back_took_too_long() {
        let required: Requirement = "recovery_p99=5s".parse().expect("a requirement");
        let mut one_is_not = report();
        assert!(required.check(&one_is_not).is_none());
        one_is_not.unrecovered = 1;
        assert!(required.check(&one_is_not).is_some());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "lost",
            "speed=1",
            "lost=-1",
            "lost=x%",
            "lost=0.00001%",
            "p99=20",
            "p99=1%",
        ] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_is_told() {
        for metric in METRICS {
            let told = NAMES.split([',', ' ', '(']).any(|name| name == metric.name);
            assert!(told, "{}", metric.name);
        }
    }
}
