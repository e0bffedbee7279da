//! What a handler of tasks is given, and what it gives back.

use std::error::Error;

use agentnet_protocol::RawJson;
use agentnet_protocol::json::{ObjectWriter, ascii};
use agentnet_protocol::rpc::{ClaimedTask, Reply as _, TaskReply, TaskSnapshot};
use agentnet_protocol::task::{MAX_RESULT_BYTES, MAX_TEXT_BYTES, TaskState, error as task_error};

use super::error::TaskError;
use crate::send::error::SendError;

/// A task that this node has to do. Its lease stays with the node, which keeps it while the handler runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedWork {
    /// The task as it was when it was claimed.
    pub task: TaskSnapshot,
    /// The attempt, from 1.
    pub attempt: i64,
    /// What is to be done, for programs.
    pub payload: Option<RawJson>,
    /// What an earlier attempt has [left](crate::TaskContext::checkpoint).
    pub checkpoint: Option<RawJson>,
    /// The answer to [`TaskFailure::input_required`] or [`TaskFailure::auth_required`].
    pub input: Option<RawJson>,
}

impl From<ClaimedTask> for ClaimedWork {
    fn from(claimed: ClaimedTask) -> Self {
        Self {
            task: claimed.task,
            attempt: claimed.attempt,
            payload: claimed.payload,
            checkpoint: claimed.checkpoint,
            input: claimed.input,
        }
    }
}

impl ClaimedWork {
    /// Id of the task.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.task.task_id
    }

    /// What is to be done, in words.
    #[must_use]
    #[allow(
        clippy::misnamed_getters,
        reason = "the member `text` is the last word about the task"
    )]
    pub fn text(&self) -> &str {
        &self.task.assigned_text
    }

    /// Everything as a JSON object: `task`, `attempt`, `payload`, `checkpoint` and `input`, absent ones as `null`.
    #[must_use]
    pub fn to_json(&self) -> RawJson {
        let reply = TaskReply {
            task: self.task.clone(),
            ..TaskReply::default()
        };
        let reply = reply.encode();
        let task = RawJson::parse(reply).ok().and_then(|reply| {
            let object = reply.view().as_object()?;
            RawJson::parse(object.get("task").raw().to_owned()).ok()
        });
        let mut out = ObjectWriter::with_capacity(1024);
        let mut write = |name: &str, value: Option<&RawJson>| {
            out.raw(name, &ascii(value.map_or("null", RawJson::get)));
        };
        write("task", task.as_ref());
        write("payload", self.payload.as_ref());
        write("checkpoint", self.checkpoint.as_ref());
        write("input", self.input.as_ref());
        out.int("attempt", self.attempt);
        RawJson::parse(out.finish()).unwrap_or_default()
    }
}

/// What came of a task: a JSON value, words, or both. A JSON value, a text and `()` are converted into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskOutput {
    /// Any JSON of at most 256 KiB. Larger content goes into a blob.
    pub result: Option<RawJson>,
    /// Words, of which 64 KiB are kept.
    pub text: Option<String>,
}

impl TaskOutput {
    /// A JSON value and words.
    pub fn new(result: impl Into<RawJson>, text: impl Into<String>) -> Self {
        Self {
            result: Some(result.into()),
            text: Some(text.into()),
        }
    }
}

impl From<RawJson> for TaskOutput {
    fn from(result: RawJson) -> Self {
        Self {
            result: Some(result),
            text: None,
        }
    }
}

impl From<serde_json::Value> for TaskOutput {
    fn from(result: serde_json::Value) -> Self {
        RawJson::from(result).into()
    }
}

impl From<String> for TaskOutput {
    fn from(text: String) -> Self {
        Self {
            result: None,
            text: Some(text),
        }
    }
}

impl From<&str> for TaskOutput {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<()> for TaskOutput {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// Why a handler does not complete its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    pub(super) state: TaskState,
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) text: Option<String>,
    pub(super) is_retryable: bool,
}

impl TaskFailure {
    fn new(state: TaskState) -> Self {
        Self {
            state,
            code: None,
            detail: None,
            text: None,
            is_retryable: false,
        }
    }

    /// It failed for good.
    pub fn failed(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            detail: Some(detail.into()),
            ..Self::new(TaskState::Failed)
        }
    }

    /// It failed, and another attempt may help: one is made while the task has some left.
    pub fn retryable(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            is_retryable: true,
            ..Self::failed(code, detail)
        }
    }

    /// This agent does not do such work.
    pub fn rejected(detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(TaskState::Rejected)
        }
    }

    /// The work has stopped because it is not wanted any more.
    #[must_use]
    pub fn canceled() -> Self {
        Self::new(TaskState::Canceled)
    }

    /// The work cannot go on without an answer: the task waits for one, and is done by whoever claims it then.
    pub fn input_required(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::new(TaskState::InputRequired)
        }
    }

    /// The work cannot go on without a permission: as [`input_required`](Self::input_required).
    pub fn auth_required(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::new(TaskState::AuthRequired)
        }
    }

    /// The task is given back, for another worker; the attempt does not count.
    #[must_use]
    pub fn released() -> Self {
        Self::new(TaskState::Submitted)
    }
}

