//! A session takes what waits in its account's mailbox (section 21.4).

use std::sync::{Arc, Mutex};

use agentnet::AgentBuilder;
use agentnet_testkit::{Captured, eventually_true};
use serde_json::{Value, json};

use crate::mailbox::scripted::*;
use crate::net::{DEADLINE, Net, generous, now, parse};

/// Ids of the messages that were handled, in order.
type Notes = Arc<Mutex<Vec<String>>>;

fn noting(agent: AgentBuilder, notes: &Notes) -> AgentBuilder {
    let notes = notes.clone();
    agent.on_message(move |message, context| {
        let notes = notes.clone();
        async move {
            assert!(
                context.node().account_id().is_some(),
                "handlers run once the node has its account"
            );
            notes.lock().unwrap().push(message.message_id.to_string());
            Ok(())
        }
    })
}

async fn until_handled(notes: &Notes, expected: &[&str]) {
    eventually_true(DEADLINE, "all are handled", async || {
        notes.lock().unwrap().len() >= expected.len()
    })
    .await
    .unwrap();
    assert_eq!(*notes.lock().unwrap(), expected);
}

fn event(name: &str) -> Value {
    json!({ "event": name, "message_id": "m", "from_account_id": "acct_alice", "at": now(), "attempt": 0 })
}

#[tokio::test]
async fn what_waits_is_taken_at_the_start_and_when_an_event_says_so() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    let requests = net.capture("registry.*").await;
    let receipts = net.capture("account.acct_alice.receipts").await;
    let notes = Notes::default();
    let one_at_a_time = net.agent("bob").limits(|limits| {
        generous(limits);
        limits.max_concurrency = 1;
    });
    mailbox.add(["m1", "m2", "m3"].map(|id| waiting(id, "alice", json!(true))));
    let bob = noting(one_at_a_time, &notes).start().await.unwrap();
    assert_eq!(
        mailbox.was_subscribed(),
        Some(true),
        "who counts as online hears its inbox"
    );
    until_handled(&notes, &["m1", "m2", "m3"]).await;
    for ack in mailbox.acks(3).await {
        assert_eq!((ack.1.as_str(), ack.2, ack.3), ("done", Value::Null, Value::Null));
    }
    for (subject, message) in [("registry.register", "registration"), ("registry.hello", "hello")] {
        let seen = requests
            .wait_for(|seen| seen.subject == subject, DEADLINE)
            .await
            .unwrap();
        assert_eq!(parse(&seen.payload)["mailbox"], "pull", "{message}");
    }
    // Their sender gets receipts as ever.
    let receipt = |id: &'static str, status: &'static str| {
        move |seen: &Captured| {
            seen.subject == "account.acct_alice.receipts"
                && parse(&seen.payload)["message_id"] == id
                && parse(&seen.payload)["status"] == status
        }
    };
    for id in ["m1", "m2", "m3"] {
        receipts.wait_for(receipt(id, "accepted"), DEADLINE).await.unwrap();
        receipts.wait_for(receipt(id, "processed"), DEADLINE).await.unwrap();
    }
    eventually_true(DEADLINE, "it looks again after its start", async || {
        mailbox.requests() >= 2
    })
    .await
    .unwrap();

    for (number, name) in ["queued", "retry"].into_iter().enumerate() {
        let id = format!("later{number}");
        mailbox.add([waiting(&id, "alice", json!({ "ack": "processed" }))]);
        for body in [json!("no event"), event("delivered"), event(name)] {
            net.publish("agentnet.events.acct_bob.mailbox", &body).await;
        }
        let acks = mailbox.acks(4 + number).await;
        assert_eq!(acks[3 + number].0, id);
        assert_eq!(acks[3 + number].1, "done");
    }
    // A message of the inbox is taken in between.
    net.publish("account.acct_bob.inbox", &waiting("live", "alice", json!(true)))
        .await;
    receipts.wait_for(receipt("live", "processed"), DEADLINE).await.unwrap();
    until_handled(&notes, &["m1", "m2", "m3", "later0", "later1", "live"]).await;
    bob.close().await;
}

/// Two hundred messages of one sender come at the receiver's pace: its limits for what is sent to it do not count.
#[tokio::test]
async fn a_backlog_is_taken_in_order_and_without_rate_limit() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    let notes = Notes::default();
    let ids: Vec<String> = (0..200).map(|number| format!("m{number:03}")).collect();
    mailbox.add(ids.iter().map(|id| waiting(id, "alice", json!(true))));
    let agent = net.agent("bob").limits(|limits| {
        limits.max_concurrency = 1;
        limits.max_pending = 10;
    });
    let bob = noting(agent, &notes).start().await.unwrap();
    let expected: Vec<&str> = ids.iter().map(String::as_str).collect();
    until_handled(&notes, &expected).await;
    let acks = mailbox.acks(200).await;
    assert!(acks.iter().all(|ack| ack.1 == "done"), "{acks:?}");
    assert_eq!(acks.iter().map(|ack| ack.0.as_str()).collect::<Vec<_>>(), expected);
    let metrics = bob.metrics_snapshot();
    assert_eq!((metrics.rate_limited_count, metrics.busy_count), (0, 0));
    bob.close().await;
}

#[tokio::test]
async fn a_session_without_a_handler_leaves_the_messages_to_others() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    mailbox.add([waiting("m1", "alice", json!(true))]);
    let registrations = net.capture("registry.register").await;
    let bob = net.agent("bob").start().await.unwrap();
    let seen = registrations.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(
        parse(&seen.payload)["mailbox"],
        "pull",
        "so that nothing is published to it either"
    );
    // The registry is to publish them to this one.
    let notes = Notes::default();
    let pushed = noting(net.agent("carol").pull_mailbox(false), &notes);
    let carol = pushed.start().await.unwrap();
    let seen = registrations.wait_until(|seen| seen.len() == 2, DEADLINE).await;
    assert!(seen.is_ok());
    assert_eq!(parse(&registrations.messages()[1].payload).get("mailbox"), None);
    for node in [bob, carol] {
        node.close().await;
    }
    assert_eq!(mailbox.requests(), 0);
}
