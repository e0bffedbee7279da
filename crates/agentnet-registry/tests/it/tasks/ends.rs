//! Leases, deadlines, cancellations and further attempts.

use std::time::Duration;

use agentnet_registry::RegistryConfig;
use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::json;

use crate::support::heard::Heard;
use crate::support::{Backend, DEADLINE, Network};
use crate::tasks::client::{Session, ask, config, kinds, refused, registry, status, until_state};

/// A worker that falls silent loses its task to another one, which goes on where it was.
#[rstest]
#[tokio::test]
async fn a_lost_task_is_tried_again_from_its_checkpoint(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let (one, two) = (Session::worker(&net, "one").await, Session::worker(&net, "two").await);
    let members =
        json!({"task_id": "t", "to": "capability:build", "heartbeat_ms": 3_000, "max_attempts": 2, "backoff_ms": 10});
    alice.create(&net, members).await;
    let wanted = json!({"capabilities": ["build"]});
    let first = one.claim_one(&net, wanted.clone()).await;
    assert_eq!(one.beat(&net, &first, json!({"checkpoint": [3]})).await["ok"], true);
    let second = two.claim_one(&net, wanted).await;
    assert_eq!(
        (&second["attempt"], &second["checkpoint"], &second["task"]["attempt"]),
        (&json!(2), &json!([3]), &json!(2))
    );
    let late = one.beat(&net, &first, json!({})).await;
    assert_eq!((&late["ok"], &late["code"]), (&json!(false), &json!("task_lease_lost")));
    refused(
        &one.finish(&net, &first, json!({"state": "completed", "result": "late"}))
            .await,
        "task_lease_lost",
    );
    let finished = two
        .finish(&net, &second, json!({"state": "completed", "result": "in time"}))
        .await;
    assert_eq!(finished["state"], "completed", "{finished}");
    assert_eq!(status(&net, "t").await["result"], "in time");
    refused(
        &one.finish(&net, &first, json!({"state": "completed"})).await,
        "task_already_finished",
    );
    let kinds = kinds(&net, "t").await;
    assert_eq!(kinds, ["created", "claimed", "lost", "retried", "claimed", "finished"]);
}

#[rstest]
#[tokio::test]
async fn a_task_without_further_attempts_fails(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let heard = Heard::events(&net, &alice.account_id, "task").await;
    let members = |id: &str| json!({"task_id": id, "to": bob.account_id, "heartbeat_ms": 3_000});
    alice.create(&net, members("silent")).await;
    let claimed = bob.claim_one(&net, json!({})).await;
    bob.beat(&net, &claimed, json!({})).await;
    let failed = until_state(&net, "silent", "failed").await;
    assert_eq!(
        (&failed["code"], &failed["status"]),
        (&json!("worker_lost"), &json!("failed"))
    );
    heard.with(&[("type", "lost"), ("task_id", "silent")]).await;
    heard.with(&[("type", "finished"), ("task_id", "silent")]).await;
    // It is tried again when somebody asks for that.
    let retried = ask(&net, "task_retry", alice.request(json!({"task_id": "silent"}))).await;
    assert_eq!(retried["task"]["state"], "submitted", "{retried}");
    assert!(retried["next_attempt_at"].is_string());
    let claimed = bob.claim_one(&net, json!({})).await;
    assert_eq!(claimed["attempt"], 2);
    bob.finish(&net, &claimed, json!({"state": "completed"})).await;
    refused(
        &ask(&net, "task_retry", alice.request(json!({"task_id": "silent"}))).await,
        "task_not_retriable",
    );
    let mut deadline = members("late");
    deadline["deadline_at"] = json!("2026-01-01T00:00:00Z");
    alice.create(&net, deadline).await;
    assert_eq!(until_state(&net, "late", "failed").await["code"], "deadline_exceeded");
}

/// A failure that may pass is tried again after a delay, for which the worker waits.
#[rstest]
#[tokio::test]
async fn a_retryable_failure_and_a_release_give_the_task_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let members = json!({"task_id": "t", "to": bob.account_id, "max_attempts": 2, "backoff_ms": 500});
    alice.create(&net, members).await;
    let claimed = bob.claim_one(&net, json!({})).await;
    let released = bob.finish(&net, &claimed, json!({"state": "submitted"})).await;
    assert_eq!(released["state"], "submitted", "{released}");
    let claimed = bob.claim_one(&net, json!({})).await;
    assert_eq!(claimed["attempt"], 1, "it did not count");
    let failure = json!({"state": "failed", "code": "busy", "detail": "try later", "retryable": true});
    let failed = bob.finish(&net, &claimed, failure.clone()).await;
    assert_eq!(failed["state"], "submitted", "{failed}");
    assert!(failed["next_attempt_at"].is_string(), "{failed}");
    let claimed = bob.claim_one(&net, json!({})).await;
    assert_eq!(claimed["attempt"], 2);
    let failed = bob.finish(&net, &claimed, failure).await;
    assert_eq!(failed["state"], "failed", "no attempt is left: {failed}");
    let task = status(&net, "t").await;
    assert_eq!((&task["code"], &task["detail"]), (&json!("busy"), &json!("try later")));
}

