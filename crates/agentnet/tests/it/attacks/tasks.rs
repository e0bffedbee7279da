//! Tasks of other accounts: asking for work, claiming, ending and changing it in another name, and reporting on it by messages
//! (PROTOCOL.md sections 13.8 and 22).

use agentnet::protocol::rpc::{
    RequestAuth, TaskCancelRequest, TaskClaimRequest, TaskCreateRequest, TaskFinishRequest, TaskHeartbeat,
    TaskHeartbeatRequest, TaskInputRequest, TaskRetryRequest,
};
use agentnet::protocol::signing_scope::SigningScope;
use agentnet::protocol::task::TaskState;
use agentnet_testkit::eventually;
use serde_json::{Value, json};

use crate::attacks::harness::*;
use crate::attacks::mailbox::{assert_code, signed_request};
use crate::net::{DEADLINE, now, parse};

/// What a forged request is called, the request, and the code of its refusal.
type Forged = (&'static str, &'static str, Value, &'static str);

fn create(coordinator: &Peer, task_id: &str, to: &str) -> TaskCreateRequest {
    TaskCreateRequest {
        task_id: Some(task_id.to_owned()),
        ..TaskCreateRequest::new(&coordinator.account_id, to, "do it")
    }
}

fn claim(worker: &Peer) -> TaskClaimRequest {
    TaskClaimRequest {
        account_id: worker.account_id.clone(),
        session_tag: worker.session_tag.clone(),
        max: 1,
        ..TaskClaimRequest::default()
    }
}

fn heartbeat(worker: &Peer, task_id: &str, lease: &str) -> TaskHeartbeatRequest {
    TaskHeartbeatRequest {
        account_id: worker.account_id.clone(),
        session_tag: worker.session_tag.clone(),
        items: vec![TaskHeartbeat {
            task_id: task_id.to_owned(),
            attempt: 1,
            lease: lease.to_owned(),
            ..TaskHeartbeat::default()
        }],
        auth: RequestAuth::default(),
    }
}

fn finish(worker: &Peer, task_id: &str, lease: &str) -> TaskFinishRequest {
    TaskFinishRequest {
        account_id: worker.account_id.clone(),
        session_tag: worker.session_tag.clone(),
        task_id: task_id.to_owned(),
        attempt: 1,
        lease: lease.to_owned(),
        finish_id: format!("finish_{task_id}"),
        state: TaskState::Completed,
        result: None,
        text: None,
        code: None,
        detail: None,
        retryable: false,
        auth: RequestAuth::default(),
    }
}

fn cancel(coordinator: &Peer, task_id: &str) -> TaskCancelRequest {
    TaskCancelRequest {
        account_id: coordinator.account_id.clone(),
        task_id: task_id.to_owned(),
        ..TaskCancelRequest::default()
    }
}

fn input(coordinator: &Peer, task_id: &str) -> TaskInputRequest {
    TaskInputRequest {
        account_id: coordinator.account_id.clone(),
        task_id: task_id.to_owned(),
        ..TaskInputRequest::default()
    }
}

fn retry(coordinator: &Peer, task_id: &str) -> TaskRetryRequest {
    TaskRetryRequest {
        account_id: coordinator.account_id.clone(),
        task_id: task_id.to_owned(),
        ..TaskRetryRequest::default()
    }
}

/// Registers an agent that claims tasks.
async fn claiming_peer(realm: &Realm, id: &str) -> Peer {
    let mut peer = realm.peer(id, SigningScope::ALL).await;
    let request = with(registration(id, &peer.key, SigningScope::ALL), "tasks", json!("claim"));
    let reply = realm.ask("register", &request).await;
    peer.session_tag = reply["session_tag"].as_str().unwrap().to_owned();
    peer
}

/// What everybody sees of a task; without the flag that depends on the time.
async fn status(realm: &Realm, task_id: &str) -> Value {
    let reply = realm.ask("task_status", &json!({ "task_id": task_id })).await;
    assert_eq!(reply.get("error"), None, "{reply}");
    with(reply["task"].clone(), "stalled", Value::Null)
}

/// Makes a task.
async fn created(realm: &Realm, coordinator: &Peer, task_id: &str, to: &str) -> Value {
    let request = signed_request(create(coordinator, task_id, to), &coordinator.key, 0);
    let reply = realm.ask("task_create", &request).await;
    assert_eq!(reply["created"], true, "{reply}");
    reply
}

fn unsigned<R: agentnet::protocol::rpc::Request>(request: &R) -> Value {
    parse(request.encode().as_bytes())
}

/// Requests of workers that are not the worker's.
fn forged_by_workers(worker: &Peer, mallory: &Peer, lease: &str) -> Vec<Forged> {
    let good = || signed_request(claim(worker), &worker.key, 0);
    let mut other_session = claim(worker);
    other_session.session_tag.clone_from(&mallory.session_tag);
    vec![
        (
            "an unsigned claim",
            "task_claim",
            unsigned(&claim(worker)),
            "auth_required",
        ),
        (
            "another's claim",
            "task_claim",
            signed_request(claim(worker), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
        (
            "an old claim",
            "task_claim",
            signed_request(claim(worker), &worker.key, -121_000),
            "auth_claims_timestamp_skew",
        ),
        (
            "a changed claim",
            "task_claim",
            with(good(), "max", json!(32)),
            "auth_claims_invalid",
        ),
        (
            "a claim for more capabilities",
            "task_claim",
            with(good(), "capabilities", json!(["build"])),
            "auth_claims_invalid",
        ),
        (
            "a claim of another account's session",
            "task_claim",
            signed_request(other_session, &worker.key, 0),
            "task_session_unknown",
        ),
        (
            "an unsigned heartbeat",
            "task_heartbeat",
            unsigned(&heartbeat(worker, "t1", lease)),
            "auth_required",
        ),
        (
            "an unsigned finish",
            "task_finish",
            unsigned(&finish(worker, "t1", lease)),
            "auth_required",
        ),
        (
            "another's finish",
            "task_finish",
            signed_request(finish(worker, "t1", lease), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
        (
            "a finish with a claim's signature",
            "task_finish",
            with(unsigned(&finish(worker, "t1", lease)), "auth", good()["auth"].clone()),
            "auth_claims_invalid",
        ),
        (
            "a finish without the lease",
            "task_finish",
            signed_request(finish(mallory, "t1", "guessed"), &mallory.key, 0),
            "task_lease_lost",
        ),
    ]
}

/// Requests of coordinators that are not the coordinator's.
fn forged_by_coordinators(boss: &Peer, mallory: &Peer) -> Vec<Forged> {
    let good = || signed_request(cancel(boss, "t1"), &boss.key, 0);
    vec![
        (
            "an unsigned task",
            "task_create",
            unsigned(&create(boss, "t2", "capability:build")),
            "auth_required",
        ),
        (
            "a task in another name",
            "task_create",
            signed_request(create(boss, "t2", "capability:build"), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
        (
            "a task with the id of another's",
            "task_create",
            signed_request(create(mallory, "t1", "capability:build"), &mallory.key, 0),
            "task_conflict",
        ),
        (
            "an unsigned cancellation",
            "task_cancel",
            unsigned(&cancel(boss, "t1")),
            "auth_required",
        ),
        (
            "another's cancellation",
            "task_cancel",
            signed_request(cancel(boss, "t1"), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
        (
            "a cancellation in the own name",
            "task_cancel",
            signed_request(cancel(mallory, "t1"), &mallory.key, 0),
            "task_forbidden",
        ),
        (
            "a cancellation moved to another task",
            "task_cancel",
            with(signed_request(cancel(boss, "t3"), &boss.key, 0), "task_id", json!("t1")),
            "auth_claims_invalid",
        ),
        (
            "a cancellation of another account",
            "task_cancel",
            with(good(), "account_id", json!(mallory.account_id)),
            "auth_claims_account_mismatch",
        ),
        (
            "an unsigned answer",
            "task_input",
            unsigned(&input(boss, "t1")),
            "auth_required",
        ),
        (
            "an answer in the own name",
            "task_input",
            signed_request(input(mallory, "t1"), &mallory.key, 0),
            "task_forbidden",
        ),
        (
            "an unsigned retry",
            "task_retry",
            unsigned(&retry(boss, "t1")),
            "auth_required",
        ),
        (
            "a retry in the own name",
            "task_retry",
            signed_request(retry(mallory, "t1"), &mallory.key, 0),
            "task_forbidden",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_coordinator_and_worker_change_a_task() {
    let realm = Realm::start().await;
    let second = realm.another_registry("second").await;
    let boss = realm.peer("boss", SigningScope::ALL).await;
    let worker = claiming_peer(&realm, "worker").await;
    let mallory = claiming_peer(&realm, "mallory").await;
    created(&realm, &boss, "t1", &worker.account_id).await;
    let taken = signed_request(claim(&worker), &worker.key, 0);
    let reply = realm.ask("task_claim", &taken).await;
    let lease = reply["tasks"][0]["lease"]
        .as_str()
        .unwrap_or_else(|| panic!("{reply}"))
        .to_owned();
    let before = status(&realm, "t1").await;
    assert_eq!(before["state"], "working");
    let forged = forged_by_workers(&worker, &mallory, &lease)
        .into_iter()
        .chain(forged_by_coordinators(&boss, &mallory));
    for (what, rpc, request, code) in forged {
        assert_code(&realm.ask(rpc, &request).await, code, what);
        assert_eq!(status(&realm, "t1").await, before, "{what}");
    }
    let unknown = realm.ask("task_status", &json!({ "task_id": "t2" })).await;
    assert_eq!(unknown["error"], "not_found");
    // A heartbeat without the lease does not keep it.
    let guessed = signed_request(heartbeat(&mallory, "t1", "guessed"), &mallory.key, 0);
    let beat = realm.ask("task_heartbeat", &guessed).await;
    assert_eq!(beat["items"][0]["code"], "task_lease_lost", "{beat}");
    assert_eq!(status(&realm, "t1").await, before);
    // Recorded, at any of the registries.
    for _ in 0..10 {
        assert_code(
            &realm.ask("task_claim", &taken).await,
            "auth_nonce_replayed",
            "a recorded claim",
        );
    }
    // The lease is not shown to others.
    for (rpc, request) in [
        ("task_status", json!({ "task_id": "t1" })),
        ("task_list", json!({ "assignee_account_id": worker.account_id })),
        ("task_events", json!({ "task_id": "t1" })),
    ] {
        let reply = realm.ask(rpc, &request).await.to_string();
        assert!(reply.contains("t1") && !reply.contains(&lease), "{rpc}: {reply}");
    }
    // The worker goes on.
    let done = signed_request(finish(&worker, "t1", &lease), &worker.key, 0);
    assert_eq!(realm.ask("task_finish", &done).await["state"], "completed");
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_signed_messages_of_the_worker_report_on_a_task() {
    let realm = Realm::start().await;
    let boss = realm.peer("boss", SigningScope::ALL).await;
    // It claims no tasks: it reports by messages.
    let worker = realm.peer("worker", SigningScope::ALL).await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let reply = created(&realm, &boss, "t1", &worker.account_id).await;
    assert_eq!(reply["delivery"], "message");
    let report = |id: &str, from: &Peer, kind: &str| {
        let payload = json!({
            "type": kind, "task_id": "t1", "status": "completed", "text": id, "finished_at": now(), "metadata": {}
        });
        with(from.message(id, &boss.account_id), "payload", payload)
    };
    let inbox = format!("account.{}.inbox", boss.account_id);
    let result = |id: &str| report(id, &worker, "task.result");
    let changed = {
        let signed = worker.sign(&report("m3", &worker, "task.progress"));
        with(signed, "payload", result("m3")["payload"].clone())
    };
    for forged in [
        result("m1"),
        mallory.sign(&result("m2")),
        changed,
        mallory.sign(&report("m4", &mallory, "task.result")),
        mallory.sign(&report("m5", &mallory, "task.cancel")),
    ] {
        realm.publish(&inbox, &forged).await;
    }
    // The messages of the stream are applied in their order.
    realm
        .publish(&inbox, &worker.sign(&report("m6", &worker, "task.progress")))
        .await;
    eventually(DEADLINE, async || {
        let task = status(&realm, "t1").await;
        match task["state"] == "working" {
            true => Ok(()),
            false => Err(task),
        }
    })
    .await
    .unwrap();
    let events = realm.ask("task_events", &json!({ "task_id": "t1" })).await["events"].clone();
    let seen: Vec<(&Value, &Value)> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (&event["type"], &event["message_id"]))
        .collect();
    assert_eq!(
        seen,
        [(&json!("created"), &Value::Null), (&json!("progress"), &json!("m6"))]
    );
}
