//! How a command ends early, and the exit code that goes with it (PROTOCOL.md section 16).

use std::io;

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::url::NatsUrl;

use crate::output::sanitize::{clean, clean_lines};

/// Why a command did not run to its end.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It failed: told on stderr as `error: …` and `hint: …`.
    Failed(Failure),
    /// Ctrl-C. Exit code 130.
    Interrupted,
    /// SIGTERM. Exit code 143; 0 for a command that runs until it is stopped.
    Terminated,
    /// SIGHUP: the terminal has gone. As Ctrl-C, except that a conversation ends with it.
    HungUp,
    /// Whoever read our output has gone (`agentnet list | head -1`): no failure, nothing to tell.
    OutputClosed,
}

/// What failed, why, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    code: u8,
    /// What programs know it by, where its text does not begin with that.
    name: Option<String>,
    /// Whether somebody on the network said so, or nobody answered: then it is told which network was asked.
    asked: bool,
}

impl Failure {
    /// Exit code 1: a payload that is no JSON, a request without answer, no connection, nothing to run.
    pub(crate) fn trouble(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            code: 1,
            name: None,
            asked: false,
        }
    }

    /// Exit code 2: the network refused (registry error, `delivery_*`, unknown name, silent registry) or wrong usage.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            code: 2,
            name: None,
            asked: false,
        }
    }

    /// As a failure that leaves nothing judged: exit code 2, where 1 says that something was judged and is wrong.
    pub(crate) fn nothing_judged(mut self) -> Self {
        self.code = 2;
        self
    }

    /// With the code that `--json` tells programs.
    pub(crate) fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// With advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As a failure of what was asked of the network.
    pub(crate) fn of_network(mut self) -> Self {
        self.asked = true;
        self
    }

    /// Whether this is what failed, word for word.
    pub(crate) fn is(&self, what: &str) -> bool {
        self.what == what
    }

    /// The advice, if there is some.
    pub(crate) fn advice(self) -> Option<String> {
        self.hint
    }

    /// The text for stderr, without the last line break.
    pub(crate) fn text(&self) -> String {
        // Both may quote what agents send: nothing of it steers the terminal, or makes a line that looks like ours.
        let what = clean(&self.what);
        match &self.hint {
            Some(hint) => format!("error: {what}\nhint: {}", clean_lines(hint)),
            None => format!("error: {what}"),
        }
    }
}

impl Failure {
    /// As [`Failure::text`], with the address of the network below if that was asked (a token in it is hidden).
    pub(crate) fn text_with(&self, url: &str) -> String {
        match NatsUrl::parse(url) {
            Ok(url) if self.asked => format!("{}\nnetwork: {}", self.text(), url.redacted()),
            _ => self.text(),
        }
    }

    /// One JSON object: `code`, `message`, `hint`, `network`, the last two `null` where there is none.
    pub(crate) fn document(&self, url: &str) -> String {
        let network = NatsUrl::parse(url).ok().filter(|_| self.asked);
        let mut document = ObjectWriter::new();
        document
            .text("code", self.name())
            .text("message", &self.what)
            .nullable_text("hint", self.hint.as_deref())
            .nullable_text("network", network.map(|url| url.redacted().to_string()).as_deref());
        document.finish()
    }

    /// The code that programs know it by: its own, else that which its text begins with, else one of its exit code.
    fn name(&self) -> &str {
        let begin = self.what.split([':', ' ']).next().unwrap_or_default();
        let is_code = begin.contains('_')
            && begin
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        match (self.name.as_deref(), self.code) {
            (Some(name), _) => name,
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
            Self::Failed(failure) => failure.code,
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
    /// The errors of writing to stdout.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Failure::trouble(format!("cannot write to standard output: {error}")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_exit_code() {
        for (ended, code) in [
            (Failure::trouble("no connection").into(), 1),
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
        assert_eq!(Failure::trouble("it broke: no").text(), "error: it broke: no");
        assert_eq!(
            Failure::refused("not_found").hint("look").text(),
            "error: not_found\nhint: look"
        );
        let steering = Failure::refused("bad \u{1b}[2J\u{202e}").hint("a\u{200b}b");
        assert_eq!(steering.text(), "error: bad \u{fffd}[2J\u{fffd}\nhint: a\u{fffd}b");
        let forged = Failure::refused("busy: d\nhint: run this\r\n✓ sent");
        assert_eq!(forged.text(), "error: busy: d hint: run this  ✓ sent");
        let url = "nats://secret@h:4222";
        let asked = Failure::refused("not_found").of_network();
        assert_eq!(asked.text_with(url), "error: not_found\nnetwork: nats://***@h:4222");
        assert_eq!(Failure::refused("not_found").text_with(url), "error: not_found");
        assert_eq!(
            asked.hint("look").document(url),
            r#"{"code":"not_found","message":"not_found","hint":"look","network":"nats://***@h:4222"}"#
        );
    }

    #[test]
    fn every_failure_has_a_code() {
        for (failure, name) in [
            (Failure::refused("not_found"), "not_found"),
            (
                Failure::refused("delivery_ack_timeout message_id=m attempts=2"),
                "delivery_ack_timeout",
            ),
            (Failure::refused("recipient_offline: bob"), "recipient_offline"),
            (Failure::refused("busy").named("busy"), "busy"),
            (Failure::trouble("it broke"), "failed"),
            (Failure::refused("the target is empty"), "refused"),
            (Failure::refused("No_such thing"), "refused"),
        ] {
            assert_eq!(failure.name(), name);
        }
    }
}
