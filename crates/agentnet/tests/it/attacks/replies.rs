//! Replies that the agent asked did not give.

use std::time::Duration;

use agentnet::protocol::signing_scope::SigningScope;
use agentnet::{RequestError, json};
use agentnet_testkit::{RawClient, eventually_true};
use async_nats::{HeaderMap, StatusCode};
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::attacks::harness::*;
use crate::net::{DEADLINE, parse, settle};

/// Answers every request to an inbox with "no responders" in the server's name, and then with the replies that the function
/// returns.
async fn forge(realm: &Realm, inbox: &str, replies: impl Fn(&Value) -> Vec<String> + Send + 'static) -> JoinHandle<()> {
    let client = RawClient::connect(&realm.nats.url()).await.unwrap();
    let mut messages = client.subscribe(inbox.to_owned()).await.unwrap();
    settle(&client).await;
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let Some(subject) = message.reply else { continue };
            let body = parse(&message.payload);
            for reply in replies(&body) {
                client.publish(subject.clone(), reply.into()).await.unwrap();
            }
        }
    })
}

fn reply(peer: &Peer, request: &Value, text: &str) -> Value {
    let mut reply = peer.message(&format!("r-{}", request["message_id"].as_str().unwrap()), "");
    for (member, value) in [
        ("to_agent", &request["from_account_id"]),
        ("to_account_id", &request["from_account_id"]),
        ("trace_id", &request["trace_id"]),
        ("thread_id", &request["thread_id"]),
        ("parent_message_id", &request["message_id"]),
    ] {
        reply[member] = value.clone();
    }
    reply["kind"] = json!("reply");
    reply["payload"] = json!(text);
    reply
}

/// Everything that Mallory can make of a request.
fn forgeries(mallory: &Peer, bob_id: &str, recorded: &Value) -> impl Fn(&Value) -> Vec<String> + Send + 'static {
    let mallory = Peer {
        id: mallory.id.clone(),
        account_id: mallory.account_id.clone(),
        session_tag: mallory.session_tag.clone(),
        key: mallory.key.clone(),
    };
    let (bob_id, recorded) = (bob_id.to_owned(), recorded.clone());
    move |request| {
        let own = reply(&mallory, request, "forged");
        let as_bob = with(own.clone(), "from_account_id", json!(bob_id));
        let mut bounce = own.clone();
        bounce["kind"] = json!("error");
        bounce["payload"] = json!({ "error": "recipient_offline", "detail": "gone" });
        let as_registry = with(bounce.clone(), "from_account_id", json!("acct_registry_registry"));
        let to_this = with(recorded.clone(), "parent_message_id", request["message_id"].clone());
        let all = [
            own.clone(),
            mallory.sign(&own),
            as_bob.clone(),
            mallory.sign(&as_bob),
            with(mallory.sign(&own), "from_account_id", json!(bob_id)),
            bounce.clone(),
            mallory.sign(&bounce),
            mallory.sign(&as_registry),
            as_registry,
            recorded.clone(),
            to_this,
            with(
                as_bob,
                "auth",
                json!({ "scheme": "dev-ed25519-v1", "signature": "A".repeat(100_000) }),
            ),
            json!([]),
        ];
        let texts = all.iter().map(Value::to_string);
        texts
            .chain(["{".to_owned(), String::new(), "\u{0}".to_owned()])
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forger_neither_answers_nor_ends_a_request() {
    let realm = Realm::start().await;
    let alice = realm.agent("alice").start().await.unwrap();
    let (bob, _) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let wire = realm.capture("agentnet.reply.>").await;
    alice.request("@bob", json!("first")).await.unwrap();
    let recorded = wire
        .wait_for(|seen| seen.text().contains("answer"), DEADLINE)
        .await
        .unwrap();
    let recorded = parse(&recorded.payload);
    let inbox = format!("account.{bob_id}.inbox");
    let forger = forge(&realm, &inbox, forgeries(&mallory, &bob_id, &recorded)).await;
    for number in 0..20 {
        let reply = alice.request("@bob", json!(number)).timeout(DEADLINE).await.unwrap();
        assert_eq!(reply.text().as_deref(), Some("answer"));
        assert_eq!(reply.from_account_id.as_deref(), Some(bob_id.as_str()));
    }
    forger.abort();
    bob.close().await;

    // Without a genuine answer, the error reports the forgeries.
    let silent = realm.peer("silent", SigningScope::ALL).await;
    let inbox = format!("account.{}.inbox", silent.account_id);
    let forger = forge(&realm, &inbox, forgeries(&mallory, &silent.account_id, &recorded)).await;
    let request = alice.request_account(&silent.account_id, json!("anybody?"));
    let error = request.timeout(Duration::from_secs(4)).await.unwrap_err();
    let RequestError::Untrusted { refused, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*refused, 16, "{error}");
    assert!(alice.metrics_snapshot().refused_reply_count >= 16);
    let text = error.to_string();
    assert!(text.contains("16 others were not taken, the last one for "), "{text}");
    forger.abort();
    alice.close().await;
}

/// Any client can publish the server's "no responders".
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_no_responders_ends_no_request() {
    let realm = Realm::start().await;
    let alice = realm.agent("alice").start().await.unwrap();
    let (bob, _) = realm.answering("bob").await;
    let client = RawClient::connect(&realm.nats.url()).await.unwrap();
    let mut requests = client
        .subscribe(format!("account.{}.inbox", bob.account_id().unwrap()))
        .await
        .unwrap();
    settle(&client).await;
    let forger = tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let mut headers = HeaderMap::new();
            headers.insert("Status", StatusCode::NO_RESPONDERS.to_string());
            let subject = message.reply.unwrap();
            client.publish_with_headers(subject, headers, "".into()).await.unwrap();
        }
    });
    for number in 0..10 {
        let reply = alice.request("@bob", json!(number)).timeout(DEADLINE).await.unwrap();
        assert_eq!(reply.text().as_deref(), Some("answer"));
    }
    forger.abort();
    bob.close().await;
    alice.close().await;
}

