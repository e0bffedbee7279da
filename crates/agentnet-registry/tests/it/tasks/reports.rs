//! What workers report, and what becomes of it.

use rstest::rstest;
use serde_json::json;

use crate::support::{Backend, Network};
use crate::tasks::client::{Session, ask, kinds, registry, status, until_state};

/// The other items of the request count, and the lease goes on: only the report is left out.
#[rstest]
#[tokio::test]
async fn a_report_that_is_too_large_costs_no_lease(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let mut items = Vec::new();
    for (task_id, report) in [
        ("good", json!({"progress": {"text": "half"}})),
        ("text", json!({"progress": {"text": "x".repeat(70_000)}})),
        ("phase", json!({"progress": {"phase": "x".repeat(300)}})),
        (
            "value",
            json!({"checkpoint": "x".repeat(70_000), "progress": {"percent": 50}}),
        ),
        ("gone", json!({"checkpoint": "x".repeat(70_000)})),
    ] {
        alice
            .create(&net, json!({"task_id": task_id, "to": bob.account_id}))
            .await;
        let claimed = bob.claim(&net, json!({"task_id": task_id})).await.remove(0);
        if task_id == "gone" {
            bob.finish(&net, &claimed, json!({"state": "completed"})).await;
        }
        let mut item = json!({"task_id": task_id, "attempt": claimed["attempt"], "lease": claimed["lease"]});
        for (name, value) in report.as_object().unwrap() {
            item[name] = value.clone();
        }
        items.push((item, claimed));
    }
    let body = json!({"items": items.iter().map(|(item, _)| item).collect::<Vec<_>>()});
    let reply = ask(&net, "task_heartbeat", bob.request(body)).await;
    let results = reply["items"].as_array().unwrap_or_else(|| panic!("{reply}"));
    let codes: Vec<_> = results
        .iter()
        .map(|result| result["code"].as_str().unwrap_or("none"))
        .collect();
    let large = "task_too_large";
    assert_eq!(codes, ["none", large, large, large, "task_lease_lost"], "{reply}");
    for result in &results[1..4] {
        assert!(result["lease_until"].is_string() && result["ok"] == false, "{result}");
        assert!(result["detail"].as_str().unwrap().contains("bytes"), "{result}");
    }
    assert_eq!(status(&net, "good").await["latest_progress_text"], "half");
    assert_eq!(
        kinds(&net, "value").await,
        ["created", "claimed"],
        "nothing of the report counts"
    );
    for (_, claimed) in &items[..4] {
        assert_eq!(bob.beat(&net, claimed, json!({})).await["ok"], true);
        let finished = bob.finish(&net, claimed, json!({"state": "completed"})).await;
        assert_eq!(finished["state"], "completed", "{finished}");
    }
}

/// A checkpoint that no reply can hold is left out too.
#[rstest]
#[tokio::test]
async fn a_checkpoint_that_is_nested_too_deeply_costs_no_lease(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    alice.create(&net, json!({"task_id": "t", "to": bob.account_id})).await;
    let claimed = bob.claim_one(&net, json!({})).await;
    let request = bob.request(json!({"items": [
        {"task_id": "t", "attempt": 1, "lease": claimed["lease"], "checkpoint": "deep"}
    ]}));
    let deep = format!("{}{}", "[".repeat(987), "]".repeat(987));
    let body = request.to_string().replace("\"deep\"", &deep);
    let reply = net
        .client
        .request("registry.task_heartbeat", body.into())
        .await
        .unwrap();
    let reply: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(reply["items"][0]["code"], "task_too_large", "{reply}");
    assert_eq!(bob.beat(&net, &claimed, json!({"checkpoint": [1]})).await["ok"], true);
}

/// The registry cannot know whether the reply of a held claim found its worker: a session that is not heard of after it has
/// cost the task no attempt.
#[rstest]
#[tokio::test]
async fn a_worker_that_is_never_heard_of_costs_no_attempt(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let (gone, there) = (
        Session::worker(&net, "gone").await,
        Session::worker(&net, "there").await,
    );
    let members = json!({"task_id": "t", "to": "capability:build", "heartbeat_ms": 2_000});
    alice.create(&net, members).await;
    let wanted = json!({"capabilities": ["build"]});
    gone.claim_one(&net, wanted.clone()).await;
    let claimed = there.claim_one(&net, wanted).await;
    assert_eq!(claimed["attempt"], 1, "{claimed}");
    there.finish(&net, &claimed, json!({"state": "completed"})).await;
    until_state(&net, "t", "completed").await;
    let kinds = kinds(&net, "t").await;
    assert_eq!(kinds, ["created", "claimed", "lost", "released", "claimed", "finished"]);
}
