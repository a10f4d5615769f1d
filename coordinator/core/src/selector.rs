//! Which server a client is given.

use rand::{rngs::StdRng, seq::index};

use crate::alias::Alias;

/// How the server is picked that a client is told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selector {
    /// Each with the same probability.
    #[default]
    Random,
}

impl Selector {
    /// At most `count_max` of `servers`: the assigned one first, then fallbacks in order.
    pub(crate) fn select(
        self,
        rng: &mut StdRng,
        servers: &[Alias],
        count_max: usize,
    ) -> Vec<Alias> {
        match self {
            Self::Random => {
                let count = servers.len().min(count_max);
                let picked = index::sample(rng, servers.len(), count);
                let at = |index| servers.get(index).copied();
                picked.iter().filter_map(at).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    #[test]
    fn random_is_even_and_without_repetition() {
        let servers: Vec<Alias> = (1..=6).map(Alias::from_wire).collect();
        let mut rng = StdRng::seed_from_u64(1);
        let mut assigned: BTreeMap<Alias, u32> = BTreeMap::new();
        for _ in 0..6_000 {
            let picked = Selector::Random.select(&mut rng, &servers, 4);
            assert_eq!(picked.len(), 4);
            *assigned.entry(picked[0]).or_default() += 1;
            let mut distinct = picked.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), 4, "{picked:?}");
        }
        for (server, count) in assigned {
            // Six standard deviations of a binomial(6000, 1/6) are 173.
            assert!((827..1173).contains(&count), "{server}: {count}");
        }
    }

    #[test]
    fn few_servers_are_all_there_is() {
        let mut rng = StdRng::seed_from_u64(1);
        assert!(Selector::Random.select(&mut rng, &[], 4).is_empty());
        let one = [Alias::from_wire(7)];
        assert_eq!(Selector::Random.select(&mut rng, &one, 4), one);
    }
}
