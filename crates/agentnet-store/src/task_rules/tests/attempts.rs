//! Claims, heartbeats and ends of attempts.

use agentnet_protocol::task::{MAX_BACKOFF_MS, TaskState, code};

use super::{changed, claim, failing, finished, kinds, refused, working};
use crate::contract::sample::{at, json};
use crate::contract::sample_tasks::{
    COORDINATOR, WORKER, attempt_of, cancel, finish, finish_of, heartbeat_of, new_task,
};
use crate::model::{Attempt, Finish, Progress, StoredTaskEvent, Task, TaskChange, TaskRefusal};
use crate::task_rules::attempts::{MAX_RELEASES, delay_ms};
use crate::task_rules::transitions::MAX_EVENTS;
use crate::task_rules::{apply, created, due_at};

#[test]
fn a_task_begins_with_its_first_event() {
    let (task, event) = created(&Task {
        message_id: Some("m".into()),
        ..new_task("t")
    });
    assert_eq!((task.event_count, task.revision), (1, 1));
    let expected = StoredTaskEvent {
        task_id: "t".into(),
        seq: 1,
        at: at(0),
        kind: "created".into(),
        attempt: 0,
        state: Some(TaskState::Submitted),
        text: Some("do it".into()),
        data: None,
        from_account_id: Some(COORDINATOR.into()),
        message_id: Some("m".into()),
    };
    assert_eq!(event, expected);
}

#[test]
fn a_claim_gives_a_lease() {
    let task = working();
    let lease = task.lease.as_ref().unwrap();
    assert_eq!((lease.token.as_str(), lease.session_tag.as_str()), ("l1", "tag"));
    assert_eq!(lease.until, at(30));
    assert_eq!((task.state, task.attempt, task.event_count), (TaskState::Working, 1, 2));
    assert_eq!(task.worker_account_id.as_deref(), Some(WORKER));
    assert_eq!((task.heartbeat_at, due_at(&task)), (Some(at(0)), Some(at(30))));
}

#[test]
fn only_a_task_that_waits_is_claimed() {
    for state in TaskState::ALL.iter().filter(|state| **state != TaskState::Submitted) {
        let task = Task {
            state: *state,
            ..new_task("t")
        };
        assert_eq!(refused(&task, &claim("l"), 0), TaskRefusal::NotClaimable, "{state}");
    }
    let base = new_task("t");
    let later = Task {
        not_before: at(5),
        ..base.clone()
    };
    assert_eq!(refused(&later, &claim("l"), 4), TaskRefusal::NotClaimable);
    assert!(apply(&mut later.clone(), &claim("l"), at(5)).is_ok());
    let over = Task {
        deadline_at: Some(at(5)),
        ..base.clone()
    };
    assert_eq!(refused(&over, &claim("l"), 5), TaskRefusal::NotClaimable);
    assert!(apply(&mut over.clone(), &claim("l"), at(4)).is_ok());
    let spent = Task { attempt: 3, ..base };
    assert_eq!(refused(&spent, &claim("l"), 0), TaskRefusal::NotClaimable);
}

#[test]
fn a_heartbeat_extends_the_lease() {
    let mut task = working();
    let updated_at = task.updated_at;
    let heartbeat = heartbeat_of(&task);
    assert_eq!(changed(&mut task, &heartbeat, 20), []);
    assert_eq!(task.lease.as_ref().unwrap().until, at(50));
    assert_eq!((task.heartbeat_at, task.updated_at), (Some(at(20)), updated_at));
    // The clock of another registry is behind.
    changed(&mut task, &heartbeat, 10);
    assert_eq!(task.lease.as_ref().unwrap().until, at(50));
    assert_eq!(task.heartbeat_at, Some(at(20)));
}

