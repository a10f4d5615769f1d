//! How evenly clients are spread, and in which order servers are offered.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

const COUNT_MAX: usize = 4;

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Servers 1, 2, 3 and so on, of which so much is used, none near.
fn used(used_ppm: &[u64]) -> Vec<Candidate> {
    let servers = (1..).zip(used_ppm);
    let server = |(number, &used_ppm)| Candidate {
        alias: Alias::from_wire(number),
        used_ppm,
        near: false,
    };
    servers.map(server).collect()
}

fn numbers(picked: &[Alias]) -> Vec<u64> {
    picked.iter().map(|alias| alias.number()).collect()
}

/// How much of each is used in the end when `clients` come one after the other, each using `step`.
fn spread(selector: Selector, seed: u64, before: &[u64], clients: usize, step: u64) -> Vec<u64> {
    let mut rng = rng(seed);
    let mut servers = used(before);
    let mut last = None;
    for _ in 0..clients {
        last = selector
            .select(&mut rng, &servers, last, COUNT_MAX)
            .first()
            .copied();
        let server = servers.iter_mut().find(|server| Some(server.alias) == last);
        server.expect("one of them").used_ppm += step;
    }
    servers.iter().map(|server| server.used_ppm).collect()
}

fn highest(used: &[u64]) -> u64 {
    used.iter().copied().max().unwrap_or_default()
}

#[test]
fn random_is_even() {
    let servers = used(&[0; 6]);
    let mut rng = rng(1);
    let mut assigned: BTreeMap<Alias, u32> = BTreeMap::new();
    for _ in 0..6_000 {
        let picked = Selector::Random.select(&mut rng, &servers, None, COUNT_MAX);
        *assigned.entry(picked[0]).or_default() += 1;
    }
    for (server, count) in assigned {
        // Six standard deviations of a binomial(6000, 1/6) are 173.
        assert!((827..1173).contains(&count), "{server}: {count}");
    }
}

#[test]
fn round_robin_takes_turns_whoever_comes_and_goes() {
    let alias = Alias::from_wire;
    let mut rng = rng(1);
    let mut next = |servers: &[u64], last: Option<u64>| {
        let server = |&number: &u64| Candidate {
            alias: alias(number),
            used_ppm: 0,
            near: false,
        };
        let servers: Vec<Candidate> = servers.iter().map(server).collect();
        let picked = Selector::RoundRobin.select(&mut rng, &servers, last.map(alias), COUNT_MAX);
        numbers(&picked)
    };
    assert_eq!(next(&[], Some(3)), []);
    assert_eq!(next(&[1, 2, 3], None), [1, 2, 3]);
    assert_eq!(next(&[1, 2, 3], Some(1)), [2, 3, 1]);
    assert_eq!(next(&[1, 2, 3], Some(3)), [1, 2, 3]);
    assert_eq!(next(&[1, 3], Some(2)), [3, 1], "the last one has gone");
    assert_eq!(next(&[1, 2, 3, 4, 5, 6], Some(4)), [5, 6, 1, 2]);
}

#[test]
fn least_loaded_offers_in_order() {
    let servers = used(&[40, 10, 30, 20, 50]);
    let picked = Selector::LeastLoaded.select(&mut rng(1), &servers, None, COUNT_MAX);
    assert_eq!(numbers(&picked), [2, 4, 3, 1]);
}

#[test]
fn least_loaded_picks_among_equals_by_chance() {
    let servers = used(&[10, 10, 10, 99]);
    let mut rng = rng(1);
    let mut first: BTreeMap<u64, u32> = BTreeMap::new();
    for _ in 0..300 {
        let picked = Selector::LeastLoaded.select(&mut rng, &servers, None, COUNT_MAX);
        *first.entry(numbers(&picked)[0]).or_default() += 1;
    }
    assert!(first.keys().eq(&[1, 2, 3]), "{first:?}");
    assert!(first.values().all(|&count| count > 50), "{first:?}");
}

#[test]
fn two_choices_never_begins_with_the_most_used() {
    let servers = used(&[10, 90, 20]);
    for seed in 0..100 {
        let picked = Selector::TwoChoices.select(&mut rng(seed), &servers, None, COUNT_MAX);
        assert_ne!(numbers(&picked)[0], 2);
    }
}

#[test]
fn two_choices_is_more_even_than_random() {
    // Skewed to begin with, and even: over some seeds, the fullest is less full.
    for before in [vec![500, 0, 100, 0, 300, 0, 0, 200, 0, 0], vec![0; 10]] {
        let sum = |selector| -> u64 {
            let runs = (0..20).map(|seed| spread(selector, seed, &before, 200, 10));
            runs.map(|used| highest(&used)).sum()
        };
        let (two, one) = (sum(Selector::TwoChoices), sum(Selector::Random));
        assert!(two * 10 < one * 9, "{two} against {one}, in twenty runs");
    }
}

#[test]
fn region_prefers_the_near_and_falls_back() {
    let with_near = |near: &[u64]| {
        let mut servers = used(&[90, 10, 50, 20, 80, 70]);
        for server in &mut servers {
            server.near = near.contains(&server.alias.number());
        }
        servers
    };
    for seed in 0..50 {
        let select = |near: &[u64]| {
            let servers = with_near(near);
            numbers(&Selector::Region.select(&mut rng(seed), &servers, None, COUNT_MAX))
        };
        let picked = select(&[1, 5]);
        let mut near = picked[..2].to_vec();
        near.sort_unstable();
        assert_eq!(near, [1, 5], "however full");
        assert_eq!(picked[0], 5, "the better of two");
        assert_eq!(picked.len(), 4, "others behind them: {picked:?}");
        assert_eq!(select(&[]).len(), 4, "none is near");
        assert_eq!(select(&[1, 2, 3, 4, 5, 6]).len(), 4, "all are near");
        assert_eq!(select(&[3])[0], 3);
    }
}

fn any_selector() -> impl Strategy<Value = Selector> {
    prop::sample::select(Selector::ALL.to_vec()).prop_map(|(_, selector)| selector)
}

fn any_servers() -> impl Strategy<Value = Vec<Candidate>> {
    let server = (0..u64::MAX, any::<bool>());
    prop::collection::vec(server, 0..12).prop_map(|servers| {
        let server = |(number, (used_ppm, near))| Candidate {
            alias: Alias::from_wire(number),
            used_ppm,
            near,
        };
        (1..).zip(servers).map(server).collect()
    })
}

proptest! {
    #[test]
    fn some_are_offered_each_once(
        selector in any_selector(),
        servers in any_servers(),
        seed: u64,
        last in prop::option::of(0_u64..14),
        count_max in 0_usize..6,
    ) {
        let last = last.map(Alias::from_wire);
        let select = || selector.select(&mut rng(seed), &servers, last, count_max);
        let picked = select();
        prop_assert_eq!(picked.len(), servers.len().min(count_max));
        let mut distinct = picked.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), picked.len());
        for alias in &picked {
            prop_assert!(servers.iter().any(|server| server.alias == *alias));
        }
        prop_assert_eq!(select(), picked, "the same seed");
    }

    #[test]
    fn a_burst_is_levelled_by_least_loaded(
        before in prop::collection::vec(0_u64..50, 1..8),
        clients in 0_usize..200,
        seed: u64,
    ) {
        let after = spread(Selector::LeastLoaded, seed, &before, clients, 1);
        // Water finds its level: nobody who was given clients is above the least of the others by
        // more than one.
        let level = after.iter().copied().min().unwrap_or_default();
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(after == before || *after <= level + 1, "{before} {after} {level}");
        }
    }
}
