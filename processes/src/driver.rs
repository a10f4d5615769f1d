//! What every driver is and does: it is told where things are by `cargo xtask`, says what goes on,
//! and its exit code is the outcome.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

/// What `cargo xtask` tells a driver.
#[derive(Debug, Clone, Args)]
pub struct Whereabouts {
    /// Folder of the programs.
    #[arg(long, value_name = "DIR")]
    pub programs: PathBuf,
    /// The repository.
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// Where logs and results go.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The command by which a person starts the same.
    #[arg(long)]
    pub command: String,
}

/// The exit code of a driver; an error is said.
#[must_use]
pub fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// For the person in front of the terminal.
pub fn say(line: &str) {
    // Whoever closed standard error does not want to know.
    let _said = writeln!(io::stderr(), "{line}");
}
