//! The source of lines: a line editor on a terminal, else standard input.

use std::io::{IsTerminal as _, stdin, stdout};

use agentnet::RegistryClient;
use tokio::io::{AsyncBufReadExt as _, BufReader, Split, Stdin};
use tokio::sync::mpsc;

use super::editor::{Terminal, Typed, Unfinished};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// A source of lines.
pub(super) enum Input {
    Terminal(Terminal),
    Piped(Piped),
}

/// Standard input, line by line.
pub(super) struct Piped {
    lines: Split<BufReader<Stdin>>,
    read: usize,
}

impl Input {
    pub(super) fn open(
        registry: Option<RegistryClient>,
        output: Output,
        unfinished: Unfinished,
    ) -> Result<Self, Failure> {
        if stdin().is_terminal() && stdout().is_terminal() {
            return Ok(Self::Terminal(Terminal::open(registry, output, unfinished)?));
        }
        Ok(Self::Piped(Piped {
            lines: BufReader::new(tokio::io::stdin()).split(b'\n'),
            read: 0,
        }))
    }

    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Reads the next line. With a pipe, dropping the future loses nothing.
    pub(super) async fn next(&mut self, prompt: &str) -> Result<Typed, Exit> {
        match self {
            Self::Piped(piped) => Ok(piped.next().await?),
            Self::Terminal(terminal) => Ok(terminal.next(prompt).await),
        }
    }

    /// Ends the input, and waits until all texts above the edited line are written.
    pub(super) async fn end(self) {
        if let Self::Terminal(terminal) = self {
            terminal.end().await;
        }
    }

    /// The queue of texts to write above the edited line, on a terminal.
    pub(super) fn above(&self) -> Option<mpsc::Sender<String>> {
        match self {
            Self::Piped(_) => None,
            Self::Terminal(terminal) => Some(terminal.above().clone()),
        }
    }
}

impl Piped {
    async fn next(&mut self) -> Result<Typed, Failure> {
        let line = self.lines.next_segment().await;
        let line = line.map_err(|error| Failure::error(format!("cannot read standard input: {error}")))?;
        let Some(line) = line else { return Ok(Typed::End) };
        self.read += 1;
        text(line, self.read).map(Typed::Line)
    }
}

/// The text of a line; the first one has the number 1.
fn text(line: Vec<u8>, number: usize) -> Result<String, Failure> {
    String::from_utf8(line).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        Failure::error(format!(
            "line {number} of standard input is not UTF-8 text (byte {at} of the line): it was not sent, nor what follows it"
        ))
        .hint("convert the input, e.g. with `iconv -f LATIN1 -t UTF-8`, and send it again from that line on")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_text_is_told_by_its_number() {
        assert_eq!(text("hé\r".into(), 1), Ok("hé\r".to_owned()));
        let told = text(b"a\xff\xfeb".to_vec(), 3).unwrap_err().text();
        assert!(
            told.starts_with("error: line 3 of standard input is not UTF-8 text (byte 2 of the line): "),
            "{told}"
        );
    }
}
