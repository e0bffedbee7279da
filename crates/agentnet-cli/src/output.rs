//! Everything that the program writes: documents and lines on stdout, notes and failures on stderr.
#![allow(clippy::print_stderr, reason = "this module is the program's voice")]

pub(crate) mod ago;
pub(crate) mod cell;
pub(crate) mod json;
pub(crate) mod table;

use std::io::{self, IsTerminal, Write};

use crate::ended::Failure;

/// How and where to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    color: bool,
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
    pub(crate) fn detect(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let says = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let color = terminal && says("NO_COLOR").is_none() && says("TERM").is_none_or(|term| term != "dumb");
        Self { json, terminal, color }
    }

    #[cfg(test)]
    pub(crate) fn fixed(terminal: bool, color: bool) -> Self {
        Self {
            json: false,
            terminal,
            color,
        }
    }

    /// Whether JSON documents were asked for.
    pub(crate) fn is_json(self) -> bool {
        self.json
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

    /// A remark for people, on stderr.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        // Nobody to tell when stderr is closed, so the failure to write is passed over.
        let _ = writeln!(io::stderr(), "{}", text.as_ref());
    }

    /// A failure, on stderr: `error: …`, and `hint: …` below it.
    pub(crate) fn failure(self, failure: &Failure) {
        self.note(failure.text());
    }
}
