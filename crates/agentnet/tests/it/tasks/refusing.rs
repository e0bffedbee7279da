//! What a registry refuses, and what its failures cost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::{AgentNode, RawJson, RegistryClient, StreamExt as _, TaskContext, TaskState};
use agentnet_testkit::{RawClient, eventually};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

use crate::net::{DEADLINE, Net, now, parse, settle};
use crate::tasks::network::*;
use crate::tasks::scripted::{TaskRegistry, claimed, heartbeat_answer, task};

/// A value that can be read by itself, and not inside a reply.
fn deep() -> RawJson {
    RawJson::parse("[".repeat(987) + &"]".repeat(987)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_checkpoint_is_its_handlers_error_and_costs_no_lease() {
    let network = Network::start().await;
    let both = Arc::new(Barrier::new(2));
    let worker = network
        .agent("coder")
        .task_concurrency(2)
        .on_task(move |task, context: TaskContext| {
            let both = both.clone();
            async move {
                both.wait().await;
                if task.text() == "deep" {
                    let refused = context.checkpoint(deep()).await.unwrap_err();
                    let text = refused.to_string();
                    assert!(refused.code().is_some_and(|code| code != "task_lease_lost"), "{text}");
                    // The next one is taken.
                    context.checkpoint("flat").await?;
                }
                both.wait().await;
                context.checkpoint("last").await?;
                assert!(!context.is_lease_lost() && !context.is_cancelled());
                Ok(json!("done"))
            }
        })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let new = |text: &str| lead.task("@coder").text(text).start();
    let tasks = [new("deep").await.unwrap(), new("flat").await.unwrap()];
    for task in &tasks {
        assert_eq!(outcome(task).await.state, TaskState::Completed);
        assert_eq!(kinds(&events(task).await), ["created", "claimed", "finished"]);
    }
    for node in [lead, worker] {
        node.close().await;
    }
}

/// A worker of these tasks that reports one progress and one checkpoint for each, and notes what became of it.
async fn reporting(net: &Net, notes: &Arc<Mutex<Vec<String>>>, count: usize) -> AgentNode {
    let (notes, all) = (notes.clone(), Arc::new(Barrier::new(count)));
    net.agent("worker")
        .task_concurrency(count)
        .on_task(move |task, context: TaskContext| {
            let (notes, all) = (notes.clone(), all.clone());
            async move {
                all.wait().await;
                let outcome = match context.checkpoint(json!(task.text())).await {
                    Ok(()) => "taken".to_owned(),
                    Err(error) => error.to_string(),
                };
                notes.lock().unwrap().push(format!("{}: {outcome}", task.id()));
                all.wait().await;
                assert!(!context.is_lease_lost());
                Ok(())
            }
        })
        .start()
        .await
        .unwrap()
}

/// A registry may refuse all heartbeats of a request because of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_not_refused_because_of_another() {
    for refuses_all in [true, false] {
        let net = Net::start().await;
        let is_bad = |item: &Value| item["checkpoint"] == "task_bad";
        let mut ids = vec!["task_good", "task_bad", "task_fine"];
        let finished: Arc<Mutex<Vec<String>>> = Arc::default();
        let ended = finished.clone();
        let _tasks = TaskRegistry::start(&net, move |rpc, request, _| match rpc {
            "task_claim" if !ids.is_empty() => Some(claimed(&std::mem::take(&mut ids), Duration::from_secs(30))),
            "task_heartbeat" if refuses_all && request["items"].as_array().unwrap().iter().any(is_bad) => {
                Some(json!({ "error": "task_too_large: the checkpoint is nested too deeply" }))
            }
            "task_heartbeat" => Some(heartbeat_answer(request, |item| match is_bad(item) {
                true => json!({ "ok": false, "code": "task_too_large" }),
                false => json!({ "ok": true }),
            })),
            "task_finish" => {
                let id = request["task_id"].as_str().unwrap().to_owned();
                ended.lock().unwrap().push(id);
                Some(json!({ "finished": true, "duplicate": false, "state": request["state"], "generated_at": now() }))
            }
            _ => None,
        })
        .await;
        let notes: Arc<Mutex<Vec<String>>> = Arc::default();
        let worker = reporting(&net, &notes, 3).await;
        eventually(DEADLINE, async || match finished.lock().unwrap().len() {
            3 => Ok(()),
            _ => Err(format!("{notes:?}")),
        })
        .await
        .unwrap();
        let mut told = notes.lock().unwrap().clone();
        told.sort();
        assert!(told[0].starts_with("task_bad: task_too_large"), "{told:?}");
        assert_eq!(told[1..], ["task_fine: taken", "task_good: taken"]);
        worker.close().await;
    }
}

/// The reply to the end of a task is lost, and heartbeats are told meanwhile that the lease is over: it is, by that end.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_the_end_of_a_task_is_asked_for_again() {
    let net = Net::start().await;
    let mut ids = vec!["task_1"];
    let mut first_call = None;
    let lost = Arc::new(Notify::new());
    let tells = lost.clone();
    let _tasks = TaskRegistry::start(&net, move |rpc, request, reply| match rpc {
        "task_claim" if !ids.is_empty() => Some(claimed(&std::mem::take(&mut ids), Duration::from_secs(1))),
        "task_heartbeat" => {
            tells.notify_one();
            Some(heartbeat_answer(
                request,
                |_| json!({ "ok": first_call.is_none(), "code": "task_lease_lost" }),
            ))
        }
        "task_finish" => {
            let first = first_call.get_or_insert_with(|| reply.to_owned());
            (first != reply)
                .then(|| json!({ "finished": true, "duplicate": true, "state": "completed", "generated_at": now() }))
        }
        _ => None,
    })
    .await;
    let mut inbox = net.raw.subscribe("account.acct_lead.inbox").await.unwrap();
    net.settle().await;
    let worker = net
        .agent("worker")
        .on_task(move |_, context: TaskContext| {
            let lost = lost.clone();
            async move {
                context.progress(50, "half").await?;
                lost.notified().await;
                Ok(json!("done"))
            }
        })
        .start()
        .await
        .unwrap();
    // The coordinator is told once the registry has confirmed it.
    let told = tokio::time::timeout(DEADLINE, inbox.next()).await.unwrap().unwrap();
    let told = parse(&told.payload);
    assert_eq!(
        (&told["payload"]["type"], &told["payload"]["result"]),
        (&"task.result".into(), &"done".into())
    );
    worker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_task_outlasts_a_failing_database() {
    let net = Net::start().await;
    let mut failures = vec![
        "task_failed: the store",
        "task_status_failed: the store",
        "task_failed: the store",
    ];
    let _tasks = TaskRegistry::start(&net, move |rpc, _, _| match (failures.pop(), rpc) {
        (Some(error), _) => Some(json!({ "error": error })),
        (None, "task_status") => Some(json!({ "task": task("task_1", "completed"), "generated_at": now() })),
        (None, "task_events") => Some(json!({
            "task_id": "task_1", "events": [{ "seq": 1, "at": now(), "type": "created", "attempt": 0, "state": "submitted" }],
            "last": 1, "terminal": true, "generated_at": now(),
        })),
        _ => None,
    })
    .await;
    let lead = net.agent("lead").start().await.unwrap();
    let handle = lead.task_handle("task_1");
    assert_eq!(outcome(&handle).await.state, TaskState::Completed);
    lead.close().await;

    let net = Net::start().await;
    let mut failures = vec!["task_failed: the store"; 2];
    let _tasks = TaskRegistry::start(&net, move |_, _, _| match failures.pop() {
        Some(error) => Some(json!({ "error": error })),
        None => Some(json!({
            "task_id": "task_1", "events": [{ "seq": 1, "at": now(), "type": "created", "attempt": 0, "state": "submitted" }],
            "last": 1, "terminal": true, "generated_at": now(),
        })),
    })
    .await;
    let lead = net.agent("lead").start().await.unwrap();
    assert_eq!(kinds(&events(&lead.task_handle("task_1")).await), ["created"]);
    lead.close().await;
}

/// A registry that answers other requests, and has no subscription for those about tasks.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_never_had_tasks_is_not_waited_for() {
    let mut network = Network::start().await;
    network.stop_registry().await;
    let raw = RawClient::connect(&network.nats.url()).await.unwrap();
    let registry = RegistryClient::connect(&network.nats.url()).await.unwrap();
    // Without any registry it waits.
    let away = tokio::spawn({
        let mut events = registry.follow_task("task_1", 0);
        async move { events.next().await.unwrap() }
    });
    let mut metrics = raw.subscribe("registry.metrics").await.unwrap();
    settle(&raw).await;
    let answering = tokio::spawn(async move {
        while let Some(request) = metrics.next().await {
            let error = json!({ "error": "not today" }).to_string();
            raw.publish(request.reply.unwrap(), error.into()).await.unwrap();
        }
    });
    let old = tokio::spawn({
        let mut events = registry.follow_task("task_1", 0);
        async move { events.next().await.unwrap() }
    });
    let both = tokio::time::timeout(DEADLINE, join_all([away, old]));
    for unsupported in both.await.unwrap() {
        assert_eq!(code(unsupported.unwrap()), "task_unsupported");
    }
    answering.abort();

    // One that comes back is asked again.
    let away = tokio::spawn({
        let mut events = registry.follow_task("task_1", 0);
        async move { events.next().await.unwrap() }
    });
    network.start_registry().await;
    let answer = tokio::time::timeout(DEADLINE, away).await.unwrap().unwrap();
    assert_eq!(code(answer), "not_found");
}
