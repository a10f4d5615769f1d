//! One run from beginning to end, and what is said about it.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    checkers::{Check, Counts, Violation},
    plan::{Fault, Plan},
    sabotage::Sabotage,
    world::World,
};

/// A run in which nothing was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of everything that happened, in order.
    pub trace_hash: u64,
    /// How much happened.
    pub events: u64,
    /// What the checkers looked at.
    pub counts: Counts,
    /// The servers are linked by way of a hub.
    pub star: bool,
    /// What could go wrong.
    pub faults: BTreeSet<Fault>,
    /// What the cores have counted: drops, closes and the like, by name. A defence that no run
    /// reaches is not tested by any.
    pub reached: BTreeMap<String, u64>,
}

/// A run in which something was wrong.
#[derive(Debug)]
pub struct Failure {
    /// The seed that brings it back.
    pub seed: u64,
    /// What was wrong first.
    pub violation: Violation,
    /// When, in seconds since the beginning.
    pub at: f64,
    /// The last events before it.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            violation,
            at,
            trace,
        } = self;
        write!(
            f,
            "{trace}{violation}\nseed {seed} failed at {at:.6} s, again by: "
        )?;
        write!(f, "cargo xtask sim --seed {seed}")
    }
}

/// Runs the cluster from this seed.
///
/// # Errors
/// When something was wrong: the first thing.
pub fn run(seed: u64) -> Result<Report, Box<Failure>> {
    run_plan(Plan::new(seed, None))
}

/// The same, with the last `trace_max` events in a failure's trace instead of 100.
///
/// # Errors
/// When something was wrong: the first thing.
pub fn run_traced(seed: u64, trace_max: usize) -> Result<Report, Box<Failure>> {
    let plan = Plan::new(seed, None);
    run_plan(Plan { trace_max, ..plan })
}

/// The same with something broken on purpose; `quiet` leaves out the seed's own faults.
///
/// # Errors
/// When a checker has noticed.
pub fn run_sabotaged(seed: u64, sabotage: Sabotage, quiet: bool) -> Result<Report, Box<Failure>> {
    let plan = Plan::new(seed, Some(sabotage));
    run_plan(if quiet { plan.quiet() } else { plan })
}

fn run_plan(plan: Plan) -> Result<Report, Box<Failure>> {
    let (seed, faults) = (plan.seed, plan.faults.clone());
    let star = plan.hub().is_some();
    let mut world = World::new(plan);
    loop {
        // An assertion of a core is a finding like any other, and needs its seed and trace.
        let stepped = catch_unwind(AssertUnwindSafe(|| world.step()));
        let violation = match &stepped {
            Ok(_) => world.checkers.take_violation(),
            Err(panic) => Some(Violation {
                check: Check::Invariants,
                text: text_of(panic.as_ref()),
            }),
        };
        if let Some(violation) = violation {
            return Err(Box::new(Failure {
                seed,
                violation,
                at: world.now().as_secs_f64(),
                trace: world.net.trace.to_string(),
            }));
        }
        if let Ok(false) = stepped {
            break;
        }
    }
    Ok(Report {
        trace_hash: world.net.trace.hash(),
        events: world.net.trace.count(),
        counts: world.checkers.counts,
        star,
        faults,
        reached: std::mem::take(&mut world.reached),
    })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").into()
}
