//! `agentnet mesh usage`: tokens and money by agent, model, day or thread.

use std::path::PathBuf;

use agentnet_mesh::usage::ledger_path;
use agentnet_mesh::usage::report::{Filter, GroupBy, Report, Sums, report};
use clap::{Args, ValueEnum};

use crate::args::not_blank;
use crate::data_dir;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{Noun, Rows};

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// What the rows are
    #[arg(long, value_name = "WHAT", value_enum, default_value = "agent")]
    by: By,
    /// From this UTC day on, such as 2026-11-30
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<String>,
    /// Until this UTC day, included
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<String>,
    /// Only this agent, by its key
    #[arg(long, value_name = "KEY", value_parser = not_blank)]
    agent: Option<String>,
    /// Data directory of `agentnet mesh run` [default: the platform's data directory] [env: AGENTNET_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Agent,
    Model,
    Day,
    Thread,
}

impl By {
    fn group(self) -> (GroupBy, &'static str) {
        match self {
            Self::Agent => (GroupBy::Agent, "Agent"),
            Self::Model => (GroupBy::Model, "Model"),
            Self::Day => (GroupBy::Day, "Day"),
            Self::Thread => (GroupBy::Thread, "Thread"),
        }
    }
}

impl Usage {
    pub(crate) fn run(self, output: Output) -> Result<(), Exit> {
        let path = ledger_path(&data_dir::choose(self.data_dir)?.path);
        let (by, title) = self.by.group();
        let filter = Filter {
            since: self.since,
            until: self.until,
            agent: self.agent,
        };
        let report = report(&path, by, &filter)
            .map_err(|error| Failure::error(format!("{} cannot be read: {error}", path.display())))?;
        if output.is_json() {
            let document = serde_json::to_string(&report)
                .map_err(|error| Failure::error(format!("the report cannot be written: {error}")))?;
            return Ok(output.document(&document)?);
        }
        if report.unreadable_lines > 0 {
            output.note(format!(
                "note: {} lines of {} are no records",
                report.unreadable_lines,
                path.display()
            ));
        }
        print(&report, title, output)?;
        if report.total.unpriced_calls > 0 && report.total.usd.is_some() {
            output.note(format!(
                "note: {} calls have no price: name their models under `prices` in the file",
                report.total.unpriced_calls
            ));
        }
        Ok(())
    }
}

fn print(report: &Report, title: &str, output: Output) -> Result<(), Exit> {
    let header = [title, "Calls", "Input", "Cached", "Output", "USD"];
    let mut rows = Rows::new(output, &header).yielding(&["Cached", title]);
    for row in &report.rows {
        rows.push(cells(clean(&row.key).into_owned(), &row.sums, output));
    }
    if report.rows.len() > 1 && !output.is_csv() {
        rows.push(cells("total".to_owned(), &report.total, output));
    }
    rows.print(Noun("row", "rows"), "No model was called yet")
}

fn cells(key: String, sums: &Sums, output: Output) -> [String; 6] {
    [
        key,
        sums.calls.to_string(),
        sums.input.to_string(),
        sums.cached_input.to_string(),
        sums.output.to_string(),
        sums.usd.map_or_else(|| output.blank(), |usd| format!("{usd:.4}")),
    ]
}

fn day(text: &str) -> Result<String, String> {
    let date: jiff::civil::Date = text
        .trim()
        .parse()
        .map_err(|_| "it is no day, such as 2026-11-30".to_owned())?;
    Ok(date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day() {
        assert_eq!(day(" 2026-11-30 "), Ok("2026-11-30".to_owned()));
        for text in ["", "2026-13-01", "yesterday"] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