#[test]
fn a_heartbeat_tells_how_far_the_worker_is() {
    let mut task = working();
    let progress = |percent, phase: Option<&str>, text: Option<&str>| TaskChange::Heartbeat {
        attempt: attempt_of(&working()),
        progress: Some(Progress {
            text: text.map(str::to_owned),
            percent,
            phase: phase.map(str::to_owned),
        }),
        checkpoint: Some(json("{}")),
        request_id: None,
    };
    let events = changed(&mut task, &progress(Some(40), Some("tool"), Some("tests run")), 1);
    assert_eq!(kinds(&events), ["progress"]);
    assert_eq!(events[0].data, Some(json(r#"{"percent":40,"phase":"tool"}"#)));
    assert_eq!(events[0].text.as_deref(), Some("tests run"));
    assert_eq!(events[0].from_account_id.as_deref(), Some(WORKER));
    // What is not said stays.
    let events = changed(&mut task, &progress(None, None, None), 2);
    assert_eq!((events[0].data.as_ref(), events[0].text.as_ref()), (None, None));
    assert_eq!((task.percent, task.phase.as_deref()), (Some(40), Some("tool")));
    assert_eq!(task.latest_progress_text.as_deref(), Some("tests run"));
    assert_eq!((task.latest_text.as_str(), task.progress_count), ("tests run", 2));
    assert_eq!(task.checkpoint, Some(json("{}")));
    assert_eq!(task.updated_at, at(2));
    // Beyond the bound it counts without an event.
    task.event_count = MAX_EVENTS;
    assert_eq!(changed(&mut task, &progress(Some(41), None, None), 3), []);
    assert_eq!((task.percent, task.event_count), (Some(41), MAX_EVENTS));
}

#[test]
fn only_the_lease_of_the_attempt_counts() {
    let task = working();
    let other = |attempt: Attempt, seconds| {
        let heartbeat = TaskChange::Heartbeat {
            attempt: attempt.clone(),
            progress: None,
            checkpoint: None,
            request_id: None,
        };
        let finish = TaskChange::Finish {
            attempt,
            finish: finish("f", TaskState::Completed),
        };
        assert_eq!(refused(&task, &heartbeat, seconds), TaskRefusal::LeaseLost);
        assert_eq!(refused(&task, &finish, seconds), TaskRefusal::LeaseLost);
    };
    let held = attempt_of(&task);
    other(
        Attempt {
            lease: "l2".into(),
            ..held.clone()
        },
        1,
    );
    other(
        Attempt {
            number: 2,
            ..held.clone()
        },
        1,
    );
    // It is over, though no sweep has noticed.
    other(held, 30);
}

#[test]
fn a_result_ends_the_task_once() {
    let mut task = working();
    let done = |id: &str, result: &str| TaskChange::Finish {
        attempt: attempt_of(&working()),
        finish: Finish {
            result: Some(json(result)),
            text: Some("done".into()),
            ..finish(id, TaskState::Completed)
        },
    };
    let events = changed(&mut task, &done("f", "[1]"), 1);
    assert_eq!(kinds(&events), ["finished"]);
    assert_eq!(events[0].message_id.as_deref(), Some("f"));
    assert_eq!(events[0].text.as_deref(), Some("done"));
    assert_eq!((task.state, task.lease.as_ref()), (TaskState::Completed, None));
    assert_eq!(
        (task.result.clone(), task.finished_at),
        (Some(json("[1]")), Some(at(1)))
    );
    assert_eq!((task.code.as_ref(), due_at(&task)), (None, None));
    assert_eq!(refused(&task, &done("f", "[1]"), 2), TaskRefusal::Duplicate);
    assert_eq!(refused(&task, &done("f2", "[2]"), 2), TaskRefusal::Finished);
}

#[test]
fn an_end_says_why() {
    for (state, expected) in [
        (TaskState::Canceled, Some(code::CANCELED)),
        (TaskState::Rejected, Some(code::REJECTED)),
        (TaskState::Failed, None),
    ] {
        let task = finished(state);
        assert_eq!((task.state, task.code.as_deref()), (state, expected));
    }
    let mut task = working();
    let end = failing(&task, false);
    let events = changed(&mut task, &end, 1);
    assert_eq!(events[0].data, Some(json(r#"{"code":"boom","detail":"it broke"}"#)));
    assert_eq!(
        (task.code.as_deref(), task.detail.as_deref()),
        (Some("boom"), Some("it broke"))
    );
    assert_eq!(
        refused(&working(), &finish_of(&working(), "f", TaskState::Working), 1),
        TaskRefusal::Nothing
    );
}

#[test]
fn what_attempts_left_is_kept_for_another_attempt_only() {
    for (state, is_kept) in [(TaskState::Failed, true), (TaskState::Completed, false)] {
        let mut task = Task {
            checkpoint: Some(json("[1]")),
            input: Some(json("[2]")),
            ..working()
        };
        let end = finish_of(&task, "f", state);
        changed(&mut task, &end, 1);
        assert_eq!(
            (task.checkpoint.is_some(), task.input.is_some()),
            (is_kept, is_kept),
            "{state}"
        );
    }
}

#[test]
fn a_retryable_failure_waits_for_another_attempt() {
    let mut task = working();
    let failure = failing(&task, true);
    let events = changed(&mut task, &failure, 1);
    assert_eq!(kinds(&events), ["retried"]);
    assert_eq!(
        (task.state, task.attempt, events[0].attempt),
        (TaskState::Submitted, 1, 1)
    );
    assert!((at(2)..=at(2).saturating_add_millis(200)).contains(&task.not_before));
    assert_eq!(task.code.as_deref(), Some("boom"));
    assert_eq!((task.result.as_ref(), task.finished_at), (None, None));
    // Noted before, by the same request.
    assert_eq!(refused(&task, &failure, 2), TaskRefusal::Duplicate);
    changed(&mut task, &claim("l2"), 10);
    assert_eq!(
        (task.attempt, task.code.as_ref(), task.detail.as_ref()),
        (2, None, None)
    );
    // The last attempt fails.
    task.attempt = 3;
    let failure = failing(&task, true);
    assert_eq!(kinds(&changed(&mut task, &failure, 11)), ["finished"]);
    assert_eq!(task.state, TaskState::Failed);
}

#[test]
fn the_delay_doubles_up_to_a_bound() {
    let delay = |attempt, backoff_ms| {
        delay_ms(&Task {
            attempt,
            backoff_ms,
            ..new_task("t")
        })
    };
    for (attempt, expected) in [(1, 1_000), (2, 2_000), (5, 16_000), (100, MAX_BACKOFF_MS)] {
        let range = expected..=expected + expected / 5;
        assert!(range.contains(&delay(attempt, 1_000)), "{attempt}");
    }
    assert_eq!((delay(3, 0), delay(0, 1_000) >= 1_000), (0, true));
}

#[test]
fn a_released_attempt_does_not_count() {
    let mut task = working();
    let release = finish_of(&task, "f", TaskState::Submitted);
    let events = changed(&mut task, &release, 1);
    assert_eq!((kinds(&events), events[0].attempt), (vec!["released"], 1));
    assert_eq!(
        (task.state, task.attempt, task.lease.as_ref()),
        (TaskState::Submitted, 0, None)
    );
    assert_eq!(task.not_before, at(1));
    changed(&mut task, &claim("l2"), 1);
    assert_eq!(task.attempt, 1);
    // Both attempts have the same number, and different leases.
    let stale = Attempt {
        number: 1,
        lease: "l1".into(),
    };
    let stale = TaskChange::Finish {
        attempt: stale,
        finish: finish("f2", TaskState::Completed),
    };
    assert_eq!(refused(&task, &stale, 2), TaskRefusal::LeaseLost);
}

/// The first release has no delay, so that another worker goes on at once.
#[test]
fn a_task_that_is_released_again_and_again_waits_and_fails() {
    let mut task = working();
    let mut now = 1;
    let mut delays = Vec::new();
    for number in 1..=MAX_RELEASES {
        let release = finish_of(&task, &format!("f{number}"), TaskState::Submitted);
        let events = changed(&mut task, &release, now);
        if number == MAX_RELEASES {
            assert_eq!(kinds(&events), ["finished"]);
            break;
        }
        assert_eq!((kinds(&events), task.attempt), (vec!["released"], 0));
        delays.push(task.not_before.micros_since(at(now)) / 1_000_000);
        now += 60;
        changed(&mut task, &claim(&format!("l{number}")), now);
    }
    assert_eq!(delays[..9], [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(
        (task.state, task.code.as_deref()),
        (TaskState::Failed, Some(code::RELEASED))
    );
    // Anything else that a worker does begins the count anew.
    let mut task = Task {
        releases: 9,
        ..working()
    };
    let end = finish_of(&task, "f", TaskState::InputRequired);
    changed(&mut task, &end, 1);
    assert_eq!(task.releases, 0);
}

/// No matter how often, since its worker did not have it.
#[test]
fn a_claim_that_is_undone_counts_for_nothing() {
    let mut task = working();
    for number in 0..200 {
        let unclaim = TaskChange::Unclaim {
            attempt: attempt_of(&task),
        };
        assert_eq!(kinds(&changed(&mut task, &unclaim, 1)), ["released"]);
        assert_eq!(
            (task.state, task.attempt, task.unconfirmed, task.releases),
            (TaskState::Submitted, 0, 0, 0)
        );
        assert_eq!(task.not_before, at(1));
        assert_eq!(refused(&task, &unclaim, 1), TaskRefusal::LeaseLost);
        changed(&mut task, &claim(&format!("l{number}")), 1);
    }
    changed(&mut task, &cancel(), 2);
    let unclaim = TaskChange::Unclaim {
        attempt: attempt_of(&task),
    };
    assert_eq!(kinds(&changed(&mut task, &unclaim, 3)), ["finished"]);
    assert_eq!(task.state, TaskState::Canceled);
}

#[test]
fn the_events_of_a_task_are_bounded_in_bytes() {
    let text = "ä".repeat(30_000);
    let mut task = working();
    let progress = TaskChange::Heartbeat {
        attempt: attempt_of(&task),
        progress: Some(Progress {
            text: Some(text.clone()),
            ..Progress::default()
        }),
        checkpoint: None,
        request_id: None,
    };
    let mut stored = 0;
    for _ in 0..1_000 {
        stored += changed(&mut task, &progress, 1).iter().map(event_bytes).sum::<usize>();
    }
    assert!(stored > text.len() && stored < 8 * 1024 * 1024, "{stored}");
    assert_eq!((task.progress_count, task.latest_text.len()), (1_000, text.len()));
    // Other events are shortened.
    let block = TaskChange::Finish {
        attempt: attempt_of(&task),
        finish: Finish {
            text: Some(text),
            ..finish("f", TaskState::InputRequired)
        },
    };
    let events = changed(&mut task, &block, 2);
    assert_eq!((kinds(&events), event_bytes(&events[0])), (vec!["blocked"], 1_024));
    let answer = json(&format!("\"{}\"", "x".repeat(60_000)));
    let input = TaskChange::Input {
        payload: Some(answer.clone()),
        account_id: COORDINATOR.into(),
        request_id: None,
    };
    let events = changed(&mut task, &input, 3);
    assert_eq!((kinds(&events), events[0].data.as_ref()), (vec!["input"], None));
    assert_eq!(task.input, Some(answer), "its worker gets all of it");
}

fn event_bytes(event: &StoredTaskEvent) -> usize {
    event.text.as_ref().map_or(0, String::len) + event.data.as_ref().map_or(0, |data| data.get().len())
}
