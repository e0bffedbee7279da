//! What a task is that a request or a message asks for, and the hash of it: another request under the same id or key asks for
//! something else (PROTOCOL.md section 22.3).

use agentnet_protocol::canonical::{payload_sha256, sha256_hex};
use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::json::{ObjectWriter, Value};
use agentnet_protocol::limits::{DEFAULT_MAX_METADATA_BYTES, MAX_CAPABILITY_BYTES, MAX_NAME_BYTES};
use agentnet_protocol::rpc::TaskCreateRequest;
use agentnet_protocol::task::{
    DEFAULT_BACKOFF_MS, DEFAULT_HEARTBEAT_MS, MAX_TEXT_BYTES, MAX_TITLE_BYTES, TaskMessage, TaskState,
};
use agentnet_protocol::{RawJson, Timestamp, ids};
use agentnet_store::model::{Task, TaskDelivery, TaskTarget};

/// Begins the name of a receiver that is any agent with a capability.
const CAPABILITY_PREFIX: &str = "capability:";
/// Arrays and objects around a value that a request gives: the reply, its tasks, the claimed one, its snapshot, its last event.
pub(crate) const LEVELS_AROUND_JSON: usize = 5;

/// A request with a time that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentError {
    /// `to` names neither an account nor a capability.
    To,
    /// `not_before` is no time.
    NotBefore,
    /// `deadline_at` is no time.
    Deadline,
}

/// Reads who is to do a task; `None` if it can be nobody.
pub(crate) fn target(to: &str) -> Option<TaskTarget> {
    match to.strip_prefix(CAPABILITY_PREFIX) {
        Some(capability) => {
            let capability = capability.trim();
            let is_usable = !capability.is_empty() && capability.len() <= MAX_CAPABILITY_BYTES;
            is_usable.then(|| TaskTarget::Capability(capability.to_owned()))
        }
        None => valid_account_id(to).then(|| TaskTarget::Account(to.to_owned())),
    }
}

/// The task that a request asks for.
///
/// # Errors
/// [`ContentError`]
pub(crate) fn requested(
    request: TaskCreateRequest,
    delivery: TaskDelivery,
    now: Timestamp,
) -> Result<Task, ContentError> {
    let target = target(&request.to).ok_or(ContentError::To)?;
    let time = |text: Option<&str>, error| match text {
        None => Ok(None),
        Some(text) => Timestamp::parse(text).map(Some).ok_or(error),
    };
    let not_before = time(request.not_before.as_deref(), ContentError::NotBefore)?;
    let deadline_at = time(request.deadline_at.as_deref(), ContentError::Deadline)?;
    let content_sha256 = request_sha256(&request);
    let task_id = request
        .task_id
        .unwrap_or_else(|| ids::prefixed("task", now.as_unix_millis(), rand::random()));
    let thread_id = request
        .thread_id
        .unwrap_or_else(|| default_thread_id(&task_id).to_string());
    Ok(Task {
        coordinator: request.coordinator,
        idempotency_key: request.idempotency_key,
        title: request.title,
        payload: request.payload,
        parent_task_id: request.parent_task_id,
        metadata: request.metadata,
        priority: request.priority,
        not_before: not_before.unwrap_or(now),
        deadline_at,
        max_attempts: request.max_attempts,
        backoff_ms: request.backoff_ms,
        heartbeat_ms: request.heartbeat_ms,
        content_sha256,
        is_assigned_by_message: delivery == TaskDelivery::Message,
        ..new_task(
            task_id,
            request.account_id,
            target,
            delivery,
            request.text,
            thread_id,
            now,
        )
    })
}

/// The task that a message `task.assign` asks for; its texts are cut to the bounds of requests.
pub(super) fn assigned(
    message: &TaskMessage,
    from: &str,
    to: &str,
    message_id: &str,
    thread_id: &str,
    now: Timestamp,
) -> Task {
    let text = cut(&message.text, MAX_TEXT_BYTES);
    let fits =
        message.metadata.get().len() <= DEFAULT_MAX_METADATA_BYTES && message.metadata.fits_inside(LEVELS_AROUND_JSON);
    let mut content = ObjectWriter::with_capacity(text.len() + 128);
    content.text("from", from).text("to", to).text("text", &text);
    let target = TaskTarget::Account(to.to_owned());
    let (task_id, coordinator) = (message.task_id.clone(), from.to_owned());
    Task {
        coordinator: message.coordinator.as_deref().map(|name| cut(name, MAX_NAME_BYTES)),
        title: message.title.as_deref().map(|title| cut(title, MAX_TITLE_BYTES)),
        parent_task_id: message.parent_task_id.clone().filter(|id| id.len() <= MAX_NAME_BYTES),
        metadata: if fits {
            message.metadata.clone()
        } else {
            RawJson::empty_object()
        },
        content_sha256: sha256(content),
        message_id: Some(message_id.to_owned()),
        ..new_task(
            task_id,
            coordinator,
            target,
            TaskDelivery::Message,
            text,
            thread_id.to_owned(),
            now,
        )
    }
}

