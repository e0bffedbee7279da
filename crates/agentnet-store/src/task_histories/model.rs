//! A model of tasks, written without a look at the rules: milliseconds, one record a task, no texts.

use std::collections::BTreeSet;

use agentnet_protocol::task::TaskState;

use crate::contract::sample::at;
use crate::model::{Attempt, Task, TaskRefusal};

/// From the creation to the deadline of the task that has one.
pub(super) const DEADLINE_MS: i64 = 90_000;
/// How long a worker has to stop: shorter than its silence may be.
pub(super) const CANCEL_GRACE_MS: i64 = 20_000;
const HEARTBEAT_MS: i64 = 30_000;
const BACKOFF_MS: i64 = 1_000;

/// What happens to one task.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Heartbeat {
        attempt: Attempt,
        progress: bool,
    },
    Finish {
        attempt: Attempt,
        id: String,
        state: TaskState,
        retryable: bool,
    },
    Cancel,
    Input,
    Retry,
    Report {
        id: String,
        state: TaskState,
    },
    Tick,
}

/// What becomes of a request for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    New,
    Known,
    Conflict,
}

/// Who has a task.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) lease: String,
    pub(super) until: i64,
}

/// The record of one task.
#[derive(Debug, Clone)]
pub(super) struct ModelTask {
    usual: bool,
    /// The order of creation.
    place: usize,
    priority: i64,
    pub(super) state: TaskState,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
    pub(super) holder: Option<Holder>,
    pub(super) cancel_at: Option<i64>,
    not_before: i64,
    /// The shortest delay of the attempt that was scheduled last, until the task tells the delay itself.
    delay: Option<i64>,
    deadline: Option<i64>,
    by_message: bool,
    was_claimed: bool,
    /// Claims since its worker was last heard of, and releases since it last did something else.
    silent_claims: i64,
    releases: u32,
    /// Messages and ends that were applied.
    applied: BTreeSet<String>,
    pub(super) result: Option<String>,
    pub(super) events: i64,
    pub(super) ends: usize,
    pub(super) retries: usize,
}

/// All tasks of a history.
#[derive(Debug)]
pub(super) struct Model {
    tasks: Vec<Option<ModelTask>>,
    created: usize,
}

impl Model {
    pub(super) fn new(tasks: usize) -> Self {
        Self {
            tasks: vec![None; tasks],
            created: 0,
        }
    }

    pub(super) fn task_mut(&mut self, task: usize) -> Option<&mut ModelTask> {
        self.tasks[task].as_mut()
    }

    pub(super) fn create(&mut self, task: usize, usual: bool, now: i64) -> Created {
        if let Some(known) = &self.tasks[task] {
            return match known.usual == usual {
                true => Created::Known,
                false => Created::Conflict,
            };
        }
        self.created += 1;
        self.tasks[task] = Some(ModelTask {
            usual,
            place: self.created,
            priority: i64::from(task == 1),
            state: TaskState::Submitted,
            attempt: 0,
            max_attempts: 1 + i64::try_from(task).unwrap(),
            holder: None,
            cancel_at: None,
            not_before: now,
            delay: None,
            deadline: (task == 0).then_some(now + DEADLINE_MS),
            by_message: task == 2,
            was_claimed: false,
            silent_claims: 0,
            releases: 0,
            applied: BTreeSet::new(),
            result: None,
            events: 1,
            ends: 0,
            retries: 0,
        });
        Created::New
    }

    /// The tasks that a claim gets, in order.
    pub(super) fn claimable(&self, max: usize, now: i64) -> Vec<usize> {
        let mut found: Vec<(i64, i64, usize, usize)> = Vec::new();
        for (number, task) in self.tasks.iter().enumerate() {
            let Some(task) = task else { continue };
            let is_open = task.state == TaskState::Submitted && task.deadline.is_none_or(|deadline| deadline > now);
            if is_open && task.not_before <= now {
                found.push((-task.priority, task.not_before, task.place, number));
            }
        }
        found.sort_unstable();
        found.into_iter().take(max).map(|(.., number)| number).collect()
    }

    pub(super) fn claimed(&mut self, task: usize, lease: &str, now: i64) {
        let task = self.tasks[task].as_mut().unwrap();
        task.state = TaskState::Working;
        task.by_message = false;
        task.was_claimed = true;
        task.silent_claims += 1;
        task.attempt += 1;
        task.holder = Some(Holder {
            lease: lease.to_owned(),
            until: now + HEARTBEAT_MS,
        });
        task.events += 1;
    }

    /// `Err(None)`: there is no such task.
    pub(super) fn apply(&mut self, task: usize, event: &Event, now: i64) -> Result<(), Option<TaskRefusal>> {
        let task = self.tasks[task].as_mut().ok_or(None)?;
        task.apply(event, now).map_err(Some)
    }
}

