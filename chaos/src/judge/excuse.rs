//! What a fault excuses: the time in which it may have cost a packet whose way it is on.
//!
//! A peer that is silent for less than the idle timeout stays, and what its reliable lane has not
//! brought is sent again. So only what ends a peer excuses anything: a process that is killed, a
//! path that is cut or a process that is stopped for so long that the others may take it for gone.
//! How long that lasts follows from the timings of servers and clients, all at their defaults.

use std::time::Duration;

use super::Struck;
use crate::{
    blow::{Fault, Place, Target},
    log::At,
};

/// What a packet passes, from one client to another, or a client depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    /// The servers at its ends; one, where there is no link between.
    pub(super) servers: [usize; 2],
    /// The crowds of the clients at its ends.
    pub(super) crowds: [usize; 2],
}

impl Way {
    /// A client, and its server.
    pub(super) const fn of_client(crowd: usize, server: usize) -> Self {
        Self {
            servers: [server, server],
            crowds: [crowd, crowd],
        }
    }

    /// Whether a fault strikes it.
    fn passes(&self, target: Target) -> bool {
        let [source, target_server] = self.servers.map(Place::Server);
        let [from, to] = self.crowds.map(Place::Crowd);
        [
            Target::Process(from),
            Target::Path(from, source),
            Target::Process(source),
            Target::Path(source, target_server),
            Target::Path(target_server, source),
            Target::Process(target_server),
            Target::Path(to, target_server),
            Target::Process(to),
        ]
        .contains(&target)
    }

    /// Whether a fault may have the coordinator tell servers that a client of it is gone.
    fn is_called_gone(&self, struck: &Struck) -> bool {
        let sessions = self.crowds.map(|crowd| {
            let crowd = Place::Crowd(crowd);
            [
                Target::Path(crowd, Place::Coordinator),
                Target::Process(crowd),
            ]
        });
        struck.target == Target::Process(Place::Coordinator)
            || sessions.as_flattened().contains(&struck.target)
    }

    /// The times in which something may be missed on it.
    pub(super) fn excuses(&self, all: &[Struck]) -> Vec<(At, At)> {
        let mut own: Vec<&Struck> = all
            .iter()
            .filter(|struck| self.passes(struck.target))
            .collect();
        own.sort_by_key(|struck| struck.from);
        let mut windows: Vec<(At, At)> = Vec::new();
        for &struck in &own {
            let called_gone = all.iter().any(|other| {
                other.from != struck.from
                    && self.is_called_gone(other)
                    && other.from <= struck.until
                    && other.until + SESSION_IDLE >= struck.from
            });
            let open = windows.last_mut().filter(|(_, to)| struck.from <= *to);
            match (excuse(struck, called_gone), open) {
                (Some((_, to)), Some(open)) => open.1 = open.1.max(to),
                // What is mild otherwise is in the way of those who come back.
                (None, Some(open)) => open.1 = open.1.max(struck.until + REDIAL),
                (Some(window), None) => windows.push(window),
                (None, None) => {}
            }
        }
        for window in &mut windows {
            hear_late(window, &own);
        }
        windows
    }
}

/// Whoever was stopped when another fault struck hears first what came meanwhile, and takes it for a
/// sign of life: its idle timeout begins when it goes on.
fn hear_late((from, until): &mut (At, At), own: &[&Struck]) {
    let within = own.iter();
    let within = within.filter(|struck| struck.from <= *until && struck.until >= *from);
    if within.clone().count() > 1 {
        let stopped = within.filter(|struck| struck.fault == Fault::Stop);
        let heard = stopped.map(|stopped| stopped.until + IDLE + SLACK).max();
        *until = heard.map_or(*until, |heard| heard.max(*until));
    }
}

/// From when to when a fault alone excuses something on its way.
fn excuse(struck: &Struck, called_gone: bool) -> Option<(At, At)> {
    let &Struck {
        target,
        fault,
        from,
        until,
    } = struck;
    let noticed = from + IDLE + SLACK;
    let lasted = until.saturating_sub(from);
    let until = match (fault, target) {
        // Whoever it is then is a new one, and joins.
        (Fault::Kill, Target::Process(Place::Crowd(_))) => until + JOIN,
        // Its clients send to it until they notice; it is back, and has links.
        (Fault::Kill, _) => noticed.max(until + JOIN),
        (Fault::Stop | Fault::Cut(_), _) if lasted + HEARTBEAT < IDLE && !called_gone => {
            return None;
        }
        // Clients take another server, and are away meanwhile.
        (Fault::Cut(_), Target::Path(Place::Crowd(_), _)) => noticed,
        (Fault::Stop, Target::Process(Place::Crowd(_))) => noticed.max(until + SLACK),
        // Links are dialed until one of them stands.
        (Fault::Stop | Fault::Cut(_), _) => noticed.max(until) + REDIAL,
        (Fault::Delay(..) | Fault::Lose(..), _) => return None,
    };
    Some((from, until))
}

