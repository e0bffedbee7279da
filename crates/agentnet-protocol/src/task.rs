//! Tasks: states, limits and the messages about them (PROTOCOL.md section 22, an addition to the Python protocol).
//!
//! A task is work that outlives a call: the registry keeps it, one worker at a time has it, and it ends once.

use crate::RawJson;
use crate::envelope::Envelope;
use crate::json::{Kind, Object, ObjectWriter, Value, ascii, trim};
use crate::mailbox::{UnknownText, texts};

/// The member of a registration and a hello of a session that claims tasks.
pub const MEMBER: &str = "tasks";
/// The value of [`MEMBER`] of a session that claims tasks.
pub const CLAIM: &str = "claim";

/// Bytes of a title.
pub const MAX_TITLE_BYTES: usize = 1024;
/// Bytes of the text of a task, of a progress or of a result.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Bytes of a payload or a result as JSON; what is larger belongs in a blob.
pub const MAX_RESULT_BYTES: usize = 256 * 1024;
/// Bytes of a checkpoint as JSON.
pub const MAX_CHECKPOINT_BYTES: usize = 64 * 1024;
/// Bytes of a request about tasks.
pub const MAX_REQUEST_BYTES: usize = 768 * 1024;
/// Attempts of one task.
pub const MAX_ATTEMPTS: i64 = 20;
/// The delay before the second attempt unless the task says otherwise, in milliseconds; it doubles with each.
pub const DEFAULT_BACKOFF_MS: i64 = 1_000;
/// The longest delay before another attempt, in milliseconds.
pub const MAX_BACKOFF_MS: i64 = 3_600_000;
/// A worker that is silent for so long has lost its task, unless the task says otherwise, in milliseconds.
pub const DEFAULT_HEARTBEAT_MS: i64 = 30_000;
/// The shortest time of silence that a task may ask for, in milliseconds.
pub const MIN_HEARTBEAT_MS: i64 = 1_000;
/// The longest time of silence that a task may ask for, in milliseconds.
pub const MAX_HEARTBEAT_MS: i64 = 3_600_000;
/// The lowest and the highest priority.
pub const MAX_PRIORITY: i64 = 100;
/// The most tasks of one claim.
pub const MAX_CLAIM: usize = 32;
/// The most heartbeats of one request.
pub const MAX_HEARTBEATS: usize = 100;
/// The longest time for which a registry holds a request for tasks or events, in milliseconds.
pub const MAX_WAIT_MS: i64 = 25_000;

texts! {
    /// Where a task stands (section 22.2).
    pub enum TaskState {
        /// It waits for a worker.
        Submitted = "submitted",
        /// A worker has it.
        Working = "working",
        /// The worker needs an answer.
        InputRequired = "input_required",
        /// The worker needs to be allowed something.
        AuthRequired = "auth_required",
        /// It is done.
        Completed = "completed",
        /// It is given up.
        Failed = "failed",
        /// Who asked for it does not want it any more.
        Canceled = "canceled",
        /// The worker does not do such work.
        Rejected = "rejected",
    }
}

impl TaskState {
    /// Whether a task in this state never leaves it, but for another attempt that somebody asks for.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Whether the worker waits for somebody.
    #[must_use]
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }

    /// The word of the later Python implementation.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::Submitted => "assigned",
            Self::Working => "working",
            Self::InputRequired | Self::AuthRequired => "blocked",
            Self::Completed => "completed",
            Self::Failed | Self::Canceled | Self::Rejected => "failed",
        }
    }

    /// The states that a word of the later Python implementation means.
    ///
    /// # Errors
    /// [`UnknownText`]
    pub fn of_status(status: &str) -> Result<&'static [Self], UnknownText> {
        match trim(status).to_ascii_lowercase().as_str() {
            "assigned" => Ok(&[Self::Submitted]),
            "working" => Ok(&[Self::Working]),
            "blocked" => Ok(&[Self::InputRequired, Self::AuthRequired]),
            "completed" => Ok(&[Self::Completed]),
            "failed" => Ok(&[Self::Failed, Self::Canceled, Self::Rejected]),
            _ => Err(UnknownText),
        }
    }
}

/// Why a task ended without its worker.
pub mod code {
    /// No worker came, or none finished, before the deadline.
    pub const DEADLINE: &str = "deadline_exceeded";
    /// The last worker fell silent, and no attempt is left.
    pub const WORKER_LOST: &str = "worker_lost";
    /// Its workers gave it back again and again.
    pub const RELEASED: &str = "released_too_often";
    /// Who asked for it does not want it any more.
    pub const CANCELED: &str = "canceled";
    /// The worker did not stop in time after a cancellation.
    pub const CANCEL_FORCED: &str = "cancel_forced";
    /// The worker does not do such work.
    pub const REJECTED: &str = "rejected";
}

