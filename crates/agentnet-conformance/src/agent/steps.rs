//! The step file for agents: the messages to send and the records to expect.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::report::Reason;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentStepFile {
    #[serde(rename = "description")]
    _description: String,
    pub(super) steps: Vec<AgentStep>,
}

/// Exchanges that run one after another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentStep {
    pub(super) name: String,
    pub(super) section: String,
    /// What the run must have for this step.
    pub(super) needs: Option<Requirement>,
    /// What section 0 decided, where an exchange has an `original`.
    #[serde(default)]
    pub(super) why: Vec<Reason>,
    pub(super) exchanges: Vec<Exchange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Requirement {
    /// A capability that the agent offers.
    Capability,
    /// Half a minute of time.
    Slow,
}

/// A message, and the records that must come back before the next one is sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) send: MessageSpec,
    pub(super) expect: Expectation,
    /// The behaviour of the Python implementation, where section 0 decided otherwise.
    pub(super) original: Option<Expectation>,
    /// Time limit for all records, in milliseconds. Default: the run's timeout.
    pub(super) within_ms: Option<u64>,
    /// How long to repeat the exchange, in milliseconds, until its answer is as expected.
    pub(super) again_for_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MessageSpec {
    pub(super) to: Recipient,
    /// Members that differ from those of a plain request.
    pub(super) set: Map<String, Value>,
    /// Members of a plain request to leave out.
    pub(super) remove: Vec<String>,
    /// This text instead of a message.
    pub(super) raw: Option<String>,
    /// Fills the payload until the message has this many bytes.
    pub(super) pad: Option<usize>,
    /// `false`: without a NATS reply subject.
    pub(super) reply: Option<bool>,
    /// Number of copies sent at once, each with its own reply subject. They share one message id unless `fresh` is set.
    pub(super) copies: Option<usize>,
    pub(super) fresh: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recipient {
    #[default]
    Inbox,
    Capability,
}

/// All records that come back, in order; any other record is a failure.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expectation {
    pub(super) receipts: Vec<ReceiptKind>,
    /// On the reply subject.
    pub(super) replies: Vec<ReplyKind>,
    /// On a subject that is no reply subject.
    pub(super) elsewhere: Vec<ReplyKind>,
    /// The last reply to each copy; receipts are not compared.
    pub(super) copies: Vec<Copies>,
    /// Outcomes that at least one copy must have.
    pub(super) some: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptKind {
    pub(super) status: String,
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
}

/// An echo, or an error reply.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub(super) enum ReplyKind {
    Error {
        error: String,
        detail: String,
    },
    Echo {
        #[serde(rename = "echo")]
        _echo: bool,
    },
}

/// The copies from one number to another, from 1, both included.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copies {
    pub(super) from: usize,
    pub(super) to: usize,
    /// `echo`, or the code of an error reply.
    pub(super) one_of: Vec<String>,
}

impl AgentStepFile {
    /// Checks the rules that serde cannot express.
    pub(super) fn check(&self) -> Result<(), String> {
        for (index, step) in self.steps.iter().enumerate() {
            let wrong = |what: &str| Err(format!("step {index} ({}): {what}", step.name));
            if step.exchanges.is_empty() {
                return wrong("it has no exchanges");
            }
            let differs = step.exchanges.iter().any(|exchange| exchange.original.is_some());
            if differs == step.why.is_empty() {
                return wrong("`original` and `why` belong together");
            }
            for exchange in &step.exchanges {
                let (copies, expect) = (exchange.send.copies.unwrap_or_default(), &exchange.expect);
                if (copies == 0) != expect.copies.is_empty() || expect.copies.iter().any(|range| range.to > copies) {
                    return wrong("`copies` of `send` and of `expect` do not fit");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    #[test]
    fn embedded_step_file_is_valid() {
        let file: AgentStepFile = Spec::embedded().read(super::super::FILE).unwrap();
        file.check().unwrap();
        assert!(file.steps.len() >= 50);
        let codes = [
            "payload_too_large",
            "message_invalid",
            "schema_version_invalid",
            "unsupported_schema_version",
            "service_degraded",
            "missing_ttl",
            "expired",
            "rate_limited",
            "duplicate",
            "busy",
            "timeout",
            "handler_error",
        ];
        let expected = |code: &str| {
            let mut expects = file
                .steps
                .iter()
                .flat_map(|step| &step.exchanges)
                .map(|exchange| &exchange.expect);
            expects.any(|expect| {
                let replies = expect.replies.iter();
                let mut errors = replies.map(|reply| matches!(reply, ReplyKind::Error { error, .. } if error == code));
                errors.any(|is| is) || expect.some.iter().any(|some| some == code)
            })
        };
        for code in codes {
            assert!(expected(code), "no step shows {code}");
        }
    }
}
