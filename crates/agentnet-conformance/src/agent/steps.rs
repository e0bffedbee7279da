//! The step file of an agent: what is sent, and what has to come back.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::report::Reason;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepFile {
    #[serde(rename = "description")]
    _description: String,
    pub(super) steps: Vec<AgentStep>,
}

/// Exchanges that belong together, one after another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentStep {
    pub(super) name: String,
    pub(super) section: String,
    /// What the step asks of the run.
    pub(super) needs: Option<Need>,
    /// What section 0 decided, where an exchange has an `original`.
    #[serde(default)]
    pub(super) why: Vec<Reason>,
    pub(super) exchanges: Vec<Exchange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Need {
    /// A capability that the agent offers.
    Capability,
    /// Half a minute.
    Slow,
}

/// A message, and what has to come back before the next one is sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) send: Sending,
    pub(super) expect: Expect,
    /// What the original does, where section 0 decided otherwise.
    pub(super) original: Option<Expect>,
    /// How long everything may take, in milliseconds. Default: the run's timeout.
    pub(super) within_ms: Option<u64>,
    /// The message is sent again for so long, in milliseconds, until it is answered as expected.
    pub(super) again_for_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sending {
    pub(super) to: To,
    /// Members that differ from those of a plain request.
    pub(super) set: Map<String, Value>,
    /// Members that it lacks.
    pub(super) remove: Vec<String>,
    /// This text instead of a message.
    pub(super) raw: Option<String>,
    /// Fills the payload until the message has so many bytes.
    pub(super) pad: Option<usize>,
    /// `false`: without a NATS reply subject.
    pub(super) reply: Option<bool>,
    /// So many at once, each with a reply subject of its own. They have one message id, unless they are `fresh`.
    pub(super) copies: Option<usize>,
    pub(super) fresh: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum To {
    #[default]
    Inbox,
    Capability,
}

/// Everything that comes back, in order; what is not named must not come.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) receipts: Vec<ReceiptKind>,
    /// On the reply subject.
    pub(super) replies: Vec<ReplyKind>,
    /// On a subject that is no reply subject.
    pub(super) elsewhere: Vec<ReplyKind>,
    /// The last reply to each copy; receipts are not looked at then.
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

impl StepFile {
    /// What serde does not see.
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
    fn the_built_in_file_holds_together() {
        let file: StepFile = Spec::embedded().read(super::super::FILE).unwrap();
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
