//! Runs the cluster's simulation from many seeds, or one seed again; see docs/TESTING.md.

use anyhow::{Context as _, bail};

use crate::command;

const USAGE: &str = "expected --seeds N [--from S], or --seed S [--trace EVENTS]";

/// `--seeds N --from S` for as long as that takes, `--seed S` for one of them, readable.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let (test, variables) = read(args)?;
    // With assertions, which are half of the point, and as fast as that goes.
    let profile = [
        ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true"),
        ("CARGO_PROFILE_RELEASE_PANIC", "unwind"),
    ];
    let mut run = vec!["test", "-p", "tests", "--test", "simulation"];
    // One seed is there sooner than an optimised build.
    let many = test == "seeds";
    if many {
        run.insert(1, "--release");
    }
    run.extend([test, "--", "--exact", "--nocapture"]);
    let mut all: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
    if many {
        all.extend(profile);
    }
    command::run_with("", "cargo", &run, &all)
}

/// The test, and what it is told by the environment.
fn read(args: &[String]) -> anyhow::Result<(&'static str, Vec<(&'static str, String)>)> {
    let mut variables = Vec::new();
    let mut test = "seeds";
    for pair in args.chunks(2) {
        let [flag, value] = pair else { bail!(USAGE) };
        let name = match flag.as_str() {
            "--seeds" => "SEEDS",
            "--from" => "FIRST_SEED",
            "--seed" => "SEED",
            "--trace" => "TRACE",
            _ => bail!(USAGE),
        };
        value.parse::<u64>().context(USAGE)?;
        if name == "SEED" {
            test = "replay";
        }
        variables.push((name, value.clone()));
    }
    Ok((test, variables))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn flags_choose_the_test() {
        let (test, variables) = read(&args("--seeds 10 --from 7")).expect("good flags");
        assert_eq!(test, "seeds");
        assert_eq!(
            variables,
            [("SEEDS", "10".to_string()), ("FIRST_SEED", "7".to_string())]
        );
        let (test, _) = read(&args("--seed 7 --trace 1000")).expect("good flags");
        assert_eq!(test, "replay");
        for bad in ["--seeds", "--seeds x", "--what 1"] {
            assert!(read(&args(bad)).is_err(), "{bad}");
        }
    }
}
