//! Runs the fuzz targets under libFuzzer, one after the other; see docs/TESTING.md.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail, ensure};

use crate::command::{self, root, say};

/// What runs, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// This one only; otherwise all.
    #[arg(long)]
    target: Option<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// Fails when something was found, after all have run.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let targets = chosen(args)?;
    install()?;
    let mut findings = Vec::new();
    for target in &targets {
        let before = artifacts(target)?;
        let ran = fuzz(target, args.seconds);
        let found: Vec<_> = artifacts(target)?.difference(&before).cloned().collect();
        if found.is_empty() {
            ran?;
        }
        findings.extend(found.into_iter().map(|path| (target, path)));
    }
    for (target, path) in &findings {
        say(&format!(
            "found, again by: cargo run -p fuzz --bin {target} -- {path}"
        ));
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

fn fuzz(target: &str, seconds: u32) -> anyhow::Result<()> {
    // What is found on the way is kept for the next time, beside what everybody has.
    let found = target_folder().join("fuzz").join(target);
    fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
    let found = found.display().to_string();
    let known = format!("fuzz/corpus/{target}");
    let time = format!("-max_total_time={seconds}");
    let mut run = vec!["fuzz", "run", "--sanitizer", "none"];
    run.extend(["--features", "libfuzzer", target, &found, &known, "--"]);
    // A second is an age for what takes a millisecond; the machine may be busy.
    run.extend([&time, "-timeout=20", "-rss_limit_mb=2048", "-max_len=4096"]);
    run.push("-print_final_stats=1");
    let profile = [
        // Linking once for each target would take longer than fuzzing it.
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        // cargo-fuzz asks for it in another way, which Cargo.toml could not make exceptions from.
        ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true"),
    ];
    command::run_with("", "cargo", &run, &profile)
}

/// Each has a program of its own.
fn chosen(args: &Args) -> anyhow::Result<Vec<String>> {
    let programs = fs::read_dir(root().join("fuzz/programs")).context("fuzz/programs")?;
    let mut all = BTreeSet::new();
    for program in programs {
        let path = program?.path();
        let name = path.file_stem().unwrap_or_default();
        all.insert(name.to_string_lossy().into_owned());
    }
    match &args.target {
        None => Ok(all.into_iter().collect()),
        Some(target) if all.contains(target) => Ok(vec![target.clone()]),
        Some(target) => bail!(
            "no target is called {target}; there are {}",
            all.into_iter().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The inputs that made a target fail, as paths in the workspace.
fn artifacts(target: &str) -> anyhow::Result<BTreeSet<String>> {
    let folder = format!("fuzz/artifacts/{target}");
    let Ok(entries) = fs::read_dir(root().join(&folder)) else {
        return Ok(BTreeSet::new());
    };
    let names = entries.map(|entry| Ok(entry?.file_name()));
    names
        .map(|name| name.map(|name| format!("{folder}/{}", name.to_string_lossy())))
        .collect()
}

fn install() -> anyhow::Result<()> {
    let version = Command::new("cargo").args(["fuzz", "--version"]).output();
    let installed = version.is_ok_and(|output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains(CARGO_FUZZ)
    });
    if installed {
        return Ok(());
    }
    let install = ["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"];
    command::run("", "cargo", &install)
}

fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

const CARGO_FUZZ: &str = "0.13.1";
