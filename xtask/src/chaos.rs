//! Builds the cluster and what breaks it or wears it down, and starts that; see `chaos`.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::command::{self, root, say};

/// `task` is `run` or `soak`; the arguments are passed on.
pub(crate) fn run(task: &str, args: &[String]) -> anyhow::Result<()> {
    // For packages alone cargo would choose other features, and build their dependencies again.
    let mut build = vec!["build", "--workspace"];
    for program in ["coordinator", "commserver", "client-sim", "chaos"] {
        build.extend(["--bin", program]);
    }
    command::run("", "cargo", &build)?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let programs = target.join("debug");
    let mut chaos = Command::new(programs.join("chaos"));
    chaos.arg(task).arg("--programs").arg(&programs);
    chaos.arg("--out").arg(target.join("chaos")).args(args);
    say(&format!("> chaos {task} {}", args.join(" ")));
    let status = chaos.status().context("chaos")?;
    ensure!(status.success(), "`chaos {task}` failed: {status}");
    Ok(())
}
