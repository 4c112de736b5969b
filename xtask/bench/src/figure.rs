//! One measured number, and what it had to reach.

use std::fmt;

use serde::Serialize;

use crate::statistics::Spread;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One thing divided by another.
    Ratio,
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Nanoseconds for each byte.
    NanosecondsPerByte,
    /// So many in a second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Percent of one CPU's time.
    CpuPercent,
    /// A number of things.
    Count,
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// It may not be larger.
    AtMost(f64),
    /// It may not be smaller.
    AtLeast(f64),
}

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// In which unit all numbers here are.
    pub unit: Unit,
    /// The number; of several rounds, their median.
    pub value: f64,
    /// How far the rounds lay apart.
    pub spread: Option<Spread>,
    /// What it had to reach, if that is laid down.
    pub bar: Option<Bar>,
}

impl Figure {
    /// A number that there is one of.
    pub fn one(what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { what: what.into(), unit, value, spread: None, bar: None }
    }

    /// The median of several rounds.
    pub fn of_rounds(what: impl Into<String>, unit: Unit, rounds: &[f64]) -> Self {
        let spread = Spread::of(rounds);
        let value = spread.map_or(f64::NAN, |spread| spread.median);
        Self { what: what.into(), unit, value, spread, bar: None }
    }

    /// The same with a bar.
    pub fn with_bar(self, bar: Bar) -> Self {
        Self { bar: Some(bar), ..self }
    }

    /// Whether it reached its bar, if it has one.
    pub fn reached(&self) -> Option<bool> {
        Some(match self.bar? {
            Bar::AtMost(most) => self.value <= most,
            Bar::AtLeast(least) => self.value >= least,
        })
    }

    /// The cells of its row in a table: what, value, quartiles, bar, reached.
    pub fn cells(&self) -> [String; 5] {
        let quartiles = self.spread.map_or_else(String::new, |spread| {
            let (lower, upper) = (spread.lower_quartile, spread.upper_quartile);
            format!("{} – {}", self.unit.digits(lower), self.unit.digits(upper))
        });
        let bar = self.bar.map_or_else(String::new, |bar| match bar {
            Bar::AtMost(most) => format!("≤ {}", self.unit.digits(most)),
            Bar::AtLeast(least) => format!("≥ {}", self.unit.digits(least)),
        });
        let reached = match self.reached() {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let value = format!("{}{}", self.unit.digits(self.value), self.unit);
        [self.what.clone(), value, quartiles, bar, reached.to_owned()]
    }
}

impl Unit {
    /// As many digits as mean something.
    fn digits(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.3}"),
            Self::Milliseconds | Self::NanosecondsPerByte | Self::CpuPercent => {
                format!("{value:.2}")
            }
            Self::Microseconds => format!("{value:.1}"),
            Self::Nanoseconds | Self::PerSecond | Self::Bytes | Self::Count => {
                grouped(value.round() as i64)
            }
        }
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ratio | Self::Count => "",
            Self::Nanoseconds => " ns",
            Self::Microseconds => " µs",
            Self::Milliseconds => " ms",
            Self::NanosecondsPerByte => " ns/B",
            Self::PerSecond => " /s",
            Self::Bytes => " B",
            Self::CpuPercent => " %",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_the_bar_was_reached() {
        let figure = Figure::of_rounds("tracked", Unit::Ratio, &[0.9, 0.93, 0.95]);
        let row = figure.clone().with_bar(Bar::AtLeast(0.92)).cells();
        assert_eq!(row, ["tracked", "0.930", "0.915 – 0.940", "≥ 0.920", "yes"]);
        assert_eq!(figure.clone().with_bar(Bar::AtMost(0.92)).cells()[4], "**no**");
        assert_eq!(figure.cells()[3..], ["", ""]);
    }

    #[test]
    fn large_numbers_are_readable() {
        let figure = Figure::one("rate", Unit::PerSecond, 1_234_567.4);
        assert_eq!(figure.cells()[1], "1,234,567 /s");
    }
}
