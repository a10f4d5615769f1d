//! What the broker is to achieve, judged by what was measured: ratios within one run, so that a
//! slower machine judges the same.

use std::fmt;

use crate::{
    figure::Figure,
    results::Results,
    stats::Summary,
    subject::Subject::{Limit, Ours, Plain},
};

/// What became of a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Miss,
    /// What it is judged by was not measured, or failed.
    Open,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Miss => "MISS",
            Self::Open => "open",
        })
    }
}

/// One goal, judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    pub(crate) goal: String,
    pub(crate) verdict: Verdict,
    /// By what.
    pub(crate) found: String,
}

/// All of them.
pub(crate) fn judge(results: &Results) -> Vec<Judged> {
    let judge = Judge { results };
    let mut all = judge.throughput();
    all.extend(judge.latency());
    all.extend(judge.clients());
    all.extend(judge.bad_network());
    all.extend(judge.mesh_and_topics());
    all
}

struct Judge<'a> {
    results: &'a Results,
}

impl Judge<'_> {
    fn throughput(&self) -> Vec<Judged> {
        let per_cpu = Figure::DeliveriesPerCpuS;
        let twice = |case: &str| {
            let goal = format!("{case}: deliveries per CPU-second at least twice plain's");
            let ratio = self.results.ratio(per_cpu, (case, Ours), (case, Plain));
            at_least(goal, ratio, 2.0)
        };
        let mut all: Vec<Judged> = [
            "a.reliable",
            "a.unreliable",
            "c.reliable",
            "c.unreliable",
            "d",
        ]
        .map(twice)
        .into();
        for case in ["b.reliable", "b.unreliable"] {
            let to_plain = self.results.ratio(per_cpu, (case, Ours), (case, Plain));
            let to_limit = self
                .results
                .ratio(per_cpu, (case, Ours), ("b.unreliable", Limit));
            let goal = "deliveries per CPU-second at least twice plain's, or 60 % of the limit";
            let goal = format!("{case}: {goal}");
            all.push(either(
                goal,
                at_least(String::new(), to_plain, 2.0),
                at_least(String::new(), to_limit, 0.6),
            ));
        }
        // A delivery of 1 KiB is a packet.
        let to_limit = self.results.ratio(per_cpu, ("d", Ours), ("d", Limit));
        let goal = "d: packets per CPU-second at least 50 % of the limit";
        all.push(at_least(goal.to_owned(), to_limit, 0.5));
        all
    }

    fn latency(&self) -> Vec<Judged> {
        let no_worse = |case: &str| {
            let goal = format!("{case}: p99 no worse than plain's");
            let ratio = self
                .results
                .ratio(Figure::P99Us, (case, Ours), (case, Plain));
            let mut judged = at_most(goal, ratio, 1.0);
            if self.results.load_saturated(case, Ours) {
                judged.found += "; ";
                judged.found += crate::table::SATURATED;
            }
            judged
        };
        let mut all: Vec<Judged> = ["a.reliable", "a.unreliable", "b.reliable", "b.unreliable"]
            .map(no_worse)
            .into();
        for case in ON_SCHEDULE {
            let goal = format!("{case}: no delivery later than 100 ms");
            all.push(self.at_most(goal, case, Figure::MaxUs, 100_000.0));
        }
        all
    }

    fn clients(&self) -> Vec<Judged> {
        let storm = self.results.runs_of("h", Ours).next();
        let asked = storm.and_then(|run| run.report.get("clients")?.as_f64());
        vec![
            self.at_most(
                "g: at most 64 KiB for an idle client, all servers together".to_owned(),
                "g",
                Figure::ResidentPerClient,
                64.0 * 1024.0,
            ),
            self.at_most(
                "h.cycles: memory flat while clients come and go (at most 1.05)".to_owned(),
                "h.cycles",
                Figure::ResidentGrowth,
                1.05,
            ),
            self.at_most(
                "g: at most 3 % of a core for idle clients".to_owned(),
                "g",
                Figure::IdleCpuShare,
                0.03,
            ),
            self.at_most(
                "h: at most 1.2 ms of CPU for a connection, all servers together".to_owned(),
                "h",
                Figure::HandshakeCpuUs,
                1_200.0,
            ),
            self.at_least(
                "h: everybody connected".to_owned(),
                "h",
                Figure::Connected,
                asked.unwrap_or(f64::INFINITY),
            ),
        ]
    }

    fn bad_network(&self) -> Vec<Judged> {
        let p99 = |case: &str| self.results.summary(case, Ours, Figure::P99Us);
        let goal = "i.unreliable: p99 at most 10 ms over that without loss, beside the delay added";
        let unreliable = match (p99("i.unreliable"), p99("a.unreliable")) {
            (Some(bad), Some(good)) => {
                let added = bad.median - good.median - DELAY_ADDED_US;
                judged(goal.to_owned(), added <= 10_000.0, ms(added))
            }
            _ => open(goal.to_owned()),
        };
        // What it lost is a fault, and a run with a fault is not in the summary.
        let goal = "i.reliable: nothing lost, doubled or out of order".to_owned();
        let mut runs = self.results.runs_of("i.reliable", Ours).peekable();
        let reliable = if runs.peek().is_none() {
            open(goal)
        } else {
            let faults: Vec<String> = runs.flat_map(|run| run.faults.clone()).collect();
            let found = if faults.is_empty() {
                "nothing".to_owned()
            } else {
                faults.join(", ")
            };
            judged(goal, faults.is_empty(), found)
        };
        vec![unreliable, reliable]
    }

    fn mesh_and_topics(&self) -> Vec<Judged> {
        let per_cpu = Figure::DeliveriesPerCpuS;
        // The cost of a delivery is one through this.
        let ratio = self
            .results
            .ratio(per_cpu, ("b.unreliable", Ours), ("f", Ours));
        vec![
            at_most(
                "f: a delivery on two servers costs at most 1.3 times that on one".to_owned(),
                ratio,
                1.3,
            ),
            self.at_most(
                "f.local: nothing goes over the mesh for topics without remote subscribers"
                    .to_owned(),
                "f.local",
                Figure::Relayed,
                0.0,
            ),
            self.at_most(
                "j: at most 200 bytes for a subscription".to_owned(),
                "j",
                Figure::BytesPerSubscription,
                200.0,
            ),
        ]
    }

    fn at_most(&self, goal: String, case: &str, figure: Figure, most: f64) -> Judged {
        match self.results.summary(case, Ours, figure) {
            Some(found) => judged(goal, found.median <= most, self.show(case, figure, &found)),
            None => open(goal),
        }
    }

    /// A load that was saturated is late itself.
    fn show(&self, case: &str, figure: Figure, found: &Summary) -> String {
        let shown = crate::table::show(figure, found);
        if self.results.load_saturated(case, Ours) {
            return format!("{shown}; {}", crate::table::SATURATED);
        }
        shown
    }

    fn at_least(&self, goal: String, case: &str, figure: Figure, least: f64) -> Judged {
        match self.results.summary(case, Ours, figure) {
            Some(found) => judged(goal, found.median >= least, self.show(case, figure, &found)),
            None => open(goal),
        }
    }
}

