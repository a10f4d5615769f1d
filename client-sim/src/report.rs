//! What a run found: as a table for people, as JSON for machines.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The result of a run. The JSON has exactly these fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Asked for.
    pub clients: u64,
    /// On a server and subscribed when publishing began.
    pub connected: u64,
    /// Not.
    pub failed: u64,
    /// Packets handed to a lane.
    pub published: u64,
    /// Deliveries that were due: for each packet, the subscribers that were there when it was sent.
    pub expected: u64,
    /// Of those, received.
    pub delivered: u64,
    /// Of those, not received.
    pub lost: u64,
    /// Not received, while publisher or subscriber was without a server.
    pub away: u64,
    /// Received again.
    pub duplicated: u64,
    /// Received after a later packet of the same publisher. On the unreliable lane that is no fault.
    pub reordered: u64,
    /// Not what was sent: damaged, misdelivered, or never published.
    pub corrupt: u64,
    /// Datagrams that this machine's kernel dropped on the way to the clients.
    pub socket_drops: u64,
    /// Over the time of publishing.
    pub publish_per_s: u64,
    /// Ditto.
    pub deliver_per_s: u64,
    /// From a client's start to READY.
    pub connect_ms: TimesMs,
    /// From the scheduled time of a packet to its delivery; in a closed loop from its sending.
    pub latency_us: LatencyUs,
    /// What else happened, by name.
    pub errors: BTreeMap<String, u64>,
    /// How long was published.
    pub duration_s: f64,
    /// The schedule's.
    pub seed: u64,
    /// Times that a server took in a client that had had one before.
    pub reconnects: u64,
    /// From noticing that the server is lost to being subscribed and receiving again.
    pub recovery_ms: TimesMs,
    /// Clients that lost their server and were not back when the run ended.
    pub unrecovered: u64,
    /// Clients that ended with another alias than they began with.
    pub aliases_changed: u64,
    /// Clients that took the place of others, and were subscribed.
    pub joined: u64,
    /// Clients that made place for others.
    pub left: u64,
    /// In a closed loop, times that a publisher waited in vain for its window, and went on.
    pub stalls: u64,
    /// Datagrams that came to the clients while publishing and until all was delivered.
    pub datagrams_in: u64,
    /// Datagrams that the clients sent meanwhile.
    pub datagrams_out: u64,
}

/// Percentiles of what each client took for something, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TimesMs {
    /// Half of the clients took no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Percentiles of latency, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LatencyUs {
    /// Half of the deliveries took no longer.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl TimesMs {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |us| Duration::from_micros(us).as_secs_f64() * 1000.0;
        Self {
            p50: ms(histogram.value_at_quantile(0.5)),
            p90: ms(histogram.value_at_quantile(0.9)),
            p99: ms(histogram.value_at_quantile(0.99)),
            max: ms(histogram.max()),
        }
    }
}

impl LatencyUs {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// A count over a duration.
pub(crate) fn per_second(count: u64, duration: Duration) -> u64 {
    let per_s = u128::from(count) * 1_000_000_000 / duration.as_nanos().max(1);
    u64::try_from(per_s).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            clients,
            connected,
            failed,
            duration_s,
            seed,
            ..
        } = self;
        writeln!(
            f,
            "clients    {connected} of {clients} connected, {failed} failed; \
             published for {duration_s:.1} s (seed {seed})"
        )?;
        let ms = self.connect_ms;
        writeln!(
            f,
            "connect    p50 {:.0} ms   p90 {:.0} ms   p99 {:.0} ms   max {:.0} ms",
            ms.p50, ms.p90, ms.p99, ms.max
        )?;
        writeln!(
            f,
            "published  {} ({}/s)",
            Grouped(self.published),
            Grouped(self.publish_per_s)
        )?;
        writeln!(
            f,
            "delivered  {} ({}/s) of {} due",
            Grouped(self.delivered),
            Grouped(self.deliver_per_s),
            Grouped(self.expected)
        )?;
        writeln!(
            f,
            "faults     lost {}{}   away {}   duplicated {}   reordered {}   corrupt {}   \
             socket drops {}",
            Grouped(self.lost),
            Share(self.lost, self.expected),
            Grouped(self.away),
            Grouped(self.duplicated),
            Grouped(self.reordered),
            Grouped(self.corrupt),
            Grouped(self.socket_drops)
        )?;
        let us = self.latency_us;
        if self.delivered == 0 {
            writeln!(f, "latency    nothing delivered")?;
        } else {
            writeln!(
                f,
                "latency    p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
                Ms(us.p50),
                Ms(us.p90),
                Ms(us.p99),
                Ms(us.p999),
                Ms(us.max)
            )?;
        }
        self.fmt_moves(f)?;
        if self.errors.is_empty() {
            return writeln!(f, "errors     none");
        }
        for (nth, (name, count)) in self.errors.iter().enumerate() {
            let title = if nth == 0 { "errors" } else { "" };
            writeln!(f, "{title:<10} {name} {}", Grouped(*count))?;
        }
        Ok(())
    }
}

