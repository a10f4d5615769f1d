//! The workloads: what is put on the servers, and on whom.

use crate::{
    load::{Lane, Load, Pace},
    subject::Subject,
};

/// A workload on a lane: one row for each subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// Measured in the first round alone: a point of a curve, of which nothing is judged.
    pub(crate) once: bool,
    /// Of its workload, as `--only` takes it.
    pub(crate) workload: &'static str,
    /// Of the case itself.
    pub(crate) name: String,
    /// What it is, in words.
    pub(crate) title: String,
    pub(crate) kind: Kind,
    pub(crate) subjects: Vec<Subject>,
}

/// How it is measured; see [`crate::measure`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Publications and deliveries.
    Load {
        load: Load,
        /// Commservers.
        servers: usize,
    },
    /// Clients that connect, and then do nothing.
    Idle {
        clients: u32,
        seconds: f64,
        ramp_s: f64,
    },
    /// Clients that all connect at once.
    Storm { clients: u32 },
    /// Clients that come and go, again and again.
    Cycles { clients: u32, cycles: u32 },
    /// A load on topics without a subscriber elsewhere, on two servers.
    Local { load: Load },
    /// A load on many topics, and what their subscriptions weigh.
    Topics { load: Load },
}

/// How long and how large.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    /// Of a window, seconds.
    seconds: f64,
    idle_clients: u32,
    idle_seconds: f64,
    cycles: u32,
    cycle_clients: u32,
    storm_clients: u32,
    topic_clients: u32,
    pairs: u32,
}

const FULL: Scale = Scale {
    seconds: 6.0,
    idle_clients: 2_000,
    idle_seconds: 12.0,
    cycles: 10,
    cycle_clients: 500,
    storm_clients: 500,
    topic_clients: 1_000,
    pairs: 250,
};

const QUICK: Scale = Scale {
    seconds: 2.0,
    idle_clients: 500,
    idle_seconds: 4.0,
    cycles: 4,
    cycle_clients: 50,
    storm_clients: 200,
    topic_clients: 200,
    pairs: 100,
};

/// Every case, in the order in which a round takes them.
pub(crate) fn all(quick: bool) -> Vec<Case> {
    let scale = if quick { QUICK } else { FULL };
    let mut cases = Vec::new();
    cases.extend(rooms(&scale));
    cases.push(fan_out(&scale));
    cases.push(pairs(&scale));
    cases.extend(two_servers(&scale));
    cases.extend(idle(&scale, quick));
    cases.extend(coming_and_going(&scale));
    cases.extend(bad_network(&scale));
    cases.push(topics(&scale));
    if quick {
        for case in &mut cases {
            case.subjects
                .retain(|subject| is_quick(case.workload, &case.name, *subject));
        }
        cases.retain(|case| !case.subjects.is_empty());
    } else {
        cases.extend(sweep(&scale));
    }
    cases
}

/// Whether it is worth its time where everything is to be seen once.
fn is_quick(workload: &str, name: &str, subject: Subject) -> bool {
    let twice = ["b.reliable", "c.unreliable"].contains(&name);
    let slow = ["i", "j"].contains(&workload) && subject != Ours;
    // One workload shows that a relay works.
    let engine = [Rtc, Str0m].contains(&subject) && name != "a.unreliable";
    !twice && !slow && !engine
}

use Subject::{Limit, Ours, Plain, Rtc, Str0m};

fn case(workload: &'static str, name: &str, title: &str, load: Load, subjects: &[Subject]) -> Case {
    Case {
        once: workload == "s",
        workload,
        name: name.to_owned(),
        title: title.to_owned(),
        kind: Kind::Load { load, servers: 1 },
        subjects: subjects.to_vec(),
    }
}

