//! Reading recorded conversations.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// One recorded conversation.
pub(crate) struct Transcript {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// One request or publication.
pub(crate) struct Step {
    pub(crate) transcript: String,
    pub(crate) index: usize,
    pub(crate) note: String,
    pub(crate) subject: String,
    pub(crate) body: Body,
    pub(crate) recorded: Recorded,
}

/// What was sent.
pub(crate) enum Body {
    /// JSON, with placeholders.
    Json(Value),
    /// A text as it is.
    Raw(String),
}

/// What came back.
pub(crate) enum Recorded {
    /// Nothing was asked for.
    Published,
    /// A reply, with placeholders.
    Reply(Value),
    /// The requester waited in vain.
    NoReply,
    /// A reply with the same members as the one before.
    SameShape,
}

impl Transcript {
    pub(crate) fn load(name: &str) -> Self {
        let path = locate(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let root: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let steps = root["steps"].as_array().expect("a transcript has steps");
        assert!(!steps.is_empty(), "{} has no steps", path.display());
        Self {
            name: name.to_owned(),
            steps: steps
                .iter()
                .enumerate()
                .map(|(index, step)| Step::read(name, index, step))
                .collect(),
        }
    }
}

impl Step {
    fn read(transcript: &str, index: usize, step: &Value) -> Self {
        let text = |member: &str| {
            let text = step[member].as_str();
            text.unwrap_or_else(|| panic!("{transcript}, step {index} has no `{member}`"))
                .to_owned()
        };
        Self {
            transcript: transcript.to_owned(),
            index,
            note: text("note"),
            subject: text("subject"),
            body: match step.get("request_raw").and_then(Value::as_str) {
                Some(raw) => Body::Raw(raw.to_owned()),
                None => Body::Json(step["request"].clone()),
            },
            recorded: match (text("op").as_str(), step.get("outcome"), &step["response"]) {
                ("publish", None, Value::Null) => Recorded::Published,
                ("request", Some(outcome), Value::Null) if *outcome == "timeout (no reply)" => Recorded::NoReply,
                ("request", None, Value::String(same)) if same == "<same shape as above>" => Recorded::SameShape,
                ("request", None, reply @ Value::Object(_)) => Recorded::Reply(reply.clone()),
                (op, outcome, reply) => panic!("{transcript}, step {index}: {op} {outcome:?} {reply}"),
            },
        }
    }

    /// The request's member, if the request is an object that has it.
    pub(crate) fn asked(&self, member: &str) -> Option<&Value> {
        match &self.body {
            Body::Json(request) => request.get(member),
            Body::Raw(_) => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} step {}, {} ({})",
            self.transcript, self.index, self.subject, self.note
        )
    }
}

fn locate(name: &str) -> PathBuf {
    let file = format!("{name}.json");
    let given = env::var_os("AGENTNET_TRANSCRIPTS").map(|directory| Path::new(&directory).join(&file));
    given
        .filter(|path| path.exists())
        .unwrap_or_else(|| spec("transcripts").join(file))
}

/// A directory of the specification.
pub(crate) fn spec(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec").join(directory)
}
