//! What must hold before a change lands.

use crate::{chaos, codegen, command, test, tidy};

/// Runs every check, the quick ones first.
pub(crate) fn run() -> anyhow::Result<()> {
    command::run("", "cargo", &["fmt", "--all", "--check"])?;
    codegen::check()?;
    tidy::run()?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    command::run("", "cargo", &clippy)?;
    let doc = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--quiet",
    ];
    command::run_with("", "cargo", &doc, &[("RUSTDOCFLAGS", "-D warnings")])?;
    // What a run finds depends on the change alone, so that a failure speaks of the change. Chance
    // is for people's runs: `cargo test` draws another seed every time.
    test::run(&[("PROPTEST_RNG_SEED", "1")])?;
    // A minute of it; hours are for people.
    let chaos_args = ["--seed", "1", "--minutes", "1"].map(str::to_owned);
    chaos::run(chaos::Task::Chaos, &chaos_args)
}
