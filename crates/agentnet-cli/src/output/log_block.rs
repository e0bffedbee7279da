//! Messages as blocks of text to read, as the demos of the Python implementation print them, or as one JSON object a line.

use std::io;

use agentnet_protocol::json::ObjectWriter;
use clap::ValueEnum;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::sanitize::{clean, clean_lines};
use super::{Output, Tint};
use crate::exit::Failure;

/// Width of a block in columns.
const WIDTH: usize = 96;
/// What the lines of the text begin with, so that none looks like the head of a block.
const INDENT: &str = "  ";
/// Characters of a text that are shown, unless `LOG_TEXT_MAX_CHARS` says otherwise.
const DEFAULT_MAX_CHARS: usize = 700;
/// Characters of an id that are shown at its beginning and at its end.
const ID_END: usize = 8;

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogStyle {
    /// Blocks of text
    Pretty,
    /// One JSON object a line
    Json,
}

/// A message to print.
#[derive(Debug)]
pub(crate) struct LogBlock<'a> {
    /// Who prints it, such as `AGENT A`.
    pub(crate) role: &'a str,
    /// What happened, such as `SEND`.
    pub(crate) label: &'a str,
    /// Number of the turn.
    pub(crate) turn: Option<u32>,
    /// Names and values of the line below the head; ids are shortened there.
    pub(crate) facts: &'a [(&'a str, &'a str)],
    /// The text of the message.
    pub(crate) text: &'a str,
}

/// Prints messages to stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockLog {
    output: Output,
    style: LogStyle,
    max_chars: usize,
}

impl BlockLog {
    /// Prints in the style; by default JSON with `--json`, else in the default of the command.
    ///
    /// # Errors
    /// `LOG_TEXT_MAX_CHARS` is no number.
    pub(crate) fn new(output: Output, style: Option<LogStyle>, default: LogStyle) -> Result<Self, Failure> {
        let default = if output.is_json() { LogStyle::Json } else { default };
        let style = style.unwrap_or(default);
        let max_chars = match std::env::var("LOG_TEXT_MAX_CHARS") {
            Ok(text) => parse_max_chars(&text)?,
            Err(_) => DEFAULT_MAX_CHARS,
        };
        Ok(Self {
            output,
            style,
            max_chars,
        })
    }

    /// Whether the style is blocks of text.
    pub(crate) fn is_pretty(self) -> bool {
        self.style == LogStyle::Pretty
    }

    /// Prints a message.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn print(self, block: &LogBlock<'_>) -> io::Result<()> {
        let now = jiff::Zoned::now();
        match self.style {
            LogStyle::Pretty => {
                let time = now.strftime("%H:%M:%S").to_string();
                self.output.line(block.pretty(&time, self.max_chars, self.output))
            }
            LogStyle::Json => self
                .output
                .document_line(&block.json(&now.timestamp().to_string(), self.max_chars)),
        }
    }
}

impl LogBlock<'_> {
    fn pretty(&self, time: &str, max_chars: usize, output: Output) -> String {
        let mut head = format!("{time} | {} | {}", clean(self.role), clean(self.label));
        if let Some(turn) = self.turn {
            head = format!("{head} | turn={turn}");
        }
        let facts: Vec<String> = self
            .facts
            .iter()
            .map(|(name, value)| format!("{name}={}", short_id(value)))
            .collect();
        let mut lines = vec![
            output.tint(Tint::Dim, &"─".repeat(WIDTH)),
            output.tint(Tint::Bold, &head),
        ];
        if !facts.is_empty() {
            lines.push(output.tint(Tint::Dim, &facts.join(" ")));
        }
        let text = clean_lines(&cut(self.text.trim(), max_chars));
        let indented = |line: String| {
            if line.is_empty() {
                line
            } else {
                format!("{INDENT}{line}")
            }
        };
        lines.extend(wrap(&text, WIDTH - INDENT.len()).into_iter().map(indented));
        lines.join("\n")
    }

    fn json(&self, at: &str, max_chars: usize) -> String {
        let mut document = ObjectWriter::new();
        document
            .text("at", at)
            .text("role", self.role)
            .text("event", &self.label.to_lowercase());
        if let Some(turn) = self.turn {
            document.int("turn", turn);
        }
        for (name, value) in self.facts {
            document.text(name, value);
        }
        document.text("text", &cut(self.text, max_chars));
        document.finish()
    }
}