/// Any account can offer a capability, but its reply must be signed by the account that it names.
#[tokio::test(flavor = "multi_thread")]
async fn replies_to_a_capability_are_signed_by_their_sender() {
    let realm = Realm::start().await;
    let alice = realm.agent("alice").start().await.unwrap();
    let painter = realm.agent("painter").capabilities(["paint"]);
    let painter = painter
        .on_message(|_, context| async move {
            context.reply(json!("painted")).await?;
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let stranger = Peer {
        id: "stranger".into(),
        account_id: "acct_stranger".into(),
        session_tag: "s".into(),
        key: agentnet::SigningKey::from_seed(&[77; 32]),
    };
    let account_id = painter.account_id().unwrap();
    let forger = forge(&realm, "agent.capability.paint", move |request| {
        let own = reply(&stranger, request, "forged");
        let as_painter = with(own.clone(), "from_account_id", json!(account_id));
        [own.clone(), stranger.sign(&own), stranger.sign(&as_painter)]
            .iter()
            .map(Value::to_string)
            .collect()
    })
    .await;
    for _ in 0..10 {
        let reply = alice
            .request_capability("paint", json!("sun"))
            .timeout(DEADLINE)
            .await
            .unwrap();
        assert_eq!(reply.text().as_deref(), Some("painted"));
    }
    forger.abort();
    painter.close().await;
    alice.close().await;
}

/// What a registry says for an absent agent is taken from whichever replica says it.
#[tokio::test(flavor = "multi_thread")]
async fn every_replica_can_speak_for_the_absent() {
    let realm = Realm::start().await;
    // Longer than between two hellos; so long it says nothing for the absent.
    let second = realm.registry_with_ttl("second", Duration::from_secs(4)).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let (bob, _) = realm.answering("bob").await;
    bob.close().await;
    let mut told = std::collections::BTreeSet::new();
    // A registry that is not sure, or whose database is slow for a moment, says nothing rather than something wrong.
    eventually_true(DEADLINE, "both have spoken", async || {
        let request = alice.request("@bob", json!("there?"));
        if let Ok(reply) = request.timeout(Duration::from_secs(2)).await {
            assert_eq!(reply.error_code().as_deref(), Some("recipient_offline"));
            told.insert(reply.from_account_id.as_deref().unwrap().to_owned());
        }
        told.len() == 2
    })
    .await
    .unwrap();
    let both = ["acct_registry_registry", "acct_registry_second"].map(str::to_owned);
    assert_eq!(told, both.into());
    assert_eq!(alice.metrics_snapshot().refused_reply_count, 0);
    alice.close().await;
    second.shutdown().await;
}
