//! Workers and coordinators outlast a registry and a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::{StreamExt as _, TaskContext, TaskFailure, TaskState};
use serde_json::json;
use tokio::sync::Notify;

use crate::net::DEADLINE;
use crate::tasks::network::*;

/// Lets a handler go on, and says when one has begun.
#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gate {
    async fn pass(&self) {
        self.begun.notify_one();
        self.open.notified().await;
    }

    async fn until_begun(&self) {
        tokio::time::timeout(DEADLINE, self.begun.notified()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_waits_for_a_registry() {
    let mut network = Network::start().await;
    let gate = Gate::default();
    let passed = gate.clone();
    let worker = network
        .agent("coder")
        .on_task(move |_, context: TaskContext| {
            let gate = passed.clone();
            async move {
                gate.pass().await;
                // It is reported later.
                context.progress(99, "nearly").await?;
                Ok(json!("done"))
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead
        .task("@coder")
        .heartbeat(Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    let mut events = task.events();
    gate.until_begun().await;
    network.stop_registry().await;
    gate.open.notify_one();
    let waiting = tokio::spawn({
        let task = task.clone();
        async move { task.result().await }
    });
    network.start_registry().await;
    let done = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(
        (done.state, done.result.unwrap().get()),
        (TaskState::Completed, r#""done""#)
    );
    let mut seen = Vec::new();
    while let Some(event) = tokio::time::timeout(DEADLINE, events.next()).await.unwrap() {
        seen.push(event.unwrap());
    }
    assert_eq!(kinds(&seen).first(), Some(&"created"));
    assert_eq!(kinds(&seen).last(), Some(&"finished"));
    let numbers: Vec<_> = seen.iter().map(|event| event.seq).collect();
    assert_eq!(
        numbers,
        (1..=seen.len() as i64).collect::<Vec<_>>(),
        "in order, without gaps"
    );
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_registry_loses_its_lease_and_the_task_is_tried_again() {
    let mut network = Network::start().await;
    let gate = Gate::default();
    let was_lost = Arc::new(AtomicBool::new(false));
    let (passed, lost) = (gate.clone(), was_lost.clone());
    let worker = network
        .agent("coder")
        .on_task(move |task, context: TaskContext| {
            let (gate, lost) = (passed.clone(), lost.clone());
            async move {
                if task.attempt > 1 {
                    return Ok(json!({ "attempt": task.attempt }));
                }
                // The registry has heard of the worker: the attempt counts.
                context.checkpoint("begun").await?;
                gate.begun.notify_one();
                context.lease_lost().await;
                assert!(context.is_cancelled(), "the work is to stop");
                let refused = context.checkpoint("late").await.unwrap_err();
                assert_eq!(refused.code(), Some("task_lease_lost"));
                lost.store(true, Ordering::SeqCst);
                gate.open.notify_one();
                Err(TaskFailure::canceled())
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead
        .task("@coder")
        .heartbeat(Duration::from_secs(1))
        .retries(1)
        .backoff(Duration::from_millis(1))
        .start()
        .await
        .unwrap();
    gate.until_begun().await;
    network.stop_registry().await;
    tokio::time::timeout(DEADLINE, gate.open.notified()).await.unwrap();
    network.start_registry().await;
    let done = outcome(&task).await;
    assert_eq!(done.result.unwrap().get(), r#"{"attempt":2}"#);
    assert!(was_lost.load(Ordering::SeqCst));
    let events = events(&task).await;
    assert_eq!(
        kinds(&events),
        ["created", "claimed", "lost", "retried", "claimed", "finished"]
    );
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_vanishes_is_noticed() {
    let network = Network::start().await;
    let gate = Gate::default();
    let passed = gate.clone();
    let vanishing = network
        .agent("coder")
        .on_task(move |_, context: TaskContext| {
            let gate = passed.clone();
            async move {
                context.checkpoint("begun").await?;
                gate.pass().await;
                Ok(())
            }
        })
        .build()
        .unwrap();
    // Handlers hold their node: it vanishes with its runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let node = vanishing.clone();
    runtime.spawn(async move { node.start().await.unwrap() }).await.unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let new = lead.task("@coder").heartbeat(Duration::from_secs(1)).start();
    let task = new.await.unwrap();
    gate.until_begun().await;
    runtime.shutdown_background();
    let lost = outcome(&task).await;
    assert_eq!(
        (lost.state, lost.code.as_deref()),
        (TaskState::Failed, Some("worker_lost"))
    );
    lead.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_over_a_restart_of_the_server() {
    let mut network = Network::start().await;
    let gate = Gate::default();
    let passed = gate.clone();
    let worker = network
        .agent("coder")
        .on_task(move |_, _| {
            let gate = passed.clone();
            async move {
                gate.pass().await;
                Ok(json!("done"))
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead
        .task("@coder")
        .heartbeat(Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    gate.until_begun().await;
    network.nats.kill9();
    gate.open.notify_one();
    network.nats.restart().await.unwrap();
    assert_eq!(outcome(&task).await.state, TaskState::Completed);
    let next = tokio::time::timeout(DEADLINE, async {
        loop {
            match lead.task("@coder").id("task_next").start().await {
                Ok(task) => break task,
                Err(error) => assert!(matches!(error.code(), None | Some("task_unsupported")), "{error}"),
            }
        }
    });
    let next = next.await.unwrap();
    gate.until_begun().await;
    gate.open.notify_one();
    assert_eq!(outcome(&next).await.state, TaskState::Completed);
    for node in [lead, worker] {
        node.close().await;
    }
}