#[rstest]
#[tokio::test]
async fn a_worker_that_needs_something_waits_for_the_answer(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    alice.create(&net, json!({"task_id": "t", "to": bob.account_id})).await;
    let input = json!({"task_id": "t", "payload": {"answer": 42}});
    refused(
        &ask(&net, "task_input", alice.request(input.clone())).await,
        "task_needs_no_input",
    );
    let claimed = bob.claim_one(&net, json!({})).await;
    bob.finish(&net, &claimed, json!({"state": "input_required", "text": "which one?"}))
        .await;
    let blocked = status(&net, "t").await;
    assert_eq!(
        (
            &blocked["status"],
            &blocked["terminal"],
            &blocked["resumable"],
            &blocked["type"]
        ),
        (&json!("blocked"), &json!(true), &json!(true), &json!("task.blocked"))
    );
    let answered = ask(&net, "task_input", alice.request(input)).await;
    assert_eq!(answered["task"]["state"], "submitted", "{answered}");
    let claimed = bob.claim_one(&net, json!({})).await;
    assert_eq!(
        (&claimed["attempt"], &claimed["input"]),
        (&json!(1), &json!({"answer": 42}))
    );
}

#[rstest]
#[tokio::test]
async fn a_cancelled_task_ends_with_its_worker_or_without(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        task_cancel_grace: Duration::from_secs(4),
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let heard = Heard::events(&net, &bob.account_id, "task").await;
    for task_id in ["waiting", "polite", "deaf"] {
        alice
            .create(&net, json!({"task_id": task_id, "to": bob.account_id}))
            .await;
    }
    let cancel = async |task_id: &str| {
        let request = json!({"task_id": task_id, "reason": "not needed"});
        ask(&net, "task_cancel", alice.request(request)).await
    };
    let canceled = cancel("waiting").await;
    assert_eq!(
        (&canceled["task"]["state"], &canceled["task"]["code"]),
        (&json!("canceled"), &json!("canceled")),
        "{canceled}"
    );
    refused(&cancel("waiting").await, "task_not_cancelable");
    let polite = bob.claim(&net, json!({"task_id": "polite"})).await.remove(0);
    let told = cancel("polite").await;
    assert_eq!(
        (&told["task"]["state"], &told["task"]["cancel_requested"]),
        (&json!("working"), &json!(true)),
        "{told}"
    );
    let event = heard.with(&[("type", "cancel_requested"), ("task_id", "polite")]).await;
    assert_eq!(event["text"], "not needed", "{event}");
    assert_eq!(bob.beat(&net, &polite, json!({})).await["cancel_requested"], true);
    bob.finish(&net, &polite, json!({"state": "canceled"})).await;
    assert_eq!(status(&net, "polite").await["code"], "canceled");
    let deaf = bob.claim(&net, json!({"task_id": "deaf"})).await.remove(0);
    assert_eq!(cancel("deaf").await["task"]["state"], "working");
    assert_eq!(until_state(&net, "deaf", "canceled").await["code"], "cancel_forced");
    refused(
        &bob.finish(&net, &deaf, json!({"state": "completed"})).await,
        "task_already_finished",
    );
}

/// A task is stalled while its worker is silent for half of its time, or gone.
#[rstest]
#[tokio::test]
async fn a_silent_worker_shows(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    alice
        .create(
            &net,
            json!({"task_id": "t", "to": bob.account_id, "heartbeat_ms": 8_000}),
        )
        .await;
    let claimed = bob.claim_one(&net, json!({})).await;
    assert_eq!(claimed["task"].get("stalled"), None, "{claimed}");
    let stalled = async || {
        let task = status(&net, "t").await;
        match task["stalled"] == true {
            true => Ok(()),
            false => Err(task),
        }
    };
    eventually(DEADLINE, stalled).await.unwrap();
    bob.beat(&net, &claimed, json!({})).await;
    assert_eq!(status(&net, "t").await.get("stalled"), None);
}

/// Tasks by state, and events by kind.
#[rstest]
#[tokio::test]
async fn what_there_is_is_counted(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        ..config(&net)
    };
    let registry = net.registry_with(config).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    alice.create(&net, json!({"task_id": "a", "to": bob.account_id})).await;
    alice.create(&net, json!({"task_id": "b", "to": bob.account_id})).await;
    let claimed = bob.claim(&net, json!({"task_id": "a"})).await;
    bob.finish(&net, &claimed[0], json!({"state": "completed"})).await;
    let counted = async || {
        let page = crate::support::metrics_page(&registry).await;
        let expected = [
            "agentnet_tasks{state=\"completed\"} 1",
            "agentnet_tasks{state=\"submitted\"} 1",
            "agentnet_tasks{state=\"failed\"} 0",
            "agentnet_task_events_total{type=\"created\"} 2",
            "agentnet_task_events_total{type=\"finished\"} 1",
        ];
        match expected.iter().find(|line| !page.contains(**line)) {
            None => Ok(()),
            Some(line) => Err(format!("{line} is not in {page}")),
        }
    };
    eventually(DEADLINE, counted).await.unwrap();
}
