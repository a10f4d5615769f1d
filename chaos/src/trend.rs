//! Whether something that is measured again and again goes on growing. Judged by medians of the
//! first and the last part, as a loaded machine makes single values worthless.

/// What is measured of one thing, with its moments in seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How much more there may be in the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Of what there was.
    pub(crate) share: f64,
    pub(crate) beyond: f64,
}

impl Series {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            points: Vec::new(),
        }
    }

    /// The medians of the first and of the last third, without the first part, in which everything
    /// is new.
    pub(crate) fn ends(&self) -> Option<(f64, f64)> {
        let settled = self.points.get(self.points.len() / SETTLING_PART..)?;
        let third = settled.len() / 3;
        let first = settled.get(..third)?;
        let last = settled.get(settled.len() - third..)?;
        Some((median(first)?, median(last)?))
    }

    /// Says so if it has grown beyond what is allowed.
    pub(crate) fn growth(&self, allowed: Allowance) -> Option<String> {
        let (first, last) = self.ends()?;
        let limit = first + first * allowed.share + allowed.beyond;
        let name = &self.name;
        (last > limit).then(|| format!("{name}: from {first:.1} to {last:.1}"))
    }
}

fn median(points: &[(f64, f64)]) -> Option<f64> {
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// One part of so many is left out at the start.
const SETTLING_PART: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowance = Allowance {
        share: 0.1,
        beyond: 5.0,
    };

    fn series(value: impl Fn(u32) -> f64) -> Series {
        Series {
            name: "it".into(),
            points: (0..120).map(|at| (f64::from(at), value(at))).collect(),
        }
    }

    #[test]
    fn what_is_flat_with_noise_and_peaks_has_not_grown() {
        let noisy = |at: u32| {
            100.0 + f64::from(at * 7 % 13) + if at.is_multiple_of(20) { 900.0 } else { 0.0 }
        };
        assert_eq!(series(noisy).growth(ALLOWED), None);
        // It was filled at the start.
        assert_eq!(series(|at| f64::from(at.min(10))).growth(ALLOWED), None);
    }

    #[test]
    fn what_goes_on_growing_is_found() {
        assert!(series(|at| 100.0 + f64::from(at)).growth(ALLOWED).is_some());
        let late = |at: u32| if at < 70 { 100.0 } else { 130.0 };
        assert!(series(late).growth(ALLOWED).is_some());
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(Series::default().growth(ALLOWED), None);
    }
}
