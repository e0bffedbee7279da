//! The end of messages that are not delivered, and what their senders hear of it.

use agentnet_registry::RegistryConfig;
use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::json;

use crate::mailbox::client::{Session, config, ids, letter, list, put, registry, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, DEADLINE, Network, metrics_page};

#[rstest]
#[tokio::test]
async fn a_message_that_is_not_taken_in_time_expires(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    let events = Heard::events(&net, &bob.account_id, "mailbox").await;
    let mut message = letter("m1", "acct_a", &bob.account_id);
    message["ttl_ms"] = json!(1_000);
    let reply = put(&net, &message).await;
    assert_eq!(reply["state"], "queued", "{reply}");
    let receipt = receipts.with(&[("message_id", "m1")]).await;
    assert_eq!(
        (&receipt["status"], &receipt["code"], &receipt["from_account_id"]),
        (
            &json!("rejected"),
            &json!("mailbox_expired"),
            &json!("acct_registry_registry")
        )
    );
    events.with(&[("event", "expired"), ("message_id", "m1")]).await;
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
}

/// The registry's own bound holds where the message would live longer.
#[tokio::test]
async fn no_message_waits_longer_than_the_registry_allows() {
    let net = Network::new(true).await;
    let short = RegistryConfig {
        mailbox_max_age: std::time::Duration::from_secs(1),
        ..config(&net)
    };
    let _registry = net.registry_with(short).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    receipts
        .with(&[("message_id", "m1"), ("code", "mailbox_expired")])
        .await;
}

#[rstest]
#[tokio::test]
async fn a_dead_letter_is_listed_queued_again_and_deleted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::join(&net, "bob", true).await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    let events = Heard::events(&net, "acct_a", "mailbox").await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    let leased = bob.lease_some(&net, json!({})).await;
    let dead = json!({"outcome": "dead", "code": "schema_version_invalid", "detail": "unknown version"});
    assert_eq!(bob.ack(&net, &leased[0], dead).await["acked"], 1);
    let receipt = receipts.with(&[("message_id", "m1"), ("code", "mailbox_dead")]).await;
    let detail = receipt["detail"].as_str().unwrap();
    assert!(
        detail.ends_with("after 1 attempts: schema_version_invalid: unknown version"),
        "{detail}"
    );
    let event = events.with(&[("event", "dead")]).await;
    assert_eq!(event["code"], "schema_version_invalid");
    let letters = list(&net, &bob.account_id, "dead").await;
    assert_eq!(ids(&letters), ["m1"]);
    let shown = &letters[0];
    assert_eq!(
        (
            &shown["last_code"],
            &shown["last_detail"],
            &shown["preview"],
            &shown["attempts"]
        ),
        (
            &json!("schema_version_invalid"),
            &json!("unknown version"),
            &json!("text of m1"),
            &json!(1)
        )
    );
    assert_eq!(
        put(&net, &letter("m1", "acct_a", &bob.account_id)).await["state"],
        "dead"
    );

    let act = async |action: &str, members: serde_json::Value| {
        let mut request = members;
        request["account_id"] = json!(bob.account_id);
        request["action"] = json!(action);
        net.ask("mailbox_action", request).await["changed"].clone()
    };
    assert_eq!(act("requeue", json!({"message_ids": ["m1", "unknown"]})).await, 1);
    assert_eq!(act("requeue", json!({"state": "dead"})).await, 0);
    let leased = bob.lease_some(&net, json!({})).await;
    assert_eq!((ids(&leased), &leased[0]["attempt"]), (vec!["m1"], &json!(1)));
    assert_eq!(act("drop", json!({"state": "leased"})).await, 1);
    receipts
        .with(&[("message_id", "m1"), ("code", "mailbox_dropped")])
        .await;
    events.with(&[("event", "dropped")]).await;
    assert_eq!(events.texts("event"), ["queued", "dead", "queued", "dropped"]);
    let late = bob.ack(&net, &leased[0], json!({"outcome": "done"})).await;
    assert_eq!(late["acked"], 0, "{late}");
    // It is known as long as it would have lived.
    let again = put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    assert_eq!(again["state"], "dead", "{again}");
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
}

