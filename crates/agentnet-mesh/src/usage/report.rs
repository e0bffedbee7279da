//! `agentnet mesh usage`: the ledger's file, summed by agent, model, day or thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use super::UsageRecord;

/// Longest line that is read: longer ones are no records of ours.
const MAX_LINE: u64 = 16 * 1024;

/// What the rows of a report are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// One row per agent.
    Agent,
    /// One row per model.
    Model,
    /// One row per UTC day.
    Day,
    /// One row per thread.
    Thread,
}

/// Which records count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this UTC day on, `2026-11-30`.
    pub since: Option<String>,
    /// Until this UTC day, included.
    pub until: Option<String>,
    /// Key of an agent.
    pub agent: Option<String>,
}

/// Sums of some records.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Calls of models.
    pub calls: u64,
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Part of `input` from caches.
    pub cached_input: u64,
    /// Dollars of the calls that have a price; `None` if none has.
    pub usd: Option<f64>,
    /// Calls without a price.
    pub unpriced_calls: u64,
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Agent, model, day or thread.
    pub key: String,
    /// Sums of its records.
    #[serde(flatten)]
    pub sums: Sums,
}

/// A report of what was used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What the rows are.
    pub by: GroupBy,
    /// Days in their order; other rows by tokens, the largest first.
    pub rows: Vec<Row>,
    /// Sums of all rows.
    pub total: Sums,
    /// Lines that are no records, such as one that a killed host did not finish.
    pub unreadable_lines: u64,
}

impl GroupBy {
    fn key(self, record: &UsageRecord) -> &str {
        match self {
            Self::Agent => &record.agent,
            Self::Model => &record.model,
            Self::Day => day_of(&record.at),
            Self::Thread => &record.thread_id,
        }
    }
}

impl Filter {
    fn takes(&self, record: &UsageRecord) -> bool {
        let day = day_of(&record.at);
        self.since.as_deref().is_none_or(|since| day >= since)
            && self.until.as_deref().is_none_or(|until| day <= until)
            && self.agent.as_deref().is_none_or(|agent| record.agent == agent)
    }
}

impl Sums {
    fn add(&mut self, record: &UsageRecord) {
        self.calls += 1;
        self.input = self.input.saturating_add(record.input);
        self.output = self.output.saturating_add(record.output);
        self.cached_input = self.cached_input.saturating_add(record.cached_input);
        match record.usd {
            Some(usd) => *self.usd.get_or_insert(0.0) += usd,
            None => self.unpriced_calls += 1,
        }
    }

    fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// Sums the records of a ledger's file. A file that does not exist is an empty report.
///
/// # Errors
/// The file cannot be read.
pub fn report(path: &Path, by: GroupBy, filter: &Filter) -> io::Result<Report> {
    let mut rows: BTreeMap<String, Sums> = BTreeMap::new();
    let mut total = Sums::default();
    let unreadable_lines = each_record(path, |record| {
        if filter.takes(&record) {
            total.add(&record);
            rows.entry(by.key(&record).to_owned()).or_default().add(&record);
        }
    })?;
    let mut rows: Vec<Row> = rows.into_iter().map(|(key, sums)| Row { key, sums }).collect();
    if by != GroupBy::Day {
        rows.sort_by_key(|row| std::cmp::Reverse(row.sums.tokens()));
    }
    Ok(Report {
        by,
        rows,
        total,
        unreadable_lines,
    })
}

/// Reads the records of a file in their order. Returns the number of lines that are none.
pub(super) fn each_record(path: &Path, mut each: impl FnMut(UsageRecord)) -> io::Result<u64> {
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut unreadable = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(unreadable);
        }
        match serde_json::from_slice(&line) {
            Ok(record) => each(record),
            Err(_) if line.trim_ascii().is_empty() => {}
            Err(_) => unreadable += 1,
        }
    }
}

/// The UTC day of a record's time.
pub(super) fn day_of(at: &str) -> &str {
    at.get(..10).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, agent: &str, model: &str, thread: &str, input: u64, usd: &str) -> String {
        format!(
            "{{\"at\":\"{at}\",\"agent\":\"{agent}\",\"provider\":\"p\",\"model\":\"{model}\",\"thread_id\":\"{thread}\",\
             \"input\":{input},\"output\":10,\"cached_input\":1{usd}}}\n"
        )
    }

    fn ledger() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = [
            line("2026-11-28T23:59:59Z", "a", "m1", "t1", 100, ",\"usd\":0.5"),
            line("2026-11-29T00:00:00Z", "a", "m2", "t2", 200, ""),
            "\n".to_owned(),
            "{\"at\":\"2026-11-29T00:00".to_owned(),
            "\n".to_owned(),
            line("2026-11-29T01:00:00Z", "b", "m1", "t1", 1000, ",\"usd\":0.25"),
        ];
        std::fs::write(file.path(), text.concat()).unwrap();
        file
    }

    #[rstest::rstest]
    #[case(GroupBy::Agent, &[("b", 1000), ("a", 300)])]
    #[case(GroupBy::Model, &[("m1", 1100), ("m2", 200)])]
    #[case(GroupBy::Day, &[("2026-11-28", 100), ("2026-11-29", 1200)])]
    #[case(GroupBy::Thread, &[("t1", 1100), ("t2", 200)])]
    fn records_are_summed(#[case] by: GroupBy, #[case] expected: &[(&str, u64)]) {
        let report = report(ledger().path(), by, &Filter::default()).unwrap();
        let rows: Vec<_> = report
            .rows
            .iter()
            .map(|row| (row.key.as_str(), row.sums.input))
            .collect();
        assert_eq!(rows, expected);
        assert_eq!(
            (report.total.calls, report.total.input, report.total.output),
            (3, 1300, 30)
        );
        assert_eq!((report.total.usd, report.total.unpriced_calls), (Some(0.75), 1));
        assert_eq!(report.unreadable_lines, 1);
    }

    #[rstest::rstest]
    #[case(Some("2026-11-29"), None, None, 2)]
    #[case(None, Some("2026-11-28"), None, 1)]
    #[case(None, None, Some("a"), 2)]
    #[case(Some("2026-11-29"), Some("2026-11-29"), Some("a"), 1)]
    fn a_filter_leaves_records_out(
        #[case] since: Option<&str>,
        #[case] until: Option<&str>,
        #[case] agent: Option<&str>,
        #[case] calls: u64,
    ) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let filter = Filter {
            since: owned(since),
            until: owned(until),
            agent: owned(agent),
        };
        assert_eq!(
            report(ledger().path(), GroupBy::Agent, &filter).unwrap().total.calls,
            calls
        );
    }

    #[test]
    fn a_ledger_that_was_never_written_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let report = report(&folder.path().join("usage.jsonl"), GroupBy::Day, &Filter::default()).unwrap();
        assert_eq!((report.rows.len(), report.total), (0, Sums::default()));
    }
}
