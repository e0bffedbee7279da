//! Tasks and events as requests show them (PROTOCOL.md section 22.3): the members of the later Python implementation, and more.

use agentnet_protocol::rpc::{TaskChildren, TaskEvent, TaskSnapshot};
use agentnet_protocol::task::{TaskMessageKind, TaskState};
use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{REQUEST_ID_PREFIX, StoredTaskEvent, Task, TaskDelivery, TaskParts, TaskTarget};

/// Bytes of a text in a snapshot that is shortened.
const SHORT_TEXT_BYTES: usize = 1_024;

/// What a snapshot shows besides the task.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Its last event.
    pub(crate) latest: Option<StoredTaskEvent>,
    /// How many of its parts are open and done.
    pub(crate) parts: Option<TaskParts>,
    /// Its worker is silent, or gone.
    pub(crate) is_stalled: bool,
}

/// A task as requests show it.
pub(crate) fn snapshot(task: Task, surroundings: Surroundings) -> TaskSnapshot {
    let Surroundings {
        latest,
        parts,
        is_stalled,
    } = surroundings;
    let kind = message_kind(&task, latest.as_ref());
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let (account_id, capability) = match task.target {
        TaskTarget::Account(account_id) => (Some(account_id), None),
        TaskTarget::Capability(capability) => (task.worker_account_id.clone(), Some(capability)),
    };
    TaskSnapshot {
        task_id: task.task_id,
        status: task.state.status().to_owned(),
        r#type: kind.as_str().to_owned(),
        title: task.title,
        text: task.latest_text,
        assigned_text: task.text,
        thread_id: Some(task.thread_id),
        assignee_account_id: account_id,
        coordinator_account_id: Some(task.coordinator_account_id),
        coordinator: task.coordinator,
        parent_task_id: task.parent_task_id,
        latest_progress_text: task.latest_progress_text,
        progress_event_count: task.progress_count,
        created_at: task.created_at.to_string(),
        updated_at: task.updated_at.to_string(),
        message_id: task.message_id,
        terminal: task.state.is_terminal() || task.state.is_blocked(),
        event_count: task.event_count,
        latest_event: latest.as_ref().map(listed_event),
        state: task.state.as_str().to_owned(),
        resumable: task.state.is_blocked(),
        code: task.code,
        detail: task.detail,
        result: task.result,
        attempt: task.attempt,
        max_attempts: task.max_attempts,
        capability,
        delivery: Some(task.delivery)
            .filter(|delivery| *delivery == TaskDelivery::Message)
            .map(|delivery| delivery.as_str().to_owned()),
        worker_account_id: task.worker_account_id,
        lease_until: time(task.lease.map(|lease| lease.until)),
        heartbeat_at: time(task.heartbeat_at),
        stalled: is_stalled,
        cancel_requested: task.cancel_requested_at.is_some(),
        not_before: time(Some(task.not_before).filter(|at| *at > task.created_at)),
        deadline_at: time(task.deadline_at),
        priority: task.priority,
        percent: task.percent,
        phase: task.phase,
        children: parts.map(|parts| TaskChildren {
            open: parts.open,
            done: parts.done,
        }),
        revision: task.revision,
        metadata: task.metadata,
    }
}

/// The kind of the last message about a task, as the later Python implementation would have sent it.
fn message_kind(task: &Task, latest: Option<&StoredTaskEvent>) -> TaskMessageKind {
    match latest.map(|event| event.kind.as_str()) {
        Some("created" | "claimed" | "retried" | "released" | "lost" | "input") => TaskMessageKind::Assign,
        Some("progress") => TaskMessageKind::Progress,
        Some("blocked") => TaskMessageKind::Blocked,
        Some("cancel_requested") => TaskMessageKind::Cancel,
        // An end, or a message that changed nothing.
        _ => match task.state {
            TaskState::Submitted => TaskMessageKind::Assign,
            TaskState::Working => TaskMessageKind::Progress,
            TaskState::InputRequired | TaskState::AuthRequired => TaskMessageKind::Blocked,
            TaskState::Completed => TaskMessageKind::Result,
            TaskState::Failed | TaskState::Canceled | TaskState::Rejected => TaskMessageKind::Failed,
        },
    }
}

/// An event in a list of one task's events.
pub(crate) fn listed_event(event: &StoredTaskEvent) -> TaskEvent {
    TaskEvent {
        task_id: None,
        seq: event.seq,
        at: event.at.to_string(),
        r#type: event.kind.clone(),
        attempt: event.attempt,
        state: event.state.map(|state| state.as_str().to_owned()),
        text: event.text.clone(),
        data: event.data.clone(),
        from_account_id: event.from_account_id.clone(),
        message_id: event
            .message_id
            .clone()
            .filter(|message_id| !message_id.starts_with(REQUEST_ID_PREFIX)),
    }
}

