//! How many tasks may come of one question. A task outlives the question, so that neither its time nor the agents that wait
//! for it bound what follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Tasks that may come of one question, through all agents that it reaches.
pub const MAX_TASKS: u32 = 128;
/// Part of the rest that is passed on with a task or a question.
const PART: u32 = 8;

/// Tasks that may still come of the question at hand. Cloning gives another handle to the same number.
#[derive(Debug, Clone)]
pub struct TaskAllowance(Arc<AtomicU32>);

impl TaskAllowance {
    /// So many tasks, at most [`MAX_TASKS`].
    #[must_use]
    pub fn new(tasks: u32) -> Self {
        Self(Arc::new(AtomicU32::new(tasks.min(MAX_TASKS))))
    }

    /// Takes a task, and the tasks that may come of it: their number, or `None` where nothing is left.
    #[must_use]
    pub fn take_task(&self) -> Option<u32> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            let rest = left.checked_sub(1)?;
            Some(rest - rest / PART)
        });
        left.ok().map(|left| (left - 1) / PART)
    }

    /// A task that was taken has not come to be.
    pub fn give_back_task(&self, passed_on: u32) {
        self.0.fetch_add(passed_on + 1, Ordering::Relaxed);
    }

    /// Takes the tasks that may come of a message to another agent: their number.
    #[must_use]
    pub fn take_part(&self) -> u32 {
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - left / PART));
        left.unwrap_or_default() / PART
    }
}

impl Default for TaskAllowance {
    fn default() -> Self {
        Self::new(MAX_TASKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every agent passes on whatever it may, by tasks and questions in turn: so many tasks come of it.
    fn tasks_of(allowance: &TaskAllowance) -> u32 {
        let mut tasks = 0;
        while let Some(passed_on) = allowance.take_task() {
            tasks += 1 + tasks_of(&TaskAllowance::new(passed_on));
            tasks += tasks_of(&TaskAllowance::new(allowance.take_part()));
        }
        tasks
    }

    #[test]
    fn no_more_tasks_come_of_a_question_than_allowed() {
        for allowed in [0, 1, 2, 9, 64, MAX_TASKS] {
            assert_eq!(tasks_of(&TaskAllowance::new(allowed)), allowed, "{allowed}");
        }
        assert_eq!(tasks_of(&TaskAllowance::new(u32::MAX)), MAX_TASKS);
    }

    #[test]
    fn one_agent_may_assign_as_many_as_it_may_call_tools_by_default() {
        let allowance = TaskAllowance::default();
        let passed_on: Vec<u32> = std::iter::from_fn(|| allowance.take_task()).collect();
        assert!(passed_on.len() >= 24, "{passed_on:?}");
        assert_eq!(passed_on[0], 15);
    }

    #[test]
    fn a_task_that_was_not_made_does_not_count() {
        let allowance = TaskAllowance::new(10);
        let passed_on = allowance.take_task().unwrap();
        allowance.give_back_task(passed_on);
        assert_eq!(tasks_of(&allowance), 10);
    }
}
