//! Sessions take the messages of their account, and requests wait for them.

use agentnet_registry::RegistryConfig;
use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::json;

use crate::mailbox::client::{Session, ask, ids, letter, put, registry, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, DEADLINE, Network};

#[rstest]
#[tokio::test]
async fn two_sessions_of_an_account_share_its_messages(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let one = Session::join(&net, "bob", true).await;
    let two = Session::join(&net, "bob", true).await;
    for (id, from) in [("a1", "acct_a"), ("a2", "acct_a"), ("b1", "acct_b")] {
        assert_eq!(put(&net, &letter(id, from, &one.account_id)).await["state"], "queued");
    }
    let first = one.lease_some(&net, json!({"max": 1, "lease_ms": 600_000})).await;
    assert_eq!(ids(&first), ["a1"]);
    let other = two.lease(&net, json!({"max": 10})).await;
    let other = other["messages"].as_array().unwrap();
    assert_eq!(ids(other), ["b1"], "a2 waits for a1");
    let foreign = two.ack(&net, &first[0], json!({"outcome": "done"})).await;
    assert_eq!(
        foreign["lost"],
        json!([first[0]["lease"]]),
        "it is leased by the other one"
    );
    let extend = one.request(json!({"leases": [first[0]["lease"], "no-1"], "lease_ms": 60_000}));
    let extended = ask(&net, "mailbox_extend", extend).await;
    assert_eq!((&extended["acked"], &extended["lost"]), (&json!(1), &json!(["no-1"])));
    one.ack(&net, &first[0], json!({"outcome": "done"})).await;
    assert_eq!(ids(&two.lease_some(&net, json!({})).await), ["a2"]);
}

#[rstest]
#[tokio::test]
async fn a_message_that_is_returned_comes_again(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::join(&net, "bob", true).await;
    let events = Heard::events(&net, &bob.account_id, "mailbox").await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    put(&net, &letter("m2", "acct_a", &bob.account_id)).await;
    let leased = bob.lease_some(&net, json!({"max": 2})).await;
    let ack = |at: usize, code: &str, delay_ms: i64| json!({"lease": leased[at]["lease"], "outcome": "retry", "code": code, "delay_ms": delay_ms});
    let acks = json!({"acks": [ack(0, "handler_error", 300), ack(1, "out_of_order", 0)]});
    assert_eq!(ask(&net, "mailbox_ack", bob.request(acks)).await["acked"], 2);
    let waiting = bob.lease(&net, json!({})).await;
    // The second one does not overtake the first; both may have come in time already.
    let early = waiting["messages"].as_array().unwrap().clone();
    assert!(early.is_empty() || ids(&early) == ["m1", "m2"], "{waiting}");
    let again = if early.is_empty() {
        bob.lease_some(&net, json!({})).await
    } else {
        early
    };
    assert_eq!(ids(&again), ["m1", "m2"]);
    assert_eq!(
        (&again[0]["attempt"], &again[1]["attempt"]),
        (&json!(2), &json!(1)),
        "one was free"
    );
    let retry = events.with(&[("event", "retry"), ("message_id", "m1")]).await;
    assert_eq!(
        (&retry["code"], &retry["attempt"]),
        (&json!("handler_error"), &json!(1))
    );
    events.with(&[("event", "retry"), ("message_id", "m2")]).await;
}

/// The reply of a lease was lost: the same request gets the same messages again, at the same attempt; another session does not.
#[rstest]
#[tokio::test]
async fn a_repeated_lease_request_gets_the_same_messages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let one = Session::join(&net, "bob", true).await;
    let two = Session::join(&net, "bob", true).await;
    for id in ["m1", "m2"] {
        put(&net, &letter(id, "acct_a", &one.account_id)).await;
    }
    let request = json!({"lease_id": "l-1_A", "lease_ms": 600_000});
    let first = one.lease_some(&net, request.clone()).await;
    assert_eq!(ids(&first), ["m1", "m2"]);
    assert_eq!(one.lease(&net, request.clone()).await["messages"], json!(first));
    assert_eq!(two.lease(&net, request).await["messages"], json!([]));
    assert_eq!(one.lease(&net, json!({"lease_id": "l-2"})).await["messages"], json!([]));
    for message in &first {
        assert_eq!(one.ack(&net, message, json!({"outcome": "done"})).await["acked"], 1);
    }
    let refused = ask(&net, "mailbox_lease", one.request(json!({"lease_id": "a.b"}))).await;
    assert_eq!(refused["error"], "lease_id must be of letters, digits, - and _");
}

