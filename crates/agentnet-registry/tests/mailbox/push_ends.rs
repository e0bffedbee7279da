//! Agents that send no receipts, and agents that go away.

use serde_json::json;

use crate::client::{Answers, Session, agent, ids, letter, list, put, registry, until_counts};
use crate::support::Network;

const SILENT: Answers = &[&[]];

/// An agent that lives, and sends no receipts, gets three copies, and never another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_receipt_is_delivered_three_times_at_most() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::join(&net, "bob", false).await;
    let inbox = agent(&net, &bob, SILENT).await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    agentnet_testkit::eventually(2 * crate::support::DEADLINE, async || {
        // It shows that it lives: else it may have died with the message.
        bob.hello(&net).await;
        let done = list(&net, &bob.account_id, "done").await;
        if done.is_empty() {
            Err("m1 is not done".to_owned())
        } else {
            Ok(done)
        }
    })
    .await
    .unwrap();
    let done = list(&net, &bob.account_id, "done").await;
    assert_eq!((ids(&done), &done[0]["last_code"]), (vec!["m1"], &json!("unconfirmed")));
    assert_eq!(inbox.texts("message_id"), ["m1", "m1", "m1"]);
}

/// An agent that goes before it has answered gets the message when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_an_agent_that_goes_away_waits_for_it() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::join(&net, "bob", false).await;
    let silent = agent(&net, &bob, SILENT).await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    silent.with(&[("message_id", "m1")]).await;
    bob.leave(&net).await;
    until_counts(&net, &bob.account_id, [1, 0, 0]).await;
    let waiting = list(&net, &bob.account_id, "queued").await;
    assert_eq!(
        (ids(&waiting), &waiting[0]["last_code"]),
        (vec!["m1"], &json!("session_ended"))
    );
    let back = Session::join(&net, "bob", true).await;
    let leased = back.lease_some(&net, json!({})).await;
    assert_eq!(ids(&leased), ["m1"]);
}

/// A registry that stops gives back the message that it is delivering.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_outlives_the_registry_that_delivers_it() {
    let net = Network::new(true).await;
    let running = registry(&net).await;
    let bob = Session::join(&net, "bob", false).await;
    let silent = agent(&net, &bob, SILENT).await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    silent.with(&[("message_id", "m1")]).await;
    running.shutdown().await;
    let _registry = registry(&net).await;
    let new = Session::join(&net, "bob", true).await;
    bob.leave(&net).await;
    assert_eq!(ids(&new.lease_some(&net, json!({})).await), ["m1"]);
}
