//! Clients that leave politely and are replaced by fresh ones while the load goes on.

use std::{fmt, str::FromStr, time::Duration};

use crate::plan::{nanos, spread};

/// How many clients are replaced each second. Parses from `1%/s` and from `2/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Churn {
    /// This part of all clients, 0 to 1.
    Share(f64),
    /// So many.
    Count(f64),
}

/// Why a text is no churn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected clients per second such as 1%/s or 2/s, got {0:?}")]
pub struct ChurnError(String);

impl Churn {
    /// Clients replaced each second, of so many.
    #[must_use]
    pub fn per_s(self, clients: u32) -> f64 {
        match self {
            Self::Share(share) => share * f64::from(clients),
            Self::Count(count) => count,
        }
    }

    /// How many of those who leave may still be there at a time: their sockets are closed a few
    /// seconds after others have taken their places.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number, rounded up; whatever does not fit is cut by the conversion"
    )]
    pub fn leaving_max(self, clients: u32) -> u64 {
        (self.per_s(clients) * LEAVING_S).ceil() as u64
    }
}

impl FromStr for Churn {
    type Err = ChurnError;

    fn from_str(text: &str) -> Result<Self, ChurnError> {
        let bad = || ChurnError(text.to_owned());
        let number = text.trim().strip_suffix("/s").ok_or_else(bad)?.trim();
        let percent = number.strip_suffix('%');
        let value: f64 = percent
            .unwrap_or(number)
            .trim()
            .parse()
            .map_err(|_| bad())?;
        if !value.is_finite() || value <= 0.0 {
            return Err(bad());
        }
        Ok(match percent {
            Some(_) => Self::Share(value / 100.0),
            None => Self::Count(value),
        })
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{}%/s", share * 100.0),
            Self::Count(count) => write!(f, "{count}/s"),
        }
    }
}

/// Who is replaced when: spread over each interval, everybody once before anybody twice.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval_ns: u64,
    seed: u64,
    /// This round's clients that are still to go, the next one last.
    round: Vec<u32>,
    clients: u32,
    rounds: u64,
    gone: u64,
}

impl Schedule {
    pub(crate) fn new(churn: Churn, clients: u32, seed: u64) -> Self {
        // Checked with the options: above nothing, and at most all clients in a second.
        let interval = Duration::try_from_secs_f64(1.0 / churn.per_s(clients));
        Self {
            interval_ns: nanos(interval.unwrap_or(Duration::MAX)).max(1),
            seed: spread(seed ^ SALT),
            round: Vec::new(),
            clients,
            rounds: 0,
            gone: 0,
        }
    }

    /// When the next one goes, since the start.
    pub(crate) fn next_due(&self) -> Duration {
        let jitter = spread(self.seed ^ self.gone) % self.interval_ns;
        Duration::from_nanos(
            self.gone
                .saturating_mul(self.interval_ns)
                .saturating_add(jitter),
        )
    }

    /// Goes on to the next one. Returns who this one was.
    pub(crate) fn advance(&mut self) -> Option<u32> {
        self.gone += 1;
        if self.round.is_empty() {
            self.rounds += 1;
            self.round = (0..self.clients).collect();
            let order = self.seed.wrapping_add(self.rounds);
            self.round
                .sort_by_key(|client| spread(order ^ u64::from(*client) << 32));
        }
        self.round.pop()
    }
}

/// Twice as long as they take.
const LEAVING_S: f64 = 8.0;

/// Keeps this schedule apart from that of the publishers, which has the same seed.
const SALT: u64 = 0x6368_7572_6e00_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn shares_and_counts_are_read() {
        for (text, churn) in [
            ("1%/s", Churn::Share(0.01)),
            ("0.5 %/s", Churn::Share(0.005)),
            ("2/s", Churn::Count(2.0)),
            ("0.25/s", Churn::Count(0.25)),
        ] {
            assert_eq!(text.parse(), Ok(churn), "{text}");
            assert_eq!(churn.to_string().parse(), Ok(churn));
        }
        for text in ["", "1", "1%", "0/s", "-1/s", "NaN/s", "inf/s", "x/s", "1/m"] {
            assert!(text.parse::<Churn>().is_err(), "{text}");
        }
        assert!((Churn::Share(0.01).per_s(50) - 0.5).abs() < 1e-9);
        assert_eq!(Churn::Count(0.1).leaving_max(50), 1);
        assert_eq!(Churn::Share(1.0).leaving_max(50), 400);
    }

    #[test]
    fn everybody_goes_once_before_anybody_goes_twice() {
        let mut schedule = Schedule::new(Churn::Count(10.0), 7, 1);
        let mut orders = BTreeSet::new();
        for _ in 0..4 {
            let order: Vec<u32> = (0..7).filter_map(|_| schedule.advance()).collect();
            let all: BTreeSet<u32> = order.iter().copied().collect();
            assert_eq!(all.len(), 7);
            orders.insert(order);
        }
        assert!(orders.len() > 1, "not always in the same order");
    }

    #[test]
    fn as_many_go_as_asked_for_and_seeds_differ() {
        let due = |seed| {
            let mut schedule = Schedule::new(Churn::Share(0.1), 20, seed);
            let mut due = Vec::new();
            while schedule.next_due() < Duration::from_secs(10) {
                due.push((schedule.next_due(), schedule.advance()));
            }
            due
        };
        // Two each second.
        assert_eq!(due(1).len(), 20);
        assert!(due(1).is_sorted());
        assert_eq!(due(1), due(1));
        assert_ne!(due(1), due(2));
    }
}
