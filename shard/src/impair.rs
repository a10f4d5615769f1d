//! A bad network in the socket's own path: loss, delay and jitter, each way, from a seed. For load
//! tests and for tests of what the layers above do about it; kernels without netem are common.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// What the network does to every datagram, in each direction.
///
/// Parses from `loss=1%,delay=20ms,jitter=5ms` (`seed=7` too; each part may be absent; durations in
/// `us`, `ms` or `s`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impair {
    /// Probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// Delay one way.
    pub delay: Duration,
    /// The delay varies evenly by this much either way, which reorders.
    pub jitter: Duration,
    /// Same seed and same datagrams: same fate.
    pub seed: u64,
}

impl Default for Impair {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            seed: 1,
        }
    }
}

/// Why a description of an impairment was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not `name=value`, or a name that is not known.
    #[error("expected loss=, delay=, jitter= or seed=, got {0:?}")]
    Part(String),
    /// Not a number, or not between 0 and 100 %.
    #[error("expected a loss such as 1% or 0.01, got {0:?}")]
    Loss(String),
    /// Not a number with a unit, or longer than a minute.
    #[error("expected a duration such as 20ms (at most 60s), got {0:?}")]
    Duration(String),
    /// Not a whole number.
    #[error("expected a whole number as the seed, got {0:?}")]
    Seed(String),
}

impl FromStr for Impair {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut impair = Self::default();
        for part in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| ParseError::Part(part.to_owned()))?;
            match name.trim() {
                "loss" => impair.loss = parse_loss(value.trim())?,
                "delay" => impair.delay = parse_duration(value.trim())?,
                "jitter" => impair.jitter = parse_duration(value.trim())?,
                "seed" => {
                    impair.seed = value
                        .trim()
                        .parse()
                        .map_err(|_| ParseError::Seed(value.to_owned()))?;
                }
                _ => return Err(ParseError::Part(part.to_owned())),
            }
        }
        Ok(impair)
    }
}

impl fmt::Display for Impair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "loss={}%,delay={}us,jitter={}us,seed={}",
            self.loss * 100.0,
            self.delay.as_micros(),
            self.jitter.as_micros(),
            self.seed
        )
    }
}

/// One direction of an impaired path, holding what is on its way.
#[derive(Debug)]
pub(crate) struct Line<T> {
    impair: Impair,
    rng: SmallRng,
    held: BinaryHeap<Reverse<Held<T>>>,
    /// Counts offers, so that equal due times come out in the order in which they went in.
    sequence: u64,
}

/// What the line did with a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate<T> {
    /// It passes at once.
    Passes(T),
    /// It is on its way; see [`Line::pop_due`].
    Held,
    /// It was lost, as configured.
    Lost,
    /// [`HELD_MAX`] are on their way already.
    Full,
}

impl<T> Line<T> {
    /// `direction` keeps the two directions of one seed apart.
    pub(crate) fn new(impair: Impair, direction: u64) -> Self {
        Self {
            impair,
            rng: SmallRng::seed_from_u64(impair.seed ^ direction.rotate_left(32)),
            held: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// Decides what happens to `item`. Draws the same random numbers whatever it decides.
    pub(crate) fn offer(&mut self, now: Instant, item: T) -> Fate<T> {
        let lost = self.rng.random::<f64>() < self.impair.loss;
        let jitter = self.impair.jitter.mul_f64(2.0 * self.rng.random::<f64>());
        let delay = (self.impair.delay + jitter).saturating_sub(self.impair.jitter);
        if lost {
            return Fate::Lost;
        }
        if delay.is_zero() && self.held.is_empty() {
            return Fate::Passes(item);
        }
        if self.held.len() >= HELD_MAX {
            return Fate::Full;
        }
        self.sequence += 1;
        self.held.push(Reverse(Held {
            due: now + delay,
            sequence: self.sequence,
            item,
        }));
        Fate::Held
    }

    /// A datagram that has arrived by `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        self.pop()
    }

    /// The one that arrives next, whenever that is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.held.pop().map(|Reverse(held)| held.item)
    }

    /// When the next one arrives.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.held.peek().map(|Reverse(held)| held.due)
    }
}

#[derive(Debug)]
struct Held<T> {
    due: Instant,
    sequence: u64,
    item: T,
}

impl<T> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl<T> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Held<T> {}

fn parse_loss(text: &str) -> Result<f64, ParseError> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent, 0.01),
        None => (text, 1.0),
    };
    let loss = number.trim().parse::<f64>().ok().map(|n| n * scale);
    loss.filter(|loss| (0.0..=1.0).contains(loss))
        .ok_or_else(|| ParseError::Loss(text.to_owned()))
}

fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .and_then(|(number, seconds)| Some(number.trim().parse::<f64>().ok()? * seconds))
        .filter(|seconds| (0.0..=DELAY_SECONDS_MAX).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| ParseError::Duration(text.to_owned()))
}

/// Most datagrams that a line holds: about 10 MiB of full ones, 1 s at 8,000/s.
pub(crate) const HELD_MAX: usize = 8192;

const DELAY_SECONDS_MAX: f64 = 60.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_parses() {
        let impair: Impair = "loss=1%,delay=20ms, jitter=500us,seed=9".parse().unwrap();
        assert!((impair.loss - 0.01).abs() < 1e-12);
        assert_eq!(impair.delay, Duration::from_millis(20));
        assert_eq!(impair.jitter, Duration::from_micros(500));
        assert_eq!(impair.seed, 9);
        assert_eq!("".parse::<Impair>().unwrap(), Impair::default());
        assert!(("loss=0.25".parse::<Impair>().unwrap().loss - 0.25).abs() < 1e-12);
        assert_eq!(impair.to_string().parse::<Impair>().unwrap(), impair);
    }

    #[test]
    fn a_bad_description_says_what_was_expected() {
        for (text, error) in [
            ("lose=1%", ParseError::Part("lose=1%".into())),
            ("loss", ParseError::Part("loss".into())),
            ("loss=101%", ParseError::Loss("101%".into())),
            ("loss=-1%", ParseError::Loss("-1%".into())),
            ("loss=NaN", ParseError::Loss("NaN".into())),
            ("delay=20", ParseError::Duration("20".into())),
            ("jitter=-1ms", ParseError::Duration("-1ms".into())),
            ("delay=61s", ParseError::Duration("61s".into())),
            ("delay=infs", ParseError::Duration("infs".into())),
            ("seed=x", ParseError::Seed("x".into())),
        ] {
            assert_eq!(text.parse::<Impair>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_fates_and_another_does_not() {
        let fates = |seed, direction| {
            let start = Instant::now();
            let impair = Impair {
                loss: 0.2,
                delay: Duration::from_millis(20),
                jitter: Duration::from_millis(5),
                seed,
            };
            let mut line = Line::new(impair, direction);
            let mut log = Vec::new();
            for n in 0..200u64 {
                let now = start + Duration::from_millis(n);
                log.push((n, line.offer(now, n) == Fate::Lost));
                while let Some(item) = line.pop_due(now) {
                    log.push((item, true));
                }
            }
            log
        };
        assert_eq!(fates(1, 0), fates(1, 0));
        assert_ne!(fates(1, 0), fates(2, 0));
        assert_ne!(fates(1, 0), fates(1, 1), "the two directions differ");
    }

    #[test]
    fn loss_is_about_what_was_asked_and_delay_stays_in_its_bounds() {
        let start = Instant::now();
        let impair: Impair = "loss=5%,delay=20ms,jitter=5ms".parse().unwrap();
        let mut line = Line::new(impair, 0);
        let lost = (0..4000).filter(|n| line.offer(start, *n) == Fate::Lost);
        let lost = lost.count();
        assert!((150..250).contains(&lost), "{lost} of 4000 lost");
        assert_eq!(line.pop_due(start + Duration::from_millis(14)), None);
        let mut arrived = Vec::new();
        while let Some(n) = line.pop_due(start + Duration::from_millis(25)) {
            arrived.push(n);
        }
        assert_eq!(arrived.len(), 4000 - lost);
        assert!(!arrived.is_sorted(), "jitter reorders");
    }

    #[test]
    fn a_perfect_line_passes_everything_at_once_and_in_order() {
        let mut line = Line::new(Impair::default(), 0);
        for n in 0..10 {
            assert_eq!(line.offer(Instant::now(), n), Fate::Passes(n));
        }
        assert_eq!(line.next_due(), None);
    }

    #[test]
    fn equal_delays_keep_their_order_and_the_line_is_bounded() {
        let now = Instant::now();
        let mut line = Line::new("delay=1ms".parse().unwrap(), 0);
        for n in 0..HELD_MAX {
            assert_eq!(line.offer(now, n), Fate::Held);
        }
        assert_eq!(line.offer(now, HELD_MAX), Fate::Full);
        for n in 0..HELD_MAX {
            assert_eq!(line.pop_due(now + Duration::from_millis(1)), Some(n));
        }
        assert_eq!(line.offer(now, 0), Fate::Held);
    }
}
