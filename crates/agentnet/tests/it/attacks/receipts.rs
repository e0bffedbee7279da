//! Receipts that the receiver did not give.

use std::time::Duration;

use agentnet::protocol::signing_scope::SigningScope;
use agentnet::{AgentNode, SendError, json};
use agentnet_testkit::RawClient;
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::attacks::harness::*;
use crate::net::{DEADLINE, parse, settle};

/// Answers every message on an inbox with what a function says, on the sender's receipts subject.
async fn answer(
    realm: &Realm,
    inbox: &str,
    receipts: impl Fn(&Value) -> Vec<Value> + Send + 'static,
) -> JoinHandle<()> {
    let client = RawClient::connect(&realm.nats.url()).await.unwrap();
    let mut messages = client.subscribe(inbox.to_owned()).await.unwrap();
    settle(&client).await;
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let message = parse(&message.payload);
            let subject = format!("account.{}.receipts", message["from_account_id"].as_str().unwrap());
            for receipt in receipts(&message) {
                let body = receipt.to_string().into();
                client.publish(subject.clone(), body).await.unwrap();
            }
        }
    })
}

async fn sender(realm: &Realm) -> AgentNode {
    let alice = realm.agent("alice").limits(|limits| {
        limits.receipt_timeout = Duration::from_secs(2);
        limits.send_retry_attempts = 0;
    });
    alice.start().await.unwrap()
}
/// Returns the receipts that a forger publishes for a message.
type Forgery = Box<dyn Fn(&Value) -> Vec<Value> + Send>;

