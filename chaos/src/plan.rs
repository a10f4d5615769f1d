//! What breaks when: from a seed, the same plan for the same seed, or as somebody wishes.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::blow::{Blow, Fault, Place, Target, Way};

/// Draws faults until this time is over; what was struck is left alone until it has recovered.
pub(crate) fn draw(seed: u64, length: Duration, servers: usize, crowds: usize) -> Vec<Blow> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut blows: Vec<Blow> = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        at += Duration::from_millis(dice.random_range(500..6_000));
        let target = some_target(&mut dice, servers, crowds);
        let fault = some_fault(&mut dice, target);
        let longest = match fault {
            Fault::Kill => 12_000,
            Fault::Stop | Fault::Cut(_) => one_of(&mut dice, [1_000, 8_000, 25_000]),
            Fault::Delay(..) | Fault::Lose(..) => 10_000,
        };
        let lasts = Duration::from_millis(dice.random_range(200..=longest));
        if at + lasts > length {
            if at > length {
                return blows;
            }
            continue;
        }
        let busy = |blow: &Blow| blow.target == target && blow.end() + PAUSE > at;
        // One server is there at any time: no cluster has more to promise without.
        let down = |blow: &&Blow| {
            let server = matches!(blow.target, Target::Process(Place::Server(_)));
            server && blow.end() + PAUSE > at
        };
        let is_server = matches!(target, Target::Process(Place::Server(_)));
        let too_many = is_server && blows.iter().filter(down).count() + 1 >= servers;
        if !too_many && !blows.iter().any(busy) {
            blows.push(Blow {
                at,
                lasts,
                target,
                fault,
            });
        }
    }
}

/// Whether a plan that somebody wrote can be carried out.
pub(crate) fn check(blows: &[Blow], servers: usize, crowds: usize) -> anyhow::Result<()> {
    let known = |place| match place {
        Place::Coordinator => true,
        Place::Server(index) => index < servers,
        Place::Crowd(index) => index < crowds,
    };
    for (number, blow) in blows.iter().enumerate() {
        let places = match blow.target {
            Target::Process(place) => [place, place],
            Target::Path(from, to) => [from, to],
        };
        for place in places {
            ensure!(known(place), "{blow}: there is no {place}");
        }
        let later = blows.get(number + 1..).context("a plan ends")?;
        let meets = |other: &&Blow| {
            other.target == blow.target && other.at <= blow.end() && blow.at <= other.end()
        };
        if let Some(other) = later.iter().find(meets) {
            bail!("{blow}: meanwhile, {other}");
        }
    }
    Ok(())
}

fn one_of<T: Copy, const COUNT: usize>(dice: &mut StdRng, from: [T; COUNT]) -> T {
    let [first, ..] = from.as_slice() else {
        unreachable!("there is always something to choose from")
    };
    from.get(dice.random_range(0..COUNT))
        .copied()
        .unwrap_or(*first)
}

fn some_target(dice: &mut StdRng, servers: usize, crowds: usize) -> Target {
    let server = dice.random_range(0..servers);
    let crowd = dice.random_range(0..crowds);
    match dice.random_range(0..100) {
        0..10 => Target::Process(Place::Coordinator),
        10..30 => Target::Process(Place::Server(server)),
        30..40 => Target::Process(Place::Crowd(crowd)),
        40..65 => Target::Path(Place::Crowd(crowd), Place::Server(server)),
        65..85 if servers > 1 => {
            let other = (server + dice.random_range(1..servers)) % servers;
            Target::Path(Place::Server(server), Place::Server(other))
        }
        65..93 => Target::Path(Place::Server(server), Place::Coordinator),
        _ => Target::Path(Place::Crowd(crowd), Place::Coordinator),
    }
}

fn some_fault(dice: &mut StdRng, target: Target) -> Fault {
    let way = one_of(dice, [Way::There, Way::Back, Way::Both, Way::Both]);
    match (target, dice.random_range(0..4)) {
        (Target::Process(_), 0..2) => Fault::Kill,
        (Target::Process(_), _) => Fault::Stop,
        (Target::Path(..), 0..2) => Fault::Cut(way),
        (Target::Path(..), 2) => {
            Fault::Delay(way, Duration::from_millis(dice.random_range(10..500)))
        }
        (Target::Path(..), _) => Fault::Lose(way, dice.random_range(1..20)),
    }
}

/// So long after a fault its target is left alone.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const CI_SEED: u64 = 1;

    #[test]
    fn a_seed_is_a_plan() {
        let length = Duration::from_secs(600);
        let blows = draw(1, length, 4, 4);
        assert_eq!(blows, draw(1, length, 4, 4));
        assert_ne!(blows, draw(2, length, 4, 4));
        assert!(blows.len() > 50, "{}", blows.len());
        assert!(blows.iter().all(|blow| blow.end() <= length));
    }

    #[test]
    fn the_continuous_integration_s_minute_kills_a_server_and_the_coordinator() {
        // As xtask/src/ci.rs has it.
        let blows = draw(CI_SEED, Duration::from_secs(60), 4, 4);
        for killed in [Place::Coordinator, Place::Server(0)] {
            let same_kind = |target| match (target, killed) {
                (Target::Process(Place::Server(_)), Place::Server(_)) => true,
                (target, killed) => target == Target::Process(killed),
            };
            let struck = blows
                .iter()
                .any(|blow| blow.fault == Fault::Kill && same_kind(blow.target));
            assert!(struck, "{killed}");
        }
    }

    #[test]
    fn a_written_plan_has_to_make_sense() {
        let plan = |lines: &[&str]| -> Vec<Blow> {
            let lines = lines.iter();
            lines.map(|line| line.parse().expect("good")).collect()
        };
        let good = plan(&["kill server 2 at 1s for 1s", "kill server 2 at 3s for 1s"]);
        assert!(check(&good, 3, 4).is_ok());
        assert!(check(&good, 2, 4).is_err(), "there are two servers");
        let both = plan(&["kill server 2 at 1s for 5s", "stop server 2 at 6s for 1s"]);
        assert!(check(&both, 3, 4).is_err(), "at once");
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_a_server_is_left() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let blows = draw(seed, Duration::from_secs(300), 4, 4);
            for blow in &blows {
                let target = match blow.target {
                    Target::Process(Place::Coordinator) => "coordinator",
                    Target::Process(Place::Server(_)) => "server",
                    Target::Process(Place::Crowd(_)) => "crowd",
                    Target::Path(_, Place::Coordinator) => "uplink",
                    Target::Path(Place::Server(_), _) => "link",
                    Target::Path(..) => "peer",
                };
                let fault = blow.fault.to_string();
                let name = fault.split(' ').next().unwrap_or_default().to_owned();
                kinds.insert((target, name));
                let down = blows.iter().filter(|other| {
                    matches!(other.target, Target::Process(Place::Server(_)))
                        && other.at <= blow.at
                        && other.end() > blow.at
                });
                assert!(down.count() < 4, "no server is left at {blow}");
            }
        }
        // Two for each process, three for each cable.
        assert_eq!(kinds.len(), 3 * 2 + 3 * 3, "{kinds:?}");
    }
}
