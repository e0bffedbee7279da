//! Tasks as messages: for agents that claim none, and from such agents.

use agentnet::{AgentNode, Message, TaskState, Until};
use agentnet_testkit::eventually;
use serde_json::json;

use crate::net::DEADLINE;
use crate::tasks::network::*;

/// What waits in the mailbox of a node.
async fn until_mailbox_empty(node: &AgentNode) {
    eventually(DEADLINE, async || match node.mailbox_status().await {
        Ok(status) if (status.queued, status.leased) == (0, 0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_claims_nothing_is_told_and_reports_by_messages() {
    let network = Network::start().await;
    let notes = Messages::default();
    let original = network.noting("original", &notes).start().await.unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead
        .task("@original")
        .title("paint")
        .text("paint it")
        .payload(json!(["red"]))
        .start()
        .await
        .unwrap();
    assert!(task.not_told().is_none());
    let told = notes.of_type("task.assign", 1).await;
    let assign = payload(&told[0]);
    assert_eq!(
        (&assign["task_id"], &assign["text"]),
        (&task.id().into(), &"paint it".into())
    );
    assert_eq!(
        (&assign["title"], &assign["coordinator"]),
        (&"paint".into(), &"lead".into())
    );
    assert_eq!(
        (&assign["attempt"], &assign["heartbeat_ms"]),
        (&1.into(), &30_000.into())
    );
    assert_eq!(assign["payload"], json!(["red"]));
    assert_eq!(*told[0].message_id, *format!("task_assign_{}", task.id()));
    let coordinator = lead.account_id().unwrap();
    let report = |kind: &str, text: &str| {
        let payload = json!({ "type": kind, "task_id": task.id(), "text": text, "metadata": { "percent": 50 } });
        original.send_to_account(&coordinator, payload).without_ack()
    };
    report("task.progress", "half").await.unwrap();
    let working = until_state(&task, TaskState::Working).await;
    assert_eq!(
        (working.percent, working.latest_progress_text.as_deref()),
        (Some(50), Some("half"))
    );
    report("task.result", "painted").await.unwrap();
    let done = outcome(&task).await;
    assert_eq!(
        (done.state, done.text.as_deref()),
        (TaskState::Completed, Some("painted"))
    );
    for node in [lead, original] {
        node.close().await;
    }
}

/// Cancellations, answers and retries: the registry holds them for workers with a lease only.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_claims_nothing_is_told_what_becomes_of_its_task() {
    let network = Network::start().await;
    let notes = Messages::default();
    let original = network.noting("original", &notes).start().await.unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let coordinator = lead.account_id().unwrap();
    let report = |id: &str, kind: &str, text: &str| {
        let payload = json!({ "type": kind, "task_id": id, "text": text, "metadata": {} });
        original.send_to_account(&coordinator, payload).without_ack()
    };
    let task = lead
        .task("@original")
        .text("paint it")
        .payload(json!(["red"]))
        .start()
        .await
        .unwrap();
    notes.of_type("task.assign", 1).await;
    report(task.id(), "task.blocked", "which red?").await.unwrap();
    until_state(&task, TaskState::InputRequired).await;
    assert_eq!(task.input(json!({ "red": 2 })).await.unwrap().state, "working");
    let answered = payload(&notes.of_type("task.assign", 2).await[1]);
    assert_eq!(
        (&answered["task_id"], &answered["text"], &answered["input"]),
        (&task.id().into(), &"paint it".into(), &json!({ "red": 2 }))
    );

    // More than once, by different messages.
    for times in 1..3 {
        report(task.id(), "task.failed", "no paint").await.unwrap();
        until_state(&task, TaskState::Failed).await;
        let retried = task.retry().await.unwrap();
        let told = notes.of_type("task.assign", 2 + times).await;
        let told = told.last().unwrap();
        assert_eq!(
            *told.message_id,
            *format!("task_assign_{}_{}", task.id(), retried.event_count)
        );
        let again = payload(told);
        assert_eq!((&again["payload"], again.get("input")), (&json!(["red"]), None));
        assert_eq!(again["attempt"], retried.attempt + 1);
    }

    // Somebody who has only its id.
    let task = lead.task_handle(task.id());
    assert_eq!(task.cancel("no walls").await.unwrap().state, "canceled");
    let canceled = notes.of_type("task.cancel", 1).await;
    let message = payload(&canceled[0]);
    assert_eq!(
        (&message["task_id"], &message["text"]),
        (&task.id().into(), &"no walls".into())
    );
    assert_eq!(*canceled[0].from_account_id.clone().unwrap(), *coordinator);
    for node in [lead, original] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_which_no_task_is_made_is_handled_as_one() {
    let network = Network::start().await;
    let notes = Messages::default();
    let worker = network
        .noting("coder", &notes)
        .on_task(|_, _| async { Ok(()) })
        .start()
        .await
        .unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let of_others = lead
        .task("capability:nobody")
        .id("task_of_others")
        .start()
        .await
        .unwrap();
    let long = "x".repeat(300);
    for kind in ["task.assign", "task.cancel"] {
        for id in [of_others.id(), &long] {
            let assign = json!({ "type": kind, "task_id": id, "text": "do it", "metadata": {} });
            lead.send("@coder", assign).until(Until::Processed).await.unwrap();
        }
        notes.of_type(kind, 2).await;
    }
    // The worker learns it from the registry.
    let own = lead
        .task("@coder")
        .id("task_of_coder")
        .delay(DEADLINE * 10)
        .start()
        .await
        .unwrap();
    for kind in ["task.assign", "task.cancel"] {
        let message = json!({ "type": kind, "task_id": own.id(), "text": "own", "metadata": {} });
        lead.send("@coder", message).until(Until::Processed).await.unwrap();
    }
    assert_eq!(
        until_state(&own, TaskState::Canceled).await.code.as_deref(),
        Some("canceled")
    );
    assert_eq!(notes.0.lock().unwrap().len(), 4);
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_for_an_account_that_is_offline_is_claimed_once_it_is_back() {
    let network = Network::start().await;
    network.offline("coder").await;
    let lead = network.agent("lead").start().await.unwrap();
    for handles_messages in [false, true] {
        let task = lead.task("@coder").text("later").start().await.unwrap();
        assert!(task.not_told().is_none(), "{:?}", task.not_told());
        let notes = Messages::default();
        let worker = match handles_messages {
            true => network.noting("coder", &notes),
            false => network.agent("coder"),
        };
        let worker = worker.on_task(|task, _| async move { Ok(task.text().to_owned()) });
        let worker = worker.start().await.unwrap();
        let done = outcome(&task).await;
        assert_eq!(
            (done.state, done.text.as_deref()),
            (TaskState::Completed, Some("later"))
        );
        until_mailbox_empty(&worker).await;
        assert!(
            notes.0.lock().unwrap().is_empty(),
            "the message only says that there is a task"
        );
        worker.close().await;
    }
    lead.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_waits_in_the_mailbox_is_claimed_once_its_account_is_back() {
    let network = Network::start().await;
    let notes = Messages::default();
    let original = network.noting("coder", &notes).start().await.unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead.task("@coder").text("later").start().await.unwrap();
    let failed = json!({ "type": "task.failed", "task_id": task.id(), "text": "not today", "metadata": {} });
    let coordinator = lead.account_id().unwrap();
    original
        .send_to_account(&coordinator, failed)
        .without_ack()
        .await
        .unwrap();
    until_state(&task, TaskState::Failed).await;
    original.close().await;
    task.retry().await.unwrap();
    let worker = network
        .agent("coder")
        .on_task(|task, _| async move { Ok(task.text().to_owned()) });
    let worker = worker.start().await.unwrap();
    assert_eq!(outcome(&task).await.state, TaskState::Completed);
    // A session that takes messages would do it again.
    until_mailbox_empty(&worker).await;
    for node in [lead, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_assigns_a_task_is_a_task() {
    let network = Network::start().await;
    let notes = Messages::default();
    let worker = network
        .noting("coder", &notes)
        .on_task(|task, _| async move {
            assert_eq!((task.id(), task.text()), ("task_from_afar", "count"));
            Ok(json!(3))
        })
        .start()
        .await
        .unwrap();
    let answers = Messages::default();
    let original = network.noting("original", &answers).start().await.unwrap();
    let assign = json!({ "type": "task.assign", "task_id": "task_from_afar", "text": "count", "metadata": {} });
    original.send("@coder", assign).until(Until::Processed).await.unwrap();
    // Another message is handled as one.
    original
        .send("@coder", json!({ "type": "task.assign" }))
        .until(Until::Processed)
        .await
        .unwrap();
    let told = answers.of_type("task.result", 1).await;
    let result = payload(&told[0]);
    assert_eq!(
        (&result["task_id"], &result["result"]),
        (&"task_from_afar".into(), &3.into())
    );
    assert_eq!(
        outcome(&original.task_handle("task_from_afar")).await.state,
        TaskState::Completed
    );
    let handled: Vec<Message> = notes.0.lock().unwrap().clone();
    assert_eq!(handled.len(), 1, "{handled:?}");
    for node in [original, worker] {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_registry_that_keeps_tasks_messages_about_them_are_messages() {
    let network = Network::with(false, false).await;
    let notes = Messages::default();
    let worker = network.noting("coder", &notes).on_task(|_, _| async { Ok(()) });
    let worker = worker.start().await.unwrap();
    let lead = network.agent("lead").start().await.unwrap();
    assert_eq!(code(lead.task("@coder").start().await), "task_disabled");
    eventually(DEADLINE, async || {
        let assign = json!({ "type": "task.assign", "task_id": "task_1", "text": "do it", "metadata": {} });
        lead.send("@coder", assign).until(Until::Processed).await.unwrap();
        match notes.0.lock().unwrap().len() {
            0 => Err("the worker does not know yet"),
            _ => Ok(()),
        }
    })
    .await
    .unwrap();
    for node in [lead, worker] {
        node.close().await;
    }
}