/// Receipts that accept a message in bob's name, and must not count.
fn forged_acceptances(bob: &Peer, mallory: Peer) -> Vec<(&'static str, Forgery)> {
    let from_bob = {
        let (account, tag) = (bob.account_id.clone(), bob.session_tag.clone());
        move |message: &Value| {
            let receipt = json!({
                "message_id": message["message_id"], "status": "accepted", "event_at": crate::net::now(),
                "from_account_id": account, "from_session_tag": tag, "to_account_id": message["from_account_id"],
            });
            receipt
        }
    };
    let bobs_key = bob.key.clone();
    let genuine = {
        let from_bob = from_bob.clone();
        move |message: &Value, change: fn(&mut agentnet::Receipt)| {
            let mut receipt = agentnet::Receipt::decode(from_bob(message).to_string()).unwrap();
            change(&mut receipt);
            receipt.sign(&bobs_key);
            parse(&receipt.encode())
        }
    };
    let unsigned = from_bob.clone();
    let of_mallory = from_bob.clone();
    let malformed = from_bob.clone();
    let anonymous = from_bob.clone();
    let elsewhere = genuine.clone();
    let changed = genuine.clone();
    vec![
        ("unsigned", Box::new(move |m| vec![unsigned(m)])),
        (
            "without a sender",
            Box::new(move |m| vec![with(anonymous(m), "from_account_id", Value::Null)]),
        ),
        (
            "by another key",
            Box::new(move |m| vec![mallory.sign_receipt(&of_mallory(m))]),
        ),
        (
            "for another account",
            Box::new(move |m| {
                vec![elsewhere(m, |receipt| {
                    receipt.to_account_id = Some("acct_carol".into())
                })]
            }),
        ),
        (
            "of another message",
            Box::new(move |m| {
                let other = genuine(m, |receipt| receipt.message_id = "other".into());
                vec![with(other, "message_id", m["message_id"].clone())]
            }),
        ),
        (
            "turned round",
            Box::new(move |m| {
                let refused = changed(m, |receipt| receipt.status = "rejected".into());
                vec![with(refused, "status", json!("accepted"))]
            }),
        ),
        (
            "with malformed auth",
            Box::new(move |m| {
                let bad = [
                    json!({}),
                    json!([]),
                    json!("x"),
                    json!({ "scheme": "dev-ed25519-v1", "public_key": "A".repeat(100_000) }),
                ];
                bad.into_iter().map(|auth| with(malformed(m), "auth", auth)).collect()
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_acceptance_is_none() {
    let realm = Realm::start().await;
    let alice = sender(&realm).await;
    let bob = realm.peer("bob", SigningScope::ALL).await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let (bob_id, mallory_id) = (bob.account_id.clone(), mallory.account_id.clone());
    let inbox = format!("account.{bob_id}.inbox");
    for (what, forgery) in forged_acceptances(&bob, mallory) {
        let before = alice.metrics_snapshot().refused_receipt_count;
        let forger = answer(&realm, &inbox, forgery).await;
        let sent = alice.send_to_account(&bob_id, json!({ "text": what })).await;
        assert!(matches!(sent, Err(SendError::AckTimeout { .. })), "{what}: {sent:?}");
        assert!(alice.metrics_snapshot().refused_receipt_count > before, "{what}");
        forger.abort();
    }
    // Mallory may speak for herself.
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let honest = answer(&realm, &format!("account.{mallory_id}.inbox"), move |m| {
        vec![mallory.sign_receipt(&mallory.receipt(m, "accepted"))]
    })
    .await;
    let send = alice.send_to_account(&mallory_id, json!("hi"));
    send.receipt_timeout(DEADLINE).await.unwrap();
    honest.abort();
    alice.close().await;
}

/// An attacker that is faster than the receiver can neither fail nor fake a delivery.
#[tokio::test(flavor = "multi_thread")]
async fn forged_receipts_do_not_disturb_the_real_ones() {
    let realm = Realm::start().await;
    let alice = realm.agent("alice").start().await.unwrap();
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let account = bob_id.clone();
    let forger = answer(&realm, &format!("account.{bob_id}.inbox"), move |message| {
        let mut forged = mallory.receipt(message, "rejected");
        forged["code"] = json!("busy");
        let as_bob = with(forged.clone(), "from_account_id", json!(account));
        vec![
            forged.clone(),
            as_bob.clone(),
            mallory.sign_receipt(&forged),
            mallory.sign_receipt(&as_bob),
        ]
    })
    .await;
    for number in 0..30 {
        alice.send("@bob", json!(number)).await.unwrap();
    }
    assert_eq!(handled(&notes, 30).await.len(), 30);
    assert_eq!(alice.metrics_snapshot().retry_count, 0);
    forger.abort();
    bob.close().await;
    alice.close().await;
}

/// Agents of the original cannot sign receipts: theirs count as they are, until they say that they can.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_agents_that_cannot_sign_them_count() {
    let realm = Realm::start().await;
    let alice = sender(&realm).await;
    let python = realm.peer("python", SigningScope::default()).await;
    let (account_id, inbox) = (
        python.account_id.clone(),
        format!("account.{}.inbox", python.account_id),
    );
    let unsigned = answer(&realm, &inbox, move |m| vec![python.receipt(m, "accepted")]).await;
    let send = || alice.send_to_account(&account_id, json!("hi"));
    send().receipt_timeout(DEADLINE).await.unwrap();
    // A session beside it that signs changes nothing: the account still has one that does not.
    let beside = realm.peer("python", SigningScope::ALL).await;
    send().receipt_timeout(DEADLINE).await.unwrap();
    unsigned.abort();
    // A receipt with a signature has to be right all the same.
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let as_python = answer(&realm, &inbox, move |m| {
        vec![mallory.sign_receipt(&with(
            mallory.receipt(m, "accepted"),
            "from_account_id",
            json!(beside.account_id),
        ))]
    })
    .await;
    let sent = send().await;
    assert!(matches!(sent, Err(SendError::AckTimeout { .. })), "{sent:?}");
    as_python.abort();
    alice.close().await;
}

/// An account that does not exist gives no receipts; the registry reports this, signed.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_accepts_in_the_name_of_an_account_that_does_not_exist() {
    let realm = Realm::start().await;
    let alice = sender(&realm).await;
    let accept = |account: &'static str, registry: &'static str| {
        move |m: &Value| {
            let accepted = json!({
                "message_id": m["message_id"], "status": "accepted", "from_account_id": account,
                "to_account_id": m["from_account_id"],
            });
            let as_registry = json!({
                "message_id": m["message_id"], "status": "accepted", "from_account_id": registry,
                "to_account_id": m["from_account_id"],
            });
            vec![accepted, as_registry]
        }
    };
    let forgeries = accept("acct_nobody", "acct_registry_registry");
    let forger = answer(&realm, "account.acct_nobody.inbox", forgeries).await;
    let sent = alice.send_to_account("acct_nobody", json!("hi")).await;
    let Err(SendError::Rejected { code, .. }) = &sent else {
        panic!("{sent:?}")
    };
    assert_eq!(code, "account_not_found");
    forger.abort();
    alice.close().await;
}

/// Only a registry can report in its own name that an account is offline.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_word_of_the_registry_ends_no_send() {
    let realm = Realm::start().await;
    let alice = realm.agent("alice").start().await.unwrap();
    let (bob, notes) = realm.answering("bob").await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let inbox = format!("account.{}.inbox", bob.account_id().unwrap());
    let forger = answer(&realm, &inbox, move |m| {
        let mut gone = with(
            mallory.receipt(m, "rejected"),
            "from_account_id",
            json!("acct_registry_registry"),
        );
        gone["code"] = json!("recipient_offline");
        vec![gone.clone(), mallory.sign_receipt(&gone)]
    })
    .await;
    for number in 0..10 {
        alice.send("@bob", json!(number)).await.unwrap();
    }
    assert_eq!(handled(&notes, 10).await.len(), 10);
    forger.abort();
    bob.close().await;
    alice.close().await;
}
