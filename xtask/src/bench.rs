//! Builds what is measured and what measures it, and starts the measurement; see `bench`.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::command::{self, root, say};

/// Passes the arguments on.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let packages = [
        "coordinator",
        "commserver",
        "client-sim",
        "plain",
        "engines",
        "bench",
    ];
    let mut build = vec!["build", "--release"];
    for package in packages {
        build.extend(["--package", package]);
    }
    command::run("", "cargo", &build)?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let programs = target.join("release");
    let command = ["cargo xtask bench"]
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    let mut bench = Command::new(programs.join("bench"));
    bench
        .arg("run")
        .arg("--programs")
        .arg(&programs)
        .arg("--root")
        .arg(root())
        .arg("--out")
        .arg(target.join("bench"))
        .args(["--command", &command])
        .args(args);
    say(&format!("> {command}"));
    let status = bench.status().context("bench")?;
    ensure!(status.success(), "`{command}` failed: {status}");
    Ok(())
}
