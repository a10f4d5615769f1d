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

/// With a blow, as it is written.
fn strike(line: &str) -> Case {
    let blow: crate::blow::Blow = line.parse().expect("good");
    Case {
        struck: vec![Struck {
            target: blow.target,
            fault: blow.fault,
            from: at(0) + blow.at,
            until: at(0) + blow.end(),
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
    for target in [
        "kill crowd 0",
        "cut crowd 0 - server 0",
        "kill server 0",
        "cut server 1 - server 0",
        "stop server 1",
        "cut crowd 1 - server 1",
    ] {
        let verdict = strike(&format!("{target} at 9s for 12s")).judge(&gap);
        assert_eq!((verdict.lost, verdict.excused), (0, 1), "{target}");
    }
    for target in [
        "kill coordinator",
        "kill server 2",
        "cut crowd 0 - server 1",
        "cut server 0 - coordinator",
    ] {
        let verdict = strike(&format!("{target} at 9s for 12s")).judge(&gap);
        assert_eq!((verdict.lost, verdict.excused), (1, 0), "{target}");
    }
    // One that struck later than it could have arrived.
    let verdict = strike("kill server 0 at 20s for 1s").judge(&gap);
    assert_eq!(verdict.lost, 1);
    // Everything was whole again.
    let whole = Case {
        whole_from: at(10_000),
        ..strike("kill server 0 at 9s for 500ms")
    };
    assert_eq!(whole.judge(&gap).lost, 1);
}

#[test]
fn who_loses_its_server_without_a_fault_is_noted() {
    let mut lines = talk(&ALL);
    let away = Line {
        at: at(20_000),
        client: 1,
        what: What::Away,
    };
    lines.push(away);
    for (line, unasked) in [
        ("kill server 1 at 10s for 1s", 0),
        ("cut crowd 1 - server 1 at 9s for 12s", 0),
        ("kill coordinator at 10s for 30s", 1),
        ("kill server 0 at 10s for 1s", 1),
        ("lose 10% crowd 1 - server 1 at 9s for 12s", 1),
    ] {
        let verdict = strike(line).judge(&lines);
        let found = (verdict.departed, verdict.departed_unasked);
        assert_eq!(found, (1, unasked), "{line}");
    }
    assert_eq!(case().judge(&lines).unreturned, [1]);
}

#[test]
fn what_may_still_be_under_way_is_not_judged() {
    let case = Case {
        until: at(12_000),
        ..case()
    };
    let verdict = case.judge(&talk(&[ALL[0]]));
    assert_eq!((verdict.judged, verdict.lost, verdict.excused), (0, 0, 0));
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
