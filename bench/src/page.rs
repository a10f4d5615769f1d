//! The results as text: for the terminal, and as the part of docs/BENCHMARKS.md that is generated.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use crate::{
    cases::{self, Case},
    cores::Cores,
    figure::Figure,
    goals::{Judged, Verdict, judge},
    plots::{self, Plot},
    results::Results,
    table::Table,
};

/// A table's heading, the workloads in it, and its columns.
struct Section {
    title: &'static str,
    workloads: &'static [&'static str],
    figures: &'static [Figure],
}

const SECTIONS: [Section; 4] = [
    Section {
        title: "Traffic",
        workloads: &["a", "b", "c", "d", "e", "f", "i", "j"],
        figures: &[
            Figure::DeliveriesPerCpuS,
            Figure::DeliveriesPerS,
            Figure::P50Us,
            Figure::P99Us,
            Figure::P999Us,
            Figure::MaxUs,
            Figure::DatagramsPerDelivery,
            Figure::ServerShare,
            Figure::LoadShare,
            Figure::LostShare,
        ],
    },
    Section {
        title: "Clients",
        workloads: &["g", "h"],
        figures: &[
            Figure::ResidentPerClient,
            Figure::ResidentPerClientCarriers,
            Figure::HandshakeCpuUs,
            Figure::HandshakeCpuUsCarriers,
            Figure::IdleCpuShare,
            Figure::KeepAlivesPerS,
            Figure::ConnectionsPerS,
            Figure::ConnectP99Ms,
            Figure::ResidentGrowth,
        ],
    },
    Section {
        title: "Topics",
        workloads: &["f", "j"],
        figures: &[Figure::BytesPerSubscription, Figure::Relayed],
    },
    Section {
        title: "Latency against load",
        workloads: &["s"],
        figures: &[
            Figure::DeliveriesPerS,
            Figure::P50Us,
            Figure::P99Us,
            Figure::P999Us,
            Figure::DeliveriesPerCpuS,
            Figure::LoadShare,
        ],
    },
];

/// For a terminal.
pub(crate) fn text(results: &Results) -> String {
    let cases = cases::all(results.quick);
    let mut text = format!("{}\n", provenance(results));
    for (title, table) in tables(results, &cases) {
        text += &format!("{title}\n\n{}\n", table.plain());
    }
    let (open, judged): (Vec<_>, Vec<_>) = judge(results)
        .into_iter()
        .partition(|judged| judged.verdict == Verdict::Open);
    let rows = judged.into_iter().map(|judged| {
        let Judged {
            goal,
            verdict,
            found,
        } = judged;
        vec![verdict.to_string(), goal, found]
    });
    text += &format!("Goals\n\n{}", Table(rows.collect()).plain());
    if !open.is_empty() {
        text += &format!("{} more goals were not measured\n", open.len());
    }
    for skipped in &results.skipped {
        text += &format!("skipped {skipped}\n");
    }
    text
}

/// Writes what is generated of the page, and the plots into the folder beside it.
pub(crate) fn write(results: &Results, page: &Path, plots: &Path) -> anyhow::Result<()> {
    let cases = cases::all(results.quick);
    fs::create_dir_all(plots).with_context(|| plots.display().to_string())?;
    let drawn = plots::write(results, &cases, plots)?;
    let folder = plots.file_name().unwrap_or_default().to_string_lossy();
    let block = markdown(results, &cases, &drawn, &folder);
    let before = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let after = replace_block(&before, BEGIN, &block)?;
    fs::write(page, after).with_context(|| page.display().to_string())
}

fn markdown(results: &Results, cases: &[Case], plots: &[Plot], folder: &str) -> String {
    let mut text = provenance(results);
    text += "\n### Goals\n\n";
    let head = ["", "goal", "found"].map(str::to_owned);
    let mut goals = Table(vec![head.into()]);
    for judged in judge(results) {
        let verdict = match judged.verdict {
            Verdict::Open => judged.verdict.to_string(),
            verdict => format!("**{verdict}**"),
        };
        goals.0.push(vec![verdict, judged.goal, judged.found]);
    }
    text += &goals.markdown();
    for Plot { file, title } in plots {
        text += &format!("\n![{title}]({folder}/{file})\n");
    }
    for (title, table) in tables(results, cases) {
        text += &format!("\n### {title}\n\n{}", table.markdown());
    }
    for skipped in &results.skipped {
        text += &format!("\nSkipped {skipped}.\n");
    }
    text
}

