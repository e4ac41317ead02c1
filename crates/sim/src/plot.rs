//! A picture of who was complete when.

use crate::Report;
use plotters::prelude::*;
use thiserror::Error;

/// Why there is no picture.
#[derive(Debug, Error)]
#[error("cannot draw the plot: {0}")]
pub struct PlotError(String);

/// The share of peers that are complete over time, a curve for each run, with the lower bound, as SVG.
///
/// # Errors
/// If nobody completed.
pub fn completion_curve(title: &str, runs: &[Report]) -> Result<String, PlotError> {
    let bound = runs.iter().map(|run| run.bound).fold(0.0, f64::max);
    let end = runs.iter().map(|run| run.last).fold(bound, f64::max) * 1.05;
    if end <= 0.0 {
        return Err(PlotError("nobody completed".into()));
    }
    let mut svg = String::new();
    draw(&mut svg, title, runs, bound, end).map_err(|err| PlotError(err.to_string()))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    title: &str,
    runs: &[Report],
    bound: f64,
    end: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, (800, 450)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..end, 0.0..100.0)?;
    chart.configure_mesh().x_desc("seconds").y_desc("% of peers complete").light_line_style(WHITE).draw()?;
    for (number, run) in runs.iter().enumerate() {
        chart.draw_series(LineSeries::new(steps(&run.completions(), end), &Palette99::pick(number)))?;
    }
    let limit = [(bound, 0.0), (bound, 100.0)];
    chart
        .draw_series(LineSeries::new(limit, BLACK.stroke_width(2)))?
        .label("lower bound")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLACK.stroke_width(2)));
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    root.present()?;
    Ok(())
}

/// A stair that goes up when a peer is complete.
fn steps(times: &[f64], end: f64) -> Vec<(f64, f64)> {
    #[allow(clippy::cast_precision_loss)] // far fewer than 2^53 peers
    let share = |count: usize| 100.0 * count as f64 / times.len().max(1) as f64;
    let mut points = vec![(0.0, 0.0)];
    for (count, &at) in times.iter().enumerate() {
        points.extend([(at, share(count)), (at, share(count + 1))]);
    }
    points.push((end, share(times.len())));
    points
}
