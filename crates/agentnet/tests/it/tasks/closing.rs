//! Workers that close give back what they have not done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentnet::{AgentNode, ClaimedWork, TaskContext, TaskFailure, TaskState};
use serde_json::json;
use tokio::sync::Notify;

use crate::net::DEADLINE;
use crate::tasks::network::*;

/// A worker that does its tasks at once, and says which attempt it was.
async fn quick(network: &Network, id: &str) -> AgentNode {
    network
        .agent(id)
        .capabilities(["build"])
        .on_task(|task: ClaimedWork, _| async move { Ok(json!({ "attempt": task.attempt, "left": task.checkpoint })) })
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_has_begun_is_done_by_another() {
    let network = Network::start().await;
    let lead = network.agent("lead").start().await.unwrap();
    for stops_by_itself in [false, true] {
        let begun: Arc<Notify> = Arc::default();
        let begins = begun.clone();
        let slow = network
            .agent("slow")
            .capabilities(["build"])
            .limits(move |limits| {
                limits.drain_timeout = match stops_by_itself {
                    true => DEADLINE,
                    false => Duration::from_millis(100),
                }
            })
            .on_task(move |_, context: TaskContext| {
                let begins = begins.clone();
                async move {
                    begins.notify_one();
                    if stops_by_itself {
                        context.closing().await;
                        context.checkpoint("half").await?;
                        return Err(TaskFailure::released());
                    }
                    std::future::pending::<Result<(), TaskFailure>>().await
                }
            })
            .start()
            .await
            .unwrap();
        let task = lead.task("capability:build").start().await.unwrap();
        tokio::time::timeout(DEADLINE, begun.notified()).await.unwrap();
        slow.close().await;
        assert_eq!(task.status().await.unwrap().state, "submitted");
        let worker = quick(&network, "quick").await;
        let done = outcome(&task).await;
        let left = if stops_by_itself { r#""half""# } else { "null" };
        // The attempt of the first one does not count: the task has only one.
        assert_eq!(done.result.unwrap().get(), format!(r#"{{"attempt":1,"left":{left}}}"#));
        assert_eq!(
            kinds(&events(&task).await),
            ["created", "claimed", "released", "claimed", "finished"]
        );
        worker.close().await;
    }
    lead.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_has_begun_is_finished_while_there_is_time() {
    let network = Network::start().await;
    let lead = network.agent("lead").start().await.unwrap();
    let begun: Arc<Notify> = Arc::default();
    let begins = begun.clone();
    let worker = network
        .agent("worker")
        .on_task(move |_, context: TaskContext| {
            let begins = begins.clone();
            async move {
                begins.notify_one();
                context.closing().await;
                context.progress(90, "closing").await?;
                Ok(json!("done"))
            }
        })
        .start()
        .await
        .unwrap();
    let task = lead.task("@worker").start().await.unwrap();
    tokio::time::timeout(DEADLINE, begun.notified()).await.unwrap();
    worker.close().await;
    let snapshot = task.status().await.unwrap();
    assert_eq!(
        snapshot.state,
        TaskState::Completed.as_str(),
        "when the node is closed, its end is noted"
    );
    lead.close().await;
}

/// The registry may give a task to a worker that is just leaving. It is given back, and not lost until its lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn no_task_goes_with_a_worker_that_leaves() {
    let network = Network::start().await;
    let lead = network.agent("lead").start().await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let done = done.clone();
        let leaving = network
            .agent("leaving")
            .capabilities(["build"])
            .task_concurrency(4)
            .on_task(move |_, _| {
                done.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            })
            .start()
            .await
            .unwrap();
        let starting = async {
            for _ in 0..5 {
                tasks.push(lead.task("capability:build").start().await.unwrap());
            }
        };
        tokio::join!(starting, leaving.close());
    }
    let worker = quick(&network, "quick").await;
    for task in &tasks {
        let outcome = outcome(task).await;
        assert_eq!(outcome.state, TaskState::Completed, "{outcome:?}");
        assert_eq!(task.status().await.unwrap().attempt, 1);
    }
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_no_more_tasks_than_it_may() {
    const MAX_TASKS: usize = 2;
    let network = Network::start().await;
    let lead = network.agent("lead").start().await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(lead.task("capability:build").start().await.unwrap());
    }
    let done = Arc::new(AtomicUsize::new(0));
    let counted = done.clone();
    let worker = network
        .agent("worker")
        .capabilities(["build"])
        .task_concurrency(4)
        .max_tasks(MAX_TASKS)
        .on_task(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    for task in &tasks[..MAX_TASKS] {
        assert_eq!(outcome(task).await.state, TaskState::Completed);
    }
    worker.close().await;
    assert_eq!(done.load(Ordering::SeqCst), MAX_TASKS);
    for task in &tasks[MAX_TASKS..] {
        let snapshot = task.status().await.unwrap();
        assert_eq!(
            (snapshot.state.as_str(), snapshot.event_count),
            ("submitted", 1),
            "nobody has had it"
        );
    }
    lead.close().await;
}