/// A session that dies with its lease loses it.
#[tokio::test]
async fn a_lease_that_is_over_is_given_to_another_session() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let one = Session::join(&net, "bob", true).await;
    let two = Session::join(&net, "bob", true).await;
    put(&net, &letter("m1", "acct_a", &one.account_id)).await;
    let first = one.lease_some(&net, json!({"lease_ms": 1_000})).await;
    // It waits for the message, though no event tells of the end of a lease.
    let second = two.lease(&net, json!({"wait_ms": 25_000})).await;
    let second = second["messages"].as_array().unwrap();
    assert_eq!((ids(second), &second[0]["attempt"]), (vec!["m1"], &json!(2)));
    let late = one.ack(&net, &first[0], json!({"outcome": "done"})).await;
    assert_eq!(
        (&late["acked"], &late["lost"]),
        (&json!(0), &json!([first[0]["lease"]]))
    );
    assert_eq!(two.ack(&net, &second[0], json!({"outcome": "done"})).await["acked"], 1);
}

/// Requests that wait take no place from others: more of them than requests are answered at the same time.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_hold_nothing_up(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const ACCOUNTS: usize = 10;
    const WAITING: usize = 40;
    let net = Network::on(backend, true).await;
    let running = registry(&net).await;
    let replies = Heard::on(&net, "replies.>").await;
    let mut sessions = Vec::new();
    for number in 0..ACCOUNTS {
        let session = Session::join(&net, &format!("agent{number}"), true).await;
        for request in 0..WAITING {
            let body = session.request(json!({"wait_ms": 25_000})).to_string();
            let reply_to = format!("replies.{number}.{request}");
            let subject = "registry.mailbox_lease";
            net.client
                .publish_with_reply(subject, reply_to, body.into())
                .await
                .unwrap();
        }
        sessions.push(session);
    }
    let reply = put(&net, &letter("m1", "acct_a", &sessions[3].account_id)).await;
    assert_eq!(reply["state"], "queued", "{reply}");
    until_counts(&net, &sessions[3].account_id, [0, 1, 0]).await;
    // Those that still wait are answered when the registry stops.
    running.shutdown().await;
    let all = eventually(DEADLINE, async || {
        let all = replies.all();
        if all.len() == ACCOUNTS * WAITING {
            Ok(all)
        } else {
            Err(format!("{} replies", all.len()))
        }
    })
    .await
    .unwrap();
    let with_message = all.iter().filter(|reply| reply["messages"] != json!([]));
    assert_eq!(with_message.count(), 1);
    assert!(all.iter().all(|reply| reply["generated_at"].is_string()), "{all:?}");
}

/// A page has as many messages as the server takes; all of them come in the end.
#[tokio::test]
async fn large_messages_come_page_by_page() {
    const MESSAGES: usize = 8;
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::join(&net, "bob", true).await;
    for number in 0..MESSAGES {
        let mut message = letter(&format!("m{number}"), "acct_a", &bob.account_id);
        // Each character has three times as many bytes in a reply.
        message["payload"] = json!("é".repeat(110_000));
        let reply = put(&net, &message).await;
        assert_eq!(reply["state"], "queued", "{reply}");
    }
    let mut taken = Vec::new();
    while taken.len() < MESSAGES {
        let messages = bob.lease_some(&net, json!({"max": 100})).await;
        taken.extend(ids(&messages).into_iter().map(str::to_owned));
        for message in &messages {
            assert_eq!(message["envelope"]["payload"], json!("é".repeat(110_000)));
            bob.ack(&net, message, json!({"outcome": "done"})).await;
        }
    }
    assert_eq!(
        taken,
        (0..MESSAGES).map(|number| format!("m{number}")).collect::<Vec<_>>()
    );
}

/// What was kept survives the registry.
#[rstest]
#[tokio::test]
async fn another_registry_goes_on(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let running = registry(&net).await;
    let bob = Session::join(&net, "bob", true).await;
    put(&net, &letter("m1", "acct_a", &bob.account_id)).await;
    let leased = bob.lease_some(&net, json!({"lease_ms": 600_000})).await;
    running.shutdown().await;
    let next = RegistryConfig {
        server_id: "next".to_owned(),
        ..crate::mailbox::client::config(&net)
    };
    let _registry = net.registry_with(next).await;
    assert_eq!(bob.ack(&net, &leased[0], json!({"outcome": "done"})).await["acked"], 1);
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
}