/// An event as it is published.
pub(super) fn published_event(event: &StoredTaskEvent) -> TaskEvent {
    TaskEvent {
        task_id: Some(event.task_id.clone()),
        ..listed_event(event)
    }
}

/// An event without what may be large.
pub(crate) fn short_event(event: &TaskEvent) -> TaskEvent {
    TaskEvent {
        text: event.text.as_deref().map(short_text),
        data: None,
        ..event.clone()
    }
}

/// A snapshot with the beginnings of its texts; the result and the metadata stay.
pub(crate) fn with_short_texts(task: &TaskSnapshot) -> TaskSnapshot {
    TaskSnapshot {
        text: short_text(&task.text),
        assigned_text: short_text(&task.assigned_text),
        latest_progress_text: task.latest_progress_text.as_deref().map(short_text),
        latest_event: task.latest_event.as_ref().map(short_event),
        detail: task.detail.as_deref().map(short_text),
        ..task.clone()
    }
}

/// The shortest form of a snapshot, for which every reply has room.
pub(crate) fn shortest(task: &TaskSnapshot) -> TaskSnapshot {
    TaskSnapshot {
        result: None,
        metadata: RawJson::empty_object(),
        ..with_short_texts(task)
    }
}

/// The beginning of a text.
pub(crate) fn short_text(text: &str) -> String {
    text[..text.floor_char_boundary(SHORT_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::rpc::TaskCreateRequest;

    use super::super::content::requested;
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_771_660_800_000_000);

    fn task(state: TaskState) -> Task {
        let request = TaskCreateRequest::new("acct_a", "capability:build", "do it");
        Task {
            state,
            ..requested(request, TaskDelivery::Lease, NOW).unwrap()
        }
    }

    fn shown(task: Task, kind: &str) -> TaskSnapshot {
        let latest = StoredTaskEvent {
            task_id: task.task_id.clone(),
            seq: 1,
            at: NOW,
            kind: kind.into(),
            attempt: 1,
            state: Some(task.state),
            text: Some("x".repeat(5_000)),
            data: RawJson::parse("{}".to_owned()).ok(),
            from_account_id: None,
            message_id: None,
        };
        let surroundings = Surroundings {
            latest: Some(latest),
            ..Surroundings::default()
        };
        snapshot(task, surroundings)
    }

    #[test]
    fn a_task_has_the_words_of_the_later_python_implementation() {
        for (state, last, kind, status, terminal) in [
            (TaskState::Submitted, "created", "task.assign", "assigned", false),
            (TaskState::Submitted, "retried", "task.assign", "assigned", false),
            (TaskState::Working, "claimed", "task.assign", "working", false),
            (TaskState::Working, "progress", "task.progress", "working", false),
            (TaskState::Working, "cancel_requested", "task.cancel", "working", false),
            (TaskState::InputRequired, "blocked", "task.blocked", "blocked", true),
            (TaskState::AuthRequired, "blocked", "task.blocked", "blocked", true),
            (TaskState::Completed, "finished", "task.result", "completed", true),
            (TaskState::Completed, "ignored", "task.result", "completed", true),
            (TaskState::Failed, "finished", "task.failed", "failed", true),
            (TaskState::Canceled, "finished", "task.failed", "failed", true),
            (TaskState::Rejected, "finished", "task.failed", "failed", true),
        ] {
            let shown = shown(task(state), last);
            assert_eq!(
                (shown.r#type.as_str(), shown.status.as_str(), shown.terminal),
                (kind, status, terminal),
                "{state} {last}"
            );
            assert_eq!(shown.resumable, state.is_blocked());
        }
    }

    #[test]
    fn the_worker_of_a_task_for_a_capability_is_its_assignee() {
        let mut task = task(TaskState::Working);
        assert_eq!(shown(task.clone(), "claimed").assignee_account_id, None);
        task.worker_account_id = Some("acct_w".into());
        let shown = shown(task, "claimed");
        assert_eq!(
            (shown.assignee_account_id.as_deref(), shown.capability.as_deref()),
            (Some("acct_w"), Some("build"))
        );
        assert_eq!((shown.not_before, shown.children), (None, None));
    }

    #[test]
    fn a_shortened_task_keeps_its_result_and_the_shortest_does_not() {
        let mut task = task(TaskState::Completed);
        task.text = "é".repeat(5_000);
        task.result = RawJson::parse("[1]".to_owned()).ok();
        let whole = shown(task, "finished");
        let short = with_short_texts(&whole);
        assert_eq!(
            (short.assigned_text.len(), short.result.is_some()),
            (SHORT_TEXT_BYTES, true)
        );
        let event = short.latest_event.unwrap();
        assert_eq!((event.text.unwrap().len(), event.data), (SHORT_TEXT_BYTES, None));
        assert_eq!(shortest(&whole).result, None);
    }
}
