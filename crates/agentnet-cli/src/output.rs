//! Everything that the program writes: documents and lines on stdout, notes and failures on stderr.
#![allow(clippy::print_stderr, reason = "this module is the program's voice")]

mod cells;
pub(crate) mod json;
mod pager;
pub(crate) mod relative_time;
pub(crate) mod sanitize;
pub(crate) mod spinner;
pub(crate) mod table;

use std::io::{self, IsTerminal, Write};

use agentnet_protocol::json::ObjectWriter;

use crate::exit::Failure;
use crate::logging::{LogFormat, VOICE};

/// How and where to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    wide: bool,
    terminal: bool,
    color: bool,
    log_format: LogFormat,
}

/// What results are written as.
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

/// A colour of the few that are used.
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
    /// For this process: colours, dots and relative times only where stdout is a terminal, colours unless `NO_COLOR` says
    /// no or the terminal is a dumb one.
    pub(crate) fn detect(format: Format, wide: bool) -> Self {
        let terminal = io::stdout().is_terminal() && format != Format::Csv;
        let says = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let color = terminal && says("NO_COLOR").is_none() && says("TERM").is_none_or(|term| term != "dumb");
        Self {
            format,
            wide,
            terminal,
            color,
            log_format: LogFormat::Text,
        }
    }

    /// With notes and failures written as the log is: stderr has one form.
    pub(crate) fn speaking(mut self, log_format: LogFormat) -> Self {
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

    /// Whether JSON documents were asked for.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether comma-separated values were asked for.
    pub(crate) fn is_csv(self) -> bool {
        self.format == Format::Csv
    }

    /// Whether nothing is cut, however narrow the terminal.
    pub(crate) fn is_wide(self) -> bool {
        self.wide
    }

    /// The terminal's width in characters; `None` where there is none.
    pub(crate) fn width(self) -> Option<usize> {
        self.size()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0)
    }

    /// The terminal's height in lines; `None` where there is none.
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

    /// Whether a person looks at stdout.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Whether colours are wanted.
    pub(crate) fn is_colored(self) -> bool {
        self.color
    }

    /// The text in a colour, where colours are wanted.
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

    /// Writes the text and a line break to stdout at once.
    ///
    /// # Errors
    /// What writing says; a closed pipe is one.
    pub(crate) fn line(self, text: impl AsRef<str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Writes whole lines to stdout at once.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn text(self, lines: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(lines.as_bytes())?;
        out.flush()
    }

    /// Writes one JSON document on a line of its own, or an indented one where a person looks at it.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn document(self, json: &str) -> io::Result<()> {
        self.line(if self.is_terminal() {
            json::laid_out(json, json::Layout::Indented)
        } else {
            json::one_line(json)
        })
    }

    /// Writes one JSON document of a sequence: always on one line.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn document_line(self, json: &str) -> io::Result<()> {
        self.line(json::one_line(json))
    }

    /// A remark for people, on stderr; where JSON was asked for, one object.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        let text = text.as_ref();
        match self.log_format {
            // Nobody to tell when stderr is closed, so the failure to write is passed over.
            _ if self.is_json() => drop(writeln!(io::stderr(), "{}", json::one_line(&note_document(text)))),
            LogFormat::Text => drop(writeln!(io::stderr(), "{text}")),
            LogFormat::Json => tracing::info!(target: VOICE, "{text}"),
        }
    }

    /// A failure, on stderr: `error: …`, and `hint: …` below it; where JSON was asked for, one object.
    pub(crate) fn failure(self, failure: &Failure) {
        self.failed(&failure.text(), || failure.document(""));
    }

    /// The failure that ends a command, with the network's address where that matters.
    pub(crate) fn failure_at(self, failure: &Failure, url: &str) {
        self.failed(&failure.text_with(url), || failure.document(url));
    }

    fn failed(self, text: &str, document: impl FnOnce() -> String) {
        match self.log_format {
            // Nobody to tell when stderr is closed.
            _ if self.is_json() => drop(writeln!(io::stderr(), "{}", json::one_line(&document()))),
            LogFormat::Text => self.note(text),
            LogFormat::Json => tracing::error!(target: VOICE, "{text}"),
        }
    }
}

/// A remark in the shape of a failure: its `code` is what the text begins with (`note`, `hint`, `warning`).
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
    fn remarks_have_the_shape_of_failures() {
        for (text, document) in [
            (
                "note: nobody is called x: did you mean y?",
                r#"{"code":"note","message":"nobody is called x: did you mean y?","hint":null,"network":null}"#,
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
