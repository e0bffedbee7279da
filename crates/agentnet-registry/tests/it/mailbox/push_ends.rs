//! Agents that send no receipts, and agents that go away.

use agentnet_protocol::mailbox::MailboxState;
use agentnet_store::model::{MailboxQuery, MailboxRow};
use serde_json::json;

use crate::mailbox::client::{Answers, Session, agent, config, ids, letter, list, put, registry, until_counts};
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

/// Nor does an agent that is started again meanwhile, while its killed session counts as live, or of which one session ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_again_gets_no_further_copies() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let killed = Session::join(&net, "bob", false).await;
    let inbox = agent(&net, &killed, SILENT).await;
    put(&net, &letter("m1", "acct_a", &killed.account_id)).await;
    inbox.with(&[("message_id", "m1")]).await;
    let bob = Session::join(&net, "bob", false).await;
    killed.leave(&net).await;
    until_done(&net, &[&bob], Some("unconfirmed")).await;
    assert_eq!(inbox.texts("message_id"), ["m1", "m1", "m1"]);
}

/// Waits until the only message of each session is done, after one attempt; the sessions show that they live.
async fn until_done(net: &Network, sessions: &[&Session], code: Option<&str>) {
    let store = net.store().await;
    agentnet_testkit::eventually(2 * crate::support::DEADLINE, async || {
        for session in sessions {
            session.hello(net).await;
        }
        for session in sessions {
            let query = MailboxQuery {
                account_id: session.account_id.clone(),
                limit: 9,
                ..MailboxQuery::default()
            };
            let rows = store.mailbox_messages(&query).await.unwrap().items;
            let is_done = |row: &MailboxRow| row.state == MailboxState::Done && row.last_code.as_deref() == code;
            if rows.len() != 1 || !rows.iter().all(is_done) {
                return Err(format!("{rows:?}"));
            }
            assert_eq!(rows[0].attempts, 1);
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// What a registry was delivering that is killed, another one delivers at once, and at the same attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_does_not_wait_for_the_lease_of_a_killed_registry() {
    let net = Network::new(true).await;
    let named = |server_id: &str| agentnet_registry::RegistryConfig {
        server_id: server_id.to_owned(),
        ..config(&net)
    };
    let killed = net.registry_with(named("r1")).await;
    let mut agents = Vec::new();
    for number in 0..3 {
        let bob = Session::join(&net, &format!("bob{number}"), false).await;
        // It answers the second copy.
        let inbox = agent(&net, &bob, &[&[], &[("accepted", "")]]).await;
        put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
        agents.push((bob, inbox));
    }
    for (_, inbox) in &agents {
        inbox.with(&[("message_id", "m1")]).await;
    }
    drop(killed);
    let _other = net.registry_with(named("r2")).await;
    let sessions: Vec<&Session> = agents.iter().map(|(bob, _)| bob).collect();
    until_done(&net, &sessions, None).await;
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