fn at_least(goal: String, ratio: Option<Summary>, least: f64) -> Judged {
    match ratio {
        Some(ratio) => judged(
            goal,
            ratio.median >= least,
            crate::table::show_ratio(&ratio),
        ),
        None => open(goal),
    }
}

fn at_most(goal: String, ratio: Option<Summary>, most: f64) -> Judged {
    match ratio {
        Some(ratio) => judged(goal, ratio.median <= most, crate::table::show_ratio(&ratio)),
        None => open(goal),
    }
}

fn either(goal: String, one: Judged, other: Judged) -> Judged {
    let verdicts = [one.verdict, other.verdict];
    let verdict = [Verdict::Pass, Verdict::Miss]
        .into_iter()
        .find(|verdict| verdicts.contains(verdict));
    Judged {
        goal,
        verdict: verdict.unwrap_or(Verdict::Open),
        found: format!("{}; {}", one.found, other.found),
    }
}

fn judged(goal: String, met: bool, found: String) -> Judged {
    let verdict = if met { Verdict::Pass } else { Verdict::Miss };
    Judged {
        goal,
        verdict,
        found,
    }
}

fn open(goal: String) -> Judged {
    Judged {
        goal,
        verdict: Verdict::Open,
        found: "not measured".to_owned(),
    }
}

