//! Reads recorded conversations and the expected differences.

use std::collections::BTreeMap;

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::subject::Subject;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::requirement::Requirement;
use crate::error::ConformanceError;
use crate::report::Reason;
use crate::spec::{Spec, unusable};
use crate::unique_names::{RunSuffix, UniqueNames};

/// `spec/conformance/registry_*.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryStepFile {
    #[serde(rename = "description")]
    _description: String,
    /// The file below `spec/transcripts`; absent for what the Python implementation does not have.
    transcript: Option<String>,
    /// The steps of a conversation without a transcript.
    #[serde(default)]
    steps: Vec<RecordedStep>,
    /// The addition that the conversation is about, if the registry may lack it.
    requires: Option<Requirement>,
    /// The conversation whose accounts this one continues to use.
    #[serde(rename = "continues", default)]
    _continues: Option<String>,
    #[serde(rename = "dev_auth", default)]
    _dev_auth: bool,
    /// Public to private test keys.
    #[serde(default)]
    keys: BTreeMap<String, String>,
    fresh: Vec<String>,
    #[serde(default)]
    fresh_numbers: BTreeMap<String, Vec<i64>>,
    settings: Map<String, Value>,
    #[serde(default)]
    additions: Vec<String>,
    #[serde(default)]
    needs: Map<String, Value>,
    #[serde(default)]
    differences: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    step: usize,
    note: String,
    why: Vec<Reason>,
    expect: Value,
}

/// `spec/transcripts/registry_*.json`.
#[derive(Debug, Deserialize)]
struct Transcript {
    steps: Vec<RecordedStep>,
}

#[derive(Debug, Deserialize)]
struct RecordedStep {
    note: String,
    op: String,
    subject: String,
    #[serde(default)]
    request: Value,
    request_raw: Option<String>,
    #[serde(default)]
    response: Value,
    outcome: Option<String>,
}

/// One conversation, with the names of this run.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) keys: BTreeMap<String, String>,
    pub(super) settings: Map<String, Value>,
    /// Members that a registry without the additions of section 0.10 lacks.
    pub(super) additions: Vec<String>,
    /// Settings that must have these values for a step to be tested.
    pub(super) needs: Map<String, Value>,
    /// The addition that the conversation is about, if the registry may lack it.
    pub(super) requires: Option<Requirement>,
    pub(super) steps: Vec<RegistryStep>,
}

/// One request or publication.
#[derive(Debug)]
pub(super) struct RegistryStep {
    pub(super) file: String,
    pub(super) index: usize,
    pub(super) note: String,
    pub(super) subject: String,
    pub(super) body: RequestBody,
    /// The answer that the protocol requires.
    pub(super) expect: RecordedAnswer,
    /// The recorded answer of the Python implementation.
    pub(super) original: RecordedAnswer,
    /// The decisions behind the difference of these two, if any.
    pub(super) why: Vec<Reason>,
}

/// A request's body.
#[derive(Debug)]
pub(super) enum RequestBody {
    /// JSON, with placeholders.
    Json(Value),
    /// A text as it is.
    Raw(String),
}

/// The answer to a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RecordedAnswer {
    /// A publication: there is no answer.
    Published,
    /// A reply, with placeholders.
    Reply(Value),
    /// A request without an answer.
    Silence,
    /// A reply with the same members as the metrics before it.
    SameShape,
}

impl RecordedAnswer {
    /// The reply, if there is one to compare with.
    pub(super) fn reply(&self) -> Option<Value> {
        match self {
            Self::Reply(reply) => Some(reply.clone()),
            _ => None,
        }
    }
}

/// Thread and id of a message, if the registry must record it.
pub(super) fn recorded_as<'a>(subject: &str, message: &'a Value) -> Option<(String, &'a str)> {
    let recorded = matches!(
        Subject::parse(subject),
        Some(Subject::Inbox { .. } | Subject::Capability { .. } | Subject::Reply)
    );
    let text = |member: &str| message[member].as_str().filter(|text| !text.is_empty());
    let id = text("message_id").filter(|_| recorded)?;
    let thread = text("thread_id").map_or_else(
        || default_thread_id(text("trace_id").unwrap_or(id)).to_string(),
        str::to_owned,
    );
    Some((thread, id))
}

