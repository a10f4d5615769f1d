//! Builds the cluster and what breaks it or wears it down, and starts that; see `chaos`.

use crate::driver::{self, Profile};

/// What `chaos` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Breaks a cluster.
    Chaos,
    /// Wears one down.
    Soak,
}

/// `--release` is ours, the other arguments are passed on.
pub(crate) fn run(task: Task, args: &[String]) -> anyhow::Result<()> {
    let (name, command) = match task {
        Task::Chaos => ("run", "cargo xtask chaos"),
        Task::Soak => ("soak", "cargo xtask soak"),
    };
    // For packages alone cargo would choose other features, and build their dependencies again.
    let mut build = vec!["--workspace"];
    for program in ["coordinator", "commserver", "client-sim", "chaos"] {
        build.extend(["--bin", program]);
    }
    let (profile, args) = profile(args);
    let mut words = vec![command];
    if profile == Profile::Release {
        words.push(RELEASE);
    }
    driver::run(profile, &build, ["chaos", name], &words, &args)
}

fn profile(args: &[String]) -> (Profile, Vec<String>) {
    let others = args.iter().filter(|arg| *arg != RELEASE);
    let others: Vec<String> = others.cloned().collect();
    if others.len() < args.len() {
        (Profile::Release, others)
    } else {
        (Profile::Debug, others)
    }
}

const RELEASE: &str = "--release";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_built_where_it_is_asked_for() {
        let args = ["--seed", "2", "--release"].map(str::to_owned);
        let (chosen, others) = profile(&args);
        assert_eq!(
            (chosen, others.join(" ").as_str()),
            (Profile::Release, "--seed 2")
        );
        assert_eq!(profile(&others), (Profile::Debug, others));
    }
}
