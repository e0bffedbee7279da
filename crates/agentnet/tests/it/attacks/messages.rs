//! Messages that their sender has not signed, or not so.

use agentnet::protocol::signing_scope::SigningScope;
use agentnet_testkit::eventually_true;
use serde_json::{Value, json};

use crate::attacks::harness::*;
use crate::net::{DEADLINE, from_now};
/// Changes to members of a signed message, with the codes that they are refused with.
fn changes_of_members(carol: &Peer) -> Vec<(&'static str, Value, &'static str)> {
    let mismatch = "auth_claims_mismatch";
    vec![
        ("from_account_id", json!(carol.account_id), "auth_public_key_mismatch"),
        ("from_account_id", json!("acct_nobody"), "auth_key_not_found"),
        ("to_account_id", json!(carol.account_id), mismatch),
        ("to_account_id", Value::Null, mismatch),
        ("to_agent", json!("capability:x"), mismatch),
        ("sent_at", json!(from_now(5)), mismatch),
        ("ttl_ms", json!(999_999), mismatch),
        ("ttl_ms", Value::Null, mismatch),
        ("expires_at", json!(from_now(999_999)), mismatch),
        ("expires_at", Value::Null, mismatch),
        ("trace_id", json!("other"), mismatch),
        ("trace_id", Value::Null, mismatch),
        ("thread_id", json!("other"), mismatch),
        ("thread_id", Value::Null, mismatch),
        ("parent_message_id", json!("other"), mismatch),
        ("parent_message_id", Value::Null, mismatch),
        ("kind", json!("request"), mismatch),
        ("schema_version", json!("1.2"), mismatch),
        ("schema_version", Value::Null, mismatch),
        ("idempotency_key", json!("other"), mismatch),
        ("idempotency_key", Value::Null, mismatch),
        ("payload", json!({ "n": 1, "text": "hé" }), mismatch),
        ("payload", json!({ "n": 1.0, "text": "he" }), mismatch),
        ("payload", json!({ "n": 1.0, "text": "hé", "more": true }), mismatch),
        ("payload", Value::Null, mismatch),
        ("auth", Value::Null, "auth_missing"),
        ("auth", json!([]), "auth_missing"),
        ("auth", json!("dev-ed25519-v1"), "auth_missing"),
        ("auth", json!({}), "auth_scheme_invalid"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_member_is_a_refused_message() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let carol = realm.peer("carol", SigningScope::ALL).await;
    let inbox = format!("account.{bob_id}.inbox");
    let receipts = realm.capture("account.*.receipts").await;

    let control = alice.sign(&alice.message("control", &bob_id));
    realm.publish(&inbox, &control).await;
    assert_eq!(handled(&notes, 1).await, ["control"]);

    let changes = changes_of_members(&carol);
    let count = changes.len();
    for (number, (member, value, code)) in changes.into_iter().enumerate() {
        let id = format!("m{number}");
        let message = with(alice.sign(&alice.message(&id, &bob_id)), member, value.clone());
        realm.publish(&inbox, &message).await;
        assert_eq!(refusal(&receipts, &id).await, code, "{member} = {value}");
    }
    // The id too: what was signed was another one.
    let message = alice.sign(&alice.message("signed", &bob_id));
    realm.publish(&inbox, &with(message, "message_id", json!("sent"))).await;
    assert_eq!(refusal(&receipts, "sent").await, "auth_claims_mismatch");
    // No account, no receipt: the metric tells.
    let before = bob.metrics_snapshot().payload_rejected_count;
    let anonymous = with(
        alice.sign(&alice.message("anon", &bob_id)),
        "from_account_id",
        Value::Null,
    );
    realm.publish(&inbox, &anonymous).await;
    eventually_true(DEADLINE, "it is refused", async || {
        bob.metrics_snapshot().payload_rejected_count == before + 1
    })
    .await
    .unwrap();

    // None of their ids counts as seen, and none was handled.
    let ids: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
    for id in &ids {
        realm.publish(&inbox, &alice.sign(&alice.message(id, &bob_id))).await;
    }
    assert_eq!(handled(&notes, 1 + count).await[1..], ids);
    // What was handled once is a duplicate.
    realm.publish(&inbox, &control).await;
    assert_eq!(refusal(&receipts, "control").await, "duplicate");
    bob.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_oversized_auth_is_refused() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let inbox = format!("account.{bob_id}.inbox");
    let receipts = realm.capture("account.*.receipts").await;
    let large = "A".repeat(100_000);
    for (number, (pointer, value, code)) in [
        ("/auth/scheme", json!("none"), "auth_scheme_invalid"),
        ("/auth/scheme", json!(["dev-ed25519-v1"]), "auth_scheme_invalid"),
        ("/auth/public_key", json!(""), "auth_payload_invalid"),
        (
            "/auth/public_key",
            json!(mallory.key.public_text()),
            "auth_public_key_mismatch",
        ),
        ("/auth/public_key", json!(large), "auth_public_key_mismatch"),
        ("/auth/signature", json!(" "), "auth_payload_invalid"),
        ("/auth/signature", json!("é"), "auth_signature_invalid"),
        ("/auth/signature", json!("A".repeat(86)), "auth_signature_invalid"),
        ("/auth/signature", json!(large), "auth_signature_invalid"),
        ("/auth/claims", json!([]), "auth_payload_invalid"),
        ("/auth/claims", json!({}), "auth_claims_mismatch"),
        (
            "/auth/claims/kind",
            json!({ "a": [1, 2, null] }),
            "auth_claims_mismatch",
        ),
        ("/auth/claims/payload_sha256", json!(large), "auth_claims_mismatch"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("m{number}");
        let mut message = alice.sign(&alice.message(&id, &bob_id));
        *message.pointer_mut(pointer).unwrap() = value;
        realm.publish(&inbox, &message).await;
        assert_eq!(refusal(&receipts, &id).await, code, "{pointer}");
    }
    let mut oversized = alice.sign(&alice.message("large", &bob_id));
    oversized["auth"]["more"] = json!("A".repeat(300_000));
    realm.publish(&inbox, &oversized).await;
    assert_eq!(refusal(&receipts, "large").await, "payload_too_large");

    // A valid message, but signed by another account's key.
    let forged = mallory.sign(&alice.message("forged", &bob_id));
    realm.publish(&inbox, &forged).await;
    assert_eq!(refusal(&receipts, "forged").await, "auth_public_key_mismatch");
    assert_eq!(notes.lock().unwrap().len(), 0, "nothing was handled");
    realm
        .publish(&inbox, &alice.sign(&alice.message("good", &bob_id)))
        .await;
    assert_eq!(handled(&notes, 1).await, ["good"]);
    bob.close().await;
}

/// What was signed for one receiver is not taken by another.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_not_passed_on() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let inbox = format!("account.{bob_id}.inbox");
    let receipts = realm.capture("account.*.receipts").await;
    let to_carol = alice.sign(&alice.message("to_carol", "acct_carol"));
    realm.publish(&inbox, &to_carol).await;
    assert_eq!(refusal(&receipts, "to_carol").await, "auth_claims_mismatch");
    let capability = with(
        alice.message("to_painters", "capability:paint"),
        "to_account_id",
        Value::Null,
    );
    realm.publish(&inbox, &alice.sign(&capability)).await;
    assert_eq!(refusal(&receipts, "to_painters").await, "auth_claims_mismatch");
    assert_eq!(notes.lock().unwrap().len(), 0);
    bob.close().await;

    let painter = realm.agent("painter").capabilities(["paint"]);
    let painter = painter.on_message(|_, _| async { Ok(()) }).start().await.unwrap();
    realm.publish("agent.capability.paint", &alice.sign(&capability)).await;
    eventually_true(DEADLINE, "it is handled", async || {
        painter.metrics_snapshot().processed_count == 1
    })
    .await
    .unwrap();
    painter.close().await;
}

/// The session tag is not signed; a sender's rate counts by its account.
#[tokio::test(flavor = "multi_thread")]
async fn another_session_tag_is_no_way_around_the_rate_limit() {
    let realm = Realm::start().await;
    let node = realm.agent("bob").limits(|limits| {
        limits.rate_limit_burst = 5;
        limits.rate_limit_per_sender_per_sec = 0.1;
    });
    let bob = node.on_message(|_, _| async { Ok(()) }).start().await.unwrap();
    let bob_id = bob.account_id().unwrap();
    let alice = realm.peer("alice", SigningScope::ALL).await;
    for number in 0..20 {
        let message = alice.sign(&alice.message(&format!("m{number}"), &bob_id));
        let message = with(message, "from_session_tag", json!(format!("tag{number}")));
        realm.publish(&format!("account.{bob_id}.inbox"), &message).await;
    }
    eventually_true(DEADLINE, "all were looked at", async || {
        let seen = bob.metrics_snapshot();
        seen.processed_count + seen.rate_limited_count == 20
    })
    .await
    .unwrap();
    assert!(bob.metrics_snapshot().rate_limited_count >= 14);
    bob.close().await;
}

/// Every envelope that a node makes is signed, and so is what the registry says for the absent.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_said_is_signed() {
    let realm = Realm::start().await;
    let wire = realm.capture(">").await;
    let (bob, _) = realm.answering("bob").await;
    let alice = realm.agent("alice").start().await.unwrap();
    alice.send("@bob", json!("hi")).await.unwrap();
    let reply = alice.request("@bob", json!("hi")).await.unwrap();
    assert_eq!(reply.text().as_deref(), Some("answer"));
    bob.close().await;
    eventually_true(DEADLINE, "the registry speaks for him", async || {
        let absent = alice.request("@bob", json!("hi")).await;
        absent.is_ok_and(|absent| absent.error_code().as_deref() == Some("recipient_offline"))
    })
    .await
    .unwrap();
    alice.close().await;
    let mut kinds = std::collections::BTreeSet::new();
    for seen in wire.messages() {
        let Ok(body) = serde_json::from_slice::<Value>(&seen.payload) else {
            continue;
        };
        let what = match (&body["message_id"], seen.subject.as_str()) {
            (Value::String(_), subject) if subject.ends_with(".receipts") => "receipt",
            (Value::String(_), _) => body["kind"].as_str().unwrap(),
            (_, "registry.hello") => "hello",
            (_, "registry.goodbye") => "goodbye",
            (_, "registry.register") => "register",
            _ => continue,
        };
        assert_eq!(body["auth"]["scheme"], "dev-ed25519-v1", "{what}: {body}");
        kinds.insert(what.to_owned());
    }
    let expected = [
        "direct", "error", "goodbye", "hello", "receipt", "register", "reply", "request",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
}
