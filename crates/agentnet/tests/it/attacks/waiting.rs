//! Senders whose keys are not known: their messages wait, those of other senders do not.

use agentnet::SigningKey;
use agentnet::protocol::signing_scope::SigningScope;
use agentnet_testkit::eventually_true;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::attacks::harness::*;
use crate::net::{DEADLINE, parse};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_sender_delays_no_other_sender() {
    let mut realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let inbox = format!("account.{bob_id}.inbox");
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let carol = realm.peer("carol", SigningScope::ALL).await;
    realm
        .publish(&inbox, &alice.sign(&alice.message("first", &bob_id)))
        .await;
    handled(&notes, 1).await;
    // No registry can give Carol's key now; her messages wait.
    realm.stop_registry().await;
    let receipts = realm.capture("account.*.receipts").await;
    // All messages arrive at once; hers wait as long as a registry may still give the key.
    let mut messages = Vec::new();
    for (peer, letter) in [(&carol, "c"), (&alice, "a")] {
        messages.extend((0..3).map(|number| peer.sign(&peer.message(&format!("{letter}{number}"), &bob_id))));
    }
    for message in &messages {
        realm.publish(&inbox, message).await;
    }
    assert_eq!(handled(&notes, 4).await, ["first", "a0", "a1", "a2"]);
    for number in 0..3 {
        assert_eq!(refusal(&receipts, &format!("c{number}")).await, "auth_key_not_found");
    }
    let receipts = receipts.messages();
    let told = |ids: [&str; 3], status: &str| {
        let is_told =
            |receipt: &Value| ids.iter().any(|id| receipt["message_id"] == *id) && receipt["status"] == status;
        let places = receipts.iter().map(|seen| parse(&seen.payload)).enumerate();
        let told = places.filter(|(_, receipt)| is_told(receipt));
        told.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let (accepted, refused) = (
        told(["a0", "a1", "a2"], "accepted"),
        told(["c0", "c1", "c2"], "rejected"),
    );
    assert_eq!((accepted.len(), refused.len()), (3, 3));
    assert!(accepted[2] < refused[0], "hers still waited");
    // The failure is not remembered for long: with a registry, the same messages are taken.
    let registry = realm.another_registry("registry").await;
    let mut tries = 0;
    eventually_true(DEADLINE, "Carol is heard", async || {
        tries += 1;
        let message = carol.sign(&carol.message(&format!("again{tries}"), &bob_id));
        realm.publish(&inbox, &message).await;
        notes.lock().unwrap().len() > 4
    })
    .await
    .unwrap();
    bob.close().await;
    registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_senders_order_is_kept_while_its_key_is_looked_up() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let inbox = format!("account.{bob_id}.inbox");
    for name in ["alice", "carol", "dora"] {
        let peer = realm.peer(name, SigningScope::ALL).await;
        let ids: Vec<String> = (0..40).map(|number| format!("{name}{number}")).collect();
        let messages: Vec<_> = ids.iter().map(|id| peer.sign(&peer.message(id, &bob_id))).collect();
        for message in &messages {
            realm.publish(&inbox, message).await;
        }
        handled(&notes, 40).await;
        let seen: Vec<String> = notes
            .lock()
            .unwrap()
            .drain(..)
            .map(|m| m.message_id.to_string())
            .collect();
        assert_eq!(seen, ids);
    }
    bob.close().await;
}

/// Invented senders without keys: a bounded number of messages waits, the others are refused, and known senders get through.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_senders_is_bounded() {
    let mut realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let inbox = format!("account.{bob_id}.inbox");
    let alice = realm.peer("alice", SigningScope::ALL).await;
    realm
        .publish(&inbox, &alice.sign(&alice.message("first", &bob_id)))
        .await;
    handled(&notes, 1).await;
    realm.stop_registry().await;
    let mallory = Peer {
        id: "mallory".into(),
        account_id: "acct_0".into(),
        session_tag: "s".into(),
        key: SigningKey::from_seed(&[66; 32]),
    };
    let template = mallory.sign(&mallory.message("flood", &bob_id));
    // All at once: those that wait give up their places after a while.
    let mut flood: Vec<Bytes> = (0..3000)
        .map(|number| {
            let message = with(template.clone(), "from_account_id", json!(format!("acct_{number}")));
            let message = with(message, "message_id", json!(format!("f{number}")));
            message.to_string().into()
        })
        .collect();
    flood.push(alice.sign(&alice.message("last", &bob_id)).to_string().into());
    for message in flood {
        realm.raw.publish(inbox.clone(), message).await.unwrap();
    }
    assert_eq!(handled(&notes, 2).await, ["first", "last"]);
    let seen = bob.metrics_snapshot();
    assert!(seen.busy_count >= 3000 - 1024 - 512, "{}", seen.to_json());
    bob.close().await;
}

/// Messages by another key than the sender's do not make the receiver ask the registry for each.
#[tokio::test(flavor = "multi_thread")]
async fn forgeries_cause_few_questions() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let bob_id = bob.account_id().unwrap();
    let inbox = format!("account.{bob_id}.inbox");
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let questions = realm.capture("registry.resolve_key").await;
    realm
        .publish(&inbox, &alice.sign(&alice.message("first", &bob_id)))
        .await;
    handled(&notes, 1).await;
    let forged: Vec<_> = (0..300)
        .map(|number| mallory.sign(&alice.message(&format!("f{number}"), &bob_id)))
        .collect();
    for message in &forged {
        realm.publish(&inbox, message).await;
    }
    realm
        .publish(&inbox, &alice.sign(&alice.message("last", &bob_id)))
        .await;
    assert_eq!(handled(&notes, 2).await, ["first", "last"]);
    eventually_true(DEADLINE, "all are refused", async || {
        let seen = bob.metrics_snapshot();
        seen.payload_rejected_count + seen.busy_count == 300
    })
    .await
    .unwrap();
    let asked = questions.messages().len();
    assert!(asked < 30, "{asked} questions for 300 forgeries");
    bob.close().await;
}
