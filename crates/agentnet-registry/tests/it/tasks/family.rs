//! Parts of tasks, and who has a say in them.

use rstest::rstest;
use serde_json::json;

use crate::support::{Backend, Network};
use crate::tasks::client::{Session, ask, refused, registry, status};

/// A cancellation reaches every open part; `cascade: false` leaves them.
#[rstest]
#[tokio::test]
async fn a_cancelled_task_takes_its_parts_along(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    for (task_id, parent) in [
        ("root", None),
        ("left", Some("root")),
        ("right", Some("root")),
        ("leaf", Some("left")),
        ("done", Some("left")),
        ("alone", None),
        ("stays", Some("alone")),
    ] {
        let members = json!({"task_id": task_id, "to": bob.account_id, "parent_task_id": parent});
        alice.create(&net, members).await;
    }
    let done = bob.claim(&net, json!({"task_id": "done"})).await;
    bob.finish(&net, &done[0], json!({"state": "completed"})).await;
    bob.claim(&net, json!({"task_id": "leaf"})).await;
    let canceled = ask(&net, "task_cancel", alice.request(json!({"task_id": "root"}))).await;
    assert_eq!(canceled["task"]["state"], "canceled", "{canceled}");
    for (task_id, state) in [
        ("left", "canceled"),
        ("right", "canceled"),
        ("leaf", "working"),
        ("done", "completed"),
    ] {
        assert_eq!(status(&net, task_id).await["state"], state, "{task_id}");
    }
    assert_eq!(
        status(&net, "leaf").await["cancel_requested"],
        true,
        "its worker is told"
    );
    let request = json!({"task_id": "alone", "cascade": false});
    ask(&net, "task_cancel", alice.request(request)).await;
    assert_eq!(status(&net, "alone").await["state"], "canceled");
    assert_eq!(status(&net, "stays").await["state"], "submitted");
}

#[rstest]
#[tokio::test]
async fn only_those_concerned_change_a_task(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let boss = Session::plain(&net, "boss").await;
    let lead = Session::plain(&net, "lead").await;
    let worker = Session::worker(&net, "worker").await;
    let other = Session::plain(&net, "other").await;
    boss.create(&net, json!({"task_id": "top", "to": lead.account_id}))
        .await;
    for task_id in ["a", "b", "c"] {
        let members = json!({"task_id": task_id, "to": worker.account_id, "parent_task_id": "top"});
        lead.create(&net, members).await;
    }
    let cancel =
        async |who: &Session, task_id: &str| ask(&net, "task_cancel", who.request(json!({"task_id": task_id}))).await;
    refused(&cancel(&other, "a").await, "task_forbidden");
    refused(
        &ask(&net, "task_retry", other.request(json!({"task_id": "a"}))).await,
        "task_forbidden",
    );
    refused(
        &ask(&net, "task_input", other.request(json!({"task_id": "a"}))).await,
        "task_forbidden",
    );
    assert_eq!(status(&net, "a").await["event_count"], 1, "nothing happened");
    for (who, task_id) in [(&lead, "a"), (&boss, "b"), (&worker, "c")] {
        assert_eq!(cancel(who, task_id).await["task"]["state"], "canceled", "{task_id}");
    }
    refused(&cancel(&other, "top").await, "task_forbidden");
    refused(&cancel(&worker, "top").await, "task_forbidden");
}

/// Parts that have ended hide none below them, and an end of the task itself none of its parts.
#[rstest]
#[tokio::test]
async fn a_cancellation_reaches_parts_below_those_that_have_ended(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    for (task_id, parent) in [
        ("root", None),
        ("mid", Some("root")),
        ("low", Some("mid")),
        ("lowest", Some("low")),
        ("other", None),
        ("part", Some("other")),
    ] {
        let members = json!({"task_id": task_id, "to": bob.account_id, "parent_task_id": parent});
        alice.create(&net, members).await;
    }
    for task_id in ["mid", "low", "other"] {
        let claimed = bob.claim(&net, json!({"task_id": task_id})).await;
        bob.finish(&net, &claimed[0], json!({"state": "completed"})).await;
    }
    let cancel = async |task_id: &str| ask(&net, "task_cancel", alice.request(json!({"task_id": task_id}))).await;
    assert_eq!(cancel("root").await["task"]["state"], "canceled");
    assert_eq!(status(&net, "lowest").await["state"], "canceled");
    let ended = cancel("other").await;
    assert_eq!(ended["task"]["state"], "completed", "its part was cancelled: {ended}");
    assert_eq!(ended["task"]["children"], json!({"open": 0, "done": 1}), "{ended}");
    assert_eq!(status(&net, "part").await["state"], "canceled");
    refused(&cancel("other").await, "task_not_cancelable");
}

/// A stranger adds no part to a task, and nobody to one that is not wanted; a repeated request is answered all the same.
#[rstest]
#[tokio::test]
async fn only_those_concerned_add_parts(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let boss = Session::plain(&net, "boss").await;
    let lead = Session::worker(&net, "lead").await;
    let other = Session::plain(&net, "other").await;
    let worker = Session::worker(&net, "worker").await;
    boss.create(&net, json!({"task_id": "top", "to": lead.account_id}))
        .await;
    let part =
        |task_id: &str, parent: &str| json!({"task_id": task_id, "to": "capability:x", "parent_task_id": parent});
    let add = async |who: &Session, task_id: &str, parent: &str| {
        ask(&net, "task_create", who.request(part(task_id, parent))).await
    };
    refused(&add(&other, "a", "top").await, "task_forbidden");
    assert_eq!(add(&lead, "b", "top").await["created"], true, "the receiver");
    assert_eq!(add(&boss, "c", "b").await["created"], true, "the coordinator above");
    refused(&add(&worker, "d", "b").await, "task_forbidden");
    let claimed = worker.claim(&net, json!({"task_id": "b", "capabilities": ["x"]})).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(add(&worker, "d", "b").await["created"], true, "the worker");
    // A message makes a task all the same, but no part.
    crate::tasks::messages::tell(
        &net,
        "m1",
        &other.account_id,
        &worker.account_id,
        json!({"type": "task.assign", "task_id": "e", "text": "x", "parent_task_id": "top"}),
    )
    .await;
    let made = crate::tasks::client::until_state(&net, "e", "submitted").await;
    assert_eq!(made["parent_task_id"], serde_json::Value::Null, "{made}");
    // The cancellation of a task is that of everything below it, also of what comes later.
    let canceled = ask(&net, "task_cancel", boss.request(json!({"task_id": "top"}))).await;
    assert_eq!(canceled["task"]["state"], "canceled", "{canceled}");
    assert_eq!(status(&net, "b").await["cancel_requested"], true, "its worker is told");
    for (who, parent) in [(&boss, "top"), (&lead, "b"), (&worker, "d")] {
        refused(&add(who, "late", parent).await, "task_parent_canceled");
    }
    let again = add(&worker, "d", "b").await;
    assert_eq!(
        (&again["created"], &again["task"]["state"]),
        (&json!(false), &json!("canceled")),
        "{again}"
    );
    refused(
        &ask(&net, "task_create", boss.request(part("d", "top"))).await,
        "task_conflict",
    );
}
