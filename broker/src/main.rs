//! The operator's binary: a whole local cluster in one process, one of its servers, or a client that
//! publishes or listens.

mod access;
mod bots;
mod dev;
mod doctor;
mod http;
mod pages;
mod publish;
mod revoke;
mod show;
mod subscribe;
mod token;

use std::process::ExitCode;

use access::BAD_USAGE;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "broker",
    version,
    about = "A message broker over WebRTC data channels."
)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Brings up a whole cluster on this machine, with a page to try it in. Lets everybody in.
    Dev(dev::Args),
    /// Runs a coordinator.
    Coordinator(coordinator::cli::Args),
    /// Runs a communication server.
    Commserver(commserver::cli::Args),
    /// Says what is wrong with the way of clients to the servers, and what to do about it.
    Doctor(doctor::Args),
    /// Publishes to a topic, and ends when the server has it.
    Pub(publish::Args),
    /// Shuts somebody out: one client, all of a name, or one token.
    Revoke(revoke::Args),
    /// Listens to topics, and prints what comes.
    Sub(subscribe::Args),
    /// Makes tokens for clients, and explains them.
    Token(token::Args),
}

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // Help and version are no errors; a closed terminal has nobody to tell.
            let bad = error.use_stderr();
            let _printed = error.print();
            return if bad {
                ExitCode::from(BAD_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match command.task {
        Task::Dev(args) => dev::main(&args),
        Task::Coordinator(args) => coordinator::cli::run(&args),
        Task::Commserver(args) => commserver::cli::main(args),
        Task::Doctor(args) => access::run(doctor::COMMAND, doctor::run(args)),
        Task::Pub(args) => access::run(publish::COMMAND, publish::run(args)),
        Task::Revoke(args) => access::run(revoke::COMMAND, revoke::run(args)),
        Task::Sub(args) => access::run(subscribe::COMMAND, subscribe::run(args)),
        Task::Token(args) => access::run(token::COMMAND, token::run(args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn flags_are_in_order() {
        Command::command().debug_assert();
    }
}
