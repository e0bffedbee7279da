//! The tasks of accounts: how many are open, by the registry's list. Events say when to ask again.

use std::collections::HashMap;
use std::time::Duration;

use agentnet_protocol::rpc::TaskSnapshot;

/// Maximum number of accounts whose counts are kept.
const MAX_ACCOUNTS: usize = 10_000;
/// How long counts are used after an event, and without one.
const RECHECK_INTERVAL: Duration = Duration::from_secs(2);
const IDLE_RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Open tasks of one account, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TaskCounts {
    /// Tasks that have not ended.
    pub(crate) open: u64,
    /// Those of them whose workers are silent.
    pub(crate) stalled: u64,
}

impl TaskCounts {
    fn add(&mut self, task: &TaskSnapshot) {
        self.open += 1;
        self.stalled += u64::from(task.stalled);
    }
}

/// What the registry's list says.
#[derive(Debug, Default)]
pub(crate) struct OpenTasks {
    accounts: HashMap<Box<str>, TaskCounts>,
    total: TaskCounts,
    /// There are more tasks than were read.
    pub(crate) is_cut: bool,
}

impl OpenTasks {
    /// Counts a task for the account that has to do it.
    pub(crate) fn add(&mut self, task: &TaskSnapshot) {
        self.total.add(task);
        let worker = task
            .worker_account_id
            .as_deref()
            .or(task.assignee_account_id.as_deref());
        let Some(account_id) = worker.filter(|id| !id.is_empty()) else {
            return;
        };
        if self.accounts.len() < MAX_ACCOUNTS || self.accounts.contains_key(account_id) {
            self.accounts.entry(account_id.into()).or_default().add(task);
        }
    }

    /// The accounts that have tasks.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &str> {
        self.accounts.keys().map(|id| &**id)
    }
}

/// The known tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    known: Option<OpenTasks>,
    /// There were events since the last request.
    changed: bool,
}

impl Tasks {
    /// The counts of an account; `None` if tasks are not known.
    pub(crate) fn get(&self, account_id: &str) -> Option<TaskCounts> {
        let known = self.known.as_ref()?;
        Some(known.accounts.get(account_id).copied().unwrap_or_default())
    }

    /// The counts of all accounts together, and whether there are more; `None` if they are not known.
    pub(crate) fn total(&self) -> Option<(TaskCounts, bool)> {
        self.known.as_ref().map(|known| (known.total, known.is_cut))
    }

    /// Applies an event of a task.
    pub(crate) fn event(&mut self) {
        self.changed = true;
    }

    /// Applies the registry's list.
    pub(crate) fn counted(&mut self, open: OpenTasks) {
        self.known = Some(open);
    }

    /// How long the last answer is used.
    pub(crate) fn interval(&self) -> Duration {
        if self.changed {
            RECHECK_INTERVAL
        } else {
            IDLE_RECHECK_INTERVAL
        }
    }

    /// The registry is being asked: later events count again.
    pub(crate) fn asked(&mut self) {
        self.changed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(assignee: Option<&str>, stalled: bool) -> TaskSnapshot {
        TaskSnapshot {
            assignee_account_id: assignee.map(str::to_owned),
            stalled,
            ..TaskSnapshot::default()
        }
    }

    #[test]
    fn open_tasks_are_counted_for_who_does_them() {
        let mut open = OpenTasks::default();
        for task in [
            task(Some("acct_a"), true),
            task(Some("acct_a"), false),
            task(None, false),
            task(Some(""), false),
        ] {
            open.add(&task);
        }
        let mut tasks = Tasks::default();
        assert_eq!((tasks.get("acct_a"), tasks.total()), (None, None));
        tasks.counted(open);
        let counts = |open, stalled| TaskCounts { open, stalled };
        assert_eq!(tasks.get("acct_a"), Some(counts(2, 1)));
        assert_eq!(tasks.get("acct_b"), Some(counts(0, 0)));
        assert_eq!(tasks.total(), Some((counts(4, 1), false)));
    }

    #[test]
    fn an_event_asks_sooner_and_accounts_are_bounded() {
        let mut tasks = Tasks::default();
        assert_eq!(tasks.interval(), IDLE_RECHECK_INTERVAL);
        tasks.event();
        assert_eq!(tasks.interval(), RECHECK_INTERVAL);
        tasks.asked();
        assert_eq!(tasks.interval(), IDLE_RECHECK_INTERVAL);
        let mut open = OpenTasks::default();
        for number in 0..2 * MAX_ACCOUNTS {
            open.add(&task(Some(&format!("acct_{number}")), false));
        }
        assert_eq!(open.accounts().count(), MAX_ACCOUNTS);
    }
}