/// The errors of the requests about tasks; an error is a code, `: ` and a sentence.
pub mod error {
    /// Another task has this id or idempotency key.
    pub const CONFLICT: &str = "task_conflict";
    /// The lease is over, or of somebody else.
    pub const LEASE_LOST: &str = "task_lease_lost";
    /// The task has ended with another result.
    pub const FINISHED: &str = "task_already_finished";
    /// The task has ended.
    pub const NOT_CANCELABLE: &str = "task_not_cancelable";
    /// The task does not wait for an answer.
    pub const NO_INPUT: &str = "task_needs_no_input";
    /// The task has not failed.
    pub const NOT_RETRIABLE: &str = "task_not_retriable";
    /// Who asks has nothing to do with the task.
    pub const FORBIDDEN: &str = "task_forbidden";
    /// There is no such account or session.
    pub const SESSION_UNKNOWN: &str = "task_session_unknown";
    /// The coordinator has too many open tasks.
    pub const TOO_MANY: &str = "task_limit_reached";
    /// The registry keeps no tasks.
    pub const DISABLED: &str = "task_disabled";
    /// The task that a new one is to be a part of is unknown.
    pub const PARENT_UNKNOWN: &str = "task_parent_unknown";
    /// The task that a new one is to be a part of is canceled, or is to stop.
    pub const PARENT_CANCELED: &str = "task_parent_canceled";
    /// A value cannot be used.
    pub const INVALID: &str = "task_invalid";
    /// A value is above its bound.
    pub const TOO_LARGE: &str = "task_too_large";
    /// The store failed.
    pub const FAILED: &str = "task_failed";
}

texts! {
    /// The kinds of messages about tasks, as the later Python implementation sends them.
    pub enum TaskMessageKind {
        /// Somebody is asked to do it.
        Assign = "task.assign",
        /// How far it is.
        Progress = "task.progress",
        /// It is done.
        Result = "task.result",
        /// The worker needs something.
        Blocked = "task.blocked",
        /// It failed.
        Failed = "task.failed",
        /// It is not wanted any more.
        Cancel = "task.cancel",
    }
}

impl TaskMessageKind {
    /// The state that such a message of a worker means.
    #[must_use]
    pub const fn state(self) -> Option<TaskState> {
        match self {
            Self::Progress => Some(TaskState::Working),
            Self::Result => Some(TaskState::Completed),
            Self::Blocked => Some(TaskState::InputRequired),
            Self::Failed => Some(TaskState::Failed),
            Self::Assign | Self::Cancel => None,
        }
    }
}

/// A message about a task, read from the payload of an ordinary message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMessage {
    /// What it says.
    pub kind: TaskMessageKind,
    /// Id of the task.
    pub task_id: String,
    /// Text of the message.
    pub text: String,
    /// `coordinator` of an assignment.
    pub coordinator: Option<String>,
    /// `title` of an assignment.
    pub title: Option<String>,
    /// `parent_task_id` of an assignment.
    pub parent_task_id: Option<String>,
    /// `percent` of a progress.
    pub percent: Option<i64>,
    /// `phase` of a progress.
    pub phase: Option<String>,
    /// `result` of a result, an addition of this project.
    pub result: Option<RawJson>,
    /// `metadata`, an object.
    pub metadata: RawJson,
}

impl TaskMessage {
    /// Reads the payload of a message: an object, its JSON text, or an object whose `text` is that text. `None` where it is
    /// about no task.
    #[must_use]
    pub fn of(message: &Envelope) -> Option<Self> {
        Self::of_payload(&message.payload)
    }

    /// As [`of`](Self::of), of a payload alone.
    #[must_use]
    pub fn of_payload(payload: &RawJson) -> Option<Self> {
        let payload = payload.view();
        Self::read(&payload).or_else(|| {
            let text = match payload.kind() {
                Kind::String => payload.as_str()?,
                Kind::Object => payload.as_object()?.get("text").as_str()?,
                _ => return None,
            };
            // Most texts are no JSON.
            let text = text.trim_start();
            text.starts_with('{').then_some(())?;
            Self::read(&Value::parse(text).ok()?)
        })
    }

    fn read(payload: &Value<'_>) -> Option<Self> {
        let object = payload.as_object()?;
        let kind: TaskMessageKind = object.get("type").as_str()?.parse().ok()?;
        let text = |name: &str| {
            let text = object.get(name).text();
            Some(trim(&text).to_owned()).filter(|text| !text.is_empty())
        };
        let metadata = object.get("metadata");
        let inner = metadata.as_object();
        let result = object.get("result");
        Some(Self {
            kind,
            task_id: text("task_id")?,
            text: object.get("text").text().into_owned(),
            coordinator: text("coordinator"),
            title: text("title"),
            parent_task_id: text("parent_task_id"),
            percent: inner.as_ref().and_then(percent),
            phase: inner.as_ref().and_then(|inner| {
                let phase = inner.get("phase").text();
                Some(trim(&phase).to_owned()).filter(|phase| !phase.is_empty())
            }),
            result: (!result.is_null()).then(|| RawJson::validated(result.raw().into())),
            metadata: match metadata.kind() {
                Kind::Object => RawJson::validated(metadata.raw().into()),
                _ => RawJson::empty_object(),
            },
        })
    }

