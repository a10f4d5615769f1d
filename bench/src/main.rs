//! Measures the broker: what it costs to run, and its tail latency, next to a plain relay on the
//! async `webrtc` crate and to what the kernel allows, on the same load. `cargo xtask bench` builds
//! everything and starts this; how it measures is in docs/BENCHMARKS.md.

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

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use processes::{child, cores, exec, metrics, usage};

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
    /// Measure the kernel's limit; for the driver.
    #[command(hide = true)]
    Limit(limit::Limit),
}

fn main() -> ExitCode {
    let done = match Flags::parse().task {
        Task::Run(flags) => run::main(flags),
        Task::Page(page) => page.write(),
        Task::Exec(exec) => exec.run(),
        Task::Limit(limit) => limit.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// For the person in front of the terminal.
fn say(line: &str) {
    // Whoever closed standard error does not want to know.
    let _said = writeln!(io::stderr(), "{line}");
}