/// 50 clients in one room, all of whom publish: at two rates, and as fast as all can follow.
fn rooms(scale: &Scale) -> Vec<Case> {
    let paces = [
        ("a", "50 × 50 at 10 Hz, 100 B", Pace::Rate(10.0)),
        ("b", "50 × 50 at 60 Hz, 100 B", Pace::Rate(60.0)),
        ("c", "50 × 50 in a closed loop, 100 B", Pace::Window(8)),
    ];
    let mut cases = Vec::new();
    for (workload, title, pace) in paces {
        for lane in Lane::BOTH {
            let load = Load {
                pace,
                lane,
                seconds: scale.seconds,
                ..Load::default()
            };
            let name = format!("{workload}.{}", lane.name());
            let title = format!("{title}, {}", lane.name());
            // To the limit a lane is nothing, and an engine is known by one: on a schedule by the
            // one that games use, and in a loop by the one that waits.
            let subjects: &[Subject] = match (lane, pace) {
                (Lane::Reliable, Pace::Rate(_)) => &[Ours, Plain],
                (Lane::Reliable, Pace::Window(_)) => &[Ours, Plain, Rtc, Str0m],
                (Lane::Unreliable, Pace::Rate(_)) => &[Ours, Plain, Rtc, Str0m, Limit],
                (Lane::Unreliable, Pace::Window(_)) => &[Ours, Plain, Limit],
            };
            cases.push(case(workload, &name, &title, load, subjects));
        }
    }
    cases
}

fn fan_out(scale: &Scale) -> Case {
    let load = Load {
        clients: 201,
        publishers: Some(1),
        pace: Pace::Window(32),
        payload: 1024,
        seconds: scale.seconds,
        ..Load::default()
    };
    let title = "1 → 200 in a closed loop, 1 KiB, reliable";
    case("d", "d", title, load, &[Ours, Plain, Rtc, Str0m, Limit])
}

fn pairs(scale: &Scale) -> Case {
    let load = Load {
        clients: 2 * scale.pairs,
        topics: scale.pairs,
        pace: Pace::Rate(20.0),
        payload: 64,
        lane: Lane::Unreliable,
        seconds: scale.seconds,
        ramp_s: 2.0,
        ..Load::default()
    };
    let title = format!("{} pairs at 20 Hz, 64 B, unreliable", scale.pairs);
    case("e", "e", &title, load, &[Ours, Plain])
}

/// The second room on two servers, its clients divided between them; and topics that have no
/// subscriber on the other server.
fn two_servers(scale: &Scale) -> Vec<Case> {
    let room = Load {
        pace: Pace::Rate(60.0),
        lane: Lane::Unreliable,
        seconds: scale.seconds,
        ..Load::default()
    };
    // Each client publishes to a topic that it alone subscribes to.
    let local = Load {
        clients: 20,
        topics: 20,
        pace: Pace::Rate(50.0),
        seconds: scale.seconds / 2.0,
        ..Load::default()
    };
    let case = |name: &str, title: &str, kind| Case {
        once: false,
        workload: "f",
        name: name.to_owned(),
        title: title.to_owned(),
        kind,
        subjects: vec![Ours],
    };
    let room = Kind::Load {
        load: room,
        servers: 2,
    };
    let local = Kind::Local { load: local };
    vec![
        case(
            "f",
            "50 × 50 at 60 Hz, 100 B, unreliable, on two servers",
            room,
        ),
        case(
            "f.local",
            "topics without a remote subscriber, two servers",
            local,
        ),
    ]
}

/// Clients that do nothing but stay: what each weighs, what they cost, and what it cost to connect
/// them. Fewer of them, for a curve.
fn idle(scale: &Scale, quick: bool) -> Vec<Case> {
    let most = scale.idle_clients;
    let fewer: &[u32] = if quick {
        &[]
    } else {
        &[most / 8, most / 4, most / 2]
    };
    let case = |clients: u32| {
        let all = clients == most;
        let name = if all {
            "g".to_owned()
        } else {
            format!("g.{clients}")
        };
        Case {
            once: !all,
            workload: "g",
            name,
            title: format!("{clients} idle clients"),
            kind: Kind::Idle {
                clients,
                seconds: if all { scale.idle_seconds } else { 3.0 },
                ramp_s: f64::from(clients) / ARRIVALS_PER_S,
            },
            subjects: vec![Ours, Plain, Rtc, Str0m],
        }
    };
    fewer
        .iter()
        .chain([&most])
        .map(|clients| case(*clients))
        .collect()
}

