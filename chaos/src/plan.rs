//! What breaks when, from a seed: the same seed, the same plan.

use std::{fmt, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Coordinator,
    /// A commserver.
    Server(usize),
    /// Some of the clients.
    Crowd(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Server(index) => write!(f, "server {index}"),
            Self::Crowd(index) => write!(f, "crowd {index}"),
        }
    }
}

/// What a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Process(Place),
    /// The cable between two processes: the one that dials, and the one that is dialed.
    Path(Place, Place),
}

/// Which way of a path is struck, as seen from the first of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
    Both,
}

impl Way {
    pub(crate) const fn there(self) -> bool {
        matches!(self, Self::There | Self::Both)
    }

    pub(crate) const fn back(self) -> bool {
        matches!(self, Self::Back | Self::Both)
    }
}

/// How it is struck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// `kill -9`, and started again.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Stop,
    Cut(Way),
    Delay(Way, Duration),
    /// So many datagrams of a hundred. A TCP connection waits instead.
    Lose(Way, u32),
}

/// A fault, from a moment after the beginning on, for so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blow {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) target: Target,
    pub(crate) fault: Fault,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasts.as_secs_f64();
        match self.target {
            Target::Process(place) => write!(f, "{place}")?,
            Target::Path(from, to) => write!(f, "{from} - {to}")?,
        }
        write!(f, ": {:?} for {seconds:.1} s", self.fault)
    }
}

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
        let busy = |blow: &Blow| blow.target == target && blow.at + blow.lasts + PAUSE > at;
        // One server is there at any time: no cluster has more to promise without.
        let down = |blow: &&Blow| {
            let server = matches!(blow.target, Target::Process(Place::Server(_)));
            server && blow.at + blow.lasts + PAUSE > at
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

    #[test]
    fn a_seed_is_a_plan() {
        let length = Duration::from_secs(600);
        let blows = draw(1, length, 4, 4);
        assert_eq!(blows, draw(1, length, 4, 4));
        assert_ne!(blows, draw(2, length, 4, 4));
        assert!(blows.len() > 50, "{}", blows.len());
        assert!(blows.iter().all(|blow| blow.at + blow.lasts <= length));
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
                let fault = format!("{:?}", blow.fault);
                let name: String = fault.chars().take_while(|c| c.is_alphabetic()).collect();
                kinds.insert((target, name));
                let down = blows.iter().filter(|other| {
                    matches!(other.target, Target::Process(Place::Server(_)))
                        && other.at <= blow.at
                        && other.at + other.lasts > blow.at
                });
                assert!(down.count() < 4, "no server is left at {blow}");
            }
        }
        // Two for each process, three for each cable.
        assert_eq!(kinds.len(), 3 * 2 + 3 * 3, "{kinds:?}");
    }
}
