//! Messages that a session gives back to the mailbox, or refuses for good (section 21.4).

use std::sync::Arc;
use std::time::Duration;

use agentnet::AgentBuilder;
use agentnet_testkit::Captured;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::mailbox::scripted::*;
use crate::net::{DEADLINE, Net, generous, parse};

/// Fails for messages with this id, and waits for the gate.
pub(crate) fn failing(agent: AgentBuilder, id: &'static str, gate: &Arc<Semaphore>) -> AgentBuilder {
    let gate = gate.clone();
    agent.limits(generous).on_message(move |message, _| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            match *message.message_id == *id {
                true => Err("it went wrong".into()),
                false => Ok(()),
            }
        }
    })
}

pub(crate) fn by_id(mut acks: Vec<(String, String, Value, Value)>) -> Vec<Value> {
    acks.sort_by(|a, b| a.0.cmp(&b.0));
    acks.into_iter()
        .map(|(id, outcome, code, delay)| json!([id, outcome, code, delay]))
        .collect()
}

#[tokio::test]
async fn a_failed_message_takes_the_later_ones_of_its_sender_with_it() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    let processed = json!({ "ack": "processed" });
    mailbox.add([
        waiting("a1", "alice", processed.clone()),
        waiting("a2", "alice", processed.clone()),
        waiting("c1", "carol", processed.clone()),
        waiting("a3", "alice", json!(true)),
        waiting("c2", "carol", processed.clone()),
    ]);
    let wire = net.capture("account.acct_alice.receipts").await;
    let gate = Arc::new(Semaphore::new(100));
    let bob = failing(net.agent("bob"), "a2", &gate).start().await.unwrap();
    assert_eq!(
        by_id(mailbox.acks(5).await),
        [
            json!(["a1", "done", null, null]),
            json!(["a2", "retry", "handler_error", 5000]),
            json!(["a3", "retry", "out_of_order", 5000]),
            json!(["c1", "done", null, null]),
            json!(["c2", "done", null, null]),
        ]
    );
    // It comes again, and is handled again.
    mailbox.add([waiting("a2", "alice", json!(true)), waiting("a3", "alice", json!(true))]);
    let event =
        json!({ "event": "retry", "message_id": "a2", "from_account_id": "acct_alice", "at": "", "attempt": 1 });
    net.publish("agentnet.events.acct_bob.mailbox", &event).await;
    let failed_twice = |seen: &[Captured]| {
        let receipts = seen.iter().map(|seen| parse(&seen.payload));
        let failed = receipts.filter(|receipt| receipt["message_id"] == "a2" && receipt["code"] == "handler_error");
        failed.count() == 2
    };
    wire.wait_until(failed_twice, DEADLINE).await.unwrap();
    let again = mailbox.acks(7).await.split_off(5);
    assert!(
        again.iter().all(|ack| ack.1 == "done"),
        "accepted, as they ask now: {again:?}"
    );
    bob.close().await;
}

#[tokio::test]
async fn what_can_never_be_taken_is_dead_and_what_was_taken_before_is_done() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    let with = |id: &str, member: &str, value: Value| {
        let mut message = waiting(id, &format!("sender_{id}"), json!(true));
        message[member] = value;
        message
    };
    let mut repeated = waiting("live", "alice", json!(true));
    repeated["idempotency_key"] = json!("once");
    mailbox.add([
        with("expired", "sent_at", json!("2020-01-01T00:00:00Z")),
        with("large", "payload", json!("x".repeat(256_000))),
        with("other", "schema_version", json!("9.0")),
        repeated.clone(),
        repeated,
    ]);
    let gate = Arc::new(Semaphore::new(100));
    let wire = net.capture(">").await;
    let bob = failing(net.agent("bob"), "none", &gate).start().await.unwrap();
    // Two leases of one name are one lease.
    assert_eq!(
        by_id(mailbox.acks(4).await),
        [
            json!(["expired", "dead", "expired", null]),
            json!(["large", "dead", "payload_too_large", null]),
            json!(["live", "done", null, null]),
            json!(["other", "dead", "unsupported_schema_version", null]),
        ]
    );
    let told = |seen: &Captured| seen.subject == "account.acct_sender_expired.receipts";
    let receipt = wire.wait_for(told, DEADLINE).await.unwrap();
    assert_eq!(parse(&receipt.payload)["code"], "expired");
    // The message of an earlier lease comes again.
    let mut again = waiting("again", "alice", json!(true));
    again["message_id"] = json!("live");
    mailbox.add([again]);
    let event =
        json!({ "event": "queued", "message_id": "m", "from_account_id": "acct_alice", "at": "", "attempt": 0 });
    net.publish("agentnet.events.acct_bob.mailbox", &event).await;
    let acks = mailbox.acks(5).await;
    assert_eq!((acks[4].0.as_str(), acks[4].1.as_str()), ("live", "done"));
    bob.close().await;
}

#[tokio::test]
async fn a_node_that_closes_gives_its_messages_back_before_its_goodbye() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    let processed = json!({ "ack": "processed" });
    mailbox.add(["a1", "a2", "a3"].map(|id| waiting(id, "alice", processed.clone())));
    mailbox.add([waiting("c1", "carol", json!(true))]);
    let wire = net.capture(">").await;
    let stuck = Arc::new(Semaphore::new(0));
    let bob = failing(net.agent("bob"), "none", &stuck)
        .limits(|limits| limits.drain_timeout = Duration::from_millis(200))
        .start()
        .await
        .unwrap();
    let accepted = |seen: &Captured| seen.subject.ends_with(".receipts") && parse(&seen.payload)["message_id"] == "a1";
    wire.wait_for(accepted, DEADLINE).await.unwrap();
    mailbox.acks(1).await;
    bob.close().await;
    assert_eq!(
        by_id(mailbox.acks(4).await),
        [
            json!(["a1", "retry", "shutting_down", 0]),
            json!(["a2", "retry", "out_of_order", 0]),
            json!(["a3", "retry", "out_of_order", 0]),
            json!(["c1", "done", null, null]),
        ]
    );
    net.settle().await;
    let all = wire.messages();
    let last = |subject: &str| all.iter().rposition(|seen| seen.subject == subject).unwrap();
    assert!(last("registry.mailbox_ack") < last("registry.goodbye"));
    // Its sender is not told that it was rejected: it waits again.
    let refusals = all.iter().filter(|seen| seen.subject == "account.acct_alice.receipts");
    assert!(
        refusals
            .into_iter()
            .all(|seen| parse(&seen.payload)["status"] == "accepted")
    );
    // A message that was accepted, as it asked, is lost with the node, and its sender is told so, as ever.
    let lost = |seen: &Captured| {
        seen.subject == "account.acct_carol.receipts" && parse(&seen.payload)["code"] == "shutting_down"
    };
    wire.wait_for(lost, DEADLINE).await.unwrap();
}
