//! Median and spread of what several rounds gave, and ratios between subjects. A ratio is made of
//! two runs of one round, which were next to each other in time, and only then are ratios put
//! together: a machine that is slow for a minute is slow for both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What some values come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// How many there are.
    pub(crate) count: usize,
}

impl Summary {
    /// `None` of nothing, or of what is no number.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let last = count.checked_sub(1)?;
        let (lower, upper) = (values.get(last / 2)?, values.get(count / 2)?);
        Some(Self {
            median: f64::midpoint(*lower, *upper),
            min: *values.first()?,
            max: *values.last()?,
            count,
        })
    }
}

/// Values by round.
pub(crate) type ByRound = BTreeMap<u32, f64>;

/// For each round that both have, one divided by the other.
pub(crate) fn ratios(of: &ByRound, to: &ByRound) -> ByRound {
    let pairs = of.iter().filter_map(|(round, value)| {
        let base = to.get(round).filter(|base| **base != 0.0)?;
        Some((*round, value / base))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[f64]) -> Option<(f64, f64, f64, usize)> {
        let s = Summary::of(values.iter().copied())?;
        Some((s.median, s.min, s.max, s.count))
    }

    #[test]
    fn the_median_is_in_the_middle_of_the_sorted() {
        assert_eq!(summary(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0, 3)));
        assert_eq!(summary(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0, 4)));
        assert_eq!(summary(&[7.0]), Some((7.0, 7.0, 7.0, 1)));
    }

    #[test]
    fn nothing_and_no_number_have_no_summary() {
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        // A machine that is twice as slow in round 2: the ratio stays what it is.
        let ours = ByRound::from([(1, 200.0), (2, 100.0), (3, 202.0), (4, 5.0)]);
        let plain = ByRound::from([(1, 100.0), (2, 50.0), (3, 101.0), (5, 9.0)]);
        let ratios = ratios(&ours, &plain);
        assert_eq!(ratios, ByRound::from([(1, 2.0), (2, 2.0), (3, 2.0)]));
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let zero = ByRound::from([(1, 0.0)]);
        assert!(ratios(&ByRound::from([(1, 1.0)]), &zero).is_empty());
    }
}
