//! What a command says on its standard error: progress, checkpoints, and lines for the log.

use std::collections::VecDeque;

use agentnet_protocol::RawJson;
use agentnet_protocol::task::MAX_CHECKPOINT_BYTES;

/// Maximum length of one line, in bytes; the rest of it is left out.
pub(super) const MAX_LINE_BYTES: usize = 8 * 1024;
/// The last lines that a failure quotes, and their length in bytes.
const MAX_TAIL_LINES: usize = 10;
const MAX_TAIL_BYTES: usize = 4 * 1024;

/// A line of standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StderrLine {
    /// `::progress 40 tests run`, `::progress tests run`.
    Progress { percent: Option<u8>, text: String },
    /// `::checkpoint {"step":3}`: what another attempt gets.
    Checkpoint(RawJson),
    /// Anything else.
    Text(String),
}

impl StderrLine {
    /// Reads a line, which may be any bytes.
    pub(super) fn read(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        let after = |word: &str| {
            let rest = line.strip_prefix(word)?;
            (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
        };
        if let Some(rest) = after("::progress") {
            return progress(rest);
        }
        let checkpoint = after("::checkpoint").filter(|json| json.len() <= MAX_CHECKPOINT_BYTES);
        match checkpoint.map(|json| RawJson::parse(json.to_owned())) {
            Some(Ok(json)) => Self::Checkpoint(json),
            _ => Self::Text(line.to_owned()),
        }
    }
}

fn progress(rest: &str) -> StderrLine {
    let (first, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let percent = first
        .trim_end_matches('%')
        .parse()
        .ok()
        .filter(|percent| *percent <= 100);
    StderrLine::Progress {
        percent,
        text: if percent.is_some() { text.trim() } else { rest }.to_owned(),
    }
}

/// The last lines.
#[derive(Debug, Default)]
pub(super) struct StderrTail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl StderrTail {
    pub(super) fn push(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let cut = line.floor_char_boundary(MAX_TAIL_BYTES);
        self.bytes += cut;
        self.lines.push_back(line[..cut].to_owned());
        while self.lines.len() > MAX_TAIL_LINES || self.bytes > MAX_TAIL_BYTES {
            let first = self.lines.pop_front().unwrap_or_default();
            self.bytes -= first.len();
        }
    }

    pub(super) fn text(&self) -> String {
        Vec::from_iter(self.lines.iter().map(String::as_str)).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_progress_are_read() {
        let told = |percent: Option<u8>, text: &str| StderrLine::Progress {
            percent,
            text: text.into(),
        };
        for (line, read) in [
            ("::progress 40 tests run\n", told(Some(40), "tests run")),
            ("::progress 100%\r\n", told(Some(100), "")),
            ("::progress  7   a  b ", told(Some(7), "a  b")),
            ("::progress half of it", told(None, "half of it")),
            ("::progress 101 too far", told(None, "101 too far")),
            ("::progress -1", told(None, "-1")),
            ("::progress", told(None, "")),
            ("::progressive", StderrLine::Text("::progressive".into())),
            (" ::progress 1", StderrLine::Text(" ::progress 1".into())),
            (
                "::checkpoint {\"a\":1}",
                StderrLine::Checkpoint(RawJson::parse("{\"a\":1}".to_owned()).unwrap()),
            ),
            ("::checkpoint {a}", StderrLine::Text("::checkpoint {a}".into())),
        ] {
            assert_eq!(StderrLine::read(line.as_bytes()), read, "{line:?}");
        }
        assert_eq!(StderrLine::read(b"a\xff\n"), StderrLine::Text("a\u{fffd}".into()));
    }

    #[test]
    fn only_the_last_lines_are_quoted() {
        let mut tail = StderrTail::default();
        for number in 0..100 {
            tail.push(&format!("line {number}"));
            tail.push("  ");
        }
        let text = tail.text();
        assert!(text.starts_with("line 90\n") && text.ends_with("line 99"), "{text}");
        tail.push(&"日".repeat(MAX_TAIL_BYTES));
        assert!(tail.text().len() <= MAX_TAIL_BYTES && tail.text().starts_with('日'));
    }
}
