//! Programs that start, watch and judge others: built with what they start, and given the rest of the
//! command line.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::command::{self, root, say};

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds what `cargo build` is told to, and starts one of the programs. It is told where the
/// programs are, where it may write, where the repository is, and by which command a person starts
/// the same.
pub(crate) fn run(
    profile: Profile,
    build: &[&str],
    [program, task]: [&str; 2],
    words: &[&str],
    args: &[String],
) -> anyhow::Result<()> {
    let mut cargo = vec!["build"];
    if profile == Profile::Release {
        cargo.push("--release");
    }
    cargo.extend(build);
    command::run("", "cargo", &cargo)?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let programs = target.join(profile.folder());
    let line = line(words, args);
    let mut driver = Command::new(programs.join(program));
    driver
        .arg(task)
        .args([Path::new("--programs"), &programs])
        .args([Path::new("--out"), &target.join(program)])
        .args([Path::new("--root"), &root()])
        .args(["--command", &line])
        .args(args);
    say(&format!("> {line}"));
    let status = driver.status().context(line.clone())?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// As a shell reads it.
fn line(words: &[&str], args: &[String]) -> String {
    let quoted = args.iter().map(|arg| {
        if arg.contains(' ') {
            format!("\"{arg}\"")
        } else {
            arg.clone()
        }
    });
    let words = words.iter().map(|word| (*word).to_owned());
    words.chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_given_to_a_shell_again() {
        let args = ["--blow", "kill server 1 at 20s for 5s", "--servers", "3"].map(str::to_owned);
        assert_eq!(
            line(&["cargo xtask chaos", "--release"], &args),
            "cargo xtask chaos --release --blow \"kill server 1 at 20s for 5s\" --servers 3"
        );
    }
}
