//! The simulation's seeds, and the proofs that its checkers see what they are there for.
//!
//! `cargo xtask sim --seed 7` runs one seed, with `--trace 1000` so many events before a failure;
//! `cargo xtask sim --seeds 10000 --from 1000` runs so many, from there on. It sets the variables
//! that are read here.

use std::{
    collections::BTreeMap,
    env,
    panic::resume_unwind,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use tests::simulation::{self, Check, Fault, Report, Sabotage};

/// In the everyday run.
const SEEDS: u64 = 500;

#[test]
fn seeds() {
    let first = number("FIRST_SEED").unwrap_or(0);
    let last = first + number("SEEDS").unwrap_or(SEEDS);
    let reports = run_all(first, last);
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    let judged = sum(|report| report.counts.judged);
    let events = sum(|report| report.events);
    println!(
        "{} seeds, {events} events, {} publications, {} arrivals, {} over links, {judged} had to arrive, \
         {} came again after a move",
        reports.len(),
        sum(|report| report.counts.published),
        sum(|report| report.counts.arrived),
        sum(|report| report.counts.relayed),
        sum(|report| report.counts.repeated_after_move),
    );
    let mut reached = BTreeMap::new();
    for (name, count) in reports.iter().flat_map(|report| &report.reached) {
        *reached.entry(name).or_insert(0) += count;
    }
    for (name, count) in &reached {
        println!("{count:>9} {name}");
    }
    if reports.len() < usize::try_from(SEEDS).unwrap_or(usize::MAX) {
        return;
    }
    check_that_green_means_something(&reports, &reached);
}

/// Each kind of run has to have put the checkers to work, and each kind of fault has struck.
fn check_that_green_means_something(reports: &[Report], reached: &BTreeMap<&String, u64>) {
    let judged = |among: &dyn Fn(&Report) -> bool| -> u64 {
        let among = reports.iter().filter(|report| among(report));
        among.map(|report| report.counts.judged).sum()
    };
    let times = |name: &str| reached.get(&name.to_owned()).copied().unwrap_or(0);
    for fault in Fault::ALL {
        assert!(
            judged(&|report| report.faults.contains(fault)) > 100,
            "{fault:?} in no run where anything had to arrive"
        );
        let always = matches!(fault, Fault::Loss | Fault::SlowVerdicts);
        let struck = times(&format!("times {fault:?}"));
        assert!(always || struck > 10, "{fault:?} struck {struck} times");
    }
    for name in [
        "session moves",
        "session misses a token",
        "times a step is cut short",
    ] {
        assert!(times(name) > 10, "no {name:?} to speak of: {}", times(name));
    }
    let quiet = judged(&|report| report.faults.is_empty());
    assert!(quiet > 1_000, "too little in quiet: {quiet}");
    let star = judged(&|report| report.star);
    assert!(star > 1_000, "too little in a star: {star}");
}

#[test]
fn replay() {
    let Some(seed) = number("SEED") else { return };
    let trace_max = number("TRACE").unwrap_or(100);
    let trace_max = usize::try_from(trace_max).unwrap_or(usize::MAX);
    match simulation::run_traced(seed, trace_max) {
        Ok(report) => println!("seed {seed}: {report:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn same_seed_same_run() {
    for seed in 0..6 {
        let hashes = [(); 2].map(|()| simulation::run(seed).map(|report| report.trace_hash));
        let [Ok(first), Ok(second)] = hashes else {
            panic!("seed {seed} fails: see `seeds`");
        };
        assert_eq!(first, second, "seed {seed} gives two different runs");
    }
}

#[test]
fn another_run_is_told_apart() {
    let run = || simulation::run_sabotaged(0, Sabotage::OutsideRandomness, true);
    let [Ok(first), Ok(second)] = [run(), run()] else {
        panic!("nothing but the trace is different");
    };
    assert_ne!(first.trace_hash, second.trace_hash);
}

#[test]
fn checkers_see_a_bad_network() {
    catches(Sabotage::DuplicateReliable, true, Check::AtMostOnce, &[]);
    catches(Sabotage::ReorderReliable, true, Check::Order, &[]);
    // An announcement that is lost costs the link that it was made on.
    catches(
        Sabotage::LoseReliable,
        true,
        Check::NothingLost,
        &[Check::Undisturbed],
    );
    catches(Sabotage::DuplicateUnreliable, true, Check::AtMostOnce, &[]);
}

#[test]
fn checkers_see_a_bad_router() {
    catches(Sabotage::Echo, true, Check::NoEcho, &[]);
    // Among the strangers may be the publisher, and somebody who was never let in.
    catches(
        Sabotage::DeliverToStrangers,
        true,
        Check::OnlySubscribers,
        &[Check::NoEcho, Check::Authentication],
    );
    // What a hub passes on once more comes twice to where it is wanted.
    catches(
        Sabotage::RelayTwice,
        true,
        Check::Hops,
        &[Check::AtMostOnce],
    );
}

#[test]
fn checkers_see_lies() {
    catches(Sabotage::LieAboutAlias, true, Check::Truth, &[]);
    catches(Sabotage::LieAboutIdentity, true, Check::Truth, &[]);
    catches(Sabotage::LieAboutRole, true, Check::Truth, &[]);
    catches(Sabotage::BelieveEverybody, true, Check::Authentication, &[]);
    catches(Sabotage::ForgetGrants, true, Check::Grants, &[]);
}

#[test]
fn checkers_see_what_does_not_heal() {
    catches(Sabotage::NeverDial, true, Check::Links, &[]);
    // What is sent into a link that one side has given up is lost, or arrives over two, before the
    // links are counted.
    catches(
        Sabotage::KeepOldLinks,
        false,
        Check::Links,
        &[Check::NothingLost, Check::AtMostOnce],
    );
    catches(Sabotage::ForgetAliases, false, Check::AliasKept, &[]);
    catches(Sabotage::StayAway, false, Check::Liveness, &[]);
    catches(Sabotage::ForgetToForget, true, Check::NothingLeft, &[]);
    catches(Sabotage::KeepPacket, true, Check::Queues, &[]);
    catches(Sabotage::Hoard, true, Check::Bounds, &[]);
}

#[test]
fn checkers_see_a_core_go_wrong() {
    catches(Sabotage::Disturb, true, Check::Undisturbed, &[]);
    catches(Sabotage::Panic, true, Check::Invariants, &[]);
    catches(Sabotage::StandStill, true, Check::Progress, &[]);
}

/// Breaks something on purpose in run after run, until the right checker says so; nobody else may,
/// but for those that see what follows from it.
fn catches(sabotage: Sabotage, quiet: bool, expected: Check, also: &[Check]) {
    for seed in 0..40 {
        let Err(failure) = simulation::run_sabotaged(seed, sabotage, quiet) else {
            continue;
        };
        let check = failure.violation.check;
        if check == expected {
            return;
        }
        assert!(
            also.contains(&check),
            "{sabotage:?} was taken for something else: {failure}"
        );
    }
    panic!("nobody has noticed {sabotage:?}");
}

/// Each run is one thread's; the runs are spread over all.
fn run_all(first: u64, last: u64) -> Vec<Report> {
    let next = AtomicU64::new(first);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let worker = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return reports;
            }
            match simulation::run(seed) {
                Ok(report) => reports.push(report),
                Err(failure) => panic!("{failure}"),
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results
            .flat_map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}
