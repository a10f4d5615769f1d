//! A measurement from start to end: rounds over cases over subjects, so that what is compared was
//! measured at about the same time; then the tables.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use processes::driver::Whereabouts;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    abuse::{Abuse, Places},
    cases::{self, Case},
    cores::{self, Cores},
    machine::{self, Machine},
    measure::{Outcome, measure},
    page,
    results::{Results, Run},
    say,
    subject::{Setup, Subject},
};

/// What `bench run` is told.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Fewer, shorter and smaller runs, within three minutes: to check that everything works. What
    /// it finds is not to be quoted.
    #[arg(long)]
    quick: bool,
    /// What abuse costs those who behave, instead of everything else.
    #[arg(long, conflicts_with_all = ["only", "subjects"])]
    abuse: bool,
    /// Only these workloads, e.g. a,d.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these subjects: ours, plain, rtc, str0m, limit.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// How often everything is measured; at least 3 to be quoted [default: 3, quick 1].
    #[arg(long)]
    rounds: Option<u32>,
    #[command(flatten)]
    at: Whereabouts,
}

/// Measures, until it is done or interrupted.
pub(crate) fn main(flags: Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Dropping the measurement kills the processes that it has started.
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run(flags) => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    let setup = flags.setup()?;
    let cases = flags.cases()?;
    let rounds = flags.rounds.unwrap_or(if flags.quick { 1 } else { ROUNDS });
    ensure!(rounds > 0, "--rounds: expected at least 1");
    let mut results = flags.results(&setup, rounds);
    say(&format!("{}\n{}", results.machine, results.cores));
    if !results.machine.is_quiet() {
        say("this machine is not quiet: what is found is for checking the tool only");
    }
    // The driver sleeps nearly always; when it does not, it must not be in the servers' way.
    cores::pin(&results.cores.load)?;
    if flags.abuse {
        return abuse(results, &setup, &flags).await;
    }
    let start = Instant::now();
    for round in 1..=rounds {
        for case in cases.iter().filter(|case| round == 1 || !case.once) {
            if flags.quick && start.elapsed() > QUICK_MAX {
                results.skipped.push(format!("{}: no time left", case.name));
                continue;
            }
            for subject in &case.subjects {
                let run = one(&setup, case, *subject, round).await;
                say(&progress(&run, start));
                results.runs.push(run);
            }
        }
    }
    results.took_s = start.elapsed().as_secs_f64();
    let text = page::text(&results);
    io::stdout()
        .write_all(text.as_bytes())
        .context("standard output")?;
    keep(&results, &flags)
}

/// The other measurement, on the same machine.
async fn abuse(results: Results, setup: &Setup, flags: &Flags) -> anyhow::Result<()> {
    let abuse = Abuse {
        command: results.command,
        quick: results.quick,
        rounds: results.rounds,
        started: results.started,
        took_s: 0.0,
        commit: results.commit,
        machine: results.machine,
        cores: results.cores,
        trials: Vec::new(),
    };
    let (page, plots) = (flags.at.root.join(PAGE), flags.at.root.join(PLOTS));
    abuse
        .take(setup, &Places::new(&flags.at.out, page, plots))
        .await
}

/// One run; whatever goes wrong is a fault of it, and the others go on.
async fn one(setup: &Setup, case: &Case, subject: Subject, round: u32) -> Run {
    let measured = Box::pin(measure(setup, case, subject)).await;
    let outcome = measured.unwrap_or_else(|error| Outcome {
        faults: vec![format!("{error:#}")],
        ..Outcome::default()
    });
    Run {
        round,
        case: case.name.clone(),
        subject,
        figures: outcome.figures,
        faults: outcome.faults,
        load_saturated: outcome.load_saturated,
        report: outcome.report,
    }
}

fn progress(run: &Run, start: Instant) -> String {
    let figure = run.figures.iter().next();
    let found = figure.map_or_else(String::new, |(figure, value)| {
        format!("{} {}", figure.show(*value), figure.title())
    });
    let faults = if run.is_good() {
        String::new()
    } else {
        format!("  FAILED: {}", run.faults.join(", "))
    };
    format!(
        "{:>5.0} s  round {}  {:<14} {:<6} {found}{faults}",
        start.elapsed().as_secs_f64(),
        run.round,
        run.case,
        run.subject
    )
}

