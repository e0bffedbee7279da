//! Parts of tasks, and who has a say in them.

use rstest::rstest;
use serde_json::json;

use crate::client::{Session, ask, refused, registry, status};
use crate::support::{Backend, Network};

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
    boss.create(&net, json!({"task_id": "top", "to": "capability:x"})).await;
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
    refused(&cancel(&lead, "top").await, "task_forbidden");
}
