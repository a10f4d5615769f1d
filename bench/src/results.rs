//! What a measurement found: every run as it was, and what it was taken with. It is kept as JSON,
//! and everything that is shown is made from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cores::Cores,
    figure::Figure,
    machine::Machine,
    stats::{ByRound, Summary, ratios},
    subject::Subject,
};

/// A whole measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The command that takes it again.
    pub(crate) command: String,
    /// Fewer and shorter runs: to check the tool, not to be quoted.
    pub(crate) quick: bool,
    /// Only some of the cases.
    pub(crate) partial: bool,
    pub(crate) rounds: u32,
    /// UTC.
    pub(crate) started: String,
    pub(crate) took_s: f64,
    /// Of the repository.
    pub(crate) commit: String,
    pub(crate) machine: Machine,
    /// Which cores did what, with one server.
    pub(crate) cores: Cores,
    /// In the order in which they were taken.
    pub(crate) runs: Vec<Run>,
    /// Cases that were not measured, and why.
    pub(crate) skipped: Vec<String>,
}

/// One subject under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) round: u32,
    pub(crate) case: String,
    pub(crate) subject: Subject,
    pub(crate) figures: BTreeMap<Figure, f64>,
    /// What the subject did that it must not. Such a run is shown, and counts for nothing.
    pub(crate) faults: Vec<String>,
    /// The load's cores were busy all the time: the subject could perhaps do more.
    pub(crate) load_saturated: bool,
    /// The load tester's own report.
    pub(crate) report: Value,
}

impl Run {
    pub(crate) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Results {
    /// Good runs' values of one figure.
    pub(crate) fn series(&self, case: &str, subject: Subject, figure: Figure) -> ByRound {
        let runs = self.runs_of(case, subject).filter(|run| run.is_good());
        runs.filter_map(|run| Some((run.round, *run.figures.get(&figure)?)))
            .collect()
    }

    pub(crate) fn summary(&self, case: &str, subject: Subject, figure: Figure) -> Option<Summary> {
        Summary::of(self.series(case, subject, figure).into_values())
    }

    /// Of two runs of the same round each, and then over the rounds.
    pub(crate) fn ratio(
        &self,
        figure: Figure,
        of: (&str, Subject),
        to: (&str, Subject),
    ) -> Option<Summary> {
        let (of, to) = (
            self.series(of.0, of.1, figure),
            self.series(to.0, to.1, figure),
        );
        Summary::of(ratios(&of, &to).into_values())
    }

    pub(crate) fn runs_of(&self, case: &str, subject: Subject) -> impl Iterator<Item = &Run> {
        let of = move |run: &&Run| run.case == case && run.subject == subject;
        self.runs.iter().filter(of)
    }

    /// Whether the load's cores were busy all the time in any run of it.
    pub(crate) fn load_saturated(&self, case: &str, subject: Subject) -> bool {
        self.runs_of(case, subject).any(|run| run.load_saturated)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn run(round: u32, case: &str, subject: Subject, value: f64) -> Run {
        Run {
            round,
            case: case.to_owned(),
            subject,
            figures: BTreeMap::from([(Figure::DeliveriesPerCpuS, value)]),
            faults: Vec::new(),
            load_saturated: false,
            report: Value::Null,
        }
    }

    pub(crate) fn results(runs: Vec<Run>) -> Results {
        Results {
            command: "cargo xtask bench".to_owned(),
            quick: false,
            partial: false,
            rounds: 3,
            started: "2026-01-01T00:00:00Z".to_owned(),
            took_s: 1.0,
            commit: "abc".to_owned(),
            machine: Machine::default(),
            cores: Cores::divide(&[0, 1], 1),
            runs,
            skipped: Vec::new(),
        }
    }

    #[test]
    fn a_run_with_a_fault_is_not_averaged() {
        let mut bad = run(2, "a", Subject::Ours, 9_000.0);
        bad.faults.push("3 lost".to_owned());
        let results = results(vec![
            run(1, "a", Subject::Ours, 100.0),
            bad,
            run(3, "a", Subject::Ours, 102.0),
            run(1, "a", Subject::Plain, 50.0),
            run(2, "a", Subject::Plain, 50.0),
            run(3, "a", Subject::Plain, 51.0),
        ]);
        let figure = Figure::DeliveriesPerCpuS;
        let summary = results.summary("a", Subject::Ours, figure).expect("two");
        assert_eq!(
            (summary.median, summary.max, summary.count),
            (101.0, 102.0, 2)
        );
        let ratio = results.ratio(figure, ("a", Subject::Ours), ("a", Subject::Plain));
        let ratio = ratio.expect("two rounds");
        assert_eq!((ratio.median, ratio.count), (2.0, 2));
        assert_eq!(results.summary("a", Subject::Limit, figure), None);
    }

    #[test]
    fn one_saturated_run_marks_the_row() {
        let mut saturated = run(2, "a", Subject::Ours, 1.0);
        saturated.load_saturated = true;
        let results = results(vec![run(1, "a", Subject::Ours, 1.0), saturated]);
        assert!(results.load_saturated("a", Subject::Ours));
        assert!(!results.load_saturated("a", Subject::Plain));
    }

    #[test]
    fn it_comes_back_from_the_file() {
        let results = results(vec![run(1, "a", Subject::Ours, 100.0)]);
        let text = serde_json::to_string(&results).expect("JSON");
        let back: Results = serde_json::from_str(&text).expect("JSON");
        assert_eq!(back, results);
    }
}
