//! Jitter from a seed: splitmix64, the same on every platform; jitter needs no more.

#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_repeat_within_bounds() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [(); 100].map(|()| random.fraction())
        };
        assert_eq!(draw(1).map(f64::to_bits), draw(1).map(f64::to_bits));
        assert_ne!(draw(1).map(f64::to_bits), draw(2).map(f64::to_bits));
        assert!(draw(3).iter().all(|drawn| (0.0..=1.0).contains(drawn)));
        let mean = draw(4).iter().sum::<f64>() / 100.0;
        assert!((0.35..0.65).contains(&mean), "{mean}");
    }
}
