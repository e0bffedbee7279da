//! Messages that are not kept, and why.

use agentnet_registry::RegistryConfig;
use rstest::rstest;
use serde_json::{Value, json};

use crate::mailbox::client::{Session, config, letter, put, registry, send, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, Network};

#[track_caller]
fn refused(reply: &Value, code: &str) {
    let error = reply["error"].as_str().unwrap_or_else(|| panic!("{code}: {reply}"));
    let (given, sentence) = error.split_once(": ").unwrap_or((error, ""));
    assert!(given == code && !sentence.is_empty(), "{code}: {error}");
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_its_reason(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let good = letter("m1", "acct_a", &bob.account_id);
    let with = |member: &str, value: Value| {
        let mut message = good.clone();
        message[member] = value;
        message
    };
    for (message, code) in [
        (with("to_account_id", json!("acct_nobody")), "mailbox_unknown_account"),
        (with("to_account_id", json!(null)), "mailbox_not_storable"),
        (with("message_id", json!("")), "mailbox_not_storable"),
        (with("from_account_id", json!("a.b")), "mailbox_not_storable"),
        (with("kind", json!("request")), "mailbox_not_storable"),
        (with("reply_to", json!("_INBOX.x")), "mailbox_not_storable"),
        (with("ttl_ms", json!(null)), "mailbox_not_storable"),
        (with("sent_at", json!("2026-01-01T00:00:00Z")), "mailbox_expired"),
        (with("payload", json!("x".repeat(300_000))), "mailbox_too_large"),
        (with("idempotency_key", json!("x".repeat(2_000))), "mailbox_too_large"),
    ] {
        refused(&put(&net, &message).await, code);
    }
    let deep = good
        .to_string()
        .replace("\"text of m1\"", &format!("{}1{}", "[".repeat(987), "]".repeat(987)));
    let reply = net.ask_raw("mailbox_put", format!("{{\"envelope\":{deep}}}")).await;
    refused(&serde_json::from_str(&reply).unwrap(), "mailbox_not_storable");
    assert_eq!(
        put(&net, &json!(7)).await,
        json!({"error": "envelope must be an object"})
    );
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;

    let receipts = Heard::receipts(&net, "acct_a").await;
    send(&net, &with("kind", json!("request"))).await;
    let receipt = receipts.with(&[("message_id", "m1")]).await;
    assert_eq!(
        (&receipt["status"], &receipt["code"]),
        (&json!("rejected"), &json!("mailbox_not_storable")),
        "{receipt}"
    );
    // Sent to the inbox of another account than it names.
    let other = letter("m2", "acct_a", "acct_other");
    net.publish(&format!("account.{}.inbox", bob.account_id), &other).await;
    let receipt = receipts.with(&[("message_id", "m2")]).await;
    assert_eq!(receipt["code"], "mailbox_not_storable", "{receipt}");
}

/// Somebody else's message with the id of a message must not count as that message.
#[rstest]
#[tokio::test]
async fn the_id_of_another_senders_message_is_refused(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    assert_eq!(
        put(&net, &letter("m1", "acct_x", &bob.account_id)).await["state"],
        "queued"
    );
    let own = letter("m1", "acct_a", &bob.account_id);
    refused(&put(&net, &own).await, "mailbox_not_storable");
    let receipts = Heard::receipts(&net, "acct_a").await;
    send(&net, &own).await;
    let receipt = receipts.with(&[("message_id", "m1")]).await;
    assert_eq!(
        (&receipt["status"], &receipt["code"]),
        (&json!("rejected"), &json!("mailbox_not_storable")),
        "{receipt}"
    );
    let bob = Session::join(&net, "bob", true).await;
    for message in bob.lease_some(&net, json!({})).await {
        bob.ack(&net, &message, json!({"outcome": "done"})).await;
    }
    refused(&put(&net, &own).await, "mailbox_not_storable");
}

#[rstest]
#[tokio::test]
async fn mailboxes_have_limits(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let limited = RegistryConfig {
        mailbox_max_messages: 3,
        mailbox_sender_max_messages: 2,
        mailbox_total_bytes: 8_000,
        ..config(&net)
    };
    let _registry = net.registry_with(limited).await;
    let bob = Session::absent(&net, "bob").await;
    let carol = Session::absent(&net, "carol").await;
    for (id, from) in [("m1", "acct_a"), ("m2", "acct_a"), ("m3", "acct_b")] {
        assert_eq!(put(&net, &letter(id, from, &bob.account_id)).await["state"], "queued");
        if id == "m2" {
            refused(
                &put(&net, &letter("m2b", "acct_a", &bob.account_id)).await,
                "mailbox_sender_full",
            );
        }
    }
    refused(
        &put(&net, &letter("m4", "acct_c", &bob.account_id)).await,
        "mailbox_full",
    );
    let receipts = Heard::receipts(&net, "acct_c").await;
    send(&net, &letter("m5", "acct_c", &bob.account_id)).await;
    let receipt = receipts.with(&[("message_id", "m5")]).await;
    assert_eq!(
        (&receipt["status"], &receipt["code"]),
        (&json!("rejected"), &json!("mailbox_full"))
    );
    assert!(
        receipt["detail"]
            .as_str()
            .unwrap()
            .starts_with("the mailbox of @bob is full"),
        "{receipt}"
    );
    let mut large = letter("m6", "acct_a", &carol.account_id);
    large["payload"] = json!("x".repeat(7_500));
    refused(&put(&net, &large).await, "mailbox_full");
    let status = net.ask("mailbox_status", json!({"username": "@Bob"})).await;
    assert_eq!(
        (&status["queued"], &status["limit_messages"], &status["account_id"]),
        (&json!(3), &json!(3), &json!(bob.account_id))
    );
    let status = net.ask("mailbox_status", json!({})).await;
    assert_eq!((&status["queued"], &status["limit_bytes"]), (&json!(3), &json!(8_000)));
    assert_eq!((status.get("account_id"), status.get("limit_messages")), (None, None));
    assert!(status["oldest_queued_at"].is_string() && status["bytes"].as_i64().unwrap() > 0);
}

#[tokio::test]
async fn an_account_may_refuse_and_so_may_a_registry() {
    let net = Network::new(true).await;
    let running = registry(&net).await;
    let request = json!({"agent_id": "d", "username": "dora", "metadata": {"mailbox": false}});
    let dora = net.ask("register", request).await;
    let message = letter("m1", "acct_a", dora["account_id"].as_str().unwrap());
    refused(&put(&net, &message).await, "mailbox_refused");
    let bob = Session::absent(&net, "bob").await;
    assert_eq!(
        put(&net, &letter("kept", "acct_a", &bob.account_id)).await["state"],
        "queued"
    );
    running.shutdown().await;

    let off = RegistryConfig {
        mailbox: false,
        ..config(&net)
    };
    let _registry = net.registry_with(off).await;
    refused(
        &put(&net, &letter("m2", "acct_a", &bob.account_id)).await,
        "mailbox_disabled",
    );
    let bob = Session::join(&net, "bob", true).await;
    let leased = bob.lease_some(&net, json!({})).await;
    assert_eq!(
        crate::mailbox::client::ids(&leased),
        ["kept"],
        "what waits is delivered all the same"
    );
    for (rpc, request) in [
        ("mailbox_status", json!({"account_id": "acct_nobody"})),
        ("mailbox_list", json!({"username": "nobody"})),
    ] {
        refused(&net.ask(rpc, request).await, "mailbox_unknown_account");
    }
    let stranger = json!({"account_id": bob.account_id, "session_tag": "registry_x"});
    refused(&net.ask("mailbox_lease", stranger).await, "mailbox_session_unknown");
    bob.leave(&net).await;
    refused(
        &net.ask("mailbox_lease", bob.request(json!({}))).await,
        "mailbox_session_unknown",
    );
}
