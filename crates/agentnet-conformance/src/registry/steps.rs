//! Reading recorded conversations, and what is expected of a registry instead.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::ConformanceError;
use crate::fresh::{Fresh, Run};
use crate::report::Reason;
use crate::spec::{Spec, unusable};

/// `spec/conformance/registry_*.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    #[serde(rename = "description")]
    _description: String,
    /// The file below `spec/transcripts`.
    transcript: String,
    /// The conversation whose accounts this one goes on with.
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
struct Recording {
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
    /// Settings that must have these values for a step to be judged.
    pub(super) needs: Map<String, Value>,
    pub(super) steps: Vec<Step>,
}

/// One request or publication.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) file: String,
    pub(super) index: usize,
    pub(super) note: String,
    pub(super) subject: String,
    pub(super) body: Body,
    /// What a registry has to answer.
    pub(super) expect: Answer,
    /// What the original answered.
    pub(super) original: Answer,
    /// Why these two differ, if they do.
    pub(super) why: Vec<Reason>,
}

/// What is sent.
#[derive(Debug)]
pub(super) enum Body {
    /// JSON, with placeholders.
    Json(Value),
    /// A text as it is.
    Raw(String),
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// Nothing is asked for.
    Published,
    /// A reply, with placeholders.
    Reply(Value),
    /// The requester waits in vain.
    Silence,
    /// A reply with the same members as the metrics before it.
    SameShape,
}

impl Conversation {
    pub(super) fn load(spec: &Spec, name: &str, run: &Run) -> Result<Self, ConformanceError> {
        let file_name = format!("conformance/{name}.json");
        let file: StepFile = spec.read(&file_name)?;
        let recording_name = format!("transcripts/{}.json", file.transcript);
        let recording: Recording = spec.read(&recording_name)?;
        let numbers = file.fresh_numbers.into_iter();
        let numbers = numbers.flat_map(|(member, list)| list.into_iter().map(move |n| (member.clone(), n)));
        let fresh = Fresh::new(file.fresh, numbers.collect());
        let mut steps = Vec::new();
        for (index, recorded) in recording.steps.into_iter().enumerate() {
            let step = Step::read(name, index, recorded, &fresh, run).map_err(|why| unusable(&recording_name, why))?;
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
            step.expect = Answer::Reply(fresh.value(&difference.expect, run));
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
            steps,
        })
    }
}

impl Step {
    fn read(file: &str, index: usize, recorded: RecordedStep, fresh: &Fresh, run: &Run) -> Result<Self, String> {
        let body = match recorded.request_raw {
            Some(raw) => Body::Raw(fresh.text(&raw, run)),
            None => Body::Json(fresh.value(&recorded.request, run)),
        };
        let original = match (recorded.op.as_str(), recorded.outcome.as_deref(), recorded.response) {
            ("publish", None, Value::Null) => Answer::Published,
            ("request", Some("timeout (no reply)"), Value::Null) => Answer::Silence,
            ("request", None, Value::String(same)) if same == "<same shape as above>" => Answer::SameShape,
            ("request", None, reply @ Value::Object(_)) => Answer::Reply(fresh.value(&reply, run)),
            (op, outcome, reply) => return Err(format!("step {index}: {op} {outcome:?} {reply} is no outcome")),
        };
        Ok(Self {
            file: file.to_owned(),
            index,
            note: recorded.note,
            subject: fresh.text(&recorded.subject, run),
            body,
            expect: original.clone(),
            original,
            why: Vec::new(),
        })
    }

    /// The section of PROTOCOL.md that describes the subject.
    pub(super) fn section(&self) -> &'static str {
        match self.subject.strip_prefix("registry.") {
            Some("hello") => "7.4",
            Some("goodbye") => "7.5",
            Some("register") if matches!(&self.body, Body::Json(request) if !request["auth"].is_null()) => "13.3",
            Some(_) => "6",
            None => "8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_files_hold_together() {
        for name in super::super::OPEN.iter().chain(&super::super::SIGNED) {
            let conversation = Conversation::load(&Spec::embedded(), name, &Run::random()).unwrap();
            assert!(conversation.steps.len() > 20, "{name}");
            let differing = conversation.steps.iter().filter(|step| !step.why.is_empty());
            assert!(differing.count() >= 10, "{name}");
        }
    }

    #[test]
    fn what_messages_hold_is_not_made_fresh() {
        let load = |run: &Run| Conversation::load(&Spec::embedded(), "registry_threads_memory", run).unwrap();
        let payloads = |conversation: &Conversation| -> Vec<Value> {
            let bodies = conversation.steps.iter().map(|step| &step.body);
            bodies
                .filter_map(|body| match body {
                    Body::Json(request) => request.get("payload").cloned(),
                    Body::Raw(_) => None,
                })
                .collect()
        };
        // Their sizes are counted.
        assert_eq!(payloads(&load(&Run::random())), payloads(&load(&Run::random())));
    }
}
