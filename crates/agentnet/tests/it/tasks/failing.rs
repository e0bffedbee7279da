//! Handlers that fail, tasks that are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentnet::{BoxError, TaskFailure, TaskState};
use serde_json::json;

use crate::tasks::network::*;

#[tokio::test(flavor = "multi_thread")]
async fn another_attempt_begins_with_what_the_first_has_left() {
    let network = Network::start().await;
    let worker = network
        .agent("coder")
        .on_task(|task, context| async move {
            match task.checkpoint {
                None => {
                    context.checkpoint(json!({ "step": 1 })).await?;
                    Err(TaskFailure::retryable("flaky", "try again"))
                }
                Some(left) => Ok(json!({ "attempt": task.attempt, "left": left })),
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead.task("@coder").retries(2).backoff(Duration::from_millis(1));
    let task = task.start().await.unwrap();
    let outcome = outcome(&task).await;
    assert_eq!(outcome.result.unwrap().get(), r#"{"attempt":2,"left":{"step":1}}"#);
    let events = events(&task).await;
    assert_eq!(kinds(&events), ["created", "claimed", "retried", "claimed", "finished"]);
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_says_why_and_can_be_tried_again() {
    let network = Network::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let worker = network
        .agent("coder")
        .on_task(move |task, _| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match (task.text(), call) {
                    ("panic", _) => panic!("as the test wants it"),
                    ("error", _) => Err(BoxError::from("broken pipe").into()),
                    ("reject", _) => Err(TaskFailure::rejected("I only paint")),
                    ("large", _) => Ok(json!("x".repeat(300_000)).into()),
                    (_, 0) => Err(TaskFailure::failed("no_disk", "the disk is full")),
                    _ => Ok(agentnet::TaskOutput::from("done")),
                }
            }
        })
        .start()
        .await
        .unwrap();
    let notes = Messages::default();
    let lead = network.noting("lead", &notes).start().await.unwrap();
    // It fails for good: the retries do not help.
    let task = lead.task("@coder").text("work").retries(3).start().await.unwrap();
    let failed = outcome(&task).await;
    assert_eq!(failed.state, TaskState::Failed);
    assert_eq!(
        (failed.code.as_deref(), failed.detail.as_deref()),
        (Some("no_disk"), Some("the disk is full"))
    );
    let told = notes.of_type("task.failed", 1).await;
    assert_eq!(payload(&told[0])["text"], "the disk is full");
    task.retry().await.unwrap();
    let done = outcome(&task).await;
    assert_eq!((done.state, done.text.as_deref()), (TaskState::Completed, Some("done")));

    for (text, state, code) in [
        ("panic", TaskState::Failed, "handler_panicked"),
        ("error", TaskState::Failed, "handler_error"),
        ("reject", TaskState::Rejected, "rejected"),
        ("large", TaskState::Failed, "task_too_large"),
    ] {
        let task = lead.task("@coder").text(text).start().await.unwrap();
        let failed = outcome(&task).await;
        assert_eq!((failed.state, failed.code.as_deref()), (state, Some(code)), "{text}");
    }
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_no_worker_takes_is_given_up_in_time() {
    let network = Network::start().await;
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead.task("capability:nobody").deadline(Duration::from_millis(10));
    let task = task.start().await.unwrap();
    let failed = outcome(&task).await;
    assert_eq!(
        (failed.state, failed.code.as_deref()),
        (TaskState::Failed, Some("deadline_exceeded"))
    );
    // One that waits is over at once when it is cancelled.
    let task = lead.task("capability:nobody").start().await.unwrap();
    let canceled = task.cancel("not needed").await.unwrap();
    assert_eq!(canceled.state, "canceled");
    assert_eq!(outcome(&task).await.detail.as_deref(), Some("not needed"));
    lead.close().await;
}
