//! Builds the cluster and what breaks it or wears it down, and starts that; see `chaos`.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::command::{self, root, say};

/// `task` is `run` or `soak`; the arguments are passed on.
pub(crate) fn run(task: &str, args: &[String]) -> anyhow::Result<()> {
    let packages = ["coordinator", "commserver", "client-sim", "chaos"];
    let mut build = vec!["build"];
    for package in packages {
        build.extend(["--package", package]);
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
