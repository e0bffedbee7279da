//! The messages about tasks that a node sends: `task.assign` and `task.cancel` to a worker that works by messages, and the end of a
//! task to its coordinator (PROTOCOL.md sections 22.4, 22.6 and 22.7).

use std::time::Duration;

use agentnet_protocol::json::{ObjectWriter, ascii};
use agentnet_protocol::rpc::{TaskCreateReply, TaskSnapshot};
use agentnet_protocol::task::{TaskMessage, TaskMessageKind, TaskState};
use agentnet_protocol::{RawJson, Text, Timestamp, mailbox};

use super::attempt::Attempt;
use super::work::AttemptEnd;
use crate::ids;
use crate::node::AgentNode;
use crate::send::error::SendError;

/// How long a message about a task waits in a mailbox at most.
const MAX_LIFETIME: Duration = Duration::from_millis(mailbox::DEFAULT_LIFETIME_MS as u64);
/// What the id of the message begins with that tells a worker of its task: it is the same when the task is told of again.
const ASSIGNMENT_PREFIX: &str = "task_assign_";

/// The delivery of a task whose worker works by messages.
pub(super) const BY_MESSAGES: &str = "message";

/// The id of the message that tells a worker of a task.
pub(super) fn assignment_id(task_id: &str) -> String {
    format!("{ASSIGNMENT_PREFIX}{task_id}")
}

/// The id of the message that tells a worker that a task is to be tried again, by the number of the event `retried`: the number of
/// the attempt stays the same where the worker holds no lease.
pub(super) fn retry_id(task_id: &str, seq: i64) -> String {
    format!("{ASSIGNMENT_PREFIX}{task_id}_{seq}")
}

/// Whether the worker of a task has to be told of it by a message.
pub(super) fn needs_assignment(reply: &TaskCreateReply) -> bool {
    reply.delivery == BY_MESSAGES && reply.task.state == TaskState::Submitted.as_str()
}

/// What a worker is told of a task that it does not claim.
#[derive(Debug)]
pub(super) struct Assignment {
    /// A worker that is silent for so long counts as lost, in milliseconds.
    pub(super) heartbeat_ms: i64,
    /// What is to be done, for programs.
    pub(super) payload: Option<RawJson>,
}

impl Assignment {
    /// Sends the message `task.assign`, or leaves it in the mailbox of the account.
    pub(super) async fn tell(&self, node: &AgentNode, task: &TaskSnapshot) -> Result<(), SendError> {
        let payload = assignment_payload(task, task.attempt.max(1), Some(self), None);
        tell_worker(node, task, payload, Some(assignment_id(&task.task_id))).await
    }
}

/// What has become of a task whose worker works by messages.
#[derive(Debug)]
pub(super) enum Notice {
    /// It is not wanted any more.
    Canceled { reason: String },
    /// The worker has its answer.
    Answered { input: RawJson },
    /// It is to be tried again.
    Retried,
}

impl Notice {
    /// Tells the worker, or leaves the message in the mailbox of its account. What the task was made with is told again where it
    /// is known.
    pub(super) async fn tell(
        self,
        node: &AgentNode,
        task: &TaskSnapshot,
        assignment: Option<&Assignment>,
    ) -> Result<(), SendError> {
        let (payload, message_id) = match self {
            Self::Canceled { reason } => {
                let message = message(TaskMessageKind::Cancel, &task.task_id, &reason);
                (message.payload(&ids::now().to_string()), None)
            }
            Self::Answered { input } => {
                let payload = assignment_payload(task, task.attempt.max(1), assignment, Some(&input));
                (payload, None)
            }
            Self::Retried => {
                let payload = assignment_payload(task, task.attempt.saturating_add(1), assignment, None);
                (payload, Some(retry_id(&task.task_id, task.event_count)))
            }
        };
        tell_worker(node, task, payload, message_id).await
    }
}

/// Sends a message to the account that does a task, or leaves it in its mailbox.
async fn tell_worker(
    node: &AgentNode,
    task: &TaskSnapshot,
    payload: RawJson,
    message_id: Option<String>,
) -> Result<(), SendError> {
    let worker = task.worker_account_id.as_ref();
    let Some(account_id) = worker.or(task.assignee_account_id.as_ref()) else {
        return Ok(());
    };
    let lifetime = lifetime(task.deadline_at.as_deref(), ids::now());
    let mut send = node.send_to_account(account_id, payload).trace(&task.task_id);
    if let Some(thread_id) = &task.thread_id {
        send = send.thread(thread_id);
    }
    let mut send = send.mailbox(lifetime);
    if let Some(message_id) = message_id {
        send = send.message_id(Text::from(message_id));
    }
    send.await?;
    Ok(())
}

