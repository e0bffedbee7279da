//! Answers, cancellations, further attempts, and what time does.

use agentnet_protocol::task::{TaskState, code};

use super::{changed, claim, failing, finished, input, kinds, refused, retry, tick, working};
use crate::contract::sample::{at, json};
use crate::contract::sample_tasks::{COORDINATOR, WORKER, cancel, finish_of, heartbeat_of, new_task, report};
use crate::model::{Task, TaskRefusal};
use crate::task_rules::attempts::MAX_UNCONFIRMED;
use crate::task_rules::{created, due_at};

#[test]
fn a_blocked_task_goes_on_with_the_answer() {
    for state in [TaskState::InputRequired, TaskState::AuthRequired] {
        let mut task = finished(state);
        assert_eq!((task.state, task.lease.as_ref()), (state, None));
        assert_eq!((due_at(&task), task.finished_at), (None, None));
        assert_eq!(
            refused(&task, &finish_of(&working(), "f", state), 2),
            TaskRefusal::Duplicate
        );
        assert_eq!(refused(&task, &tick(), 9_999), TaskRefusal::Nothing);
        let events = changed(&mut task, &input(), 100);
        assert_eq!((kinds(&events), events[0].attempt), (vec!["input"], 1));
        assert_eq!(events[0].data, Some(json("[7]")));
        assert_eq!(events[0].from_account_id.as_deref(), Some(COORDINATOR));
        assert_eq!((task.state, task.attempt), (TaskState::Submitted, 0));
        changed(&mut task, &claim("l2"), 100);
        assert_eq!((task.attempt, task.input.clone()), (1, Some(json("[7]"))));
    }
    assert_eq!(refused(&working(), &input(), 1), TaskRefusal::NoInput);
    assert_eq!(
        refused(&finished(TaskState::Completed), &input(), 1),
        TaskRefusal::NoInput
    );
}

#[test]
fn a_task_without_a_worker_is_canceled_at_once() {
    let waiting = created(&new_task("t")).0;
    for mut task in [waiting, finished(TaskState::InputRequired)] {
        let events = changed(&mut task, &cancel(), 5);
        assert_eq!(kinds(&events), ["finished"]);
        assert_eq!(events[0].text.as_deref(), Some("not needed"));
        assert_eq!(events[0].from_account_id.as_deref(), Some(COORDINATOR));
        assert_eq!(
            (task.state, task.code.as_deref()),
            (TaskState::Canceled, Some(code::CANCELED))
        );
        assert_eq!(task.detail.as_deref(), Some("not needed"));
        assert_eq!(refused(&task, &cancel(), 6), TaskRefusal::Finished);
    }
}

#[test]
fn a_worker_is_asked_to_stop() {
    let mut task = working();
    let events = changed(&mut task, &cancel(), 5);
    assert_eq!(kinds(&events), ["cancel_requested"]);
    assert_eq!(
        (task.state, task.cancel_requested_at),
        (TaskState::Working, Some(at(5)))
    );
    assert_eq!(refused(&task, &cancel(), 6), TaskRefusal::Nothing);
    assert_eq!(refused(&task, &tick(), 24), TaskRefusal::Nothing);
    // It stops, or does not care.
    for state in [TaskState::Canceled, TaskState::Completed, TaskState::Failed] {
        let mut task = task.clone();
        let end = finish_of(&task, "f", state);
        changed(&mut task, &end, 6);
        assert_eq!((task.state, task.cancel_requested_at), (state, None));
    }
    // Another attempt, an answer or another worker is not wanted.
    for state in [TaskState::Submitted, TaskState::InputRequired, TaskState::AuthRequired] {
        let mut task = task.clone();
        let end = finish_of(&task, "f", state);
        assert_eq!(kinds(&changed(&mut task, &end, 6)), ["finished"], "{state}");
        assert_eq!(
            (task.state, task.code.as_deref()),
            (TaskState::Canceled, Some(code::CANCELED))
        );
    }
    let mut failed = task.clone();
    let failure = failing(&task, true);
    changed(&mut failed, &failure, 6);
    assert_eq!(failed.state, TaskState::Failed);
}

#[test]
fn a_worker_that_does_not_stop_loses_the_task() {
    let mut task = working();
    changed(&mut task, &cancel(), 5);
    let heartbeat = heartbeat_of(&task);
    changed(&mut task, &heartbeat, 24);
    let mut slow = task.clone();
    assert_eq!(kinds(&changed(&mut slow, &tick(), 25)), ["finished"]);
    assert_eq!(
        (slow.state, slow.code.as_deref()),
        (TaskState::Canceled, Some(code::CANCEL_FORCED))
    );
    assert_eq!(refused(&slow, &heartbeat, 26), TaskRefusal::LeaseLost);
    // A worker that is gone is not waited for, and a second request ends the task.
    let mut gone = working();
    changed(&mut gone, &cancel(), 29);
    let mut asked_again = gone.clone();
    changed(&mut gone, &tick(), 30);
    assert_eq!(
        (gone.state, gone.code.as_deref()),
        (TaskState::Canceled, Some(code::CANCEL_FORCED))
    );
    changed(&mut asked_again, &cancel(), 30);
    assert_eq!(asked_again.code.as_deref(), Some(code::CANCELED));
}

