//! Running one history on a system and on the model.

use agentnet_protocol::RawJson;
use agentnet_protocol::Timestamp;
use agentnet_protocol::task::TaskState;

use super::model::{CANCEL_GRACE_MS, Created, DEADLINE_MS, Event, Model};
use super::steps::{Step, TASKS, WORKERS};
use super::system::System;
use crate::contract::sample::{at, json};
use crate::contract::sample_tasks::{finish, new_task};
use crate::model::{
    Attempt, Finish, Progress, Report, StoredTaskEvent, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated,
    TaskDelivery, TaskTarget,
};

/// Runs one history on a system and on the model. `name` tells the tasks and accounts of histories on one database apart.
///
/// # Panics
/// If they differ, or an invariant does not hold.
pub(super) async fn run<S: System>(system: &mut S, name: &str, steps: &[Step]) {
    let mut history = History {
        system,
        name: name.to_owned(),
        model: Model::new(TASKS),
        attempts: vec![vec![unknown_attempt(); TASKS]; WORKERS],
        millis: 0,
        claims: 0,
    };
    for (place, step) in steps.iter().enumerate() {
        history.step(step).await;
        for task in 0..TASKS {
            history.compare(task, &format!("step {place}, {step:?}")).await;
        }
    }
    for task in 0..TASKS {
        history.check_events(task).await;
    }
}

/// No lease has this name.
fn unknown_attempt() -> Attempt {
    Attempt {
        number: 1,
        lease: "none".into(),
    }
}

struct History<'a, S> {
    system: &'a mut S,
    name: String,
    model: Model,
    /// The last attempt that each worker got of each task; it may be over.
    attempts: Vec<Vec<Attempt>>,
    millis: i64,
    claims: usize,
}

