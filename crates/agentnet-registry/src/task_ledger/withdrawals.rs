//! The messages `task.assign` of tasks that have ended, which are taken out of the mailboxes of agents that were offline all the time
//! (PROTOCOL.md section 22.4): nobody wants that work any more.

use std::collections::VecDeque;

use agentnet_store::model::{StoredTaskEvent, Task, TaskDelivery, TaskTarget};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Tasks that wait for this; the messages of further ones stay.
const MAX_PENDING: usize = 10_000;
/// Events before the end among which retries are looked for, whose numbers are in the ids of their messages.
const MAX_EVENTS: usize = 20;

/// Messages of one task that are to be taken out of a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Withdrawal {
    pub(super) account_id: String,
    pub(super) message_ids: Vec<String>,
}

/// What is to be taken out.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    pending: Mutex<VecDeque<Withdrawal>>,
    added: Notify,
}

impl Withdrawals {
    /// A task has changed.
    pub(super) fn changed(&self, task: &Task, events: &[StoredTaskEvent]) {
        let Some(withdrawal) = withdrawal(task, events) else {
            return;
        };
        let mut pending = self.pending.lock();
        if pending.len() < MAX_PENDING {
            pending.push_back(withdrawal);
            self.added.notify_one();
        }
    }

    /// The next messages, once there are some.
    pub(super) async fn next(&self) -> Withdrawal {
        loop {
            let next = self.pending.lock().pop_front();
            if let Some(next) = next {
                return next;
            }
            self.added.notified().await;
        }
    }
}

/// The messages about a task that has ended, unless its worker has ended it by a message: that has got them.
fn withdrawal(task: &Task, events: &[StoredTaskEvent]) -> Option<Withdrawal> {
    let has_ended = events.iter().any(|event| event.kind == "finished");
    let is_by_message = task.delivery == TaskDelivery::Message && task.code.is_none();
    let TaskTarget::Account(account_id) = &task.target else {
        return None;
    };
    if !task.is_assigned_by_message || !has_ended || is_by_message {
        return None;
    }
    let first = format!("task_assign_{}", task.task_id);
    // The first event made the task, the last one ended it.
    let retries = (2..task.event_count).rev().take(MAX_EVENTS);
    let further = retries.map(|number| format!("{first}_{number}"));
    Some(Withdrawal {
        account_id: account_id.clone(),
        message_ids: std::iter::once(first.clone()).chain(further).collect(),
    })
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::Timestamp;
    use agentnet_protocol::rpc::TaskCreateRequest;
    use agentnet_protocol::task::code;
    use futures::FutureExt as _;

    use super::super::content::requested;
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_771_660_800_000_000);

    fn task(to: &str, delivery: TaskDelivery) -> Task {
        let request = TaskCreateRequest {
            task_id: Some("t".into()),
            ..TaskCreateRequest::new("acct_a", to, "do it")
        };
        requested(request, delivery, NOW).unwrap()
    }

    fn event(kind: &str) -> StoredTaskEvent {
        StoredTaskEvent {
            task_id: "t".into(),
            seq: 2,
            at: NOW,
            kind: kind.into(),
            attempt: 0,
            state: None,
            text: None,
            data: None,
            from_account_id: None,
            message_id: None,
        }
    }

    #[tokio::test]
    async fn only_messages_that_nobody_has_got_are_withdrawn() {
        let end = [event("finished")];
        let told = task("acct_b", TaskDelivery::Message);
        let canceled = Task {
            code: Some(code::CANCELED.into()),
            ..told.clone()
        };
        let claimed = Task {
            delivery: TaskDelivery::Lease,
            attempt: 2,
            event_count: 4,
            ..told.clone()
        };
        let withdrawals = Withdrawals::default();
        withdrawals.changed(&told, &end);
        withdrawals.changed(&canceled, &[event("progress")]);
        withdrawals.changed(&task("acct_b", TaskDelivery::Lease), &end);
        withdrawals.changed(&task("capability:build", TaskDelivery::Lease), &end);
        assert_eq!(withdrawals.next().now_or_never(), None);
        withdrawals.changed(&canceled, &end);
        withdrawals.changed(&claimed, &end);
        for ids in ["task_assign_t", "task_assign_t task_assign_t_3 task_assign_t_2"] {
            let next = withdrawals.next().await;
            assert_eq!(
                (next.account_id.as_str(), next.message_ids.join(" ")),
                ("acct_b", ids.to_owned())
            );
        }
    }
}