#[rstest]
#[tokio::test]
async fn a_message_that_fails_too_often_is_dead(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let few = RegistryConfig {
        mailbox_max_attempts: 2,
        ..config(&net)
    };
    let _registry = net.registry_with(few).await;
    let bob = Session::join(&net, "bob", true).await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    // This one ends by what its session says.
    put(&net, &letter("said", "acct_a", &bob.account_id)).await;
    for attempt in 1..=2 {
        let leased = bob.lease_some(&net, json!({})).await;
        assert_eq!((ids(&leased), &leased[0]["attempt"]), (vec!["said"], &json!(attempt)));
        let failed = json!({"outcome": "retry", "code": "handler_error", "delay_ms": 0});
        assert_eq!(bob.ack(&net, &leased[0], failed).await["acked"], 1);
    }
    let receipt = receipts.with(&[("message_id", "said"), ("code", "mailbox_dead")]).await;
    assert!(
        receipt["detail"].as_str().unwrap().contains("handler_error"),
        "{receipt}"
    );
    // And this one by leases that run out.
    put(&net, &letter("silent", "acct_a", &bob.account_id)).await;
    for attempt in 1..=2 {
        let leased = bob.lease_some(&net, json!({"lease_ms": 1_000})).await;
        assert_eq!((ids(&leased), &leased[0]["attempt"]), (vec!["silent"], &json!(attempt)));
    }
    let receipt = receipts
        .with(&[("message_id", "silent"), ("code", "mailbox_dead")])
        .await;
    assert!(
        receipt["detail"].as_str().unwrap().contains("not_acknowledged"),
        "{receipt}"
    );
    until_counts(&net, &bob.account_id, [0, 0, 2]).await;
}

/// More messages than one page, and one transaction, have.
#[tokio::test]
async fn a_mailbox_is_listed_page_by_page_and_emptied() {
    const MESSAGES: usize = 150;
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let mut expected = Vec::new();
    for number in 0..MESSAGES {
        let id = format!("m{number:03}");
        put(&net, &letter(&id, "acct_a", &bob.account_id)).await;
        expected.push(id);
    }
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = json!(null);
    loop {
        let request = json!({"username": "bob", "limit": 40, "cursor": cursor});
        let page = net.ask("mailbox_list", request).await;
        seen.extend(ids(page["messages"].as_array().unwrap()).into_iter().map(str::to_owned));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let receipts = Heard::receipts(&net, "acct_a").await;
    let request = json!({"account_id": bob.account_id, "action": "drop", "state": "queued"});
    assert_eq!(net.ask("mailbox_action", request).await["changed"], json!(MESSAGES));
    receipts
        .with(&[("message_id", "m149"), ("code", "mailbox_dropped")])
        .await;
    assert_eq!(receipts.all().len(), MESSAGES);
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
}

#[tokio::test]
async fn the_metrics_tell_of_mailboxes() {
    let net = Network::new(true).await;
    let watched = RegistryConfig {
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        ..config(&net)
    };
    let registry = net.registry_with(watched).await;
    let bob = Session::join(&net, "bob", true).await;
    put(&net, &letter("done", "acct_a", &bob.account_id)).await;
    put(&net, &letter("dead", "acct_b", &bob.account_id)).await;
    for message in bob.lease_some(&net, json!({})).await {
        let outcome = message["envelope"]["message_id"].clone();
        let end = json!({"outcome": outcome, "code": "made up by a session"});
        assert_eq!(bob.ack(&net, &message, end).await["acked"], 1);
    }
    put(&net, &letter("waiting", "acct_a", &bob.account_id)).await;
    eventually(DEADLINE, async || {
        let page = metrics_page(&registry).await;
        let lines = [
            "agentnet_mailbox_messages{state=\"queued\"} 1",
            "agentnet_mailbox_messages{state=\"leased\"} 0",
            "agentnet_mailbox_messages{state=\"dead\"} 1",
            "agentnet_mailbox_delivered_total 1",
            "agentnet_mailbox_dead_total{code=\"other\"} 1",
        ];
        match lines.into_iter().find(|line| !page.lines().any(|other| other == *line)) {
            None => Ok(()),
            Some(missing) => Err(format!("no {missing} in {page}")),
        }
    })
    .await
    .unwrap();
}
