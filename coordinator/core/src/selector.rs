//! Which server a client is given.

use rand::{
    RngExt as _,
    rngs::StdRng,
    seq::{SliceRandom as _, index},
};

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
    /// The one of which the least is used.
    LeastLoaded,
    /// Of two at random, the one of which less is used: nearly as even, and no crowd at the one
    /// that is the best for the moment.
    TwoChoices,
    /// One of the client's region before all others, each by two choices.
    Region,
}

impl Selector {
    /// Every one, by its name.
    pub const ALL: [(&str, Self); 5] = [
        ("random", Self::Random),
        ("round-robin", Self::RoundRobin),
        ("least-loaded", Self::LeastLoaded),
        ("two-choices", Self::TwoChoices),
        ("region", Self::Region),
    ];
}

/// A server that a client may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) alias: Alias,
    /// How much of it is used, in parts of a million.
    pub(crate) used_ppm: u64,
    /// Of the client's own region.
    pub(crate) near: bool,
}

impl Selector {
    /// At most `count_max` of `servers`, which ascend: the assigned one first, then fallbacks in
    /// order. `last` is the one assigned before.
    pub(crate) fn select(
        self,
        rng: &mut StdRng,
        servers: &[Candidate],
        last: Option<Alias>,
        count_max: usize,
    ) -> Vec<Alias> {
        let count = servers.len().min(count_max);
        match self {
            Self::Random => {
                let picked = index::sample(rng, servers.len(), count);
                let at = |at: usize| servers.get(at).map(|server| server.alias);
                picked.iter().filter_map(at).collect()
            }
            Self::RoundRobin => {
                let next = servers.partition_point(|server| Some(server.alias) <= last);
                let turn = servers.iter().cycle().skip(next);
                turn.take(count).map(|server| server.alias).collect()
            }
            Self::LeastLoaded => {
                let mut servers = servers.to_vec();
                // The order of equals is by chance: the sort keeps it.
                servers.shuffle(rng);
                servers.sort_by_key(|server| server.used_ppm);
                let servers = servers.into_iter().take(count);
                servers.map(|server| server.alias).collect()
            }
            Self::TwoChoices => two_choices(rng, servers.to_vec(), count).collect(),
            Self::Region => {
                let near = |server: &&Candidate| server.near;
                let near: Vec<Candidate> = servers.iter().filter(near).copied().collect();
                let far = servers.iter().filter(|server| !server.near);
                let far: Vec<Candidate> = far.copied().collect();
                let near_count = near.len().min(count);
                let mut picked: Vec<Alias> = two_choices(rng, near, near_count).collect();
                picked.extend(two_choices(rng, far, count - near_count));
                picked
            }
        }
    }
}

/// So many of `left`, which are no fewer, one after the other: each is the better of two.
fn two_choices(
    rng: &mut StdRng,
    mut left: Vec<Candidate>,
    count: usize,
) -> impl Iterator<Item = Alias> {
    (0..count).map_while(move |_| {
        let one = (!left.is_empty()).then(|| rng.random_range(0..left.len()))?;
        // Another one, if there is: never the same.
        let step = rng.random_range(0..left.len().max(2) - 1) + 1;
        let other = (one + step) % left.len();
        let used = |at: usize| left.get(at).map(|server| server.used_ppm);
        let better = if used(other) < used(one) { other } else { one };
        Some(left.swap_remove(better).alias)
    })
}

#[cfg(test)]
mod tests;