#[test]
fn a_silent_worker_has_lost_the_task() {
    let mut task = confirmed();
    assert_eq!(refused(&task, &tick(), 29), TaskRefusal::Nothing);
    let events = changed(&mut task, &tick(), 30);
    assert_eq!(kinds(&events), ["lost", "retried"]);
    assert_eq!(events[0].from_account_id.as_deref(), Some(WORKER));
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(
        (task.state, task.code.as_deref()),
        (TaskState::Submitted, Some(code::WORKER_LOST))
    );
    assert!(task.not_before >= at(31));
    let mut last = Task {
        max_attempts: 1,
        ..confirmed()
    };
    assert_eq!(kinds(&changed(&mut last, &tick(), 30)), ["lost", "finished"]);
    assert_eq!(
        (last.state, last.code.as_deref()),
        (TaskState::Failed, Some(code::WORKER_LOST))
    );
    assert_eq!(refused(&last, &tick(), 99), TaskRefusal::Nothing);
}

/// A task whose worker was heard of.
fn confirmed() -> Task {
    let mut task = working();
    let heartbeat = heartbeat_of(&task);
    changed(&mut task, &heartbeat, 0);
    task
}

/// The worker may have been gone when it got the task: a few times in a row that costs no attempt.
#[test]
fn a_claim_without_a_sign_of_its_worker_does_not_count() {
    let mut task = Task {
        max_attempts: 1,
        ..working()
    };
    for number in 1..=MAX_UNCONFIRMED {
        let events = changed(&mut task, &tick(), 30 * number);
        assert_eq!(kinds(&events), ["lost", "released"], "{number}");
        assert_eq!((task.state, task.attempt), (TaskState::Submitted, 0));
        assert_eq!((task.code.as_ref(), task.not_before), (None, at(30 * number)));
        changed(&mut task, &claim("again"), 30 * number);
    }
    let mut over = task.clone();
    assert_eq!(kinds(&changed(&mut over, &tick(), 999)), ["lost", "finished"]);
    assert_eq!(over.code.as_deref(), Some(code::WORKER_LOST));
    // A heartbeat, a message or an end begins the count anew.
    let heartbeat = heartbeat_of(&task);
    let ends = [
        heartbeat,
        report("m", TaskState::Working),
        finish_of(&task, "f", TaskState::Submitted),
    ];
    for sign in ends {
        let mut task = task.clone();
        changed(&mut task, &sign, 91);
        assert_eq!(task.unconfirmed, 0, "{sign:?}");
    }
    // Nobody waits for a worker of a task that is not wanted.
    changed(&mut task, &cancel(), 91);
    assert_eq!(kinds(&changed(&mut task, &tick(), 999)), ["finished"]);
    assert_eq!(task.state, TaskState::Canceled);
}

#[test]
fn a_deadline_ends_every_open_task() {
    let with_deadline = |task: Task| Task {
        deadline_at: Some(at(20)),
        ..task
    };
    for task in [new_task("t"), working(), finished(TaskState::InputRequired)] {
        let mut task = with_deadline(task);
        assert_eq!(due_at(&task), Some(at(20)));
        assert_eq!(refused(&task, &tick(), 19), TaskRefusal::Nothing);
        assert_eq!(kinds(&changed(&mut task, &tick(), 20)), ["finished"]);
        assert_eq!(
            (task.state, task.code.as_deref()),
            (TaskState::Failed, Some(code::DEADLINE))
        );
        assert_eq!((task.lease.as_ref(), due_at(&task)), (None, None));
    }
    let ended = with_deadline(finished(TaskState::Completed));
    assert_eq!(
        (refused(&ended, &tick(), 20), due_at(&ended)),
        (TaskRefusal::Nothing, None)
    );
}

#[test]
fn a_failed_task_is_tried_again() {
    let mut task = Task {
        max_attempts: 1,
        deadline_at: Some(at(50)),
        ..working()
    };
    let failure = failing(&task, true);
    changed(&mut task, &failure, 1);
    let mut later = task.clone();
    let events = changed(&mut later, &retry(70), 10);
    assert_eq!(
        (kinds(&events), events[0].from_account_id.as_deref()),
        (vec!["retried"], Some(COORDINATOR))
    );
    assert_eq!((later.state, later.not_before), (TaskState::Submitted, at(70)));
    assert_eq!((later.max_attempts, later.attempt), (2, 1));
    assert_eq!((later.deadline_at, later.finished_at), (None, None));
    assert_eq!(
        (later.code.as_ref(), later.detail.as_ref(), later.result.as_ref()),
        (None, None, None)
    );
    changed(&mut later, &claim("l2"), 70);
    assert_eq!(later.attempt, 2);
    // Not in the past, where its deadline would not be over.
    changed(&mut task, &retry(0), 60);
    assert_eq!((task.not_before, task.deadline_at), (at(60), None));
    for state in TaskState::ALL.iter().filter(|state| **state != TaskState::Failed) {
        let task = Task {
            state: *state,
            ..new_task("t")
        };
        assert_eq!(refused(&task, &retry(0), 1), TaskRefusal::NotRetriable, "{state}");
    }
}
