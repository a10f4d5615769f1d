//! Measures the broker: what it costs to run, and its tail latency, next to a plain relay on the
//! async `webrtc` crate and to what the kernel allows, on the same load. `cargo xtask bench` builds
//! everything and starts this; how it measures is in docs/BENCHMARKS.md.

mod abuse;
mod cases;
mod figure;
mod goals;
mod limit;
mod load;
mod machine;
mod measure;
mod page;
mod plots;
mod results;
mod run;
mod stats;
mod subject;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use processes::{child, cores, driver, driver::say, exec, metrics, usage};

/// Measures the broker, a plain relay and the kernel's limit on the same load.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Flags {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure.
    Run(run::Flags),
    /// Make the page again from results.
    Page(run::Page),
    /// Become a program that ends with this one's driver; for the driver.
    #[command(hide = true)]
    Exec(exec::Exec),
    /// Attack the servers; for the driver.
    #[command(hide = true)]
    Attack(abuse::attack::Attacker),
    /// Measure the kernel's limit; for the driver.
    #[command(hide = true)]
    Limit(limit::Limit),
}

fn main() -> ExitCode {
    driver::finish(match Flags::parse().task {
        Task::Run(flags) => run::main(flags),
        Task::Page(page) => page.write(),
        Task::Exec(exec) => exec.run(),
        Task::Attack(attacker) => attacker.run(),
        Task::Limit(limit) => limit.run(),
    })
}