impl std::fmt::Display for TaskFailure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.state.as_str())?;
        for part in [&self.code, &self.detail, &self.text].into_iter().flatten() {
            write!(out, ": {part}")?;
        }
        Ok(())
    }
}

impl From<TaskError> for TaskFailure {
    /// Another attempt may help.
    fn from(error: TaskError) -> Self {
        Self::retryable(error.code().unwrap_or(HANDLER_ERROR), error.to_string())
    }
}

impl From<SendError> for TaskFailure {
    /// Another attempt may help.
    fn from(error: SendError) -> Self {
        Self::retryable("send_error", error.to_string())
    }
}

impl From<Box<dyn Error + Send + Sync>> for TaskFailure {
    /// Another attempt may help.
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self::retryable(HANDLER_ERROR, error.to_string())
    }
}

/// The code of a failure without one.
pub(super) const HANDLER_ERROR: &str = "handler_error";

/// How an attempt has ended, with values that a registry takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptEnd {
    pub(super) output: TaskOutput,
    pub(super) failure: Option<TaskFailure>,
}

impl AttemptEnd {
    pub(super) fn state(&self) -> TaskState {
        self.failure
            .as_ref()
            .map_or(TaskState::Completed, |failure| failure.state)
    }

    /// What came of it in words, if it says so.
    pub(super) fn text(&self) -> Option<&str> {
        let failure = self.failure.as_ref();
        let text = self.output.text.as_ref();
        text.or_else(|| failure?.text.as_ref()).map(String::as_str)
    }
}

impl From<Result<TaskOutput, TaskFailure>> for AttemptEnd {
    fn from(outcome: Result<TaskOutput, TaskFailure>) -> Self {
        match outcome {
            Ok(output) => {
                let size = output.result.as_ref().map_or(0, |result| ascii(result.get()).len());
                if size > MAX_RESULT_BYTES {
                    return Err(TaskFailure::failed(
                        task_error::TOO_LARGE,
                        format!(
                            "the result has {size} bytes, and at most {MAX_RESULT_BYTES} are kept: put it into a blob"
                        ),
                    ))
                    .into();
                }
                Self {
                    output: TaskOutput {
                        text: output.text.map(|text| shortened(text, MAX_TEXT_BYTES)),
                        ..output
                    },
                    failure: None,
                }
            }
            Err(failure) => Self {
                output: TaskOutput::default(),
                failure: Some(TaskFailure {
                    code: failure.code.map(|code| shortened(code, MAX_CODE_BYTES)),
                    detail: failure.detail.map(|detail| shortened(detail, MAX_TEXT_BYTES)),
                    text: failure.text.map(|text| shortened(text, MAX_TEXT_BYTES)),
                    ..failure
                }),
            },
        }
    }
}

/// Bytes of a code that are kept.
const MAX_CODE_BYTES: usize = agentnet_protocol::limits::MAX_NAME_BYTES;

/// The first bytes of a text, at most so many.
pub(super) fn shortened(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_becomes_a_failure_or_is_cut() {
        let long = RawJson::from(serde_json::json!("ä".repeat(MAX_RESULT_BYTES / 6 + 1)));
        let end = AttemptEnd::from(Ok(TaskOutput::from(long)));
        assert_eq!(end.state(), TaskState::Failed);
        assert_eq!(end.failure.unwrap().code.as_deref(), Some("task_too_large"));
        let end = AttemptEnd::from(Ok(TaskOutput::from("ä".repeat(MAX_TEXT_BYTES))));
        assert_eq!(end.text().map(str::len), Some(MAX_TEXT_BYTES));
        let end = AttemptEnd::from(Err(TaskFailure::failed("c".repeat(1000), "d")));
        assert_eq!(end.failure.unwrap().code.map(|code| code.len()), Some(MAX_CODE_BYTES));
    }

    #[test]
    fn failures_say_what_they_are() {
        assert_eq!(TaskFailure::canceled().to_string(), "canceled");
        assert_eq!(TaskFailure::failed("c", "d").to_string(), "failed: c: d");
        let lost = TaskFailure::from(TaskError::LeaseLost { task_id: "t".into() });
        assert!(lost.is_retryable && lost.code.as_deref() == Some("task_lease_lost"));
    }

    #[test]
    fn work_is_shown_without_its_lease() {
        let claimed = ClaimedTask {
            task: TaskSnapshot {
                task_id: "t".into(),
                assigned_text: "do it".into(),
                ..TaskSnapshot::default()
            },
            attempt: 2,
            lease: "secret".into(),
            payload: Some(RawJson::parse("[1.0]".to_owned()).unwrap()),
            ..ClaimedTask::default()
        };
        let work = ClaimedWork::from(claimed);
        assert_eq!((work.id(), work.text()), ("t", "do it"));
        let json = work.to_json();
        assert!(json.get().contains(r#""payload":[1.0],"checkpoint":null"#), "{json}");
        assert!(
            json.get().contains(r#""task_id":"t""#) && !json.get().contains("secret"),
            "{json}"
        );
    }
}
