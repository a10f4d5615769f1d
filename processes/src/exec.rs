//! The step between the driver and what it starts: `exec` puts itself on the cores that it is
//! told, asks the kernel to be killed when the driver is gone, and becomes the program. So nothing
//! is left behind, whatever becomes of the driver.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::cores;

/// What `exec` is told.
#[derive(Debug, Args)]
pub struct Exec {
    /// Cores to run on.
    #[arg(long, value_delimiter = ',', required = true)]
    cores: Vec<usize>,
    /// The driver's process.
    #[arg(long)]
    driver: i32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

impl Exec {
    /// Becomes the program; returns only when that fails.
    pub fn run(self) -> anyhow::Result<()> {
        cores::pin(&self.cores)?;
        set_parent_process_death_signal(Some(Signal::KILL)).context("prctl")?;
        // It may have gone before it could be watched.
        ensure!(
            getppid() == Pid::from_raw(self.driver),
            "the driver is gone"
        );
        let (program, args) = self.program.split_first().context("no program")?;
        let error = Command::new(program).args(args).exec();
        Err(error).with_context(|| program.display().to_string())
    }
}
