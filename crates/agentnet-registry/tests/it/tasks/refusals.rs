//! Requests that cannot be met, each with its code and a sentence.

use agentnet_protocol::json::MAX_DEPTH;
use agentnet_registry::RegistryConfig;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Backend, Network};
use crate::tasks::client::{Session, ask, config, refused, registry, status};

#[rstest]
#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_code(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let create = async |members: Value| ask(&net, "task_create", alice.request(members)).await;
    for (members, code) in [
        (json!({"to": "@bob"}), "task_invalid"),
        (json!({"to": "capability: "}), "task_invalid"),
        (json!({"to": "acct_nobody"}), "task_session_unknown"),
        (json!({"to": "capability:x", "not_before": "soon"}), "task_invalid"),
        (json!({"to": "capability:x", "deadline_at": "never"}), "task_invalid"),
        (
            json!({"to": "capability:x", "parent_task_id": "none"}),
            "task_parent_unknown",
        ),
        (
            json!({"to": "capability:x", "text": "é".repeat(32_000), "payload": "é".repeat(100_000)}),
            "task_too_large",
        ),
    ] {
        refused(&create(members).await, code);
    }
    let nested = async |levels: usize| {
        let payload = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let body = format!(
            r#"{{"account_id":"{}","to":"capability:x","payload":{payload}}}"#,
            alice.account_id
        );
        serde_json::from_str::<Value>(&net.ask_raw("task_create", body).await).unwrap()
    };
    // As deep as its request may be, and then it fits into no reply.
    refused(&nested(MAX_DEPTH - 1).await, "task_too_large");
    assert_eq!(nested(MAX_DEPTH - 5).await["created"], true);
    let nowhere = json!({"account_id": "a.b", "to": "capability:x"});
    refused(&ask(&net, "task_create", nowhere).await, "task_invalid");
    for (request, error) in [
        (json!({"text": "x"}), "to is required"),
        (
            json!({"to": "capability:x", "text": "x".repeat(70_000)}),
            "text has 70000 bytes; at most 65536 are allowed",
        ),
    ] {
        assert_eq!(create(request).await, json!({"error": error}));
    }
    for rpc in ["task_status", "task_cancel", "task_input", "task_retry", "task_events"] {
        let reply = ask(&net, rpc, alice.request(json!({"task_id": "none"}))).await;
        assert_eq!(reply, json!({"error": "not_found"}), "{rpc}");
    }
    let list = ask(&net, "task_list", json!({"cursor": "garbage"})).await;
    assert_eq!(list, json!({"error": "cursor_invalid"}));
    refused(&ask(&net, "task_list", json!({"since": "then"})).await, "task_invalid");
    assert_eq!(
        ask(&net, "task_status", json!("x")).await,
        json!({"error": "task_status payload must be an object"})
    );
    assert_eq!(
        ask(&net, "task_status", json!({})).await,
        json!({"error": "task_id is required"})
    );
}

#[rstest]
#[tokio::test]
async fn leases_are_given_to_sessions_and_only_to_them(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    alice.create(&net, json!({"task_id": "t", "to": bob.account_id})).await;
    let stranger = json!({"account_id": bob.account_id, "session_tag": alice.tag});
    refused(&ask(&net, "task_claim", stranger).await, "task_session_unknown");
    assert!(
        alice.claim(&net, json!({"task_id": "t"})).await.is_empty(),
        "it is for another account"
    );
    let claimed = bob.claim_one(&net, json!({})).await;
    let mut forged = claimed.clone();
    forged["lease"] = json!("0123");
    let beat = bob.beat(&net, &forged, json!({})).await;
    assert_eq!(
        (&beat["ok"], &beat["code"]),
        (&json!(false), &json!("task_lease_lost")),
        "{beat}"
    );
    refused(
        &bob.finish(&net, &forged, json!({"state": "completed"})).await,
        "task_lease_lost",
    );
    let mut unknown = claimed.clone();
    unknown["task"]["task_id"] = json!("none");
    assert_eq!(bob.beat(&net, &unknown, json!({})).await["code"], "not_found");
    assert_eq!(
        bob.finish(&net, &unknown, json!({"state": "completed"})).await,
        json!({"error": "not_found"})
    );
    let large = json!({"state": "completed", "result": "é".repeat(120_000)});
    refused(&bob.finish(&net, &claimed, large).await, "task_too_large");
    assert_eq!(
        bob.finish(&net, &claimed, json!({"state": "completed"})).await["state"],
        "completed"
    );
    let other = json!({"state": "failed", "finish_id": "another"});
    refused(&bob.finish(&net, &claimed, other).await, "task_already_finished");
    bob.leave(&net).await;
    let gone = bob.request(json!({"wait_ms": 20_000}));
    refused(&ask(&net, "task_claim", gone).await, "task_session_unknown");
}

