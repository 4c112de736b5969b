//! What a benchmark found: as JSON for programs, as a table for people.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figure::Figure;
use crate::machine::Machine;

const HEADER: [&str; 5] = ["measured", "median", "quartiles", "bar", "reached"];

/// What one benchmark found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The benchmark.
    pub name: &'static str,
    /// Whether it was the short form, whose spread is wide.
    pub quick: bool,
    /// Where and when.
    pub machine: Machine,
    /// What was done, in a sentence or two, with its numbers.
    pub done: String,
    /// What came of it.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Writes `NAME.json` into `folder`.
    pub fn write_json(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// The section of a document.
    pub fn markdown(&self) -> String {
        format!("{}\n\n{}\n{}", self.done, self.table(), self.machine)
    }

    /// The figures, one a row.
    pub fn table(&self) -> String {
        let rows: Vec<_> = self.figures.iter().map(Figure::cells).collect();
        let header = HEADER.map(str::to_owned);
        let width = |column: usize| {
            let cells = rows.iter().chain([&header]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut table = line(&header, &widths);
        let rule = widths.map(|width| "-".repeat(width));
        table += &line(&rule, &widths);
        for row in &rows {
            table += &line(row, &widths);
        }
        table
    }
}

fn line(cells: &[String; 5], widths: &[usize; 5]) -> String {
    let mut line = String::from("|");
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(line, " {cell:<width$} |");
    }
    line + "\n"
}
