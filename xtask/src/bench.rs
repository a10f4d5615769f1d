//! Builds what is measured and what measures it, and starts the measurement; see `bench`.

use crate::driver::{self, Profile};

/// Passes the arguments on.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    // Only the broker itself is abused.
    let others: &[&str] = if args.iter().any(|arg| arg == "--abuse") {
        &[]
    } else {
        &["plain", "engines"]
    };
    let ours = ["coordinator", "commserver", "client-sim", "bench"];
    // These alone, for what is measured is to have the features that it has for its users.
    let mut build = Vec::new();
    for package in ours.iter().chain(others) {
        build.extend(["--package", package]);
    }
    let words = ["cargo xtask bench"];
    driver::run(Profile::Release, &build, ["bench", "run"], &words, args)
}