/// Where the figures come from: without it they mean nothing.
fn provenance(results: &Results) -> String {
    let mut text = String::new();
    if results.quick {
        text += "**QUICK: to check the tool, not to be quoted.**\n\n";
    }
    if results.partial {
        text += "**Only a part of the workloads or subjects.**\n\n";
    }
    if !results.machine.is_quiet() {
        text += "**The machine was busy with something else: not to be quoted.**\n\n";
    }
    if results.rounds < 3 {
        text += "**Fewer than 3 rounds: not to be quoted.**\n\n";
    }
    let Results {
        command,
        rounds,
        started,
        took_s,
        commit,
        machine,
        cores,
        ..
    } = results;
    let apart = if cores.apart() {
        ""
    } else {
        " (the same: there is no other)"
    };
    let two = Cores::divide(&all_cores(cores), 2);
    text += &format!(
        "Commit {commit}, {started}, `{command}`: {rounds} rounds in {:.0} minutes.\n\
         {machine}.\n{cores}{apart}; with two servers: {two}.\n",
        took_s / 60.0
    );
    text
}

fn all_cores(cores: &Cores) -> Vec<usize> {
    let mut all: Vec<usize> = cores.server.iter().chain(&cores.load).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn tables(results: &Results, cases: &[Case]) -> Vec<(&'static str, Table)> {
    let table = |section: &Section| {
        let of_section = |case: &&Case| section.workloads.contains(&case.workload);
        let cases: Vec<Case> = cases.iter().filter(of_section).cloned().collect();
        (section.title, Table::of(results, &cases, section.figures))
    };
    let tables = SECTIONS.iter().map(table);
    tables.filter(|(_, table)| !table.is_empty()).collect()
}

/// With another text between this mark and the end of its block.
pub(crate) fn replace_block(page: &str, begin: &str, block: &str) -> anyhow::Result<String> {
    let parts = page.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("no block between {begin} and {END}"))?;
    ensure!(!block.contains(END), "the block would end itself");
    Ok(format!(
        "{before}{begin}\n{}\n{END}{after}",
        block.trim_end()
    ))
}

const BEGIN: &str = "<!-- figures -->";

const END: &str = "<!-- end -->";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::tests::{results, run},
        subject::Subject,
    };

    #[test]
    fn the_block_is_replaced_and_nothing_else() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nrest\n");
        let once = replace_block(&page, BEGIN, "new\n\nfigures\n").expect("a block");
        assert_eq!(
            once,
            format!("# Title\n\n{BEGIN}\nnew\n\nfigures\n{END}\n\nrest\n")
        );
        assert_eq!(
            replace_block(&once, BEGIN, "new\n\nfigures\n").expect("a block"),
            once
        );
        assert!(replace_block("# Title\n", BEGIN, "new").is_err());
    }

    #[test]
    fn what_is_not_to_be_quoted_says_so() {
        let mut quiet = results(vec![run(1, "a.reliable", Subject::Ours, 1.0)]);
        assert!(!provenance(&quiet).contains("**"));
        quiet.quick = true;
        assert!(provenance(&quiet).contains("QUICK"));
        quiet.machine.load_before = 3.0;
        assert!(provenance(&quiet).contains("busy"));
        quiet.rounds = 1;
        assert!(provenance(&quiet).contains("Fewer than 3 rounds"));
    }

    #[test]
    fn a_page_has_goals_tables_and_plots() {
        let results = results(vec![run(1, "a.reliable", Subject::Ours, 1_000.0)]);
        let cases = cases::all(false);
        let plot = Plot {
            file: "x.svg",
            title: "X",
        };
        let page = markdown(&results, &cases, &[plot], "benchmarks");
        for part in [
            "### Goals",
            "| open | d: deliveries",
            "![X](benchmarks/x.svg)",
            "### Traffic",
            "| a.reliable: 50 × 50 at 10 Hz, 100 B, reliable | ours | 1.0 k |",
        ] {
            assert!(page.contains(part), "{part:?} in\n{page}");
        }
        assert!(!page.contains("### Clients"), "nothing was measured of it");
        assert!(text(&results).contains("Traffic\n"));
    }
}
