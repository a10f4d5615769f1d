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
    match Command::try_parse() {
        Ok(command) => commserver::cli::main(command.args),
        Err(error) => {
            // Help and version are no errors; a closed terminal has nobody to tell.
            let bad = error.use_stderr();
            let _printed = error.print();
            if bad {
                ExitCode::from(settings::EXIT_CONFIG)
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}
