//! Agents that know no mailbox get their messages in their inbox.

use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::json;

use crate::mailbox::client::{Answers, Session, agent, config, ids, letter, list, put, registry, send, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, DEADLINE, Network};

const ACCEPTS: Answers = &[&[("accepted", "")]];

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_ask_gets_its_messages_in_order(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const MESSAGES: usize = 50;
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let message = letter(&format!("m{number:02}"), "acct_a", &bob.account_id);
        assert_eq!(put(&net, &message).await["state"], "queued");
        sent.push(message);
    }
    // It subscribes before it registers: what comes at once is not lost.
    let inbox = agent(&net, &bob, ACCEPTS).await;
    let bob = Session::join(&net, "bob", false).await;
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
    let expected: Vec<String> = sent
        .iter()
        .map(|message| message["message_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(inbox.texts("message_id"), expected, "each once, in order");
    assert_eq!(inbox.all(), sent, "as they were written");
    assert_eq!(list(&net, &bob.account_id, "done").await.len(), MESSAGES);
    receipts.with(&[("message_id", "m49"), ("status", "accepted")]).await;
    assert_eq!(net.history("t_m07", 1).await, ["m07"]);
    // Now it is online, and nothing waits.
    let live = json!({"envelope": letter("later", "acct_a", &bob.account_id), "direct": true});
    assert_eq!(net.ask("mailbox_put", live).await["state"], "live");
}

/// The same copy again where the receiver has no room; later where it goes away; and the end where it refuses.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_receipts_of_an_agent_say_what_happens(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    let events = Heard::events(&net, &bob.account_id, "mailbox").await;
    for id in ["busy", "leaving", "refused", "known"] {
        put(&net, &letter(id, "acct_a", &bob.account_id)).await;
    }
    let answers: Answers = &[
        &[("rejected", "busy")],
        &[("rejected", "rate_limited")],
        &[("accepted", "")],
        &[("rejected", "shutting_down")],
        &[("accepted", "")],
        &[("rejected", "payload_too_large")],
        &[("rejected", "duplicate")],
    ];
    let inbox = agent(&net, &bob, answers).await;
    let bob = Session::join(&net, "bob", false).await;
    until_counts(&net, &bob.account_id, [0, 0, 1]).await;
    assert_eq!(
        inbox.texts("message_id"),
        ["busy", "busy", "busy", "leaving", "leaving", "refused", "known"]
    );
    let dead = list(&net, &bob.account_id, "dead").await;
    assert_eq!(
        (ids(&dead), &dead[0]["last_code"]),
        (vec!["refused"], &json!("payload_too_large"))
    );
    let receipt = receipts
        .with(&[("message_id", "refused"), ("code", "mailbox_dead")])
        .await;
    assert!(
        receipt["detail"].as_str().unwrap().contains("payload_too_large"),
        "{receipt}"
    );
    let retry = events.with(&[("event", "retry")]).await;
    assert_eq!(
        (&retry["message_id"], &retry["code"]),
        (&json!("leaving"), &json!("shutting_down"))
    );
}

/// With `"ack":"processed"` it is the handler's end that counts.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_wait_for_the_end_of_its_handler(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let mut message = letter("m1", "acct_a", &bob.account_id);
    message["mailbox"] = json!({"ack": "processed"});
    put(&net, &message).await;
    put(&net, &letter("m2", "acct_b", &bob.account_id)).await;
    let answers: Answers = &[
        &[("accepted", ""), ("rejected", "handler_error")],
        // The other sender's message, while the first one waits.
        &[("accepted", ""), ("rejected", "handler_error")],
        &[("accepted", ""), ("processed", "")],
    ];
    let inbox = agent(&net, &bob, answers).await;
    let bob = Session::join(&net, "bob", false).await;
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
    assert_eq!(inbox.texts("message_id"), ["m1", "m2", "m1"]);
}

