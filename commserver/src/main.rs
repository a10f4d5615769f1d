//! The `commserver` binary.

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(
    name = "commserver",
    version,
    about = "A communication server: data channels in, topics out"
)]
struct Command {
    #[command(flatten)]
    args: commserver::cli::Args,
}

fn main() -> ExitCode {
    commserver::cli::main(Command::parse().args)
}
