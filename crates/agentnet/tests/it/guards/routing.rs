//! Where messages are taken from, and where receipts and replies go.

use agentnet_testkit::{Captured, eventually_true};
use serde_json::json;

use crate::guards::harness::*;
use crate::net::{DEADLINE, Net, parse};

#[tokio::test]
async fn receipts_need_a_sender_and_threads_a_default() {
    let harness = Harness::start(|_| {}).await;
    for (number, account) in [json!(null), json!(""), json!("  "), json!("a.b"), json!("*")]
        .iter()
        .enumerate()
    {
        let id = format!("anonymous{number}");
        let message = with(
            message(&id, ""),
            json!({ "from_account_id": account, "schema_version": "2" }),
        );
        harness.post(&id, &message).await;
        let reply = harness.reply(&id).await;
        let detail = "message schema_version is not supported";
        check_error_reply(&harness.node, &message, &reply, "unsupported_schema_version", detail);
    }
    harness.net.settle().await;
    let receipts = |seen: &Captured| seen.subject.ends_with(".receipts");
    assert!(!harness.wire.messages().iter().any(receipts));

    for (id, change, thread) in [
        ("T1", json!({ "thread_id": null }), "thread_trace-t1"),
        ("T2", json!({ "thread_id": "", "trace_id": null }), "thread_t2"),
        ("T3", json!({ "thread_id": " mine " }), " mine "),
    ] {
        let message = with(message(id, ""), change);
        harness.post(id, &message).await;
        harness.processed(&message).await;
        assert_eq!(harness.handled(id)[0].thread_id.as_deref(), Some(thread));
        assert_eq!(harness.receipts(id)[0]["thread_id"], thread);
    }
}

#[tokio::test]
async fn a_written_reply_to_is_used_only_if_it_is_a_reply_subject() {
    let harness = Harness::start(|_| {}).await;
    for (id, subject) in [("nats", "_INBOX.elsewhere.1"), ("ours", "agentnet.reply.acct_peer.1")] {
        let message = with(message(id, "reply"), json!({ "reply_to": subject }));
        harness.net.publish(INBOX, &message).await;
        let reply = parse(&harness.wait(|seen| seen.subject == subject).await.payload);
        assert_eq!(reply["parent_message_id"], id);
        harness.processed(&message).await;
    }
    // Refusals of every stage go there too.
    let large = with(
        message("large", ""),
        json!({ "reply_to": "_INBOX.large", "payload": "x".repeat(300_000) }),
    );
    harness.net.publish(INBOX, &large).await;
    let reply = parse(&harness.wait(|seen| seen.subject == "_INBOX.large").await.payload);
    assert_eq!(reply["payload"]["error"], "payload_too_large");

    let forbidden = [
        "account.acct_victim.inbox",
        "account.acct_victim.receipts",
        "agent.capability.victim",
        "registry.goodbye",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX",
        "anything",
        "$SYS.REQ",
        "",
    ];
    let before = harness.wire.messages().len();
    for (number, subject) in forbidden.iter().enumerate() {
        let message = with(message(&format!("f{number}"), "reply"), json!({ "reply_to": subject }));
        harness.net.publish(INBOX, &message).await;
        // The handler cannot reply, which is its failure; with an error reply as little.
        harness
            .expect_receipt(
                &message,
                "rejected",
                Some(("handler_error", "handler raised an exception")),
            )
            .await;
        assert!(!harness.handled(&format!("f{number}"))[0].wants_reply());
        if number % 4 == 3 {
            let well = self::message(&format!("well{number}"), "");
            harness.net.publish(INBOX, &well).await;
            harness.processed(&well).await;
        }
    }
    harness.net.settle().await;
    for seen in &harness.wire.messages()[before..] {
        let expected = seen.subject == INBOX
            || seen.subject == "account.acct_peer.receipts"
            || (seen.subject.starts_with("_INBOX.") && seen.payload.is_empty());
        assert!(expected, "{} {}", seen.subject, seen.text());
    }
    // Other types are no subjects, and the NATS reply subject goes before what is written.
    let number = with(message("number", ""), json!({ "reply_to": 7 }));
    harness.net.publish(INBOX, &number).await;
    harness.processed(&number).await;
    let both = with(message("both", "reply"), json!({ "reply_to": "_INBOX.written" }));
    harness.post("both", &both).await;
    assert_eq!(harness.reply("both").await["payload"], "an answer");
    harness.processed(&both).await;
    assert!(
        !harness
            .wire
            .messages()
            .iter()
            .any(|seen| seen.subject == "_INBOX.written")
    );
}