/// Results as JSON, and the page with its plots: in the repository when they are whole, else beside
/// the JSON.
fn keep(results: &Results, flags: &Flags) -> anyhow::Result<()> {
    let whole = !results.quick && !results.partial && results.skipped.is_empty();
    let folder = if whole {
        flags.at.root.join(PLOTS)
    } else {
        flags.at.out.join("page")
    };
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let json = folder.join("results.json");
    let text = serde_json::to_string_pretty(results).context("the results as JSON")?;
    fs::write(&json, text + "\n").with_context(|| json.display().to_string())?;
    let page = if whole {
        flags.at.root.join(PAGE)
    } else {
        let page = folder.with_extension("md");
        fs::copy(flags.at.root.join(PAGE), &page).context(PAGE)?;
        page
    };
    page::write(results, &page, &folder)?;
    say(&format!("{}\n{}", json.display(), page.display()));
    Ok(())
}

/// What `bench page` is told.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// Results of a measurement.
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// The page whose block is replaced.
    #[arg(long, value_name = "FILE")]
    page: PathBuf,
    /// Where the plots go.
    #[arg(long, value_name = "DIR")]
    plots: PathBuf,
}

impl Page {
    /// Writes it.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let text = fs::read_to_string(&self.json);
        let text = text.with_context(|| self.json.display().to_string())?;
        let results = serde_json::from_str(&text).context("the results")?;
        page::write(&results, &self.page, &self.plots)
    }
}

impl Flags {
    fn setup(&self) -> anyhow::Result<Setup> {
        let others: &[&str] = if self.abuse {
            &[]
        } else {
            &["plain", "engines"]
        };
        let ours = ["coordinator", "commserver", "client-sim"];
        for program in ours.iter().chain(others) {
            let path = self.at.programs.join(program);
            ensure!(path.is_file(), "{}: not built", path.display());
        }
        let logs = self.at.out.join("logs");
        fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        Ok(Setup {
            programs: self.at.programs.clone(),
            logs,
            allowed_cores: cores::allowed()?,
        })
    }

    fn cases(&self) -> anyhow::Result<Vec<Case>> {
        select(cases::all(self.quick), &self.only, &self.subjects)
    }

    fn results(&self, setup: &Setup, rounds: u32) -> Results {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Results {
            command: self.at.command.clone(),
            quick: self.quick,
            partial: !self.only.is_empty() || !self.subjects.is_empty(),
            rounds,
            started: machine::utc(since_1970.map_or(0, |since| since.as_secs())),
            took_s: 0.0,
            commit: machine::commit(&self.at.root),
            machine: Machine::describe(&setup.allowed_cores),
            cores: Cores::divide(&setup.allowed_cores, 1),
            runs: Vec::new(),
            skipped: Vec::new(),
        }
    }
}

/// Those of the workloads or cases named, on the subjects named; all where none is.
fn select(cases: Vec<Case>, only: &[String], subjects: &[Subject]) -> anyhow::Result<Vec<Case>> {
    let known: BTreeSet<&str> = cases.iter().map(|case| case.workload).collect();
    for name in only {
        let is_case = cases.iter().any(|case| case.name == *name);
        ensure!(
            is_case || known.contains(name.as_str()),
            "--only: expected some of {known:?}, got {name:?}"
        );
    }
    let wanted = |case: &Case| {
        let named = |name: &String| *name == case.workload || *name == case.name;
        only.is_empty() || only.iter().any(named)
    };
    let mut selected: Vec<Case> = cases.into_iter().filter(wanted).collect();
    for case in &mut selected {
        case.subjects
            .retain(|subject| subjects.is_empty() || subjects.contains(subject));
    }
    Ok(selected)
}

/// In the repository.
const PAGE: &str = "docs/BENCHMARKS.md";

/// With the results themselves.
const PLOTS: &str = "docs/benchmarks";

/// To be quoted.
const ROUNDS: u32 = 3;

/// After it a quick measurement begins nothing more: what is under way fits into three minutes.
const QUICK_MAX: Duration = Duration::from_secs(150);

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str], subjects: &[Subject]) -> Vec<String> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let selected = select(cases::all(false), &only, subjects).expect("known names");
        let with_subjects = selected.iter().filter(|case| !case.subjects.is_empty());
        with_subjects.map(|case| case.name.clone()).collect()
    }

    #[test]
    fn workloads_and_cases_are_selected() {
        assert_eq!(names(&["a"], &[]), ["a.reliable", "a.unreliable"]);
        assert_eq!(names(&["d", "a.reliable"], &[]), ["a.reliable", "d"]);
        assert_eq!(names(&["a"], &[Subject::Limit]), ["a.unreliable"]);
        assert_eq!(names(&[], &[]).len(), cases::all(false).len());
        assert!(select(cases::all(false), &["z".to_owned()], &[]).is_err());
    }
}