/// The payload of `task.assign`; `input` is the answer that the worker waits for.
fn assignment_payload(
    task: &TaskSnapshot,
    attempt: i64,
    assignment: Option<&Assignment>,
    input: Option<&RawJson>,
) -> RawJson {
    let message = TaskMessage {
        coordinator: task.coordinator.clone(),
        title: task.title.clone(),
        parent_task_id: task.parent_task_id.clone(),
        metadata: task.metadata.clone(),
        ..message(TaskMessageKind::Assign, &task.task_id, &task.assigned_text)
    };
    let mut more = ObjectWriter::new();
    more.int("attempt", attempt)
        .opt_text("deadline_at", task.deadline_at.as_deref());
    if let Some(assignment) = assignment {
        more.int("heartbeat_ms", assignment.heartbeat_ms);
    }
    for (name, value) in [
        ("payload", assignment.and_then(|assignment| assignment.payload.as_ref())),
        ("input", input),
    ] {
        if let Some(value) = value {
            more.raw(name, &ascii(value.get()));
        }
    }
    joined(&message.payload(&task.created_at), &more.finish())
}

/// The members of two objects, neither of which is empty, in one.
fn joined(first: &RawJson, second: &str) -> RawJson {
    let head = first.get().strip_suffix('}').unwrap_or_default();
    let tail = second.strip_prefix('{').unwrap_or_default();
    RawJson::parse(format!("{head},{tail}")).unwrap_or_else(|_| first.clone())
}

/// How long a message about a task waits: until the task is given up.
fn lifetime(deadline_at: Option<&str>, now: Timestamp) -> Duration {
    let left = deadline_at
        .and_then(Timestamp::parse)
        .map(|deadline| Duration::from_micros(u64::try_from(deadline.micros_since(now)).unwrap_or_default()));
    left.unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME)
}

fn message(kind: TaskMessageKind, task_id: &str, text: &str) -> TaskMessage {
    TaskMessage {
        kind,
        task_id: task_id.to_owned(),
        text: text.to_owned(),
        coordinator: None,
        title: None,
        parent_task_id: None,
        percent: None,
        phase: None,
        result: None,
        metadata: RawJson::empty_object(),
    }
}

/// Who is told of the end of a task.
pub(super) struct Coordinator {
    account_id: String,
    thread_id: Option<String>,
}

impl Coordinator {
    /// The coordinator of a task, unless it is this account.
    pub(super) fn of(task: &TaskSnapshot, own_account: &str) -> Option<Self> {
        let account_id = task.coordinator_account_id.clone();
        account_id
            .filter(|account_id| account_id != own_account)
            .map(|account_id| Self {
                account_id,
                thread_id: task.thread_id.clone(),
            })
    }

    /// Sends the message about the end of a task, or leaves it in the coordinator's mailbox. The registry has the end already: a
    /// message that cannot be kept is not missed there.
    pub(super) async fn tell(self, node: &AgentNode, attempt: &Attempt, finish_id: &str, end: &AttemptEnd) {
        let whole = self.send(node, attempt, finish_id, end, end.output.result.clone());
        let sent = match whole.await {
            // The registry keeps larger results than a message takes.
            Err(SendError::TooLarge { .. }) if end.output.result.is_some() => {
                self.send(node, attempt, finish_id, end, None).await
            }
            sent => sent,
        };
        if let Err(error) = sent {
            tracing::debug!(task_id = attempt.task_id, %error, "the coordinator of a task was not told of its end by a message");
        }
    }

    async fn send(
        &self,
        node: &AgentNode,
        attempt: &Attempt,
        finish_id: &str,
        end: &AttemptEnd,
        result: Option<RawJson>,
    ) -> Result<(), SendError> {
        let payload = end_payload(attempt, end, result);
        let mut send = node.send_to_account(&self.account_id, payload).trace(&attempt.task_id);
        if let Some(thread_id) = &self.thread_id {
            send = send.thread(thread_id);
        }
        send.mailbox(MAX_LIFETIME).message_id(Text::from(finish_id)).await?;
        Ok(())
    }
}