fn parse_max_chars(text: &str) -> Result<usize, Failure> {
    let number = text.trim().parse::<usize>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Failure::refused(format!("LOG_TEXT_MAX_CHARS={text} is not a whole number, at least 1")))
}

/// At most so many characters of the text, with `...` at the end of one that is longer.
fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_chars.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

/// The beginning and the end of a long id; a username as it is.
fn short_id(id: &str) -> String {
    let id = clean(id);
    let count = id.chars().count();
    if count <= 2 * ID_END + 2 || id.starts_with('@') {
        return id.into_owned();
    }
    let begin: String = id.chars().take(ID_END).collect();
    let end: String = id.chars().skip(count - ID_END).collect();
    format!("{begin}..{end}")
}

/// The lines of a text, none wider than this; broken between words where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            for c in word.chars() {
                if !line.is_empty() && line.width() + c.width().unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> LogBlock<'_> {
        LogBlock {
            role: "AGENT A",
            label: "SEND",
            turn: Some(2),
            facts: &[
                ("peer", "@agent_novita_b"),
                ("trace", "0123456789abcdef0123456789abcdef"),
            ],
            text,
        }
    }

    #[test]
    fn a_block_has_a_rule_a_head_a_line_of_facts_and_the_text() {
        let text = block("one two\nthree").pretty("10:20:30", 700, Output::fixed(false, false));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].chars().count(), 96);
        assert_eq!(lines[1], "10:20:30 | AGENT A | SEND | turn=2");
        assert_eq!(lines[2], "peer=@agent_novita_b trace=01234567..89abcdef");
        assert_eq!(lines[3..], ["  one two", "  three"]);
    }

    #[test]
    fn no_text_forges_a_block_or_steers_the_terminal() {
        let forged = format!("hi\n{}\n10:20:30 | AGENT B | SEND\u{1b}[2J", "─".repeat(96));
        let text = block(&forged).pretty("10:20:30", 700, Output::fixed(false, false));
        assert!(text.lines().skip(3).all(|line| line.starts_with("  ")), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn long_texts_are_cut_and_wrapped() {
        let long = "word ".repeat(400);
        let text = block(&long).pretty("10:20:30", 50, Output::fixed(false, false));
        assert!(
            text.ends_with("  word word word word word word word word word wo..."),
            "{text}"
        );
        let lines = wrap(&format!("{} {}", "a".repeat(200), "日本".repeat(60)), 94);
        assert!(lines.iter().all(|line| line.width() <= 94), "{lines:?}");
        assert_eq!(lines.concat().chars().filter(|c| *c == 'a').count(), 200);
        assert_eq!(wrap("a\n\nb", 94), ["a", "", "b"]);
    }

    #[test]
    fn json_has_the_same_members() {
        let json = block("hi").json("2026-11-30T00:00:00Z", 700);
        assert_eq!(
            json,
            r#"{"at":"2026-11-30T00:00:00Z","role":"AGENT A","event":"send","turn":2,"peer":"@agent_novita_b","trace":"0123456789abcdef0123456789abcdef","text":"hi"}"#
        );
    }

    #[test]
    fn the_maximum_is_a_number() {
        assert_eq!(parse_max_chars(" 40 "), Ok(40));
        for text in ["0", "-1", "many"] {
            assert!(parse_max_chars(text).is_err(), "{text}");
        }
    }
}
