//! What was found of abuse, as a table: the same for a terminal and for the page.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::{Abuse, attack::ATTACKS, attack::Kind, trial::Trial};
use crate::{figure::Figure, page, stats::Summary, table::Table, table::show};

/// For a terminal.
pub(super) fn text(abuse: &Abuse) -> String {
    format!("{}\n{}", provenance(abuse), table(abuse).plain())
}

/// Writes the page's block about it.
pub(super) fn write(abuse: &Abuse, page: &Path) -> anyhow::Result<()> {
    let before = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let block = format!("{}\n{}", provenance(abuse), table(abuse).markdown());
    let after = page::replace_block(&before, BEGIN, &block)?;
    fs::write(page, after).with_context(|| page.display().to_string())
}

fn provenance(abuse: &Abuse) -> String {
    let mut text = String::new();
    if abuse.quick || abuse.rounds < 3 {
        text += "**To check the tool, not to be quoted.**\n\n";
    }
    if !abuse.machine.is_quiet() {
        text += "**The machine was busy with something else: not to be quoted.**\n\n";
    }
    text + &format!(
        "Commit {}, {}, `{}`: {} rounds in {:.0} minutes.\n{}.\n{}, attackers there too.\n",
        abuse.commit,
        abuse.started,
        abuse.command,
        abuse.rounds,
        abuse.took_s / 60.0,
        abuse.machine,
        abuse.cores
    )
}

fn table(abuse: &Abuse) -> Table {
    let head = [
        "attack",
        "p99 calm",
        "p99 abused",
        "ratio of medians",
        "CPU calm",
        "CPU abused",
        "lost",
        "disconnected",
        "servers counted",
        "goal: at most 2 times, nobody lost",
    ];
    let mut table = Table(vec![head.map(str::to_owned).into()]);
    table.0.extend(ATTACKS.iter().map(|kind| row(abuse, kind)));
    table
}

fn row(abuse: &Abuse, kind: &Kind) -> Vec<String> {
    let of = |abused: bool| {
        let trials = abuse.trials.iter();
        trials.filter(move |trial| trial.attack == kind.name && trial.abused == abused)
    };
    // One that has come to nothing has no latency.
    let summary = |abused: bool, value: fn(&Trial) -> f64| {
        Summary::of(of(abused).filter(|trial| trial.p99_us > 0.0).map(value))
    };
    let cell = |abused: bool, figure: Figure, value: fn(&Trial) -> f64| {
        summary(abused, value).map_or_else(String::new, |summary| show(figure, &summary))
    };
    let (calm, abused) = (
        summary(false, |trial| trial.p99_us),
        summary(true, |trial| trial.p99_us),
    );
    let ratio = calm
        .zip(abused)
        .map(|(calm, abused)| abused.median / calm.median);
    let sum = |value: fn(&Trial) -> u64| of(true).map(value).sum::<u64>().to_string();
    let counted = summary(true, |trial| trial.counted);
    let faults: Vec<&str> = of(true)
        .chain(of(false))
        .flat_map(|trial| &trial.faults)
        .map(String::as_str)
        .collect();
    vec![
        kind.title.to_owned(),
        cell(false, Figure::P99Us, |trial| trial.p99_us),
        cell(true, Figure::P99Us, |trial| trial.p99_us),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        cell(false, Figure::ServerShare, |trial| trial.server_share),
        cell(true, Figure::ServerShare, |trial| trial.server_share),
        sum(|trial| trial.lost),
        sum(|trial| trial.disconnected),
        counted.map_or_else(String::new, |counted| {
            let names = kind.counters.join(" + ");
            format!("{:.0}: {names}", counted.median)
        }),
        verdict(ratio, &faults),
    ]
}

fn verdict(ratio: Option<f64>, faults: &[&str]) -> String {
    match ratio {
        None => "open".to_owned(),
        Some(_) if !faults.is_empty() => format!("MISSED: {}", faults.join(", ")),
        Some(ratio) if ratio > RATIO_MAX => "MISSED".to_owned(),
        Some(_) => "met".to_owned(),
    }
}

/// Of the crowd's p99 with attackers to that without.
const RATIO_MAX: f64 = 2.0;

const BEGIN: &str = "<!-- abuse -->";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cores::Cores, machine::Machine};

    fn trial(round: u32, abused: bool, p99_us: f64) -> Trial {
        Trial {
            round,
            attack: "loud",
            abused,
            p99_us,
            counted: 7.0,
            ..Trial::default()
        }
    }

    fn abuse(trials: Vec<Trial>) -> Abuse {
        Abuse {
            command: "cargo xtask bench --abuse".to_owned(),
            quick: false,
            rounds: 3,
            started: "2026-01-01T00:00:00Z".to_owned(),
            took_s: 60.0,
            commit: "abc".to_owned(),
            machine: Machine::default(),
            cores: Cores::divide(&[0, 1], 1),
            trials,
        }
    }

    fn loud(trials: Vec<Trial>) -> Vec<String> {
        let Table(rows) = table(&abuse(trials));
        let mut rows = rows.into_iter();
        rows.find(|row| row[0].contains("100 times"))
            .expect("a row")
    }

    #[test]
    fn medians_are_compared() {
        let trials = |third: f64| {
            let abused = [3_000.0, 9_000.0, third].into_iter();
            let calm = [2_000.0, 1_000.0, 2_000.0].into_iter();
            let abused = abused.zip(1..).map(|(p99, round)| trial(round, true, p99));
            let calm = calm.zip(1..).map(|(p99, round)| trial(round, false, p99));
            abused.chain(calm).collect::<Vec<_>>()
        };
        let row = loud(trials(4_000.0));
        assert_eq!((row[3].as_str(), row[9].as_str()), ("2.00", "met"));
        assert!(
            row[8].starts_with("7: broker_transport_drops_total"),
            "{row:?}"
        );
        let row = loud(trials(4_100.0));
        assert_eq!((row[3].as_str(), row[9].as_str()), ("2.05", "MISSED"));
    }

    #[test]
    fn who_loses_something_misses_the_goal() {
        let mut faulty = trial(1, true, 1_000.0);
        (faulty.lost, faulty.faults) = (3, vec!["3 lost".to_owned()]);
        let row = loud(vec![faulty, trial(1, false, 1_000.0)]);
        assert_eq!((row[6].as_str(), row[9].as_str()), ("3", "MISSED: 3 lost"));
        assert_eq!(loud(Vec::new())[9], "open");
    }
}