fn end_payload(attempt: &Attempt, end: &AttemptEnd, result: Option<RawJson>) -> RawJson {
    let state = end.state();
    let kind = match state {
        TaskState::Completed => TaskMessageKind::Result,
        state if state.is_blocked() => TaskMessageKind::Blocked,
        _ => TaskMessageKind::Failed,
    };
    let failure = end.failure.as_ref();
    let code = failure.and_then(|failure| failure.code.as_deref());
    let detail = failure.and_then(|failure| failure.detail.as_deref());
    let in_words = || {
        let result = end.output.result.as_ref()?.view();
        Some(
            result
                .as_str()
                .map_or_else(|| result.raw().to_owned(), |text| text.into_owned()),
        )
    };
    let text = end.text().or(detail).or(code).map(str::to_owned);
    let text = text.or_else(in_words).unwrap_or_else(|| state.as_str().to_owned());
    let mut metadata = ObjectWriter::new();
    metadata
        .text("state", state.as_str())
        .int("attempt", attempt.number)
        .opt_text("code", code)
        .opt_text("detail", detail);
    let message = TaskMessage {
        result,
        metadata: RawJson::parse(metadata.finish()).unwrap_or_else(|_| RawJson::empty_object()),
        ..message(
            kind,
            &attempt.task_id,
            &super::work::shortened(text, MAX_MESSAGE_TEXT_BYTES),
        )
    };
    message.payload(&ids::now().to_string())
}

/// Bytes of the text of a message about the end of a task.
const MAX_MESSAGE_TEXT_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use agentnet_protocol::rpc::ClaimedTask;

    use super::*;
    use crate::task::work::{TaskFailure, TaskOutput};

    fn attempt() -> Attempt {
        let mut claimed = ClaimedTask {
            attempt: 2,
            ..ClaimedTask::default()
        };
        claimed.task.task_id = "task_1".into();
        Attempt::new(&claimed, "")
    }

    fn payload(end: Result<TaskOutput, TaskFailure>) -> serde_json::Value {
        let end = AttemptEnd::from(end);
        end_payload(&attempt(), &end, end.output.result.clone())
            .deserialize()
            .unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_task_is_told_as_the_later_python_implementation_does() {
        let done = payload(Ok(TaskOutput::from(serde_json::json!({ "n": 1 }))));
        assert_eq!(
            (&done["type"], &done["status"]),
            (&"task.result".into(), &"completed".into())
        );
        assert_eq!(done["text"], r#"{"n":1}"#);
        assert_eq!(done["result"], serde_json::json!({ "n": 1 }));
        assert_eq!(
            done["metadata"],
            serde_json::json!({ "state": "completed", "attempt": 2 })
        );
        let failed = payload(Err(TaskFailure::failed("broken", "it broke")));
        assert_eq!(
            (&failed["type"], &failed["text"]),
            (&"task.failed".into(), &"it broke".into())
        );
        assert_eq!(failed["metadata"]["code"], "broken");
        assert_eq!(payload(Err(TaskFailure::canceled()))["text"], "canceled");
        let blocked = payload(Err(TaskFailure::input_required("which one?")));
        assert_eq!(
            (&blocked["type"], &blocked["status"], &blocked["text"]),
            (&"task.blocked".into(), &"blocked".into(), &"which one?".into())
        );
    }

    #[test]
    fn an_assignment_says_more_than_the_python_implementation_does() {
        let task = TaskSnapshot {
            task_id: "task_1".into(),
            assigned_text: "do it".into(),
            metadata: RawJson::empty_object(),
            deadline_at: Some("2030-01-01T00:00:00Z".into()),
            ..TaskSnapshot::default()
        };
        let assignment = Assignment {
            heartbeat_ms: 30_000,
            payload: Some(RawJson::parse("[1]".to_owned()).unwrap()),
        };
        let payload = assignment_payload(&task, 1, Some(&assignment), None);
        let payload: serde_json::Value = payload.deserialize().unwrap();
        assert_eq!(
            (&payload["type"], &payload["text"]),
            (&"task.assign".into(), &"do it".into())
        );
        assert_eq!(
            (&payload["attempt"], &payload["heartbeat_ms"]),
            (&1.into(), &30_000.into())
        );
        assert_eq!(payload["deadline_at"], "2030-01-01T00:00:00Z");
        assert_eq!(payload["payload"], serde_json::json!([1]));
        let answer = assignment_payload(&task, 2, None, Some(&RawJson::null()));
        let answer: serde_json::Value = answer.deserialize().unwrap();
        assert_eq!(
            (&answer["attempt"], answer.get("input")),
            (&2.into(), Some(&serde_json::Value::Null))
        );
        assert!(
            answer.get("payload").is_none() && answer.get("heartbeat_ms").is_none(),
            "{answer}"
        );
    }

    #[test]
    fn a_message_waits_until_the_task_is_given_up() {
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        for (deadline, expected) in [
            (None, MAX_LIFETIME),
            (Some("2026-01-01T00:01:00Z"), Duration::from_secs(60)),
            (Some("2026-02-01T00:00:00Z"), MAX_LIFETIME),
            (Some("2025-01-01T00:00:00Z"), Duration::ZERO),
            (Some("never"), MAX_LIFETIME),
        ] {
            assert_eq!(lifetime(deadline, now), expected, "{deadline:?}");
        }
    }
}