impl<S: System> History<'_, S> {
    fn now(&self) -> Timestamp {
        at(0).saturating_add_millis(i128::from(self.millis))
    }

    fn id(&self, task: usize) -> String {
        format!("{}_t{task}", self.name)
    }

    fn account(&self) -> String {
        format!("acct_{}", self.name)
    }

    /// The first has a deadline, the second the highest priority, the third is told by a message.
    fn task(&self, task: usize, usual: bool) -> Task {
        let now = self.now();
        Task {
            coordinator_account_id: format!("coordinator_{}", self.name),
            idempotency_key: Some(format!("key{task}")),
            content_sha256: if usual { "usual" } else { "other" }.into(),
            target: TaskTarget::Account(self.account()),
            priority: i64::from(task == 1),
            max_attempts: 1 + i64::try_from(task).unwrap(),
            deadline_at: (task == 0).then(|| now.saturating_add_millis(i128::from(DEADLINE_MS))),
            delivery: match task {
                2 => TaskDelivery::Message,
                _ => TaskDelivery::Lease,
            },
            not_before: now,
            created_at: now,
            updated_at: now,
            ..new_task(&self.id(task))
        }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Create { task, usual } => self.create(task, usual).await,
            Step::Claim { worker, max } => self.claim(worker, max).await,
            Step::Advance { millis } => self.millis += millis,
            Step::Tick => self.tick().await,
            _ => self.change(step).await,
        }
    }

    async fn create(&mut self, task: usize, usual: bool) {
        let new = self.task(task, usual);
        let created = self.system.create(&new).await;
        let expected = self.model.create(task, usual, self.millis);
        let matches = match (&created, expected) {
            (TaskCreated::New(..), Created::New)
            | (TaskCreated::Known(_), Created::Known)
            | (TaskCreated::Conflict, Created::Conflict) => true,
            (TaskCreated::New(..) | TaskCreated::Known(_) | TaskCreated::Conflict, _) => false,
            _ => panic!("unexpected outcome: {created:?}"),
        };
        assert!(matches, "{created:?}, but the model says {expected:?}");
    }

    async fn claim(&mut self, worker: usize, max: usize) {
        self.claims += 1;
        let query = TaskClaimQuery {
            account_id: self.account(),
            session_tag: format!("session{worker}"),
            capabilities: Vec::new(),
            task_id: None,
            max,
            token: format!("{}x{}", self.name, self.claims),
            now: self.now(),
        };
        let claimed = self.system.claim(&query).await;
        // The reply may be lost: a repetition gets the same.
        assert_eq!(self.system.claim(&query).await, claimed, "repeated");
        let ids: Vec<&str> = claimed.iter().map(|(task, _)| task.task_id.as_str()).collect();
        let expected = self.model.claimable(max, self.millis);
        let expected_ids: Vec<String> = expected.iter().map(|task| self.id(*task)).collect();
        assert_eq!(ids, expected_ids);
        for ((task, events), number) in claimed.iter().zip(expected) {
            let lease = task.lease.as_ref().unwrap().token.clone();
            self.model.claimed(number, &lease, self.millis);
            self.attempts[worker][number] = Attempt {
                number: task.attempt,
                lease,
            };
            assert_eq!(kinds(events), ["claimed"]);
        }
    }

    async fn tick(&mut self) {
        let now = self.now();
        let ticked = self.system.tick(now, CANCEL_GRACE_MS).await;
        let prefix = format!("{}_", self.name);
        let mut ids: Vec<&str> = ticked.iter().map(|(task, _)| task.task_id.as_str()).collect();
        ids.retain(|id| id.starts_with(&prefix));
        ids.sort_unstable();
        let mut expected = Vec::new();
        for task in 0..TASKS {
            if self.model.apply(task, &Event::Tick, self.millis).is_ok() {
                expected.push(self.id(task));
            }
        }
        assert_eq!(ids, expected);
    }

    async fn change(&mut self, step: &Step) {
        let (task, change, event) = self.described(step);
        let (task_id, now) = (self.id(task), self.now());
        let outcome = self.system.change(&task_id, &change, now).await;
        let expected = self.model.apply(task, &event, self.millis);
        match (&outcome, &expected) {
            (TaskChanged::Unknown, Err(None)) => {}
            (TaskChanged::Refused(refusal, _), Err(Some(expected))) if refusal == expected => {}
            (TaskChanged::Changed(..), Ok(())) => {}
            _ => panic!("{outcome:?}, but the model says {expected:?}"),
        }
    }

    /// The change that a step makes, and what it is to the model.
    fn described(&self, step: &Step) -> (usize, TaskChange, Event) {
        let account_id = self.account();
        match *step {
            Step::Heartbeat { worker, task, progress } => {
                let attempt = self.attempts[worker][task].clone();
                let event = Event::Heartbeat {
                    attempt: attempt.clone(),
                    progress,
                };
                let progress = progress.then(Progress::default);
                (
                    task,
                    TaskChange::Heartbeat {
                        attempt,
                        progress,
                        checkpoint: Some(json("[1]")),
                        request_id: None,
                    },
                    event,
                )
            }
            Step::Finish {
                worker,
                task,
                finish: number,
                state,
                retryable,
            } => {
                let attempt = self.attempts[worker][task].clone();
                let id = format!("f{worker}{number}");
                let finish = Finish {
                    result: Some(json(&format!("\"{id}\""))),
                    retryable,
                    ..finish(&id, state)
                };
                let event = Event::Finish {
                    attempt: attempt.clone(),
                    id,
                    state,
                    retryable,
                };
                (task, TaskChange::Finish { attempt, finish }, event)
            }
            Step::Cancel { task } => {
                let change = TaskChange::Cancel {
                    reason: None,
                    account_id: None,
                    request_id: None,
                };
                (task, change, Event::Cancel)
            }
            Step::Input { task } => {
                let payload = Some(json("[2]"));
                let change = TaskChange::Input {
                    payload,
                    account_id,
                    request_id: None,
                };
                (task, change, Event::Input)
            }
            Step::Retry { task } => {
                let not_before = self.now();
                let change = TaskChange::Retry {
                    not_before,
                    account_id,
                    request_id: None,
                };
                (task, change, Event::Retry)
            }
            Step::Report { task, message, state } => reported(task, account_id, format!("m{message}"), state),
            Step::Create { .. } | Step::Claim { .. } | Step::Advance { .. } | Step::Tick => {
                unreachable!("no change of one task")
            }
        }
    }

    /// The task is what the model says, and the invariants hold.
    async fn compare(&mut self, task: usize, when: &str) {
        let task_id = self.id(task);
        let stored = self.system.task(&task_id).await;
        let Some(expected) = self.model.task_mut(task) else {
            assert_eq!(stored, None, "{when}");
            return;
        };
        let stored = stored.unwrap();
        expected.adopt_delay(&stored, when);
        assert_eq!(stored.state, expected.state, "{when}");
        let lease = stored.lease.as_ref().map(|lease| (lease.token.as_str(), lease.until));
        let holder = expected.holder.as_ref().map(|holder| {
            (
                holder.lease.as_str(),
                at(0).saturating_add_millis(i128::from(holder.until)),
            )
        });
        assert_eq!(lease, holder, "{when}");
        assert_eq!(
            (stored.attempt, stored.max_attempts, stored.event_count),
            (expected.attempt, expected.max_attempts, expected.events),
            "{when}"
        );
        assert_eq!(
            stored.result.as_ref().map(RawJson::get),
            expected.result.as_deref(),
            "{when}"
        );
        assert_eq!(
            stored.cancel_requested_at.is_some(),
            expected.cancel_at.is_some(),
            "{when}"
        );
        assert_eq!(stored.finished_at.is_some(), stored.state.is_terminal(), "{when}");
        assert!((0..=stored.max_attempts).contains(&stored.attempt), "{when}");
        if stored.state == TaskState::Submitted {
            assert!(stored.attempt < stored.max_attempts, "nobody can claim it: {when}");
        }
        if stored.cancel_requested_at.is_some() {
            assert!(stored.lease.is_some(), "nobody is asked to stop: {when}");
        }
    }

    /// Numbers without gaps, each message and end once, one end for each time that the task was begun.
    async fn check_events(&mut self, task: usize) {
        let task_id = self.id(task);
        let events = self.system.events(&task_id).await;
        let Some(expected) = self.model.task_mut(task) else {
            assert_eq!(events, []);
            return;
        };
        let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=expected.events).collect::<Vec<_>>());
        let mut ids: Vec<&str> = events.iter().filter_map(|event| event.message_id.as_deref()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "a message or an end is applied twice");
        let ends = kinds(&events).iter().filter(|kind| **kind == "finished").count();
        assert_eq!(ends, expected.ends);
        assert!(ends <= expected.retries + 1);
    }
}

fn reported(task: usize, account_id: String, message_id: String, state: TaskState) -> (usize, TaskChange, Event) {
    let report = Report {
        state,
        text: message_id.clone(),
        percent: None,
        phase: None,
        result: Some(json(&format!("\"{message_id}\""))),
    };
    let event = Event::Report {
        id: message_id.clone(),
        state,
    };
    let change = TaskChange::Reported {
        account_id,
        message_id,
        report,
    };
    (task, change, event)
}

fn kinds(events: &[StoredTaskEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}
