//! Messages of workers that hold no lease.

use agentnet_protocol::RawJson;
use agentnet_protocol::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use agentnet_protocol::task::{MAX_TEXT_BYTES, TaskState};

use super::{changed, claim, finished, input, kinds, refused, tick, working};
use crate::contract::sample::{at, json};
use crate::contract::sample_tasks::{WORKER, attempt_of, new_task, report};
use crate::model::{Report, TaskChange, TaskDelivery, TaskRefusal};
use crate::task_rules::transitions::MAX_EVENTS;
use crate::task_rules::{created, due_at};

fn told(message_id: &str, result: Option<RawJson>) -> TaskChange {
    TaskChange::Reported {
        account_id: WORKER.into(),
        message_id: message_id.into(),
        report: Report {
            state: TaskState::Completed,
            text: "done".into(),
            percent: None,
            phase: None,
            result,
        },
    }
}

#[test]
fn messages_report_on_a_task_without_a_lease() {
    let mut task = created(&new_task("t")).0;
    let events = changed(&mut task, &report("m1", TaskState::Working), 1);
    assert_eq!(
        (kinds(&events), events[0].message_id.as_deref()),
        (vec!["progress"], Some("m1"))
    );
    assert_eq!(
        (task.state, task.attempt, task.delivery),
        (TaskState::Working, 1, TaskDelivery::Message)
    );
    assert_eq!(
        (task.heartbeat_at, task.message_id.as_deref()),
        (Some(at(1)), Some("m1"))
    );
    assert_eq!(due_at(&task), None);
    changed(&mut task, &report("m2", TaskState::InputRequired), 2);
    assert_eq!(task.state, TaskState::InputRequired);
    // The worker gets its answer by a message.
    changed(&mut task, &input(), 3);
    assert_eq!((task.state, task.attempt), (TaskState::Working, 1));
    assert_eq!(
        kinds(&changed(&mut task, &told("m3", Some(json("[1]"))), 4)),
        ["finished"]
    );
    assert_eq!(
        (task.state, task.result.clone()),
        (TaskState::Completed, Some(json("[1]")))
    );
    assert_eq!(task.latest_text, "done");
    // The first end counts.
    assert_eq!(
        kinds(&changed(&mut task, &report("m4", TaskState::Failed), 5)),
        ["ignored"]
    );
    assert_eq!(
        (task.state, task.result.clone()),
        (TaskState::Completed, Some(json("[1]")))
    );
    task.event_count = MAX_EVENTS;
    assert_eq!(
        refused(&task, &report("m5", TaskState::Failed), 6),
        TaskRefusal::Nothing
    );
}

#[test]
fn the_lease_of_a_claimed_task_decides() {
    let mut task = working();
    let events = changed(&mut task, &report("m1", TaskState::Working), 1);
    assert_eq!(kinds(&events), ["progress"]);
    // A message is no heartbeat.
    assert_eq!(task.lease.as_ref().unwrap().until, at(30));
    assert_eq!(kinds(&changed(&mut task, &told("m2", None), 2)), ["ignored"]);
    assert_eq!(
        kinds(&changed(&mut task, &report("m3", TaskState::Working), 30)),
        ["ignored"]
    );
    task.unconfirmed = 0;
    changed(&mut task, &tick(), 30);
    assert_eq!(kinds(&changed(&mut task, &told("m4", None), 31)), ["ignored"]);
    assert_eq!(task.state, TaskState::Submitted);
    let other = TaskChange::Reported {
        account_id: "acct_other".into(),
        message_id: "m5".into(),
        report: Report {
            state: TaskState::Working,
            text: String::new(),
            percent: None,
            phase: None,
            result: None,
        },
    };
    assert_eq!(kinds(&changed(&mut working(), &other, 1)), ["ignored"]);
    // The worker's own message about the end of its attempt.
    assert_eq!(
        refused(&finished(TaskState::Completed), &told("f", None), 2),
        TaskRefusal::Duplicate
    );
}

/// Neither does a task that waits for its next claim, though the number of its attempt is 0 again.
#[test]
fn the_lease_decides_after_a_release_and_after_an_answer() {
    let mut released = finished(TaskState::Submitted);
    let mut answered = finished(TaskState::InputRequired);
    changed(&mut answered, &input(), 2);
    let mut undone = working();
    let unclaim = TaskChange::Unclaim {
        attempt: attempt_of(&undone),
    };
    assert_eq!(kinds(&changed(&mut undone, &unclaim, 2)), ["released"]);
    for task in [&mut released, &mut answered, &mut undone] {
        assert_eq!((task.state, task.attempt), (TaskState::Submitted, 0));
        for (message_id, state) in [
            ("m1", TaskState::Working),
            ("m2", TaskState::Completed),
            ("m3", TaskState::Failed),
            ("m4", TaskState::InputRequired),
        ] {
            let events = changed(task, &report(message_id, state), 3);
            assert_eq!((kinds(&events), task.state), (vec!["ignored"], TaskState::Submitted));
        }
        changed(task, &claim("l2"), 4);
        assert_eq!((task.state, task.attempt), (TaskState::Working, 1));
    }
}

#[test]
fn messages_are_bounded() {
    let task = created(&new_task("t")).0;
    for state in [TaskState::Submitted, TaskState::Canceled, TaskState::Rejected] {
        assert_eq!(refused(&task, &report("m", state), 1), TaskRefusal::Nothing, "{state}");
    }
    for message_id in [String::new(), "m".repeat(MAX_ID_BYTES + 1)] {
        assert_eq!(
            refused(&task, &report(&message_id, TaskState::Working), 1),
            TaskRefusal::Nothing
        );
    }
    let mut long = report("m", TaskState::Working);
    if let TaskChange::Reported { account_id, report, .. } = &mut long {
        report.text = "ä".repeat(MAX_TEXT_BYTES);
        *account_id = "a".repeat(MAX_NAME_BYTES + 1);
    }
    assert_eq!(refused(&task, &long, 1), TaskRefusal::Nothing);
    if let TaskChange::Reported { account_id, .. } = &mut long {
        *account_id = WORKER.into();
    }
    let mut task = task;
    let events = changed(&mut task, &long, 1);
    assert_eq!(
        (events[0].text.as_ref().unwrap().len(), task.latest_text.len()),
        (MAX_TEXT_BYTES, MAX_TEXT_BYTES)
    );
}
