//! Polls the registry for the tasks that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::{Paged as _, RegistryClient, RegistryError};
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::TaskListRequest;
use agentnet_protocol::task::TaskState;
use tokio::sync::mpsc;

use super::poll_slot::PollSlot;
use super::state::{Answer, RegistryStatus, State};
use super::tasks::OpenTasks;

/// Poll interval where the registry does not answer: it is of an older version.
const INTERVAL_WITHOUT_ANSWER: Duration = Duration::from_secs(60);
/// The largest page of the registry, and maximum number of pages that are read of each state.
const PAGE_SIZE: usize = 100;
const MAX_PAGES: usize = 5;
/// The states of open tasks.
const OPEN: [&[TaskState]; 3] = [
    &[TaskState::Working],
    &[TaskState::Submitted],
    &[TaskState::InputRequired, TaskState::AuthRequired],
];

/// The running request about tasks.
pub(super) struct TaskPoller {
    registry: RegistryClient,
    answers: mpsc::Sender<Answer>,
    slot: PollSlot<u64>,
    /// Whether the last request was answered.
    is_answered: Arc<AtomicBool>,
}

impl TaskPoller {
    /// Sends answers to the channel `answers`.
    pub(super) fn new(registry: RegistryClient, answers: mpsc::Sender<Answer>) -> Self {
        Self {
            registry,
            answers,
            slot: PollSlot::default(),
            is_answered: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Sends the request if it is due. `connects` is the number of connections so far.
    pub(super) fn ask(&mut self, state: &mut State, connects: u64, now: Duration) {
        let every = match self.is_answered.load(Ordering::Relaxed) {
            true => state.tasks.interval(),
            false => INTERVAL_WITHOUT_ANSWER,
        };
        // A registry that answers nothing has no tasks to tell of.
        if !matches!(state.registry, RegistryStatus::Answers(_)) || !self.slot.is_due(&connects, every, now) {
            return;
        }
        state.tasks.asked();
        let (registry, answers) = (self.registry.clone(), self.answers.clone());
        let is_answered = Arc::clone(&self.is_answered);
        self.slot.ask(connects, now, async move {
            match open_tasks(&registry).await {
                Ok(open) => {
                    is_answered.store(true, Ordering::Relaxed);
                    // Fails only when the command ends.
                    let _ = answers.send(Answer::Tasks(open)).await;
                }
                Err(_) => is_answered.store(false, Ordering::Relaxed),
            }
        });
    }
}

impl Drop for TaskPoller {
    fn drop(&mut self) {
        self.slot.stop();
    }
}

async fn open_tasks(registry: &RegistryClient) -> Result<OpenTasks, RegistryError> {
    let mut open = OpenTasks::default();
    for states in OPEN {
        let mut request = TaskListRequest {
            states: states.to_vec(),
            limit: PAGE_SIZE,
            ..TaskListRequest::default()
        };
        let mut walk = PageWalk::default();
        for number in 1.. {
            let (page, next) = TaskListRequest::page(registry.call(&request).await?);
            let next = walk
                .follow(next, page.len())
                .map_err(RegistryError::endless::<TaskListRequest>)?;
            page.iter().for_each(|task| open.add(task));
            match next {
                Some(cursor) if number < MAX_PAGES => request.cursor = Some(cursor),
                next => {
                    open.is_cut |= next.is_some();
                    break;
                }
            }
        }
    }
    Ok(open)
}
