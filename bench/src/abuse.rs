//! What abuse costs those who behave: an ordinary crowd on fresh servers, without attackers and with
//! them, one right after the other, for each kind of attack; then the next round, the other way
//! round. What is compared is the crowd's latency; it may lose nothing and nobody.

pub(crate) mod attack;
mod report;
mod trial;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use serde::Serialize;

use self::{
    attack::{ATTACKS, Kind},
    trial::Trial,
};
use crate::{cores::Cores, machine::Machine, say, subject::Setup};

/// A whole measurement of it.
#[derive(Debug, Serialize)]
pub(crate) struct Abuse {
    /// The command that takes it again.
    pub(crate) command: String,
    /// Fewer and shorter trials: to check the tool, not to be quoted.
    pub(crate) quick: bool,
    pub(crate) rounds: u32,
    /// UTC.
    pub(crate) started: String,
    pub(crate) took_s: f64,
    /// Of the repository.
    pub(crate) commit: String,
    pub(crate) machine: Machine,
    pub(crate) cores: Cores,
    /// In the order in which they were taken.
    pub(crate) trials: Vec<Trial>,
}

impl Abuse {
    /// Takes it, and says and keeps what was found.
    pub(crate) async fn take(mut self, setup: &Setup, places: &Places) -> anyhow::Result<()> {
        let start = Instant::now();
        for round in 1..=self.rounds {
            for kind in ATTACKS {
                // Whatever the machine does meanwhile, it does not always do it to the same.
                let order = if round % 2 == 1 {
                    [false, true]
                } else {
                    [true, false]
                };
                for abused in order {
                    let trial = self.one(setup, &kind, round, abused).await;
                    let passed = start.elapsed().as_secs_f64();
                    say(&format!("{passed:>5.0} s  {trial}"));
                    self.trials.push(trial);
                }
            }
        }
        self.took_s = start.elapsed().as_secs_f64();
        let text = report::text(&self);
        io::stdout()
            .write_all(text.as_bytes())
            .context("standard output")?;
        self.keep(places)
    }

    /// One trial; whatever goes wrong is a fault of it, and the others go on.
    async fn one(&self, setup: &Setup, kind: &Kind, round: u32, abused: bool) -> Trial {
        let seconds = if self.quick { QUICK_S } else { FULL_S };
        let taken = Box::pin(Trial::take(setup, kind, abused, seconds)).await;
        let trial = taken.unwrap_or_else(|error| Trial {
            faults: vec![format!("{error:#}")],
            ..Trial::default()
        });
        Trial {
            round,
            attack: kind.name,
            abused,
            ..trial
        }
    }

    /// As JSON, and in the page where it is whole.
    fn keep(&self, places: &Places) -> anyhow::Result<()> {
        let whole = !self.quick;
        let folder = if whole { &places.plots } else { &places.out };
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let json = folder.join("abuse.json");
        let text = serde_json::to_string_pretty(self).context("the results as JSON")?;
        fs::write(&json, text + "\n").with_context(|| json.display().to_string())?;
        say(&json.display().to_string());
        if whole {
            report::write(self, &places.page)?;
            say(&places.page.display().to_string());
        }
        Ok(())
    }
}

/// Where results go.
#[derive(Debug)]
pub(crate) struct Places {
    /// What is not to be kept in the repository.
    out: PathBuf,
    /// In the repository: the page, and what belongs to it.
    page: PathBuf,
    plots: PathBuf,
}

impl Places {
    pub(crate) fn new(out: &Path, page: PathBuf, plots: PathBuf) -> Self {
        Self {
            out: out.to_owned(),
            page,
            plots,
        }
    }
}

/// For how long the crowd publishes.
const FULL_S: f64 = 8.0;
const QUICK_S: f64 = 3.0;