/// `rtc.idle_timeout`, and the clients': silence after which a peer is gone.
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// The longest silence of a peer that is well: clients send a PING every 5 s, and every peer a
/// consent check in less.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// `timeouts.idle` of the coordinator: until then it may find out that a session is over, and tell
/// the servers, for whom 5 s of silence (`timings.gone_timeout`) are enough then.
const SESSION_IDLE: Duration = Duration::from_secs(60);
/// A process starts, and its peers, or its links, stand: on a loaded machine.
const JOIN: Duration = Duration::from_secs(5);
/// `rtc.handshake_timeout`, for a dial that was under way in vain, and then one that is not.
const REDIAL: Duration = Duration::from_secs(15 + 5);
/// What a loaded machine adds to a deadline.
const SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blow::Way as Direction;

    const WAY: Way = Way {
        servers: [0, 1],
        crowds: [0, 1],
    };

    fn at(seconds: u64) -> At {
        Duration::from_secs(1_000 + seconds)
    }

    /// A blow, as it is written, from a moment after the beginning.
    fn struck(line: &str) -> Struck {
        let blow: crate::blow::Blow = line.parse().expect("good");
        Struck {
            target: blow.target,
            fault: blow.fault,
            from: at(0) + blow.at,
            until: at(0) + blow.end(),
        }
    }

    fn excuses(lines: &[&str]) -> Vec<(At, At)> {
        let all: Vec<Struck> = lines.iter().map(|line| struck(line)).collect();
        WAY.excuses(&all)
    }

    #[test]
    fn what_ends_no_peer_excuses_nothing() {
        for line in [
            "delay 400ms crowd 0 - server 0 at 10s for 10s",
            "lose 19% server 0 - server 1 at 10s for 10s",
            "cut server 0 - server 1 at 10s for 9s",
            "cut there crowd 1 - server 1 at 10s for 9s",
            "stop server 1 at 10s for 9s",
            "stop crowd 0 at 10s for 9s",
            // Not on the way.
            "kill server 2 at 10s for 5s",
            "kill crowd 2 at 10s for 5s",
            "kill coordinator at 10s for 60s",
            "cut crowd 0 - server 1 at 10s for 30s",
            "cut server 0 - coordinator at 10s for 30s",
        ] {
            assert_eq!(excuses(&[line]), [], "{line}");
        }
        assert_eq!(Fault::Cut(Direction::Both).to_string(), "cut both");
    }

    #[test]
    fn what_ends_a_peer_excuses_until_another_stands() {
        for (line, until) in [
            // Noticed after 15 s, or back and linked.
            ("kill server 1 at 10s for 5s", 27),
            ("kill server 1 at 10s for 30s", 45),
            ("kill crowd 0 at 10s for 5s", 20),
            ("cut crowd 0 - server 0 at 10s for 11s", 27),
            ("cut crowd 0 - server 0 at 10s for 60s", 27),
            ("stop crowd 1 at 10s for 25s", 37),
            ("cut back server 1 - server 0 at 10s for 11s", 47),
            ("stop server 0 at 10s for 25s", 55),
        ] {
            assert_eq!(excuses(&[line]), [(at(10), at(until))], "{line}");
        }
    }

    #[test]
    fn what_is_mild_is_in_the_way_of_those_who_come_back() {
        let loss = "lose 10% server 0 - server 1 at 20s for 10s";
        let killed = "kill server 1 at 10s for 5s";
        assert_eq!(excuses(&[loss, killed]), [(at(10), at(50))]);
        let later = "lose 10% server 0 - server 1 at 28s for 10s";
        assert_eq!(excuses(&[later, killed]), [(at(10), at(27))]);
    }

    /// Seed 2 of ten minutes: a crowd that was stopped over the death of its server read what that
    /// had sent before, and noticed 15 s later.
    #[test]
    fn who_was_stopped_meanwhile_notices_later() {
        let killed = "kill server 1 at 14s for 1s";
        assert_eq!(excuses(&[killed]), [(at(14), at(31))]);
        let long = "stop crowd 1 at 10s for 12s";
        assert_eq!(excuses(&[long, killed]), [(at(10), at(39))]);
        let short = "stop crowd 1 at 13s for 9s";
        assert_eq!(excuses(&[short, killed]), [(at(14), at(39))]);
        let others = "stop crowd 2 at 13s for 9s";
        assert_eq!(excuses(&[others, killed]), [(at(14), at(31))]);
    }

    #[test]
    fn who_is_called_gone_has_less_time() {
        let short = "cut crowd 0 - server 0 at 70s for 8s";
        assert_eq!(excuses(&[short]), []);
        for (line, counts) in [
            ("stop coordinator at 15s for 1s", true),
            ("cut crowd 0 - coordinator at 15s for 1s", true),
            ("cut crowd 0 - coordinator at 5s for 1s", false),
            ("cut crowd 2 - coordinator at 15s for 1s", false),
        ] {
            let windows = excuses(&[short, line]);
            let expected = if counts {
                vec![(at(70), at(87))]
            } else {
                vec![]
            };
            assert_eq!(windows, expected, "{line}");
        }
    }
}