impl ModelTask {
    fn apply(&mut self, event: &Event, now: i64) -> Result<(), TaskRefusal> {
        match event {
            Event::Heartbeat { attempt, progress } => {
                self.check_held(attempt, now)?;
                let holder = self.holder.as_mut().unwrap();
                holder.until = now + HEARTBEAT_MS;
                self.silent_claims = 0;
                self.events += i64::from(*progress);
            }
            Event::Finish {
                attempt,
                id,
                state,
                retryable,
            } => {
                self.check_new(id)?;
                if self.state.is_terminal() {
                    return Err(TaskRefusal::Finished);
                }
                self.check_held(attempt, now)?;
                self.finish(id, *state, *retryable, now);
            }
            Event::Cancel => {
                if self.state.is_terminal() {
                    return Err(TaskRefusal::Finished);
                }
                match self.is_held(now) {
                    true if self.cancel_at.is_some() => return Err(TaskRefusal::Nothing),
                    true => {
                        self.cancel_at = Some(now);
                        self.events += 1;
                    }
                    false => self.end(TaskState::Canceled),
                }
            }
            Event::Input => {
                if !self.state.is_blocked() {
                    return Err(TaskRefusal::NoInput);
                }
                if self.by_message {
                    self.state = TaskState::Working;
                } else {
                    self.attempt -= 1;
                    self.wait(now);
                }
                self.events += 1;
            }
            Event::Retry => {
                if self.state != TaskState::Failed {
                    return Err(TaskRefusal::NotRetriable);
                }
                self.max_attempts = self.max_attempts.max(self.attempt + 1);
                self.deadline = self.deadline.filter(|deadline| *deadline > now);
                self.result = None;
                self.not_before = now;
                self.silent_claims = 0;
                self.releases = 0;
                self.wait(now);
                self.events += 1;
                self.retries += 1;
            }
            Event::Report { id, state } => {
                self.check_new(id)?;
                self.applied.insert(id.clone());
                self.report(id, *state, now);
            }
            Event::Tick => return self.tick(now),
        }
        Ok(())
    }

    fn is_held(&self, now: i64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.until > now)
    }

    fn check_held(&self, attempt: &Attempt, now: i64) -> Result<(), TaskRefusal> {
        let is_same = self.holder.as_ref().is_some_and(|holder| holder.lease == attempt.lease);
        if is_same && self.is_held(now) && self.attempt == attempt.number {
            return Ok(());
        }
        Err(TaskRefusal::LeaseLost)
    }

    fn check_new(&self, id: &str) -> Result<(), TaskRefusal> {
        match self.applied.contains(id) {
            true => Err(TaskRefusal::Duplicate),
            false => Ok(()),
        }
    }

    fn finish(&mut self, id: &str, state: TaskState, retryable: bool, now: i64) {
        self.applied.insert(id.to_owned());
        let is_unwanted = self.cancel_at.is_some();
        self.silent_claims = 0;
        self.releases = if state == TaskState::Submitted {
            self.releases + 1
        } else {
            0
        };
        match state {
            TaskState::Submitted | TaskState::InputRequired | TaskState::AuthRequired if is_unwanted => {
                self.end(TaskState::Canceled);
            }
            TaskState::Submitted => {
                self.attempt -= 1;
                let delay = match self.releases {
                    0 | 1 => 0,
                    more => (500 << (more - 1)).min(60_000),
                };
                self.wait(now + delay);
                self.events += 1;
            }
            TaskState::InputRequired | TaskState::AuthRequired => {
                self.state = state;
                self.holder = None;
                self.events += 1;
            }
            TaskState::Failed if retryable && !is_unwanted && self.attempt < self.max_attempts => {
                self.try_again(now);
            }
            _ => {
                self.end(state);
                self.result = Some(format!("\"{id}\""));
            }
        }
    }

    fn report(&mut self, id: &str, state: TaskState, now: i64) {
        if self.state.is_terminal() || (!self.by_message && self.was_claimed) {
            // Ignored, or the progress of who has it: no change but an event.
            self.events += 1;
            if state == TaskState::Working && self.is_held(now) {
                self.silent_claims = 0;
            }
            return;
        }
        self.by_message = true;
        self.attempt = self.attempt.max(1);
        if state.is_terminal() {
            self.end(state);
            self.result = Some(format!("\"{id}\""));
        } else {
            self.state = state;
            self.events += 1;
        }
        debug_assert!(!self.is_held(now));
    }

    fn tick(&mut self, now: i64) -> Result<(), TaskRefusal> {
        if self.state.is_terminal() {
            return Err(TaskRefusal::Nothing);
        }
        let is_over = |since: i64| since + CANCEL_GRACE_MS <= now;
        let is_lost = self.holder.is_some() && !self.is_held(now);
        if self.cancel_at.is_some_and(is_over) || (self.cancel_at.is_some() && is_lost) {
            self.end(TaskState::Canceled);
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.end(TaskState::Failed);
        } else if is_lost {
            self.events += 1;
            if (1..4).contains(&self.silent_claims) {
                self.events += 1;
                self.attempt -= 1;
                self.wait(now);
                return Ok(());
            }
            self.silent_claims = 0;
            self.releases = 0;
            match self.attempt < self.max_attempts {
                true => self.try_again(now),
                false => self.end(TaskState::Failed),
            }
        } else {
            return Err(TaskRefusal::Nothing);
        }
        Ok(())
    }

    fn try_again(&mut self, now: i64) {
        let delay = BACKOFF_MS << (self.attempt - 1);
        self.wait(now + delay);
        self.delay = Some(delay);
        self.events += 1;
    }

    fn wait(&mut self, not_before: i64) {
        self.state = TaskState::Submitted;
        self.holder = None;
        self.not_before = self.not_before.max(not_before);
    }

    fn end(&mut self, state: TaskState) {
        self.state = state;
        self.holder = None;
        self.cancel_at = None;
        self.events += 1;
        self.ends += 1;
    }

    /// The delay before another attempt is up to a fifth longer, which only the task tells.
    pub(super) fn adopt_delay(&mut self, stored: &Task, when: &str) {
        let not_before = stored.not_before.micros_since(at(0)) / 1_000;
        if let Some(delay) = self.delay.take() {
            let range = self.not_before..=self.not_before + delay / 5;
            assert!(range.contains(&not_before), "{not_before} is not in {range:?}: {when}");
            self.not_before = not_before;
        }
        assert_eq!(not_before, self.not_before, "{when}");
    }
}
