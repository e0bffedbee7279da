//! The output of the program: documents and lines on stdout, notes and failures on stderr.
#![allow(clippy::print_stderr, reason = "all output to stderr is written here")]

mod cells;
pub(crate) mod json;
#[cfg(feature = "mesh")]
pub(crate) mod log_block;
mod pager;
pub(crate) mod relative_time;
pub(crate) mod sanitize;
pub(crate) mod spinner;
pub(crate) mod table;

use std::io::{self, IsTerminal, Write};

use agentnet_protocol::json::ObjectWriter;

use crate::exit::Failure;
use crate::logging::{LogFormat, OUTPUT_TARGET};

/// How and where to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    wide: bool,
    terminal: bool,
    color: bool,
    log_format: LogFormat,
}

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and text to read
    #[default]
    Table,
    /// One JSON document (watch, echo: one a line)
    Json,
    /// Comma-separated values, for commands that list
    Csv,
}

/// Colour or weight of a text on a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tint {
    Plain,
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
    Cyan,
}

impl Output {
    /// The output of this process. Colours, dots and relative times need a terminal; colours also need `NO_COLOR` to be unset
    /// and `TERM` not to be `dumb`.
    pub(crate) fn detect(format: Format, wide: bool) -> Self {
        let terminal = io::stdout().is_terminal() && format != Format::Csv;
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let color = terminal && variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|term| term != "dumb");
        Self {
            format,
            wide,
            terminal,
            color,
            log_format: LogFormat::Text,
        }
    }

    /// Writes notes and failures in the format of the log, so that stderr has one format.
    pub(crate) fn with_log_format(mut self, log_format: LogFormat) -> Self {
        self.log_format = log_format;
        self
    }

    #[cfg(test)]
    pub(crate) fn fixed(terminal: bool, color: bool) -> Self {
        Self {
            format: Format::Table,
            wide: false,
            terminal,
            color,
            log_format: LogFormat::Text,
        }
    }

    /// Whether the format is JSON.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether the format is CSV.
    pub(crate) fn is_csv(self) -> bool {
        self.format == Format::Csv
    }

    /// Whether `--wide` is set: nothing is shortened.
    pub(crate) fn is_wide(self) -> bool {
        self.wide
    }

    /// The width of the terminal in characters; `None` without a terminal.
    pub(crate) fn width(self) -> Option<usize> {
        self.size()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0)
    }

    /// The height of the terminal in lines; `None` without a terminal.
    pub(crate) fn height(self) -> Option<usize> {
        self.size()
            .map(|size| usize::from(size.ws_row))
            .filter(|height| *height > 0)
    }

    fn size(self) -> Option<rustix::termios::Winsize> {
        rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .filter(|_| self.terminal)
    }

    /// Whether stdout is a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Whether colours are used.
    pub(crate) fn is_colored(self) -> bool {
        self.color
    }

    /// The text in a colour, where colours are used.
    pub(crate) fn tint(self, tint: Tint, text: &str) -> String {
        let code = match tint {
            _ if !self.color => return text.to_owned(),
            Tint::Plain => return text.to_owned(),
            Tint::Bold => 1,
            Tint::Dim => 2,
            Tint::Green => 32,
            Tint::Red => 31,
            Tint::Yellow => 33,
            Tint::Cyan => 36,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Writes the text and a line break to stdout.
    ///
    /// # Errors
    /// Writing fails, for example because the pipe is closed.
    pub(crate) fn line(self, text: impl AsRef<str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Writes lines to stdout.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn text(self, lines: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(lines.as_bytes())?;
        out.flush()
    }

    /// Writes one JSON document: indented on a terminal, else on one line.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn document(self, json: &str) -> io::Result<()> {
        self.line(if self.is_terminal() {
            json::laid_out(json, json::Layout::Indented)
        } else {
            json::one_line(json)
        })
    }

    /// Writes one JSON document of a sequence, always on one line.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn document_line(self, json: &str) -> io::Result<()> {
        self.line(json::one_line(json))
    }

    /// Writes a note to stderr; with `--json` as one object.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        let text = text.as_ref();
        match self.log_format {
            // If stderr is closed, the error cannot be reported.
            _ if self.is_json() => drop(writeln!(io::stderr(), "{}", json::one_line(&note_document(text)))),
            LogFormat::Text => drop(writeln!(io::stderr(), "{text}")),
            LogFormat::Json => tracing::info!(target: OUTPUT_TARGET, "{text}"),
        }
    }

    /// Writes a failure to stderr: `error: …`, and `hint: …` below it; with `--json` as one object.
    pub(crate) fn failure(self, failure: &Failure) {
        self.failed(&failure.text(), || failure.document(""));
    }

    /// Writes the failure that ends a command, with the address of the network if the network caused it.
    pub(crate) fn failure_at(self, failure: &Failure, url: &str) {
        self.failed(&failure.text_with(url), || failure.document(url));
    }

    fn failed(self, text: &str, document: impl FnOnce() -> String) {
        match self.log_format {
            // If stderr is closed, the error cannot be reported.
            _ if self.is_json() => drop(writeln!(io::stderr(), "{}", json::one_line(&document()))),
            LogFormat::Text => self.note(text),
            LogFormat::Json => tracing::error!(target: OUTPUT_TARGET, "{text}"),
        }
    }
}

/// A note as a JSON object like that of a failure. Its `code` is the beginning of the text: `note`, `hint` or `warning`.
fn note_document(text: &str) -> String {
    let named = text
        .split_once(": ")
        .filter(|(code, _)| matches!(*code, "note" | "hint" | "warning"));
    let (code, message) = named.unwrap_or(("note", text));
    let mut document = ObjectWriter::new();
    document
        .text("code", code)
        .text("message", message)
        .nullable_text("hint", None)
        .nullable_text("network", None);
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_have_the_shape_of_failures() {
        for (text, document) in [
            (
                "note: no account has the username x: did you mean y?",
                r#"{"code":"note","message":"no account has the username x: did you mean y?","hint":null,"network":null}"#,
            ),
            (
                "warning: a\nb",
                r#"{"code":"warning","message":"a\nb","hint":null,"network":null}"#,
            ),
            (
                "@bob says: hi",
                r#"{"code":"note","message":"@bob says: hi","hint":null,"network":null}"#,
            ),
        ] {
            assert_eq!(note_document(text), document);
        }
    }
}