/// A task with the defaults.
fn new_task(
    task_id: String,
    coordinator_account_id: String,
    target: TaskTarget,
    delivery: TaskDelivery,
    text: String,
    thread_id: String,
    now: Timestamp,
) -> Task {
    Task {
        task_id,
        coordinator_account_id,
        coordinator: None,
        idempotency_key: None,
        content_sha256: String::new(),
        target,
        delivery,
        title: None,
        latest_text: text.clone(),
        text,
        payload: None,
        thread_id,
        parent_task_id: None,
        metadata: RawJson::empty_object(),
        priority: 0,
        not_before: now,
        deadline_at: None,
        max_attempts: 1,
        backoff_ms: DEFAULT_BACKOFF_MS,
        heartbeat_ms: DEFAULT_HEARTBEAT_MS,
        state: TaskState::Submitted,
        attempt: 0,
        lease: None,
        worker_account_id: None,
        heartbeat_at: None,
        cancel_requested_at: None,
        finish_id: None,
        unconfirmed: 0,
        releases: 0,
        is_assigned_by_message: false,
        result: None,
        code: None,
        detail: None,
        checkpoint: None,
        input: None,
        latest_progress_text: None,
        progress_count: 0,
        percent: None,
        phase: None,
        message_id: None,
        event_count: 0,
        event_bytes: 0,
        revision: 0,
        created_at: now,
        updated_at: now,
        finished_at: None,
    }
}

/// Hash of what a request asks for. Its own id is not part of it, nor are times: clients that ask again count them anew.
fn request_sha256(request: &TaskCreateRequest) -> String {
    let mut content = ObjectWriter::with_capacity(request.text.len() + 512);
    content
        .text("account_id", &request.account_id)
        .text("to", &request.to)
        .opt_text("title", request.title.as_deref())
        .text("text", &request.text);
    if let Some(payload) = &request.payload {
        content.raw("payload", payload.get());
    }
    content
        .opt_text("thread_id", request.thread_id.as_deref())
        .opt_text("parent_task_id", request.parent_task_id.as_deref())
        .opt_text("coordinator", request.coordinator.as_deref())
        .int("priority", request.priority)
        .int("max_attempts", request.max_attempts)
        .int("backoff_ms", request.backoff_ms)
        .int("heartbeat_ms", request.heartbeat_ms)
        .raw("metadata", request.metadata.get());
    sha256(content)
}

fn sha256(mut content: ObjectWriter) -> String {
    let content = content.finish();
    Value::parse(&content).map_or_else(|_| sha256_hex(content.as_bytes()), |value| payload_sha256(&value))
}

/// The beginning of a text.
pub(super) fn cut(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_771_660_800_000_000);

    fn task(request: TaskCreateRequest) -> Task {
        requested(request, TaskDelivery::Lease, NOW).unwrap()
    }

    #[test]
    fn receivers_are_accounts_or_capabilities() {
        assert_eq!(target("acct_1"), Some(TaskTarget::Account("acct_1".into())));
        assert_eq!(
            target("capability: build "),
            Some(TaskTarget::Capability("build".into()))
        );
        for to in [
            "",
            "@bob",
            "a.b",
            "capability:",
            "capability: ",
            &format!("capability:{}", "x".repeat(129)),
        ] {
            assert_eq!(target(to), None, "{to}");
        }
    }

    #[test]
    fn a_request_gets_an_id_a_thread_and_times() {
        let plain = task(TaskCreateRequest::new("acct_a", "acct_b", "do it"));
        assert!(plain.task_id.starts_with("task_"), "{}", plain.task_id);
        assert_eq!(plain.thread_id, format!("thread_{}", plain.task_id));
        assert_eq!((plain.not_before, plain.deadline_at), (NOW, None));
        assert_eq!((plain.text.as_str(), plain.latest_text.as_str()), ("do it", "do it"));
        let timed = task(TaskCreateRequest {
            not_before: Some("2026-02-21T09:00:00Z".into()),
            deadline_at: Some("2026-02-21T10:00:00Z".into()),
            ..TaskCreateRequest::new("acct_a", "capability:build", "do it")
        });
        assert_eq!(timed.not_before.to_string(), "2026-02-21T09:00:00Z");
        assert_eq!(
            timed.deadline_at.map(|at| at.to_string()).as_deref(),
            Some("2026-02-21T10:00:00Z")
        );
        let wrong = TaskCreateRequest {
            deadline_at: Some("soon".into()),
            ..TaskCreateRequest::new("acct_a", "acct_b", "")
        };
        assert_eq!(
            requested(wrong, TaskDelivery::Lease, NOW).unwrap_err(),
            ContentError::Deadline
        );
    }

    #[test]
    fn the_hash_covers_what_is_asked_for_and_no_times() {
        let request = || TaskCreateRequest {
            payload: Some(RawJson::parse(r#"{"a":1,"b":[]}"#.to_owned()).unwrap()),
            ..TaskCreateRequest::new("acct_a", "acct_b", "do it")
        };
        let hash = |request| task(request).content_sha256;
        let first = hash(request());
        let same = TaskCreateRequest {
            task_id: Some("task_1".into()),
            deadline_at: Some("2026-02-21T10:00:00Z".into()),
            payload: Some(RawJson::parse(r#"{ "b" : [], "a" : 1 }"#.to_owned()).unwrap()),
            ..request()
        };
        assert_eq!(hash(same), first);
        for other in [
            TaskCreateRequest {
                text: "do it now".into(),
                ..request()
            },
            TaskCreateRequest {
                account_id: "acct_c".into(),
                ..request()
            },
            TaskCreateRequest {
                payload: None,
                ..request()
            },
            TaskCreateRequest {
                max_attempts: 2,
                ..request()
            },
        ] {
            assert_ne!(hash(other), first);
        }
    }
}