fn coming_and_going(scale: &Scale) -> Vec<Case> {
    let clients = scale.storm_clients;
    let storm = Case {
        once: false,
        workload: "h",
        name: "h".to_owned(),
        title: format!("{clients} clients connect at once"),
        kind: Kind::Storm { clients },
        subjects: vec![Ours, Plain, Rtc, Str0m],
    };
    let (clients, cycles) = (scale.cycle_clients, scale.cycles);
    let cycles = Case {
        name: "h.cycles".to_owned(),
        title: format!("{clients} clients come and go, {cycles} times"),
        kind: Kind::Cycles { clients, cycles },
        subjects: vec![Ours],
        ..storm.clone()
    };
    vec![storm, cycles]
}

/// The first room on a bad network between each client and its server.
fn bad_network(scale: &Scale) -> Vec<Case> {
    let case = |lane: Lane| {
        let load = Load {
            lane,
            impair: Some("loss=1%,delay=20ms"),
            seconds: scale.seconds,
            ..Load::default()
        };
        let name = format!("i.{}", lane.name());
        let title = "50 × 50 at 10 Hz, 100 B, 1 % loss and 20 ms each way";
        let title = format!("{title}, {}", lane.name());
        case("i", &name, &title, load, &[Ours, Plain])
    };
    Lane::BOTH.map(case).into()
}

/// Each client has its own hundred topics, and the first one of the next client, which is where
/// that one publishes.
fn topics(scale: &Scale) -> Case {
    let topics = scale.topic_clients * TOPICS_OF_A_CLIENT;
    let load = Load {
        clients: scale.topic_clients,
        topics,
        subscribe: TOPICS_OF_A_CLIENT + 1,
        stride: TOPICS_OF_A_CLIENT,
        pace: Pace::Rate(1.0),
        seconds: scale.seconds,
        ramp_s: f64::from(scale.topic_clients) / ARRIVALS_PER_S,
        ..Load::default()
    };
    let clients = scale.topic_clients;
    Case {
        once: false,
        workload: "j",
        name: "j".to_owned(),
        title: format!("{topics} topics, {clients} clients with 101 each, 1 Hz each, reliable"),
        kind: Kind::Topics { load },
        subjects: vec![Ours, Plain],
    }
}

/// The room at more rates, for a curve.
fn sweep(scale: &Scale) -> Vec<Case> {
    let case = |hertz: u32| {
        let load = Load {
            pace: Pace::Rate(hertz.into()),
            lane: Lane::Unreliable,
            seconds: scale.seconds / 2.0,
            ..Load::default()
        };
        let name = format!("s.{hertz}");
        let title = format!("50 × 50 at {hertz} Hz, 100 B, unreliable");
        case("s", &name, &title, load, &[Ours, Plain])
    };
    SWEEP_HERTZ.into_iter().map(case).collect()
}

/// Rates of the sweep.
pub(crate) const SWEEP_HERTZ: [u32; 6] = [5, 10, 20, 40, 60, 80];

const TOPICS_OF_A_CLIENT: u32 = 100;

/// How fast clients arrive that are not to be a storm.
const ARRIVALS_PER_S: f64 = 200.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_begin_with_their_workload() {
        for quick in [false, true] {
            let cases = all(quick);
            let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            assert_eq!(names.len(), cases.len());
            assert!(
                cases
                    .iter()
                    .all(|case| case.name.starts_with(case.workload))
            );
        }
    }

    #[test]
    fn quick_is_the_same_with_less() {
        let workloads = |quick| all(quick).into_iter().map(|case| case.workload);
        let quick: BTreeSet<&str> = workloads(true).collect();
        assert_eq!(quick.into_iter().collect::<String>(), "abcdefghij");
        let names = |quick| all(quick).into_iter().map(|case| case.name);
        let quick: BTreeSet<String> = names(true).collect();
        assert!(quick.is_subset(&names(false).collect()));
    }
}
