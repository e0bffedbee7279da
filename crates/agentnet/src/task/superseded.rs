//! Messages that have become superfluous: a task that a session has claimed need not be told to its account any more.

use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::ClaimedTask;
use tokio_util::task::TaskTracker;

use super::messages::{assignment_id, retry_id};
use crate::mailbox::owner::MailboxOwner;
use crate::session::Session;

/// How far the clock of this host may be behind that of the registry, in milliseconds.
const CLOCK_SKEW_MS: i128 = 60_000;

/// Deletes the messages from the own mailbox that tell of tasks which are claimed now, and which were made before this session
/// was there: until then their coordinator had to leave such a message. Otherwise another session would do them again.
pub(super) fn drop_assignments(session: &Arc<Session>, tasks: &[ClaimedTask], work: &TaskTracker) {
    let since = session.started_at.saturating_add_millis(CLOCK_SKEW_MS);
    let is_before = |time: &str| Timestamp::parse(time).is_some_and(|time| time < since);
    let message_id = |claimed: &ClaimedTask| {
        let task = &claimed.task;
        let (told_at, message_id) = match claimed.attempt {
            1 => (task.created_at.as_str(), assignment_id(&task.task_id)),
            // A retry on request is the event before the one of the claim.
            _ => (
                task.not_before.as_deref()?,
                retry_id(&task.task_id, task.event_count - 1),
            ),
        };
        (task.capability.is_none() && is_before(told_at)).then_some(message_id)
    };
    let message_ids: Vec<String> = tasks.iter().filter_map(message_id).collect();
    if message_ids.is_empty() {
        return;
    }
    let of = session.clone();
    session.subscriptions.spawn(work, async move {
        let owner = MailboxOwner::of(&of);
        if let Err(error) = owner.drop_messages(message_ids).await {
            tracing::debug!(%error, "messages about tasks that are claimed stay in the mailbox");
        }
    });
}
