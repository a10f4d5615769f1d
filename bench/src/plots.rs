//! The plots of the page, as SVG.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum as _;
use plotters::prelude::*;

use crate::{
    cases::{Case, Kind},
    figure::Figure,
    results::Results,
    subject::Subject,
};

/// A plot: its file, and what it shows, in words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
}

/// Writes all plots for which there is something to show.
pub(crate) fn write(results: &Results, cases: &[Case], folder: &Path) -> anyhow::Result<Vec<Plot>> {
    let mut plots = Vec::new();
    let bars = throughput(results, cases);
    if !bars.is_empty() {
        let plot = Plot {
            file: "throughput.svg",
            title: "Deliveries per second of server CPU (k/s)",
        };
        draw_bars(&folder.join(plot.file), plot.title, &bars)?;
        plots.push(plot);
    }
    let lines = latency(results);
    if !lines.is_empty() {
        let plot = Plot {
            file: "latency.svg",
            title: "Latency (ms) against load (k deliveries/s): 50 × 50, 100 B, unreliable",
        };
        draw_lines(&folder.join(plot.file), plot.title, &lines)?;
        plots.push(plot);
    }
    let lines = memory(results, cases);
    if !lines.is_empty() {
        let plot = Plot {
            file: "memory.svg",
            title: "Resident memory of all servers (MiB) against idle clients",
        };
        draw_lines(&folder.join(plot.file), plot.title, &lines)?;
        plots.push(plot);
    }
    Ok(plots)
}

/// A case, and what each subject reached.
type Bars = Vec<(String, Vec<(Subject, f64)>)>;

/// A curve: whose, its name, and its points in order.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    subject: Subject,
    name: String,
    points: Vec<(f64, f64)>,
}

fn throughput(results: &Results, cases: &[Case]) -> Bars {
    let of_case = |case: &Case| {
        let of_subject = |subject: &Subject| {
            let figure = Figure::DeliveriesPerCpuS;
            let summary = results.summary(&case.name, *subject, figure)?;
            Some((*subject, summary.median / 1e3))
        };
        let bars: Vec<_> = case.subjects.iter().filter_map(of_subject).collect();
        (!bars.is_empty()).then(|| (case.name.clone(), bars))
    };
    // The sweep has a plot of its own.
    let cases = cases.iter().filter(|case| case.workload != "s");
    cases.filter_map(of_case).collect()
}

fn latency(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    for subject in [Subject::Ours, Subject::Plain] {
        for (figure, name) in [
            (Figure::P50Us, "p50"),
            (Figure::P99Us, "p99"),
            (Figure::P999Us, "p99.9"),
        ] {
            let point = |hertz: u32| {
                let case = format!("s.{hertz}");
                let rate = results.summary(&case, subject, Figure::DeliveriesPerS)?;
                let us = results.summary(&case, subject, figure)?;
                Some((rate.median / 1e3, us.median / 1e3))
            };
            lines.push(Line {
                subject,
                name: format!("{subject} {name}"),
                points: crate::cases::SWEEP_HERTZ
                    .into_iter()
                    .filter_map(point)
                    .collect(),
            });
        }
    }
    lines.retain(|line| line.points.len() > 1);
    lines
}

fn memory(results: &Results, cases: &[Case]) -> Vec<Line> {
    let line = |subject: Subject| {
        let point = |case: &Case| {
            let Kind::Idle { clients, .. } = case.kind else {
                return None;
            };
            let each = results.summary(&case.name, subject, Figure::ResidentPerClient)?;
            let clients = f64::from(clients);
            Some((clients, each.median * clients / 1024.0 / 1024.0))
        };
        Line {
            subject,
            name: subject.to_string(),
            points: cases.iter().filter_map(point).collect(),
        }
    };
    let mut lines: Vec<Line> = [Subject::Ours, Subject::Plain, Subject::Rtc, Subject::Str0m]
        .map(line)
        .into();
    lines.retain(|line| line.points.len() > 1);
    lines
}

