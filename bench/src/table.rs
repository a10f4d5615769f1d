//! What was found, as tables: the same for a terminal and for a page.

use crate::{cases::Case, figure::Figure, results::Results, stats::Summary, subject::Subject};

/// Rows of cells, the first one being the head.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table(pub(crate) Vec<Vec<String>>);

impl Table {
    /// Of these figures, a row for each case and subject that was measured, and behind the first
    /// figure its ratios to the other subjects.
    pub(crate) fn of(results: &Results, cases: &[Case], figures: &[Figure]) -> Self {
        let mut head = vec!["workload".to_owned(), "subject".to_owned()];
        head.extend(figures.iter().map(|figure| figure.title().to_owned()));
        head.push("ours to it".to_owned());
        head.push("notes".to_owned());
        let mut table = Self(vec![head]);
        for case in cases {
            for subject in &case.subjects {
                table.0.extend(row(results, case, *subject, figures));
            }
        }
        table
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() <= 1
    }

    /// In columns.
    pub(crate) fn plain(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            text += line.join("  ").trim_end();
            text.push('\n');
        }
        text
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for (nth, row) in self.0.iter().enumerate() {
            text += &format!("| {} |\n", row.join(" | "));
            if nth == 0 {
                text += &format!("|{}\n", "---|".repeat(row.len()));
            }
        }
        text
    }
}

fn row(
    results: &Results,
    case: &Case,
    subject: Subject,
    figures: &[Figure],
) -> Option<Vec<String>> {
    let runs = results.runs_of(&case.name, subject).count();
    if runs == 0 {
        return None;
    }
    let cell = |figure: &Figure| {
        let summary = results.summary(&case.name, subject, *figure);
        summary.map_or_else(String::new, |summary| show(*figure, &summary))
    };
    let mut row = vec![
        format!("{}: {}", case.name, case.title),
        subject.to_string(),
    ];
    row.extend(figures.iter().map(cell));
    row.push(ratio(results, case, subject, figures));
    row.push(notes(results, case, subject));
    Some(row)
}

/// Median, and the whole range when there is more than one.
pub(crate) fn show(figure: Figure, summary: &Summary) -> String {
    let median = figure.show(summary.median);
    if summary.count < 2 {
        return median;
    }
    format!(
        "{median} ({} to {})",
        figure.show(summary.min),
        figure.show(summary.max)
    )
}

fn ratio(results: &Results, case: &Case, subject: Subject, figures: &[Figure]) -> String {
    let Some(figure) = figures.first().filter(|_| subject != Subject::Ours) else {
        return String::new();
    };
    let ratio = results.ratio(*figure, (&case.name, Subject::Ours), (&case.name, subject));
    ratio.map_or_else(String::new, |ratio| show_ratio(&ratio))
}

/// Median, and the whole range when there is more than one.
pub(crate) fn show_ratio(ratio: &Summary) -> String {
    if ratio.count < 2 {
        return format!("{:.2}", ratio.median);
    }
    format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max)
}

fn notes(results: &Results, case: &Case, subject: Subject) -> String {
    let mut notes = Vec::new();
    if results.load_saturated(&case.name, subject) {
        notes.push(SATURATED.to_owned());
    }
    for run in results.runs_of(&case.name, subject) {
        if !run.is_good() {
            notes.push(format!(
                "FAILED in round {}: {}",
                run.round,
                run.faults.join(", ")
            ));
        }
    }
    notes.join("; ").replace('|', "/")
}

/// Explained below every table.
pub(crate) const SATURATED: &str = "load saturated";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{results, run};

    fn measured() -> (Results, Vec<Case>) {
        let mut failed = run(3, "a.reliable", Subject::Plain, 1.0);
        failed.faults = vec!["7 lost".to_owned()];
        let mut saturated = run(2, "a.reliable", Subject::Ours, 3_000.0);
        saturated.load_saturated = true;
        let results = results(vec![
            run(1, "a.reliable", Subject::Ours, 2_000.0),
            saturated,
            run(3, "a.reliable", Subject::Ours, 2_500.0),
            run(1, "a.reliable", Subject::Plain, 1_000.0),
            run(2, "a.reliable", Subject::Plain, 1_000.0),
            failed,
        ]);
        (results, crate::cases::all(false))
    }

    #[test]
    fn rows_have_median_range_ratio_and_notes() {
        let (results, cases) = measured();
        let table = Table::of(&results, &cases, &[Figure::DeliveriesPerCpuS]);
        let rows: Vec<String> = table
            .0
            .iter()
            .skip(1)
            .map(|row| row[1..].join("|"))
            .collect();
        assert_eq!(
            rows,
            [
                "ours|2.5 k (2.0 k to 3.0 k)||load saturated",
                "plain|1.0 k (1.0 k to 1.0 k)|2.50 (2.00 to 3.00)|FAILED in round 3: 7 lost",
            ]
        );
    }

    #[test]
    fn the_same_for_terminal_and_page() {
        let (results, cases) = measured();
        let table = Table::of(&results, &cases, &[Figure::DeliveriesPerCpuS]);
        assert!(table.plain().lines().count() == 3 && !table.is_empty());
        let page = table.markdown();
        assert!(
            page.lines()
                .nth(1)
                .is_some_and(|line| line == "|---|---|---|---|---|")
        );
        assert_eq!(page.lines().count(), 4);
    }
}
