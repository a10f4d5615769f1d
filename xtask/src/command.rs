//! Runs other programs, saying what is run.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Runs a program in a folder of the workspace; fails when it does.
pub(crate) fn run(folder: &str, program: &str, args: &[&str]) -> anyhow::Result<()> {
    run_with(folder, program, args, &[])
}

/// [`run`] with environment variables set.
pub(crate) fn run_with(
    folder: &str,
    program: &str,
    args: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let line = format!("{program} {}", args.join(" "));
    say(&format!("> {line}"));
    let status = Command::new(program)
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(root().join(folder))
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{program}` cannot be started; is it installed?"))?;
    ensure!(status.success(), "`{line}` failed in {folder:?}: {status}");
    Ok(())
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: impl AsRef<OsStr>) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Tells the person in front of the terminal what goes on.
#[expect(
    clippy::print_stderr,
    reason = "this program's whole output is for a terminal"
)]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