fn draw_bars(path: &Path, title: &str, bars: &Bars) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let top = bars
        .iter()
        .flat_map(|(_, bars)| bars.iter().map(|(_, value)| *value));
    let top = top.fold(0.0, f64::max) * 1.1;
    let groups = f64::from(u32::try_from(bars.len()).unwrap_or(u32::MAX));
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, FONT)
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(64)
            .build_cartesian_2d(-0.5..groups - 0.5, 0.0..top)?;
        let label = |x: &f64| label_at(*x, bars);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(bars.len() + 1)
            .x_label_formatter(&label)
            .draw()?;
        for subject in Subject::value_variants().iter().copied() {
            let rectangles = (0_u32..).zip(bars).flat_map(|(group, (_, bars))| {
                let of_subject = bars.iter().filter(move |(of, _)| *of == subject);
                of_subject.map(move |(_, value)| {
                    let left = f64::from(group) + offset(subject);
                    Rectangle::new([(left, 0.0), (left + BAR, *value)], color(subject).filled())
                })
            });
            chart
                .draw_series(rectangles)?
                .label(subject.to_string())
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 12, y + 5)], color(subject).filled())
                });
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        root.present()?;
        Ok(())
    };
    draw()
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| path.display().to_string())
}

fn draw_lines(path: &Path, title: &str, lines: &[Line]) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|(x, _)| *x).fold(0.0, f64::max) * 1.05;
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.1;
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, FONT)
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart.configure_mesh().light_line_style(WHITE).draw()?;
        for (nth, line) in (0_u32..).zip(lines) {
            let width = 1 + nth % 3;
            let style = color(line.subject).stroke_width(width);
            let series = LineSeries::new(line.points.iter().copied(), style).point_size(3);
            chart
                .draw_series(series)?
                .label(line.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        root.present()?;
        Ok(())
    };
    draw()
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| path.display().to_string())
}

/// The case whose bars are around `x`, which is a whole number for each.
fn label_at(x: f64, bars: &Bars) -> String {
    let place = (0_u32..).zip(bars);
    let mut here = place.filter(|(group, _)| (x - f64::from(*group)).abs() < 0.01);
    here.next()
        .map_or_else(String::new, |(_, (name, _))| name.clone())
}

fn color(subject: Subject) -> RGBColor {
    match subject {
        Subject::Ours => RGBColor(31, 119, 180),
        Subject::Plain => RGBColor(255, 127, 14),
        Subject::Rtc => RGBColor(44, 160, 44),
        Subject::Str0m => RGBColor(148, 103, 189),
        Subject::Limit => RGBColor(150, 150, 150),
    }
}

/// Of a subject's bar from the middle of its group.
fn offset(subject: Subject) -> f64 {
    match subject {
        Subject::Ours => -2.5 * BAR,
        Subject::Plain => -1.5 * BAR,
        Subject::Rtc => -0.5 * BAR,
        Subject::Str0m => 0.5 * BAR,
        Subject::Limit => 1.5 * BAR,
    }
}

/// Width of a bar, where a group has 1.
const BAR: f64 = 0.17;

const SIZE: (u32, u32) = (960, 420);

const FONT: (&str, u32) = ("sans-serif", 18);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{results, run};

    #[test]
    fn bars_are_medians_by_case_and_subject() {
        let results = results(vec![
            run(1, "d", Subject::Ours, 99_000.0),
            run(1, "d", Subject::Limit, 198_000.0),
        ]);
        let bars = throughput(&results, &crate::cases::all(false));
        let expected = vec![(Subject::Ours, 99.0), (Subject::Limit, 198.0)];
        assert_eq!(bars, [("d".to_owned(), expected)]);
        assert_eq!(label_at(0.0, &bars), "d");
        assert_eq!(label_at(0.5, &bars), "");
    }

    #[test]
    fn a_plot_is_drawn_where_there_is_something_to_show() {
        let folder = std::env::temp_dir().join(format!("bench-plots-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let cases = crate::cases::all(false);
        let none = write(&results(Vec::new()), &cases, &folder).expect("drawn");
        assert_eq!(none, []);
        let mut runs = vec![run(1, "a.reliable", Subject::Ours, 99_000.0)];
        for (case, bytes) in [("g.250", 50_000.0), ("g", 40_000.0)] {
            let mut idle = run(1, case, Subject::Ours, 1.0);
            idle.figures.insert(Figure::ResidentPerClient, bytes);
            runs.push(idle);
        }
        let plots = write(&results(runs), &cases, &folder).expect("drawn");
        let files: Vec<&str> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(files, ["throughput.svg", "memory.svg"]);
        for file in files {
            let svg = std::fs::read_to_string(folder.join(file)).expect("a file");
            assert!(svg.starts_with("<svg") && svg.contains("ours"), "{svg}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
