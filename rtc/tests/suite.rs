//! The engine contract: one suite of behaviours that any engine is put through, two of a kind on the
//! ends of an emulated link, in virtual time. Ours has to do all of it; what the foreign ones fail is
//! listed here by name, and has to fail still: when one of them gets better, we want to know.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows #[test] functions, not what they call"
)]

#[path = "suite/cases.rs"]
mod cases;
#[path = "suite/engine.rs"]
mod engine;
mod link;
#[path = "suite/ours.rs"]
mod ours;
#[path = "suite/rtc.rs"]
mod rtc;
#[path = "suite/str0m.rs"]
mod str0m;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cases::{CASES, Case};
use engine::Make;

/// What an engine does with every case: nothing, or how it fails.
fn verdicts(make: Make) -> Vec<(&'static str, Option<String>)> {
    let verdict = |Case { name, check }: &Case| {
        let done = catch_unwind(AssertUnwindSafe(|| check(make)));
        let failed = done.unwrap_or_else(|_| Err("it panicked".to_owned()));
        (*name, failed.err())
    };
    CASES.iter().map(verdict).collect()
}

fn assert_fails_alone(make: Make, expected: &[&str]) {
    let verdicts = verdicts(make);
    let failed: Vec<_> = verdicts.iter().filter(|(_, why)| why.is_some()).collect();
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected, "{failed:#?}");
}

#[test]
fn ours_does_all_of_it() {
    assert_fails_alone(ours::make, &[]);
}

#[test]
fn rtc_fails_what_is_known() {
    assert_fails_alone(
        rtc::make,
        &[
            // A channel that the other side opened is reliable in the dialer's hands.
            "unreliable from the dialer never waits and never repeats",
            "a lost tail is repaired within half a second",
            "gives back the memory of a burst and of itself",
        ],
    );
}

#[test]
fn str0m_fails_what_is_known() {
    assert_fails_alone(
        str0m::make,
        &[
            "carries an empty packet",
            "a lost tail is repaired within half a second",
            // What arrives is handed over as it comes.
            "who is not read makes the other side stop, and loses nothing",
            // It falls silent: the other side finds out by itself, later.
            "a close is told at once",
        ],
    );
}
