//! Builds what is measured and what measures it, and starts the measurement; see `bench`.

use crate::driver::{self, Profile};

/// Passes the arguments on.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    // These alone, for what is measured is to have the features that it has for its users.
    let mut build = Vec::new();
    for package in [
        "coordinator",
        "commserver",
        "client-sim",
        "plain",
        "engines",
        "bench",
    ] {
        build.extend(["--package", package]);
    }
    let words = ["cargo xtask bench"];
    driver::run(Profile::Release, &build, ["bench", "run"], &words, args)
}
