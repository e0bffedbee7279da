//! Forged frames and cancels of streams.

use agentnet::protocol::signing_scope::SigningScope;
use agentnet::protocol::stream::{StreamCancel, StreamFrame, StreamPart};
use agentnet::{RawJson, json};
use agentnet_testkit::RawClient;
use futures::StreamExt;
use serde_json::Value;

use crate::attacks::harness::*;
use crate::net::{DEADLINE, parse, settle};

/// A frame, or an ordinary reply, that says it answers a request.
fn forged(peer: &Peer, request: &Value, payload: &RawJson, kind: &str) -> Value {
    let mut frame = peer.message(&format!("f-{kind}"), "");
    frame["to_agent"] = request["from_account_id"].clone();
    frame["to_account_id"] = request["from_account_id"].clone();
    frame["trace_id"] = request["trace_id"].clone();
    frame["parent_message_id"] = request["message_id"].clone();
    frame["kind"] = json!(kind);
    frame["payload"] = parse(payload.get().as_bytes());
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forger_neither_ends_nor_fills_a_stream() {
    let realm = Realm::start().await;
    let alice = realm.agent("alice").start().await.unwrap();
    let bob = realm
        .agent("bob")
        .on_message(|_, context| async move {
            let stream = context.reply_stream().await?;
            for number in 0..50 {
                stream.delta(&format!("{number} ")).await?;
            }
            stream.end().await?;
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let bob_id = bob.account_id().unwrap();
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let client = RawClient::connect(&realm.nats.url()).await.unwrap();
    let mut requests = client.subscribe(format!("account.{bob_id}.inbox")).await.unwrap();
    settle(&client).await;
    let as_bob = bob_id.clone();
    let forger = tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let Some(subject) = message.reply else { continue };
            let request = parse(&message.payload);
            let frame = |seq, part| StreamFrame::new("forged", seq, part).to_payload();
            let delta = frame(
                0,
                StreamPart::Delta {
                    delta: RawJson::from(json!("forged")),
                },
            );
            let end = frame(1, StreamPart::end(None));
            let cancel = StreamCancel { stream_id: None }.to_payload();
            let cancels = agentnet::protocol::stream::cancel_subject(&subject);
            let mut says = Vec::new();
            for (payload, kind) in [(&delta, "stream"), (&end, "stream"), (&delta, "reply")] {
                let own = forged(&mallory, &request, payload, kind);
                let bobs = with(own.clone(), "from_account_id", json!(as_bob));
                says.extend([own.clone(), bobs.clone(), mallory.sign(&own), mallory.sign(&bobs)]);
            }
            for reply in says {
                client.publish(subject.clone(), reply.to_string().into()).await.unwrap();
            }
            // A forged cancel: unsigned, by another account, in the requester's name.
            let own = forged(&mallory, &request, &cancel, "stream");
            let asker = with(own.clone(), "from_account_id", request["from_account_id"].clone());
            for cancel in [asker.clone(), mallory.sign(&own), mallory.sign(&asker)] {
                for _ in 0..3 {
                    client
                        .publish(cancels.clone(), cancel.to_string().into())
                        .await
                        .unwrap();
                }
            }
        }
    });
    let expected: String = (0..50).map(|number| format!("{number} ")).collect();
    for round in 0..5 {
        let stream = alice
            .request_stream("@bob", json!(round))
            .timeout(DEADLINE)
            .await
            .unwrap();
        assert_eq!(stream.text().await.unwrap(), expected, "{round}");
    }
    assert!(alice.metrics_snapshot().refused_reply_count >= 12);
    assert_eq!(bob.metrics_snapshot().error_count, 0, "no stream was cancelled");
    forger.abort();
    bob.close().await;
    alice.close().await;
}

/// A stream to an inbox: every frame is signed, and so is every receipt that it waits for; the owner's cancel counts.
#[tokio::test(flavor = "multi_thread")]
async fn signed_streams_work() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let alice = realm.agent("alice").start().await.unwrap();
    let stream = alice.send_stream("@bob").await.unwrap();
    for number in 0..5 {
        stream.delta(&number.to_string()).await.unwrap();
    }
    stream.end().await.unwrap();
    assert_eq!(handled(&notes, 7).await.len(), 7);
    assert_eq!(alice.metrics_snapshot().retry_count, 0);
    bob.close().await;

    let endless = realm.agent("endless").on_message(|_, context| async move {
        let stream = context.reply_stream().await?;
        while !stream.is_cancelled() {
            stream.delta("on and on ").await?;
        }
        Ok(())
    });
    let endless = endless.start().await.unwrap();
    let mut stream = alice.request_stream("@endless", json!(1)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    agentnet_testkit::eventually_true(DEADLINE, "it is cancelled", async || {
        endless.metrics_snapshot().inflight_count == 0
    })
    .await
    .unwrap();
    endless.close().await;
    alice.close().await;
}
