//! The project's one door: what a person runs here is what the continuous integration runs.

mod bench;
mod chaos;
mod ci;
mod codegen;
mod command;
mod driver;
mod fuzz;
mod sim;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Everything that is done to this project, one command each."
)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Lints, docs, freshness of what is generated, then every test: exactly what CI runs.
    Ci,
    /// Every test, those in a browser included. Installs what they need where it may.
    Test,
    /// Writes what is generated from the code and the schema.
    Codegen {
        /// Write nothing; fail when something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Measures the broker, a plain relay and the kernel's limit; see docs/BENCHMARKS.md.
    Bench {
        /// --quick, --only a,d, --rounds N and more: see `cargo xtask bench -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Kills, stops, cuts and loses, from a seed, and judges what the clients saw; see docs/TESTING.md.
    Chaos {
        /// [--release] --seed S, --minutes M, --blow "kill server 1 at 20s for 5s" and more: see `cargo xtask chaos -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// A steady load with churn, and what grows by it; see docs/TESTING.md.
    Soak {
        /// [--release] --minutes M and more: see `cargo xtask soak -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Simulates the cluster from many seeds, or from one again; see docs/TESTING.md.
    Sim {
        /// --seeds N [--from S], or --seed S [--trace EVENTS].
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Runs the fuzz targets, ten minutes each; see docs/TESTING.md.
    Fuzz(fuzz::Args),
    /// Checks the house rules that no compiler knows.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Ci => ci::run(),
        Task::Test => test::run(&[]),
        Task::Codegen { check: false } => codegen::write(),
        Task::Codegen { check: true } => codegen::check(),
        Task::Bench { args } => bench::run(&args),
        Task::Chaos { args } => chaos::run(chaos::Task::Chaos, &args),
        Task::Soak { args } => chaos::run(chaos::Task::Soak, &args),
        Task::Sim { args } => sim::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Tidy => tidy::run(),
    }
}
