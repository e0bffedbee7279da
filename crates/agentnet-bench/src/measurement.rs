//! A measured value, its raw limit and its target, and tables of them.

use comfy_table::{CellAlignment, Table, TableStyle};
use serde::{Deserialize, Serialize};

/// A measured value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The command that measured it.
    pub(crate) command: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    /// The raw limit, measured in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
}

/// What a measured value should be. A share is relative to the raw limit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    ShareAtMost(f64),
    ShareAtLeast(f64),
}

impl Measurement {
    pub(crate) fn new(command: &str, name: impl Into<String>, unit: &str, value: f64) -> Self {
        Self {
            command: command.to_owned(),
            name: name.into(),
            unit: unit.to_owned(),
            value,
            raw: None,
            target: None,
        }
    }

    pub(crate) fn raw(mut self, raw: f64) -> Self {
        self.raw = Some(raw);
        self
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The value as a share of the raw limit.
    pub(crate) fn share(&self) -> Option<f64> {
        self.raw.map(|raw| self.value / raw)
    }

    /// Whether the target is met; `None` without a target.
    pub(crate) fn met(&self) -> Option<bool> {
        let share = self.share().unwrap_or(f64::NAN);
        self.target.map(|target| match target {
            Target::AtMost(limit) => self.value <= limit,
            Target::AtLeast(limit) => self.value >= limit,
            Target::ShareAtMost(limit) => share <= limit,
            Target::ShareAtLeast(limit) => share >= limit,
        })
    }

    fn cells(&self) -> [String; 6] {
        let target = self.target.map(|target| match target {
            Target::AtMost(limit) => format!("<= {} {}", short(limit), self.unit),
            Target::AtLeast(limit) => format!(">= {} {}", short(limit), self.unit),
            Target::ShareAtMost(limit) => format!("<= {limit} x raw"),
            Target::ShareAtLeast(limit) => format!(">= {limit} x raw"),
        });
        let met = self.met().map(|met| if met { "yes" } else { "NO" }.to_owned());
        [
            format!("{}: {}", self.command, self.name),
            format!("{} {}", short(self.value), self.unit),
            self.raw.map(short).unwrap_or_default(),
            self.share().map(|share| format!("{share:.2}")).unwrap_or_default(),
            target.unwrap_or_default(),
            met.unwrap_or_default(),
        ]
    }
}

const HEADS: [&str; 6] = ["what", "measured", "raw", "ratio", "target", "met"];

/// A table for the terminal.
pub(crate) fn table(measurements: &[Measurement]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(HEADS);
    for measurement in measurements {
        table.add_row(measurement.cells());
    }
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// A Markdown table, for `docs/PERFORMANCE.md`.
pub(crate) fn markdown(measurements: &[Measurement]) -> String {
    let mut lines = vec![
        format!("| {} |", HEADS.join(" | ")),
        "|---|---:|---:|---:|---|---|".to_owned(),
    ];
    lines.extend(
        measurements
            .iter()
            .map(|measurement| format!("| {} |", measurement.cells().join(" | "))),
    );
    lines.join("\n")
}

/// Rounds to three significant digits or more, with grouped thousands.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) && digit.is_ascii_digit() && grouped != "-" {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Median of the values, NaN if there are none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (value, shown) in [
            (0.123, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1,234"),
            (1e6, "1,000,000"),
        ] {
            assert_eq!(short(value), shown);
        }
    }

    #[test]
    fn median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn shares_are_relative_to_the_raw_limit() {
        let measurement = Measurement::new("send", "rate", "/s", 45.0).raw(100.0);
        for (target, met) in [
            (Target::ShareAtLeast(0.45), true),
            (Target::ShareAtLeast(0.46), false),
            (Target::ShareAtMost(0.45), true),
            (Target::AtLeast(46.0), false),
            (Target::AtMost(45.0), true),
        ] {
            assert_eq!(measurement.clone().target(target).met(), Some(met), "{target:?}");
        }
        assert_eq!(measurement.met(), None);
    }
}
