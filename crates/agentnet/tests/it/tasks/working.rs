//! A task from its start to its result.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{ClaimedWork, StreamExt as _, TaskContext, TaskFailure, TaskOutput, TaskState};
use rstest::rstest;
use serde_json::json;

use crate::net::DEADLINE;
use crate::tasks::network::*;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_its_coordinator_sees_how(#[values(false, true)] dev_auth: bool) {
    let network = Network::with(dev_auth, true).await;
    let worker = network
        .agent("coder")
        .on_task(|task: ClaimedWork, context: TaskContext| async move {
            assert_eq!((task.text(), task.attempt), ("fix it", 1));
            assert_eq!(task.payload.as_ref().unwrap().get(), r#"{"issue":12}"#);
            assert_eq!(task.task.metadata.get(), r#"{"a":1}"#);
            context.progress(40, "tests run").await?;
            context.checkpoint(json!({ "step": 3 })).await?;
            context.progress(None, "almost").await?;
            assert!(!context.is_cancelled() && !context.is_lease_lost());
            Ok(TaskOutput::new(json!({ "files": 3 }), "fixed"))
        })
        .start()
        .await
        .unwrap();
    let notes = Messages::default();
    let lead = network.noting("lead", &notes).start().await.unwrap();
    let task = lead
        .task("@coder")
        .title("fix #12")
        .text("fix it")
        .payload(json!({ "issue": 12 }))
        .metadata(json!({ "a": 1 }))
        .thread("ops_1")
        .priority(5)
        .deadline(DEADLINE * 10)
        .start()
        .await
        .unwrap();
    assert!(task.created() && task.id().starts_with("task_") && task.not_told().is_none());
    let outcome = outcome(&task).await;
    assert_eq!((outcome.state, outcome.is_completed()), (TaskState::Completed, true));
    assert_eq!(outcome.result.unwrap().get(), r#"{"files":3}"#);
    assert_eq!((outcome.text.as_deref(), outcome.code), (Some("fixed"), None));

    let events = events(&task).await;
    assert_eq!(
        kinds(&events),
        ["created", "claimed", "progress", "progress", "finished"]
    );
    assert_eq!(
        events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(events[2].text.as_deref(), Some("tests run"));
    assert_eq!(events[2].data.as_ref().unwrap().get(), r#"{"percent":40}"#);
    let rest: Vec<_> = task.events_after(3).map(|event| event.unwrap().seq).collect().await;
    assert_eq!(rest, [4, 5]);

    let snapshot = task.status().await.unwrap();
    assert_eq!((snapshot.status.as_str(), snapshot.terminal), ("completed", true));
    assert_eq!((snapshot.percent, snapshot.progress_event_count), (Some(40), 2));
    assert_eq!(snapshot.worker_account_id, worker.account_id());
    assert_eq!(snapshot.coordinator.as_deref(), Some("lead"));

    let told = notes.of_type("task.result", 1).await;
    let message = payload(&told[0]);
    assert_eq!(
        (&message["task_id"], &message["text"]),
        (&task.id().into(), &"fixed".into())
    );
    assert_eq!(message["result"], json!({ "files": 3 }));
    assert_eq!(told[0].thread_id.as_deref(), Some("ops_1"));
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_share_the_tasks_for_a_capability() {
    const TASKS: usize = 30;
    const CONCURRENCY: usize = 3;
    let network = Network::start().await;
    let done: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let mut workers = Vec::new();
    for id in ["one", "two"] {
        let (done, running) = (done.clone(), Arc::new(AtomicUsize::new(0)));
        let worker = network
            .agent(id)
            .capabilities(["build"])
            .task_concurrency(CONCURRENCY)
            .on_task(move |task, _| {
                let (done, running) = (done.clone(), running.clone());
                async move {
                    assert!(running.fetch_add(1, Ordering::SeqCst) < CONCURRENCY);
                    tokio::task::yield_now().await;
                    *done.lock().unwrap().entry(task.id().to_owned()).or_default() += 1;
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            });
        workers.push(worker.start().await.unwrap());
    }
    let lead = network.agent("lead").start().await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        tasks.push(
            lead.task("capability:build")
                .text(number.to_string())
                .start()
                .await
                .unwrap(),
        );
    }
    for task in &tasks {
        let outcome = outcome(task).await;
        assert_eq!((outcome.state, outcome.result), (TaskState::Completed, None));
    }
    let done = done.lock().unwrap().clone();
    assert_eq!(done.len(), TASKS);
    assert!(done.values().all(|times| *times == 1), "each once: {done:?}");
    lead.close().await;
    for worker in workers {
        worker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_needs_an_answer_goes_on_with_it() {
    let network = Network::start().await;
    let worker = network
        .agent("coder")
        .on_task(|task, _| async move {
            match task.input {
                None => Err(TaskFailure::input_required("which branch?")),
                Some(branch) => Ok(json!({ "branch": branch })),
            }
        })
        .start()
        .await
        .unwrap();
    let notes = Messages::default();
    let lead = network.noting("lead", &notes).start().await.unwrap();
    let task = lead.task("@coder").text("merge").start().await.unwrap();
    let waits = tokio::time::timeout(DEADLINE, task.settled()).await.unwrap().unwrap();
    assert_eq!(
        (waits.state, waits.text.as_deref()),
        (TaskState::InputRequired, Some("which branch?"))
    );
    let snapshot = task.status().await.unwrap();
    assert!(
        snapshot.terminal && snapshot.resumable,
        "as the later Python implementation has it"
    );
    assert_eq!(code(task.retry().await), "task_not_retriable");
    task.input("main").await.unwrap();
    let done = outcome(&task).await;
    assert_eq!(done.result.unwrap().get(), r#"{"branch":"main"}"#);
    assert_eq!(task.status().await.unwrap().attempt, 1, "the attempt goes on");
    assert_eq!(code(task.input("late").await), "task_needs_no_input");
    notes.of_type("task.blocked", 1).await;
    notes.of_type("task.result", 1).await;
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_the_worker_and_the_parts() {
    let network = Network::start().await;
    let started: Arc<tokio::sync::Notify> = Arc::default();
    let begun = started.clone();
    let worker = network
        .agent("coder")
        .on_task(move |_, context| {
            let begun = begun.clone();
            async move {
                // A part that nobody does.
                let part = context.node().task("capability:nobody").parent(&context).text("part");
                let part = part.start().await?;
                begun.notify_one();
                context.cancelled().await;
                assert!(!context.is_lease_lost());
                context.node().task_handle(part.id()).status().await?;
                Err::<(), _>(TaskFailure::canceled())
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    // The heartbeat alone would be too late for the test.
    let task = lead
        .task("@coder")
        .heartbeat(Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    tokio::time::timeout(DEADLINE, started.notified()).await.unwrap();
    let snapshot = task.cancel("not needed").await.unwrap();
    assert!(snapshot.cancel_requested, "{snapshot:?}");
    let outcome = outcome(&task).await;
    assert_eq!(
        (outcome.state, outcome.code.as_deref()),
        (TaskState::Canceled, Some("canceled"))
    );
    let events = events(&task).await;
    assert_eq!(kinds(&events), ["created", "claimed", "cancel_requested", "finished"]);
    assert_eq!(events[2].text.as_deref(), Some("not needed"));
    let parts = lead
        .task_list(agentnet::protocol::rpc::TaskListRequest {
            parent_task_id: Some(task.id().to_owned()),
            ..Default::default()
        })
        .await
        .unwrap();
    let states: Vec<_> = parts.tasks.iter().map(|part| part.state.as_str()).collect();
    assert_eq!(states, ["canceled"]);
    assert_eq!(code(task.cancel("").await), "task_not_cancelable");
    for node in [lead, worker] {
        node.close().await;
    }
}
