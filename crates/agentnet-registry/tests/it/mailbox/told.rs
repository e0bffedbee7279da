//! Ends that a registry has noted in the database and has not told: it was killed, or the end came with another message.

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxOutcome;
use agentnet_registry::RegistryConfig;
use agentnet_store::model::{LeaseEnd, LeaseQuery, MailboxChoice};
use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::json;

use crate::mailbox::client::{Session, config, ids, letter, list, put, registry, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, DEADLINE, Network};

/// A registry that was killed between its commit and its receipts: another one sends them, once.
#[rstest]
#[tokio::test]
async fn the_ends_that_a_killed_registry_has_noted_are_told(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    for (id, from) in [("dead", "acct_a"), ("dropped", "acct_a"), ("expired", "acct_c")] {
        put(&net, &letter(id, from, &bob.account_id)).await;
    }
    let [receipts, others] = [
        Heard::receipts(&net, "acct_a").await,
        Heard::receipts(&net, "acct_c").await,
    ];
    let events = Heard::events(&net, &bob.account_id, "mailbox").await;
    // What the killed registry did an hour ago.
    let store = net.store().await;
    let now: Timestamp = std::time::SystemTime::now().into();
    let then = now.saturating_add_millis(-3_600_000);
    let lease = LeaseQuery {
        account_id: bob.account_id.clone(),
        session_tag: "tag".to_owned(),
        token: "token".to_owned(),
        max: 1,
        max_bytes: 1 << 20,
        exclusive: false,
        pushing: None,
        now,
        until: now.saturating_add_millis(60_000),
        max_attempts: 8,
    };
    let leased = store.lease_messages(&lease).await.unwrap().messages;
    let end = LeaseEnd {
        lease: leased[0].lease.clone(),
        outcome: MailboxOutcome::Dead,
        available_at: now,
        free: false,
        code: Some("schema_version_invalid".to_owned()),
        detail: None,
    };
    store.end_leases(&bob.account_id, "tag", &[end], then, 8).await.unwrap();
    let dropped = MailboxChoice::Messages(vec!["dropped".to_owned()]);
    assert_eq!(
        store
            .drop_messages(&bob.account_id, &dropped, then)
            .await
            .unwrap()
            .len(),
        1
    );
    let late = now.saturating_add_millis(3_600_000);
    assert_eq!(store.expire_messages(late, 9).await.unwrap().len(), 1);
    store.untold_ends(late.saturating_add_millis(1), then, 9).await.unwrap();

    receipts.with(&[("message_id", "dead"), ("code", "mailbox_dead")]).await;
    receipts
        .with(&[("message_id", "dropped"), ("code", "mailbox_dropped")])
        .await;
    others
        .with(&[("message_id", "expired"), ("code", "mailbox_expired")])
        .await;
    for event in ["dead", "dropped", "expired"] {
        events.with(&[("event", event), ("message_id", event)]).await;
    }
    eventually(DEADLINE, async || {
        let untold = store.untold_ends(late, late, 9).await.unwrap();
        if untold.is_empty() {
            Ok(())
        } else {
            Err(format!("{untold:?}"))
        }
    })
    .await
    .unwrap();
    assert_eq!((receipts.all().len(), others.all().len()), (2, 1));
}

/// A dead letter that makes room for other messages is told as one that an operator deletes.
#[rstest]
#[tokio::test]
async fn the_sender_of_a_dead_letter_that_makes_room_is_told(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let small = RegistryConfig {
        mailbox_max_bytes: 4_000,
        ..config(&net)
    };
    let _registry = net.registry_with(small).await;
    let bob = Session::join(&net, "bob", true).await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    let large = |id: &str| {
        let mut message = letter(id, "acct_a", &bob.account_id);
        message["payload"] = json!("x".repeat(3_000));
        message
    };
    assert_eq!(put(&net, &large("m1")).await["state"], "queued");
    let refused = put(&net, &large("m2")).await["error"].as_str().unwrap().to_owned();
    assert!(refused.starts_with("mailbox_full: "), "{refused}");
    let leased = bob.lease_some(&net, json!({})).await;
    bob.ack(
        &net,
        &leased[0],
        json!({"outcome": "dead", "code": "schema_version_invalid"}),
    )
    .await;
    receipts.with(&[("message_id", "m1"), ("code", "mailbox_dead")]).await;
    assert_eq!(put(&net, &large("m2")).await["state"], "queued");
    receipts
        .with(&[("message_id", "m1"), ("code", "mailbox_dropped")])
        .await;
    until_counts(&net, &bob.account_id, [1, 0, 0]).await;
    // Its id is known as long as it would have lived.
    assert_eq!(put(&net, &large("m1")).await["state"], "dead");
}

/// Messages that an operator queues again have the limits of new ones.
#[rstest]
#[tokio::test]
async fn dead_letters_wait_again_as_far_as_there_is_room(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let limited = RegistryConfig {
        mailbox_max_messages: 2,
        ..config(&net)
    };
    let _registry = net.registry_with(limited).await;
    let bob = Session::join(&net, "bob", true).await;
    for ids in [["d1", "d2"], ["d3", "d4"]] {
        for id in ids {
            assert_eq!(
                put(&net, &letter(id, "acct_a", &bob.account_id)).await["state"],
                "queued"
            );
        }
        for message in bob.lease_some(&net, json!({})).await {
            bob.ack(&net, &message, json!({"outcome": "dead"})).await;
        }
    }
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    let requeue = json!({"account_id": bob.account_id, "action": "requeue", "state": "dead"});
    assert_eq!(net.ask("mailbox_action", requeue.clone()).await["changed"], 1);
    assert_eq!(net.ask("mailbox_action", requeue).await["changed"], 0);
    assert_eq!(ids(&list(&net, &bob.account_id, "queued").await), ["m1", "d1"]);
    until_counts(&net, &bob.account_id, [2, 0, 3]).await;
}