#[rstest]
#[tokio::test]
async fn a_coordinator_has_a_bounded_number_of_open_tasks(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        task_max_open: 2,
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Session::plain(&net, "alice").await;
    for task_id in ["a", "b"] {
        alice
            .create(&net, json!({"task_id": task_id, "to": "capability:x"}))
            .await;
    }
    let third = alice.request(json!({"task_id": "c", "to": "capability:x"}));
    refused(&ask(&net, "task_create", third.clone()).await, "task_limit_reached");
    ask(&net, "task_cancel", alice.request(json!({"task_id": "a"}))).await;
    assert_eq!(ask(&net, "task_create", third).await["created"], true);
}

#[tokio::test]
async fn a_registry_without_tasks_says_so() {
    let net = Network::new(true).await;
    let config = RegistryConfig {
        tasks: false,
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Session::plain(&net, "alice").await;
    let request = alice.request(
        json!({"to": "capability:x", "task_id": "t", "items": [], "attempt": 1, "lease": "l",
                                       "finish_id": "f", "state": "completed"}),
    );
    for rpc in [
        "task_create",
        "task_claim",
        "task_heartbeat",
        "task_finish",
        "task_cancel",
        "task_input",
        "task_retry",
        "task_events",
        "task_status",
        "task_list",
    ] {
        let mut request = request.clone();
        if rpc == "task_list" {
            request.as_object_mut().unwrap().remove("state");
        }
        refused(&ask(&net, rpc, request).await, "task_disabled");
    }
}

/// The largest task goes to its worker, and its result to everybody; what does not fit into a list is left out there.
#[rstest]
#[tokio::test]
async fn the_largest_values_reach_their_readers(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let (text, payload, checkpoint) = ("t".repeat(65_000), "p".repeat(260_000), "c".repeat(65_000));
    for number in 0..4 {
        let members = json!({"task_id": format!("t{number}"), "to": bob.account_id, "text": text, "payload": payload,
                             "metadata": {"m": "m".repeat(65_000)}, "max_attempts": 2});
        alice.create(&net, members).await;
    }
    let claimed = bob.claim(&net, json!({"max": 10})).await;
    assert!((1..4).contains(&claimed.len()), "the others go back: {}", claimed.len());
    let first = &claimed[0];
    assert_eq!(
        (&first["payload"], &first["task"]["assigned_text"]),
        (&json!(payload), &json!(text))
    );
    let progress = json!({"checkpoint": checkpoint, "progress": {"text": "x".repeat(65_000)}});
    assert_eq!(bob.beat(&net, first, progress).await["ok"], true);
    let blocked = json!({"state": "input_required", "text": "b".repeat(65_000)});
    assert_eq!(bob.finish(&net, first, blocked).await["state"], "input_required");
    let answer = "i".repeat(260_000);
    let input = json!({"task_id": first["task"]["task_id"], "payload": answer});
    let input = ask(&net, "task_input", alice.request(input)).await;
    assert_eq!(input["task"]["state"], "submitted");
    let again = bob.claim_one(&net, json!({"task_id": first["task"]["task_id"]})).await;
    for (member, value) in [("payload", &payload), ("checkpoint", &checkpoint), ("input", &answer)] {
        assert_eq!(again[member], json!(value), "{member}");
    }
    let result = "r".repeat(260_000);
    let done = json!({"state": "completed", "result": result, "text": "z".repeat(65_000), "finish_id": "f2"});
    assert_eq!(bob.finish(&net, &again, done).await["state"], "completed");
    let task = status(&net, again["task"]["task_id"].as_str().unwrap()).await;
    assert_eq!(task["result"], json!(result));
    let mut cursor = Value::Null;
    let mut listed = 0;
    for _ in 0..10 {
        let page = ask(&net, "task_list", json!({"cursor": cursor})).await;
        listed += page["tasks"].as_array().unwrap_or_else(|| panic!("{page}")).len();
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(listed, 4);
}