fn ms(us: f64) -> String {
    Figure::P99Us.show(us)
}

/// To the server and from it, 20 ms each.
const DELAY_ADDED_US: f64 = 40_000.0;

/// Loss-free, and on a schedule: in a closed loop a delivery waits for its turn by design.
const ON_SCHEDULE: [&str; 7] = [
    "a.reliable",
    "a.unreliable",
    "b.reliable",
    "b.unreliable",
    "e",
    "f",
    "j",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{
        Run,
        tests::{results, run},
    };

    fn verdict(runs: Vec<Run>, goal: &str) -> (Verdict, String) {
        let judged = judge(&results(runs));
        let judged = judged.iter().find(|judged| judged.goal.starts_with(goal));
        let judged = judged.expect("a goal");
        (judged.verdict, judged.found.clone())
    }

    fn with(mut run: Run, figure: Figure, value: f64) -> Run {
        run.figures.insert(figure, value);
        run
    }

    #[test]
    fn nothing_measured_judges_nothing() {
        let judged = judge(&results(Vec::new()));
        assert!(judged.iter().all(|judged| judged.verdict == Verdict::Open));
    }

    #[test]
    fn a_ratio_is_judged_by_its_median() {
        let runs = |third: f64| {
            vec![
                run(1, "d", Ours, 190.0),
                run(1, "d", Plain, 100.0),
                run(2, "d", Ours, 200.0),
                run(2, "d", Plain, 100.0),
                run(3, "d", Ours, third),
                run(3, "d", Plain, 100.0),
            ]
        };
        let goal = "d: deliveries";
        assert_eq!(
            verdict(runs(400.0), goal),
            (Verdict::Pass, "2.00 (1.90 to 4.00)".to_owned())
        );
        assert_eq!(verdict(runs(199.0), goal).0, Verdict::Miss);
    }

    #[test]
    fn either_of_two_will_do() {
        let runs = |plain, limit| {
            vec![
                run(1, "b.unreliable", Ours, 120.0),
                run(1, "b.unreliable", Plain, plain),
                run(1, "b.unreliable", Limit, limit),
            ]
        };
        let goal = "b.unreliable: deliveries";
        assert_eq!(verdict(runs(60.0, 1_000.0), goal).0, Verdict::Pass);
        assert_eq!(verdict(runs(100.0, 200.0), goal).0, Verdict::Pass);
        assert_eq!(verdict(runs(100.0, 201.0), goal).0, Verdict::Miss);
    }

    #[test]
    fn a_fault_on_the_bad_network_is_a_miss() {
        let mut lossy = run(1, "i.reliable", Ours, 1.0);
        let goal = "i.reliable: nothing lost";
        assert_eq!(verdict(vec![lossy.clone()], goal).0, Verdict::Pass);
        lossy.faults.push("3 lost".to_owned());
        assert_eq!(
            verdict(vec![lossy], goal),
            (Verdict::Miss, "3 lost".to_owned())
        );
    }

    #[test]
    fn the_delay_that_was_added_is_taken_off() {
        let at = |bad: f64| {
            vec![
                with(run(1, "a.unreliable", Ours, 1.0), Figure::P99Us, 2_000.0),
                with(run(1, "i.unreliable", Ours, 1.0), Figure::P99Us, bad),
            ]
        };
        let goal = "i.unreliable: p99";
        assert_eq!(verdict(at(52_000.0), goal).0, Verdict::Pass);
        assert_eq!(verdict(at(52_001.0), goal).0, Verdict::Miss);
    }

    #[test]
    fn everybody_must_connect() {
        let storm = |connected: f64| {
            let mut run = with(run(1, "h", Ours, 1.0), Figure::Connected, connected);
            run.report = serde_json::json!({"clients": 500});
            vec![run]
        };
        let goal = "h: everybody";
        assert_eq!(verdict(storm(500.0), goal).0, Verdict::Pass);
        assert_eq!(verdict(storm(499.0), goal).0, Verdict::Miss);
    }
}
