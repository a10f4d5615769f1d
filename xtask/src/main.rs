//! The project's one door: what a person runs here is what the continuous integration runs.

mod ci;
mod codegen;
mod command;
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
    /// Checks the house rules that no compiler knows.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Ci => ci::run(),
        Task::Test => test::run(),
        Task::Codegen { check: false } => codegen::write(),
        Task::Codegen { check: true } => codegen::check(),
        Task::Tidy => tidy::run(),
    }
}