    /// The payload, as the later Python implementation writes it; `at` is the time of `created_at`, `event_at` or
    /// `finished_at`.
    #[must_use]
    pub fn payload(&self, at: &str) -> RawJson {
        let mut out = ObjectWriter::with_capacity(self.text.len() + 256);
        out.text("type", self.kind.as_str()).text("task_id", &self.task_id);
        if let (TaskMessageKind::Result | TaskMessageKind::Blocked | TaskMessageKind::Failed, Some(state)) =
            (self.kind, self.kind.state())
        {
            out.text("status", state.status());
        }
        out.text("text", &self.text);
        match self.kind {
            TaskMessageKind::Assign => out.text("created_at", at),
            TaskMessageKind::Progress | TaskMessageKind::Cancel => out.text("event_at", at),
            TaskMessageKind::Result | TaskMessageKind::Blocked | TaskMessageKind::Failed => out.text("finished_at", at),
        };
        out.raw("metadata", &ascii(self.metadata.get()))
            .opt_text("coordinator", self.coordinator.as_deref())
            .opt_text("title", self.title.as_deref())
            .opt_text("parent_task_id", self.parent_task_id.as_deref());
        if let Some(result) = &self.result {
            out.raw("result", &ascii(result.get()));
        }
        RawJson::validated(out.finish().into())
    }
}

/// A percentage from 0 to 100; anything else is none.
pub(crate) fn percent(object: &Object<'_>) -> Option<i64> {
    let percent = object.get("percent").int().ok().flatten()?;
    i64::try_from(percent)
        .ok()
        .filter(|percent| (0..=100).contains(percent))
}

/// Whether a registration or a hello says that its session claims tasks.
#[must_use]
pub fn claims(object: &Object<'_>) -> bool {
    object.get(MEMBER).as_str().is_some_and(|mode| trim(&mode) == CLAIM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> Option<TaskMessage> {
        let envelope = Envelope::decode(format!(r#"{{"message_id":"m","payload":{payload}}}"#)).unwrap();
        TaskMessage::of(&envelope)
    }

    #[test]
    fn messages_are_found_in_payloads_and_in_their_texts() {
        let assign = r#"{"type":"task.assign","task_id":"task_1","text":"do it","title":"T","metadata":{"a":1}}"#;
        let read = message(assign).unwrap();
        assert_eq!((read.kind, read.task_id.as_str()), (TaskMessageKind::Assign, "task_1"));
        assert_eq!((read.text.as_str(), read.title.as_deref()), ("do it", Some("T")));
        assert_eq!(read.metadata.get(), r#"{"a":1}"#);
        let quoted = serde_json_text(assign);
        assert_eq!(message(&quoted), Some(read.clone()));
        assert_eq!(message(&format!(r#"{{"text":{quoted}}}"#)), Some(read));
        for payload in [
            "null",
            r#""task.assign""#,
            r#"{"type":"task.assign"}"#,
            r#"{"type":"task.other","task_id":"t"}"#,
            r#"{"text":"{not json"}"#,
        ] {
            assert_eq!(message(payload), None, "{payload}");
        }
    }

    fn serde_json_text(text: &str) -> String {
        let mut out = ObjectWriter::new();
        out.text("t", text);
        let object = out.finish();
        object["{\"t\":".len()..object.len() - 1].to_owned()
    }

    #[test]
    fn a_message_is_read_as_it_is_written() {
        let written = TaskMessage {
            kind: TaskMessageKind::Result,
            task_id: "task_1".into(),
            text: "done".into(),
            coordinator: None,
            title: None,
            parent_task_id: None,
            percent: None,
            phase: None,
            result: Some(RawJson::parse("[1.0]".to_owned()).unwrap()),
            metadata: RawJson::empty_object(),
        };
        let payload = written.payload("2026-01-01T00:00:00Z");
        assert_eq!(
            payload.get(),
            concat!(
                r#"{"type":"task.result","task_id":"task_1","status":"completed","text":"done","#,
                r#""finished_at":"2026-01-01T00:00:00Z","metadata":{},"result":[1.0]}"#
            )
        );
        assert_eq!(message(payload.get()), Some(written));
    }

    #[test]
    fn every_state_has_a_word_of_the_later_python_implementation() {
        for state in TaskState::ALL {
            assert!(TaskState::of_status(state.status()).unwrap().contains(state), "{state}");
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert!(TaskState::of_status("done").is_err());
        let progress =
            message(r#"{"type":"task.progress","task_id":"t","text":"x","metadata":{"percent":40,"phase":"working"}}"#);
        assert_eq!(
            progress.map(|read| (read.percent, read.phase)),
            Some((Some(40), Some("working".into())))
        );
    }
}
