//! The check of the tasks: stalled ones, failures of the last hour, and tasks that no worker claims.

use std::time::Duration;

use agentnet::{Paged as _, RegistryClient, RegistryError};
use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::code_of;
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{TaskListRequest, TaskSnapshot};
use agentnet_protocol::task::{TaskState, error};

use super::report::{Finding, counted};

/// The largest page of the registry, and maximum number of pages that are read of one state.
const PAGE_SIZE: usize = 100;
const MAX_PAGES: usize = 20;
/// Failures of so long ago count.
const FAILED_WITHIN: Duration = Duration::from_secs(3_600);
/// A task that waits longer is reported: there may be no worker for it.
const LONG_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// The tasks that are judged.
#[derive(Debug, Default)]
pub(super) struct SeenTasks {
    working: Vec<TaskSnapshot>,
    waiting: Vec<TaskSnapshot>,
    /// Of the last hour.
    failed: Vec<TaskSnapshot>,
    /// There are more than were read.
    is_cut: bool,
}

/// Reads the tasks.
///
/// # Errors
/// As the registry answers.
pub(super) async fn ask(registry: &RegistryClient, now: Timestamp) -> Result<SeenTasks, RegistryError> {
    let mut seen = SeenTasks::default();
    let ago = i64::try_from(FAILED_WITHIN.as_micros()).unwrap_or_default();
    let since = Timestamp::from_micros(now.as_micros().saturating_sub(ago));
    for (state, since) in [
        (TaskState::Working, None),
        (TaskState::Submitted, None),
        (TaskState::Failed, Some(since.to_string())),
    ] {
        let mut request = TaskListRequest {
            states: vec![state],
            since,
            limit: PAGE_SIZE,
            ..TaskListRequest::default()
        };
        let mut walk = PageWalk::default();
        for number in 1.. {
            let (page, next) = TaskListRequest::page(registry.call(&request).await?);
            let next = walk
                .follow(next, page.len())
                .map_err(RegistryError::endless::<TaskListRequest>)?;
            match state {
                TaskState::Working => seen.working.extend(page),
                TaskState::Submitted => seen.waiting.extend(page),
                _ => seen.failed.extend(page),
            }
            match next {
                Some(cursor) if number < MAX_PAGES => request.cursor = Some(cursor),
                next => {
                    seen.is_cut |= next.is_some();
                    break;
                }
            }
        }
    }
    Ok(seen)
}

/// Judges the tasks.
pub(super) fn tasks(asked: Result<SeenTasks, RegistryError>, now: Timestamp) -> Finding {
    let seen = match asked {
        Ok(seen) => seen,
        Err(RegistryError::NoRegistry { .. }) => {
            return Finding::skip("the registry keeps no tasks: it is of an older version");
        }
        Err(RegistryError::Refused(text)) if code_of(&text) == error::DISABLED => {
            return Finding::skip("the registry keeps no tasks (AGENTNET_TASKS=false)");
        }
        Err(error) => return Finding::skip(format!("their state is not known: {error}")),
    };
    let least = if seen.is_cut { "at least " } else { "" };
    let text = format!(
        "{least}{} in work, {} waiting, {} failed in the last hour",
        counted(seen.working.len(), "task"),
        seen.waiting.len(),
        seen.failed.len(),
    );
    Finding::worst(
        Finding::pass(text.clone()),
        [stalled(&seen, &text), old(&seen, &text, now), failed(&seen, &text)],
    )
}

fn stalled(seen: &SeenTasks, text: &str) -> Option<Finding> {
    let stalled = seen.working.iter().filter(|task| task.stalled).count();
    (stalled > 0).then(|| {
        Finding::warn(
            format!("{text}; {stalled} stalled: the worker is silent"),
            "`agentnet task list --state working` shows them; a worker that stays silent for the heartbeat time loses its task: \
             it is tried again, or fails",
        )
    })
}

fn failed(seen: &SeenTasks, text: &str) -> Option<Finding> {
    (!seen.failed.is_empty()).then(|| {
        Finding::warn(
            text.to_owned(),
            "`agentnet task list --state failed` shows why; `agentnet task retry ID` tries one again",
        )
    })
}

/// Work that could have begun a day ago. A task that is to begin later does not count.
fn old(seen: &SeenTasks, text: &str, now: Timestamp) -> Option<Finding> {
    let waited = |task: &TaskSnapshot| {
        let due = task.not_before.as_deref().and_then(Timestamp::parse);
        let created = Timestamp::parse(&task.created_at)?;
        let since = due.map_or(created, |due| due.max(created));
        u64::try_from(now.micros_since(since)).ok().map(Duration::from_micros)
    };
    let oldest = seen.waiting.iter().filter_map(waited).max()?;
    (oldest > LONG_WAIT).then(|| {
        Finding::warn(
            format!(
                "{text}; the oldest waits for {}",
                counted(oldest.as_secs() / 3_600, "hour")
            ),
            "is there a worker for it (`agentnet task work`)? `agentnet task list --state submitted` shows what waits, \
             `agentnet task cancel ID` gives it up",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict::{Pass, Skip, Warn};
    use super::*;

    const NOW: &str = "2026-02-21T08:00:00Z";

    fn judged(seen: SeenTasks) -> Finding {
        tasks(Ok(seen), Timestamp::parse(NOW).unwrap())
    }

    fn task(created_at: &str) -> TaskSnapshot {
        TaskSnapshot {
            created_at: created_at.into(),
            ..TaskSnapshot::default()
        }
    }

    #[test]
    fn tasks_are_counted() {
        assert_eq!(
            judged(SeenTasks::default()),
            Finding::pass("0 tasks in work, 0 waiting, 0 failed in the last hour")
        );
        let later = TaskSnapshot {
            not_before: Some("2026-03-01T00:00:00Z".into()),
            ..task("2026-01-01T00:00:00Z")
        };
        let seen = SeenTasks {
            working: vec![task(NOW)],
            waiting: vec![task("2026-02-20T08:00:00Z"), later],
            is_cut: true,
            ..SeenTasks::default()
        };
        let finding = judged(seen);
        assert_eq!(finding.verdict, Pass);
        assert_eq!(
            finding.seen,
            "at least 1 task in work, 2 waiting, 0 failed in the last hour"
        );
    }

    #[test]
    fn stalled_failed_and_forgotten_tasks_are_told() {
        let stalled = TaskSnapshot {
            stalled: true,
            ..task(NOW)
        };
        for (seen, part) in [
            (
                SeenTasks {
                    working: vec![stalled],
                    ..SeenTasks::default()
                },
                "1 stalled: the worker is silent",
            ),
            (
                SeenTasks {
                    failed: vec![task(NOW)],
                    ..SeenTasks::default()
                },
                "1 failed in the last hour",
            ),
            (
                SeenTasks {
                    waiting: vec![task("2026-02-20T07:59:59Z")],
                    ..SeenTasks::default()
                },
                "the oldest waits for 24 hours",
            ),
        ] {
            let finding = judged(seen);
            assert_eq!(finding.verdict, Warn, "{finding:?}");
            assert!(finding.seen.contains(part) && finding.advice.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn registries_without_tasks_are_not_at_fault() {
        for error in [
            RegistryError::NoRegistry { rpc: "task_list" },
            RegistryError::Refused("task_disabled: this registry keeps no tasks".into()),
            RegistryError::Refused("task_list_failed".into()),
        ] {
            let finding = tasks(Err(error), Timestamp::parse(NOW).unwrap());
            assert_eq!(finding.verdict, Skip, "{finding:?}");
        }
    }
}
