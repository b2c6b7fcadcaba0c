//! The table of figures, for people and as JSON.

use crate::sample::Summary;
use std::fmt::Write;

/// Figures of one measurement, one for each variant.
#[derive(serde::Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// `ns`, or `KiB`, which are not compared with native ones.
    pub(crate) unit: &'static str,
    pub(crate) figures: Vec<Figure>,
}

#[derive(serde::Serialize)]
pub(crate) struct Figure {
    pub(crate) variant: String,
    /// `None`: not installed, or it failed.
    pub(crate) value: Option<Summary>,
    /// Processor time of the same runs, where they are whole processes.
    pub(crate) cpu: Option<Summary>,
    /// Why there is no value.
    pub(crate) note: Option<String>,
    /// To be at most this many times native; for KiB, at most this many.
    pub(crate) target: Option<f64>,
}

impl Figure {
    pub(crate) fn absent(variant: &str, note: &str) -> Self {
        Self {
            variant: variant.to_owned(),
            value: None,
            cpu: None,
            note: Some(note.to_owned()),
            target: None,
        }
    }
}

fn quantity(unit: &str, value: f64) -> String {
    match unit {
        "ns" if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        "ns" if value >= 1e4 => format!("{:.1} us", value / 1e3),
        "ns" => format!("{value:.0} ns"),
        _ => format!("{value:.0} {unit}"),
    }
}

fn line(row: &Row, figure: &Figure, native: Option<&Figure>) -> [String; 7] {
    let mut cells = [
        row.name.clone(),
        figure.variant.clone(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ];
    let Some(value) = figure.value else {
        cells[2] = figure.note.clone().unwrap_or_default();
        return cells;
    };
    cells[2] = quantity(row.unit, value.least);
    let compared = native.and_then(|native| native.value).filter(|_| row.unit == "ns");
    let mut reached = value.least;
    if let Some(native) = compared {
        reached = value.least / native.least;
        cells[3] = format!("{reached:.2}");
        cells[4] = format!("{:.2}", value.median / native.median);
    }
    if let (Some(cpu), Some(native)) = (figure.cpu, native.and_then(|native| native.cpu)) {
        cells[5] = format!("{:.2}", cpu.median / native.median.max(1.0));
    }
    if let Some(target) = figure.target {
        let verdict = if reached <= target { "reached" } else { "missed" };
        cells[6] = format!("<= {target} {verdict}");
    }
    cells
}

/// The figures as aligned columns.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines =
        vec![["measurement", "variant", "least", "x native", "median", "cpu", "target"].map(str::to_owned)];
    for row in rows {
        let native = row.figures.iter().find(|figure| figure.variant == "native");
        lines.extend(row.figures.iter().map(|figure| line(row, figure, native)));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    let mut last = "";
    for line in &lines {
        for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
            let cell = if index == 0 && cell == last { "" } else { cell };
            let _ = if index < 2 || index == 6 {
                write!(out, "{cell:width$}  ")
            } else {
                write!(out, "{cell:>width$}  ")
            };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        last = &line[0];
    }
    out
}

pub(crate) fn json(rows: &[Row]) -> String {
    serde_json::to_string_pretty(rows).expect("rows are plain data")
}