impl Conversation {
    pub(super) fn load(spec: &Spec, name: &str, run: &RunSuffix) -> Result<Self, ConformanceError> {
        let file_name = format!("conformance/{name}.json");
        let file: RegistryStepFile = spec.read(&file_name)?;
        let (recording_name, recorded) = match &file.transcript {
            Some(transcript) => {
                let recording_name = format!("transcripts/{transcript}.json");
                let recording: Transcript = spec.read(&recording_name)?;
                (recording_name, recording.steps)
            }
            None => (file_name.clone(), file.steps),
        };
        let numbers = file.fresh_numbers.into_iter();
        let numbers = numbers.flat_map(|(member, list)| list.into_iter().map(move |n| (member.clone(), n)));
        let names = UniqueNames::new(file.fresh, numbers.collect());
        let mut steps = Vec::new();
        for (index, recorded) in recorded.into_iter().enumerate() {
            let step =
                RegistryStep::read(name, index, recorded, &names, run).map_err(|why| unusable(&recording_name, why))?;
            steps.push(step);
        }
        for difference in file.differences {
            let step = steps
                .get_mut(difference.step)
                .filter(|step| step.note == difference.note);
            let step = step.ok_or_else(|| {
                let what = format!("step {} is not `{}`", difference.step, difference.note);
                unusable(&file_name, format!("{what} in {recording_name}"))
            })?;
            step.expect = RecordedAnswer::Reply(names.value(&difference.expect, run));
            step.why = difference.why;
            if step.expect == step.original || step.why.is_empty() {
                return Err(unusable(
                    &file_name,
                    format!("step {} has no difference or no reason", step.index),
                ));
            }
        }
        Ok(Self {
            keys: file.keys,
            settings: file.settings,
            additions: file.additions,
            needs: file.needs,
            requires: file.requires,
            steps,
        })
    }
}

impl RegistryStep {
    fn read(
        file: &str,
        index: usize,
        recorded: RecordedStep,
        names: &UniqueNames,
        run: &RunSuffix,
    ) -> Result<Self, String> {
        let body = match recorded.request_raw {
            Some(raw) => RequestBody::Raw(names.text(&raw, run)),
            None => RequestBody::Json(names.value(&recorded.request, run)),
        };
        let original = match (recorded.op.as_str(), recorded.outcome.as_deref(), recorded.response) {
            ("publish", None, Value::Null) => RecordedAnswer::Published,
            ("request", Some("timeout (no reply)"), Value::Null) => RecordedAnswer::Silence,
            ("request", None, Value::String(same)) if same == "<same shape as above>" => RecordedAnswer::SameShape,
            ("request", None, reply @ Value::Object(_)) => RecordedAnswer::Reply(names.value(&reply, run)),
            (op, outcome, reply) => return Err(format!("step {index}: {op} {outcome:?} {reply} is no outcome")),
        };
        Ok(Self {
            file: file.to_owned(),
            index,
            note: recorded.note,
            subject: names.text(&recorded.subject, run),
            body,
            expect: original.clone(),
            original,
            why: Vec::new(),
        })
    }

    fn is_signed(&self) -> bool {
        matches!(&self.body, RequestBody::Json(request) if !request["auth"].is_null())
    }

    /// The section of PROTOCOL.md that describes the subject.
    pub(super) fn section(&self) -> &'static str {
        match self.subject.strip_prefix("registry.") {
            Some("hello") => "7.4",
            Some("goodbye") => "7.5",
            Some("register") if self.is_signed() => "13.3",
            Some(rpc) if (rpc.starts_with("mailbox_") || rpc.starts_with("task_")) && self.is_signed() => "13.8",
            Some(rpc) if rpc.starts_with("mailbox_") => "21.3",
            Some(rpc) if rpc.starts_with("task_") => "22.3",
            Some(_) => "6",
            None => "8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_step_files_are_valid() {
        for name in super::super::OPEN.iter().chain(&super::super::SIGNED) {
            let conversation = Conversation::load(&Spec::embedded(), name, &RunSuffix::random()).unwrap();
            assert!(conversation.steps.len() >= 20, "{name}");
            let differing = conversation.steps.iter().filter(|step| !step.why.is_empty());
            // A conversation on an addition was not recorded: every step is as the protocol specifies.
            assert_eq!(differing.count() >= 10, conversation.requires.is_none(), "{name}");
        }
    }

    #[test]
    fn payloads_get_no_suffix() {
        let load = |run: &RunSuffix| Conversation::load(&Spec::embedded(), "registry_threads_memory", run).unwrap();
        let payloads = |conversation: &Conversation| -> Vec<Value> {
            let bodies = conversation.steps.iter().map(|step| &step.body);
            bodies
                .filter_map(|body| match body {
                    RequestBody::Json(request) => request.get("payload").cloned(),
                    RequestBody::Raw(_) => None,
                })
                .collect()
        };
        // The registry counts their bytes.
        assert_eq!(
            payloads(&load(&RunSuffix::random())),
            payloads(&load(&RunSuffix::random()))
        );
    }
}