/// A copy that is a duplicate says that an earlier one has arrived, and not that its handler has finished, or will.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_waits_for_the_end_of_the_handler() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let mut message = letter("m1", "acct_a", &bob.account_id);
    message["mailbox"] = json!({"ack": "processed"});
    put(&net, &message).await;
    let answers: Answers = &[
        &[("rejected", "duplicate"), ("rejected", "handler_error")],
        &[("rejected", "duplicate"), ("processed", "")],
    ];
    let inbox = agent(&net, &bob, answers).await;
    let bob = Session::join(&net, "bob", false).await;
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
    assert_eq!(inbox.texts("message_id"), ["m1", "m1"]);
}

/// After some copies, a message for an agent without room waits, and others have their turn.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_room_is_left_alone_for_a_while() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    let inbox = agent(&net, &bob, &[&[("rejected", "busy")]]).await;
    let bob = Session::join(&net, "bob", false).await;
    let waiting = eventually(DEADLINE, async || {
        let waiting = list(&net, &bob.account_id, "queued").await;
        match waiting.iter().any(|message| message["last_code"] == "busy") {
            true => Ok(waiting),
            false => Err(json!(waiting)),
        }
    })
    .await
    .unwrap();
    assert_eq!((ids(&waiting), &waiting[0]["attempts"]), (vec!["m1"], &json!(0)));
    assert_eq!(inbox.texts("message_id"), ["m1"; 4]);
}

/// One session that asks for its messages is enough: none is delivered to the others.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_delivered_while_a_session_asks_for_them() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let old = Session::join(&net, "bob", false).await;
    let inbox = agent(&net, &old, ACCEPTS).await;
    let new = Session::join(&net, "bob", true).await;
    let other = Session::join(&net, "carol", false).await;
    let others = agent(&net, &other, ACCEPTS).await;
    put(&net, &letter("m1", "acct_a", &old.account_id)).await;
    // By the time that a later message is delivered, the first one would have been, too.
    put(&net, &letter("m2", "acct_a", &other.account_id)).await;
    others.with(&[("message_id", "m2")]).await;
    until_counts(&net, &other.account_id, [0, 0, 0]).await;
    assert_eq!(inbox.all(), Vec::<serde_json::Value>::new());
    new.leave(&net).await;
    inbox.with(&[("message_id", "m1")]).await;
    until_counts(&net, &old.account_id, [0, 0, 0]).await;
}

/// What a hello says counts, also with a registry that has not seen the registration.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_registries_delivers(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const AGENTS: usize = 8;
    let net = Network::on(backend, true).await;
    let named = |server_id: &str| agentnet_registry::RegistryConfig {
        server_id: server_id.to_owned(),
        ..config(&net)
    };
    let one = net.registry_with(named("r1")).await;
    let _two = net.registry_with(named("r2")).await;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let name = format!("bob{number}");
        let absent = Session::absent(&net, &name).await;
        for message in 0..3 {
            send(
                &net,
                &letter(&format!("{number}_{message}"), "acct_a", &absent.account_id),
            )
            .await;
            // Each registry may get one of two messages that follow each other at once.
            until_counts(&net, &absent.account_id, [message + 1, 0, 0]).await;
        }
        let inbox = agent(&net, &absent, ACCEPTS).await;
        agents.push((Session::join(&net, &name, false).await, inbox));
    }
    for (session, _) in &agents {
        session.hello(&net).await;
    }
    for (number, (session, inbox)) in agents.iter().enumerate() {
        until_counts(&net, &session.account_id, [0, 0, 0]).await;
        let expected: Vec<String> = (0..3).map(|message| format!("{number}_{message}")).collect();
        assert_eq!(inbox.texts("message_id"), expected);
    }
    one.shutdown().await;
    for (session, inbox) in &agents {
        put(&net, &letter("last", "acct_a", &session.account_id)).await;
        session.hello(&net).await;
        inbox.with(&[("message_id", "last")]).await;
        until_counts(&net, &session.account_id, [0, 0, 0]).await;
    }
}
