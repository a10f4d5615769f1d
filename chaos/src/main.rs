//! Breaks a cluster of real processes on purpose, from a seed, and judges what its clients saw
//! (`run`); wears one down with a steady load, and looks at what grows (`soak`). `cargo xtask chaos`
//! and `cargo xtask soak` build everything and start this; docs/TESTING.md says what they show.

mod blow;
mod cable;
mod cluster;
mod crowd;
mod held;
mod judge;
mod log;
mod plan;
mod run;
mod soak;
mod trend;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use processes::{
    driver::{self, say},
    exec::Exec,
};

/// Breaks a cluster on purpose, or wears it down.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Flags {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Kill, stop, cut, delay and lose, from a seed.
    Run(run::Flags),
    /// A steady load with churn.
    Soak(soak::Flags),
    /// Be some of the clients; for the driver.
    #[command(hide = true)]
    Crowd(crowd::Flags),
    /// Become a program that ends with this one's driver; for the driver.
    #[command(hide = true)]
    Exec(Exec),
}

fn main() -> ExitCode {
    driver::finish(match Flags::parse().task {
        Task::Run(flags) => run::main(flags),
        Task::Soak(flags) => soak::main(flags),
        Task::Crowd(flags) => crowd::main(flags),
        Task::Exec(exec) => exec.run(),
    })
}
