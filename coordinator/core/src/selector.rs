//! Which server a client is given.

use std::str::FromStr;

use rand::{rngs::StdRng, seq::index};

use crate::alias::Alias;

/// How the server is picked that a client is told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selector {
    /// Each with the same probability.
    #[default]
    Random,
    /// One after the other, by alias: clients that come one by one are spread evenly, and two in a
    /// row never share a server.
    RoundRobin,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "random" => Ok(Self::Random),
            "round-robin" => Ok(Self::RoundRobin),
            _ => Err(format!("expected random or round-robin, got {name:?}")),
        }
    }
}

impl Selector {
    /// At most `count_max` of `servers`, which ascend: the assigned one first, then fallbacks in
    /// order. `last` is the one assigned before.
    pub(crate) fn select(
        self,
        rng: &mut StdRng,
        servers: &[Alias],
        last: Option<Alias>,
        count_max: usize,
    ) -> Vec<Alias> {
        match self {
            Self::Random => {
                let count = servers.len().min(count_max);
                let picked = index::sample(rng, servers.len(), count);
                let at = |index| servers.get(index).copied();
                picked.iter().filter_map(at).collect()
            }
            Self::RoundRobin => {
                let next = servers.partition_point(|&alias| Some(alias) <= last);
                let turn = servers.iter().cycle().skip(next);
                turn.take(servers.len().min(count_max)).copied().collect()
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
            let picked = Selector::Random.select(&mut rng, &servers, None, 4);
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
        assert!(Selector::Random.select(&mut rng, &[], None, 4).is_empty());
        let one = [Alias::from_wire(7)];
        assert_eq!(Selector::Random.select(&mut rng, &one, None, 4), one);
    }

    #[test]
    fn round_robin_takes_turns_whoever_comes_and_goes() {
        let alias = Alias::from_wire;
        let mut rng = StdRng::seed_from_u64(1);
        let mut next = |servers: &[u64], last: Option<u64>| {
            let servers: Vec<Alias> = servers.iter().map(|&number| alias(number)).collect();
            Selector::RoundRobin.select(&mut rng, &servers, last.map(alias), 4)
        };
        assert_eq!(next(&[], Some(3)), []);
        assert_eq!(next(&[1, 2, 3], None), [1, 2, 3].map(alias));
        assert_eq!(next(&[1, 2, 3], Some(1)), [2, 3, 1].map(alias));
        assert_eq!(next(&[1, 2, 3], Some(3)), [1, 2, 3].map(alias));
        assert_eq!(
            next(&[1, 3], Some(2)),
            [3, 1].map(alias),
            "the last one has gone"
        );
        assert_eq!(next(&[1, 2, 3, 4, 5, 6], Some(4)), [5, 6, 1, 2].map(alias));
    }
}
