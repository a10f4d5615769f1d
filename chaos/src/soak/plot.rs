//! The plot of a soak: a strip for each thing that is measured, a line for each process.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, anyhow};
use plotters::prelude::*;

use crate::trend::Series;

/// Writes it, as SVG, under a title that says what was run.
pub(super) fn write(
    path: &Path,
    title: &str,
    strips: &BTreeMap<&'static str, Vec<Series>>,
) -> anyhow::Result<()> {
    let height = HEIGHT * u32::try_from(strips.len()).unwrap_or(1).max(1);
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let areas = root
            .titled(title, FONT)?
            .split_evenly((strips.len().max(1), 1));
        for (area, (what, lines)) in areas.iter().zip(strips) {
            strip(area, what, lines)?;
        }
        root.present()?;
        Ok(())
    };
    draw()
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| path.display().to_string())
}

fn strip(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    what: &str,
    lines: &[Series],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|(at, _)| *at).fold(1.0, f64::max);
    let top = points().map(|(_, value)| *value).fold(1.0, f64::max) * 1.2;
    let mut chart = ChartBuilder::on(area)
        .caption(what, FONT)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart.configure_mesh().light_line_style(WHITE).draw()?;
    for (nth, line) in lines.iter().enumerate() {
        let style = Palette99::pick(nth).stroke_width(2);
        let legend = Palette99::pick(nth).stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(line.name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], legend));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

const WIDTH: u32 = 960;
/// Of each strip.
const HEIGHT: u32 = 220;
const FONT: (&str, u32) = ("sans-serif", 16);
