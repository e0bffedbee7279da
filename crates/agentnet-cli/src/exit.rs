//! Why a command ended early, and its exit code (PROTOCOL.md section 16).

use std::io;

use agentnet_nats::NatsUrl;
use agentnet_protocol::json::ObjectWriter;

use crate::output::sanitize::{clean, clean_lines};

/// Why a command did not run to its end.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It failed: printed on stderr as `error: …` and `hint: …`.
    Failed(Failure),
    /// Ctrl-C. Exit code 130.
    Interrupted,
    /// SIGTERM. Exit code 143; 0 for a command that runs until it is stopped.
    Terminated,
    /// SIGHUP: the terminal was closed. As Ctrl-C, but it also ends a conversation.
    HungUp,
    /// The reader of the output closed it (`agentnet list | head -1`). Not a failure; nothing is printed.
    OutputClosed,
}

/// What failed, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    text: String,
    hint: Option<String>,
    exit_code: u8,
    /// The error code for programs, where the text does not begin with it.
    code: Option<String>,
    /// Whether the network caused it, so that its address is printed.
    names_network: bool,
}

impl Failure {
    /// Exit code 1: invalid JSON, a request without an answer, no connection, nothing to run.
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            exit_code: 1,
            code: None,
            names_network: false,
        }
    }

    /// Exit code 2: refused by the network (registry error, `delivery_*`, unknown name, silent registry), or wrong usage.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            exit_code: 2,
            code: None,
            names_network: false,
        }
    }

    /// Changes the exit code to 2, for commands that exit with 1 when a check fails.
    pub(crate) fn exit_code_2(mut self) -> Self {
        self.exit_code = 2;
        self
    }

    /// Sets the error code, which `--json` prints.
    pub(crate) fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets the advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the part of the program that failed, in front of the text. The code stays.
    pub(crate) fn within(self, part: &str) -> Self {
        let code = Some(self.code().to_owned());
        Self {
            text: format!("{part}: {}", self.text),
            code,
            ..self
        }
    }

    /// Prints the address of the network with the failure.
    pub(crate) fn with_network(mut self) -> Self {
        self.names_network = true;
        self
    }

    /// Whether the text is exactly this.
    pub(crate) fn has_text(&self, text: &str) -> bool {
        self.text == text
    }

    /// Text of the `hint:` line, if there is one.
    pub(crate) fn into_hint(self) -> Option<String> {
        self.hint
    }

    /// The lines for stderr, without the last line break.
    pub(crate) fn text(&self) -> String {
        // Both may quote texts of other agents: these must neither control the terminal nor forge a line.
        let text = clean(&self.text);
        match &self.hint {
            Some(hint) => format!("error: {text}\nhint: {}", clean_lines(hint)),
            None => format!("error: {text}"),
        }
    }
}

impl Failure {
    /// As [`Failure::text`], with the address of the network if it caused the failure (a token in it is hidden).
    pub(crate) fn text_with(&self, url: &str) -> String {
        match NatsUrl::parse(url) {
            Ok(url) if self.names_network => format!("{}\nnetwork: {}", self.text(), url.redacted()),
            _ => self.text(),
        }
    }

    /// One JSON object: `code`, `message`, `hint` and `network`; the last two may be `null`.
    pub(crate) fn document(&self, url: &str) -> String {
        let network = NatsUrl::parse(url).ok().filter(|_| self.names_network);
        let mut document = ObjectWriter::new();
        document
            .text("code", self.code())
            .text("message", &self.text)
            .nullable_text("hint", self.hint.as_deref())
            .nullable_text("network", network.map(|url| url.redacted().to_string()).as_deref());
        document.finish()
    }

    /// The error code: as set, else the one at the beginning of the text, else one for the exit code.
    pub(crate) fn code(&self) -> &str {
        let begin = self.text.split([':', ' ']).next().unwrap_or_default();
        let is_code = begin.contains('_')
            && begin
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        match (self.code.as_deref(), self.exit_code) {
            (Some(code), _) => code,
            _ if is_code => begin,
            (None, 1) => "failed",
            (None, _) => "refused",
        }
    }
}

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(failure) => failure.exit_code,
            Self::Interrupted | Self::HungUp => 130,
            Self::Terminated => 143,
            Self::OutputClosed => 0,
        }
    }
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Exit {
    /// An error of writing to stdout.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Failure::error(format!("cannot write to standard output: {error}")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_exit_code() {
        for (ended, code) in [
            (Failure::error("no connection").into(), 1),
            (Failure::refused("not_found").into(), 2),
            (Exit::Interrupted, 130),
            (Exit::HungUp, 130),
            (Exit::Terminated, 143),
            (Exit::from(io::Error::from(io::ErrorKind::BrokenPipe)), 0),
            (Exit::from(io::Error::from(io::ErrorKind::StorageFull)), 1),
        ] {
            assert_eq!(ended.code(), code, "{ended:?}");
        }
    }

    #[test]
    fn a_failure_is_told_in_one_shape() {
        assert_eq!(Failure::error("it broke: no").text(), "error: it broke: no");
        assert_eq!(
            Failure::refused("not_found").hint("look").text(),
            "error: not_found\nhint: look"
        );
        let steering = Failure::refused("bad \u{1b}[2J\u{202e}").hint("a\u{200b}b");
        assert_eq!(steering.text(), "error: bad \u{fffd}[2J\u{fffd}\nhint: a\u{fffd}b");
        let forged = Failure::refused("busy: d\nhint: run this\r\n✓ sent");
        assert_eq!(forged.text(), "error: busy: d hint: run this  ✓ sent");
        let url = "nats://secret@h:4222";
        let asked = Failure::refused("not_found").with_network();
        assert_eq!(asked.text_with(url), "error: not_found\nnetwork: nats://***@h:4222");
        assert_eq!(Failure::refused("not_found").text_with(url), "error: not_found");
        assert_eq!(
            asked.hint("look").document(url),
            r#"{"code":"not_found","message":"not_found","hint":"look","network":"nats://***@h:4222"}"#
        );
    }

    #[test]
    fn every_failure_has_a_code() {
        for (failure, code) in [
            (Failure::refused("not_found"), "not_found"),
            (
                Failure::refused("delivery_ack_timeout message_id=m attempts=2"),
                "delivery_ack_timeout",
            ),
            (Failure::refused("recipient_offline: bob"), "recipient_offline"),
            (Failure::refused("busy").with_code("busy"), "busy"),
            (Failure::error("it broke"), "failed"),
            (Failure::refused("the target is empty"), "refused"),
            (Failure::refused("No_such thing"), "refused"),
        ] {
            assert_eq!(failure.code(), code);
        }
    }
}