impl Report {
    /// Clients that came, went and came back, if there were any.
    fn fmt_moves(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reconnects + self.unrecovered + self.aliases_changed > 0 {
            let ms = self.recovery_ms;
            writeln!(
                f,
                "recovery   p50 {:.0} ms   p90 {:.0} ms   p99 {:.0} ms   max {:.0} ms",
                ms.p50, ms.p90, ms.p99, ms.max
            )?;
            writeln!(
                f,
                "moves      reconnects {}   not back {}   aliases changed {}",
                Grouped(self.reconnects),
                Grouped(self.unrecovered),
                Grouped(self.aliases_changed)
            )?;
        }
        if self.joined + self.left > 0 {
            let (left, joined) = (Grouped(self.left), Grouped(self.joined));
            writeln!(f, "churn      {left} left   {joined} joined")?;
        }
        Ok(())
    }
}

/// 1234567 as 1,234,567.
pub(crate) struct Grouped(pub(crate) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (nth, digit) in digits.chars().enumerate() {
            if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Parts of a whole, when there are any.
struct Share(u64, u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(part, whole) = *self;
        if part == 0 || whole == 0 {
            return Ok(());
        }
        // Thousandths of a percent are enough, and need no floating point.
        let share = u128::from(part) * 100_000 / u128::from(whole);
        write!(f, " ({}.{:03} %)", share / 1000, share % 1000)
    }
}

/// Microseconds as milliseconds.
pub(crate) struct Ms(pub(crate) u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} ms",
            Duration::from_micros(self.0).as_secs_f64() * 1000.0
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tally::histogram;

    pub(crate) fn report() -> Report {
        Report {
            clients: 50,
            connected: 49,
            failed: 1,
            published: 5_000,
            expected: 245_000,
            delivered: 244_990,
            lost: 10,
            away: 3,
            duplicated: 0,
            reordered: 2,
            corrupt: 0,
            socket_drops: 0,
            stalls: 0,
            datagrams_in: 0,
            datagrams_out: 0,
            publish_per_s: 500,
            deliver_per_s: 24_499,
            connect_ms: TimesMs {
                p50: 20.0,
                p90: 30.0,
                p99: 40.0,
                max: 50.0,
            },
            latency_us: LatencyUs {
                p50: 900,
                p90: 1_500,
                p99: 20_000,
                p999: 30_000,
                max: 40_000,
            },
            errors: BTreeMap::from([("IdleTimeout".into(), 1)]),
            duration_s: 10.0,
            seed: 1,
            reconnects: 4,
            recovery_ms: TimesMs {
                p50: 900.0,
                p90: 1_500.0,
                p99: 5_000.0,
                max: 6_000.0,
            },
            unrecovered: 0,
            aliases_changed: 2,
            joined: 6,
            left: 7,
        }
    }

    #[test]
    fn json_has_exactly_the_fields_promised() {
        let json = serde_json::to_value(report()).expect("serializes");
        let names = |value: &serde_json::Value| -> Vec<String> {
            value
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect()
        };
        let mut expected = vec![
            "clients",
            "connected",
            "failed",
            "published",
            "expected",
            "delivered",
            "lost",
            "away",
            "duplicated",
            "reordered",
            "corrupt",
            "socket_drops",
            "publish_per_s",
            "deliver_per_s",
            "connect_ms",
            "latency_us",
            "errors",
            "duration_s",
            "seed",
        ];
        // Behind those promised first.
        expected.extend([
            "reconnects",
            "recovery_ms",
            "unrecovered",
            "aliases_changed",
            "joined",
            "left",
            "stalls",
            "datagrams_in",
            "datagrams_out",
        ]);
        let text = serde_json::to_string(&report()).expect("serializes");
        let mut at = 0;
        for name in &expected {
            let found = text[at..].find(&format!("\"{name}\":"));
            at += found.unwrap_or_else(|| panic!("{name} in its order"));
        }
        expected.sort_unstable();
        let mut found = names(&json);
        found.sort_unstable();
        assert_eq!(found, expected);
        let sorted = |value| {
            let mut names = names(value);
            names.sort_unstable();
            names
        };
        for times in ["connect_ms", "recovery_ms"] {
            assert_eq!(sorted(&json[times]), ["max", "p50", "p90", "p99"]);
        }
        assert_eq!(
            sorted(&json["latency_us"]),
            ["max", "p50", "p90", "p99", "p999"]
        );
    }

    #[test]
    fn people_can_read_it() {
        let text = report().to_string();
        for part in [
            "49 of 50 connected, 1 failed",
            "244,990 (24,499/s) of 245,000 due",
            "lost 10 (0.004 %)",
            "p50 0.90 ms",
            "p99 20.00 ms",
            "reconnects 4   not back 0   aliases changed 2",
            "7 left   6 joined",
            "IdleTimeout 1",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        let grouped = [0, 999, 1_000, 1_234_567].map(|number| Grouped(number).to_string());
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn percentiles_of_a_known_set() {
        let mut all = histogram();
        for us in 1..=1_000 {
            all.record(us).expect("within bounds");
        }
        let latency = LatencyUs::of(&all);
        assert_eq!((latency.p50, latency.p99, latency.p999), (500, 990, 999));
        assert_eq!(latency.max, 1_000);
        assert_eq!(per_second(1_000, Duration::from_millis(2_500)), 400);
        assert_eq!(LatencyUs::of(&histogram()), LatencyUs::default());
    }
}
