//! The requests by which a session takes its messages (sections 21.3 and 21.4).

use std::sync::Arc;

use agentnet_testkit::eventually_true;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::mailbox::returning::failing;
use crate::mailbox::scripted::*;
use crate::net::{DEADLINE, Net};

#[tokio::test]
async fn what_a_lost_reply_has_given_is_asked_for_again() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    mailbox.add([waiting("m1", "alice", json!(true))]);
    mailbox.lose_reply();
    let gate = Arc::new(Semaphore::new(100));
    let bob = failing(net.agent("bob"), "none", &gate).start().await.unwrap();
    let acks = mailbox.acks(1).await;
    assert_eq!((acks[0].0.as_str(), acks[0].1.as_str()), ("m1", "done"));
    eventually_true(DEADLINE, "the next request has another id", async || {
        mailbox.lease_ids().len() == 2
    })
    .await
    .unwrap();
    let ids = mailbox.lease_ids();
    let is_usable = |id: &str| !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(ids.iter().all(|id| is_usable(id)) && ids[0] != ids[1], "{ids:?}");
    bob.close().await;
}

#[tokio::test]
async fn a_message_that_takes_long_holds_up_only_its_sender() {
    let net = Net::start().await;
    let mailbox = Mailbox::start(&net).await;
    let processed = json!({ "ack": "processed" });
    let queued =
        json!({ "event": "queued", "message_id": "m", "from_account_id": "acct_carol", "at": "", "attempt": 0 });
    mailbox.add([waiting("slow", "alice", processed.clone())]);
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let bob = net
        .agent("bob")
        .limits(crate::net::generous)
        .on_message(move |message: agentnet::Message, _| {
            let gate = held.clone();
            async move {
                if *message.message_id == *"slow" {
                    gate.acquire().await?.forget();
                }
                Ok(())
            }
        });
    let bob = bob.start().await.unwrap();
    let done = |id: &str| (id.to_owned(), "done".to_owned(), Value::Null, Value::Null);
    mailbox.add([
        waiting("c1", "carol", processed.clone()),
        waiting("behind", "alice", processed.clone()),
    ]);
    net.publish("agentnet.events.acct_bob.mailbox", &queued).await;
    assert_eq!(mailbox.acks(1).await, [done("c1")]);
    mailbox.add([waiting("c2", "carol", processed.clone())]);
    net.publish("agentnet.events.acct_bob.mailbox", &queued).await;
    assert_eq!(mailbox.acks(2).await, [done("c1"), done("c2")]);
    gate.add_permits(1);
    assert_eq!(
        mailbox.acks(4).await[2..],
        [done("slow"), done("behind")],
        "those of one sender stay in order"
    );
    bob.close().await;
}