#[tokio::test]
async fn capabilities_are_routed_where_they_can_be() {
    let harness =
        Harness::with(|agent| agent.capabilities(["chat", "chat", "a.b", "a b", "*", ">", "", "résumé"])).await;
    for (id, capability) in [("c1", "chat"), ("c2", "résumé")] {
        let message = with(
            message(id, "reply"),
            json!({ "to_agent": format!("capability:{capability}"), "to_account_id": null }),
        );
        let subject = format!("agent.capability.{capability}");
        harness.post_bytes(&subject, id, message.to_string().into()).await;
        harness.processed(&message).await;
        assert_eq!(harness.reply(id).await["payload"], "an answer");
        assert_eq!(harness.handled(id).len(), 1, "subscribed once");
    }
    // The guards are the same as for the inbox, and share what they remember.
    let again = message("c1", "");
    harness
        .refused("c1 again", &again, "duplicate", "message_id has already been processed")
        .await;

    let hello = parse(&harness.wait(|seen| seen.subject == "registry.hello").await.payload);
    let advertised = json!(["chat", "chat", "a.b", "a b", "*", ">", "", "résumé"]);
    assert_eq!(hello["capabilities"], advertised, "all of them are advertised");
    // Without the passive subscriber, the subject has no subscriber.
    drop(harness.wire);
    eventually_true(DEADLINE, "nobody listens on agent.capability.a.b", async || {
        !crate::net::has_subscriber(&harness.net.raw, "agent.capability.a.b").await
    })
    .await
    .unwrap();
    for subject in ["agent.capability.other", "agent.capability.a", "agent.capability.x.y"] {
        assert!(
            !crate::net::has_subscriber(&harness.net.raw, subject).await,
            "{subject}"
        );
    }
    assert!(crate::net::has_subscriber(&harness.net.raw, "agent.capability.chat").await);
}

#[tokio::test]
async fn without_a_handler_nothing_is_taken() {
    let net = Net::start().await;
    let node = net.agent("bob").capabilities(["chat"]).start().await.unwrap();
    for subject in [INBOX, "agent.capability.chat"] {
        assert!(!crate::net::has_subscriber(&net.raw, subject).await, "{subject}");
    }
    assert!(crate::net::has_subscriber(&net.raw, "account.acct_bob.receipts").await);
    node.close().await;
}

/// The requester chooses the subject of the answer, which is published with the receiver's permissions.
#[tokio::test]
async fn nothing_is_answered_where_messages_are_taken() {
    let harness = Harness::start(|limits| limits.circuit_breaker_failures = 100).await;
    let subjects = [
        "$JS.API.STREAM.PURGE.AGENTNET_HISTORY",
        "registry.hello",
        "account.acct_victim.inbox",
        "agent.capability.x",
        "agentnet.registry.announce",
    ];
    for (number, subject) in subjects.iter().enumerate() {
        for (what, body) in [
            (
                "refused",
                with(message(&format!("r{number}"), ""), json!({ "schema_version": "2" })),
            ),
            ("handled", message(&format!("h{number}"), "reply")),
        ] {
            let raw = &harness.net.raw;
            raw.publish_with_reply(INBOX, *subject, body.to_string().into())
                .await
                .unwrap();
            let status = if what == "refused" { "rejected" } else { "accepted" };
            let id = body["message_id"].clone();
            harness
                .wait(|seen| {
                    let said = seen.subject.ends_with(".receipts").then(|| parse(&seen.payload));
                    said.is_some_and(|said| said["message_id"] == id && said["status"] == status)
                })
                .await;
        }
    }
    // Whatever was to come has come: this one is handled after them.
    let last = message("last", "reply");
    harness.post("last", &last).await;
    harness.processed(&last).await;
    for seen in harness.wire.messages() {
        // The node's own hello is no message.
        let is_message = seen.payload.windows(12).any(|text| text == b"\"message_id\"");
        assert!(
            !is_message || !subjects.contains(&seen.subject.as_str()),
            "{}",
            seen.subject
        );
    }
}
