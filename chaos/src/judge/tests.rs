//! What the judge says of known conversations.

use super::*;

const SERVERS: [u64; 2] = [100, 200];

fn at(ms: u64) -> At {
    Duration::from_secs(100) + Duration::from_millis(ms)
}

fn publication(number: u64) -> Publication {
    Publication {
        client: 0,
        life: 1,
        number,
    }
}

fn case() -> Case {
    Case {
        servers: BTreeMap::from([(SERVERS[0], 0), (SERVERS[1], 1)]),
        clients: 2,
        topics: 1,
        clients_of_crowd: 1,
        whole_from: at(50_000),
        until: at(60_000),
        ..Case::default()
    }
}

/// Two clients, on two servers, of whom the first sends something after 10 s.
fn talk(got: &[(u64, u64)]) -> Vec<Line> {
    let line = |ms, client, what| Line {
        at: at(ms),
        client,
        what,
    };
    // For longer than it takes to notice that a peer is lost.
    let mut lines: Vec<Line> = (0_u32..)
        .zip(SERVERS)
        .map(|(client, server)| Line {
            at: Duration::from_secs(60),
            client,
            what: What::Subscribed(server),
        })
        .collect();
    lines.extend((0..3).map(|n| line(10_000 + n, 0, What::Sent(publication(n)))));
    let got = got.iter();
    lines.extend(got.map(|&(ms, number)| line(ms, 1, What::Got(publication(number)))));
    lines
}

fn strike(target: Target, from: u64, until: u64) -> Case {
    Case {
        struck: vec![Struck {
            target,
            from: at(from),
            until: at(until),
        }],
        ..case()
    }
}

const ALL: [(u64, u64); 3] = [(10_010, 0), (10_011, 1), (10_012, 2)];

#[test]
fn what_arrives_in_order_is_good() {
    let verdict = case().judge(&talk(&ALL));
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(
        (verdict.published, verdict.arrived, verdict.judged),
        (3, 3, 3)
    );
    assert_eq!(verdict.judged_whole, 0);
}

#[test]
fn a_gap_a_repetition_and_another_order_are_found() {
    let verdict = case().judge(&talk(&[ALL[0], ALL[2]]));
    assert_eq!((verdict.lost, verdict.judged), (1, 3));
    let verdict = case().judge(&talk(&[ALL[0], ALL[1], ALL[2], (10_020, 1)]));
    assert_eq!((verdict.duplicated, verdict.lost), (1, 0));
    let verdict = case().judge(&talk(&[ALL[0], ALL[2], (10_020, 1)]));
    assert_eq!((verdict.reordered, verdict.lost), (1, 0));
    assert!(!verdict.is_good());
}

#[test]
fn only_a_fault_on_its_own_way_excuses_a_loss() {
    let gap = talk(&[ALL[0], ALL[2]]);
    let (server, other) = (Place::Server(0), Place::Server(1));
    for target in [
        Target::Process(Place::Crowd(0)),
        Target::Path(Place::Crowd(0), server),
        Target::Process(server),
        Target::Path(other, server),
        Target::Process(other),
        Target::Path(Place::Crowd(1), other),
    ] {
        let verdict = strike(target, 9_000, 9_500).judge(&gap);
        assert_eq!((verdict.lost, verdict.excused), (0, 1), "{target:?}");
    }
    for target in [
        Target::Process(Place::Coordinator),
        Target::Process(Place::Server(2)),
        Target::Path(Place::Crowd(0), other),
        Target::Path(server, Place::Coordinator),
    ] {
        let verdict = strike(target, 9_000, 9_500).judge(&gap);
        assert_eq!((verdict.lost, verdict.excused), (1, 0), "{target:?}");
    }
    // One that struck later than it could have arrived.
    let verdict = strike(Target::Process(server), 20_000, 21_000).judge(&gap);
    assert_eq!(verdict.lost, 1);
}

#[test]
fn who_was_not_there_all_the_time_is_not_judged() {
    let mut lines = talk(&[ALL[0]]);
    lines.push(Line {
        at: at(12_000),
        client: 1,
        what: What::Away,
    });
    let verdict = case().judge(&lines);
    assert_eq!((verdict.judged, verdict.lost), (0, 0));
    assert_eq!(verdict.missing, [1], "and it is not there at the end");
}

#[test]
fn what_comes_again_after_a_move_is_no_repetition() {
    let mut lines = talk(&[ALL[0], ALL[1], ALL[2], (13_000, 2)]);
    lines.push(Line {
        at: at(12_000),
        client: 1,
        what: What::Subscribed(SERVERS[0]),
    });
    let verdict = case().judge(&lines);
    assert_eq!((verdict.duplicated, verdict.after_move), (0, 1));
}
