//! `broker token`: makes tokens for clients, and explains one. No server is asked.

mod create;
mod inspect;
mod keys;

use std::{fmt::Display, process::ExitCode};

use crate::access::BadUsage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Makes a token, and prints it.
    Create(create::Args),
    /// Says what a token allows, when it ends, and whether a key has signed it.
    Inspect(inspect::Args),
}

#[expect(clippy::unused_async, reason = "all commands are run alike")]
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.task {
        Task::Create(args) => create::run(&args),
        Task::Inspect(args) => inspect::run(&args),
    }
}

fn bad_usage(text: impl Display) -> anyhow::Error {
    BadUsage(text.to_string()).into()
}

pub(crate) const COMMAND: &str = "token";
