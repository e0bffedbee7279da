//! Streams to an inbox: frames are messages that the receiver's guards admit one by one.

use std::sync::{Arc, Mutex};

use agentnet::protocol::stream::StreamAssembler;
use agentnet::{AgentBuilder, AgentNode, SendError, StreamError, Until, json};
use agentnet_testkit::{Captured, eventually_true};

use crate::net::{DEADLINE, agent, parse};
use crate::realm::Realm;

/// A node `bob` that assembles what comes.
pub(crate) async fn assembling(bob: AgentBuilder) -> (AgentNode, Arc<Mutex<StreamAssembler>>) {
    let assembler = Arc::new(Mutex::new(StreamAssembler::new()));
    let shared = assembler.clone();
    let bob = bob
        .on_message(move |message, _| {
            let shared = shared.clone();
            async move {
                assert_eq!(&*message.kind, "stream");
                let frame = message.stream_frame()?.expect("a frame");
                let mut assembler = shared.lock().unwrap();
                assembler.push(frame)?;
                while assembler.pop().is_some() {}
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    (bob, assembler)
}

pub(crate) async fn until_complete(assembler: &Mutex<StreamAssembler>) -> String {
    eventually_true(DEADLINE, "the stream is complete", async || {
        assembler.lock().unwrap().is_complete()
    })
    .await
    .unwrap();
    assembler.lock().unwrap().text().to_owned()
}

#[tokio::test]
async fn a_stream_to_an_inbox_keeps_to_the_receivers_rate() {
    let realm = Realm::start().await;
    // The default of 5 a second, after a burst that is over at once.
    let bob = agent(&realm.nats.url(), "bob").limits(|limits| limits.rate_limit_burst = 2);
    let (bob, assembler) = assembling(bob).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let wire = realm
        .capture(&format!("account.{}.inbox", bob.account_id().unwrap()))
        .await;
    let stream = alice
        .send_stream("@bob")
        .thread("t")
        .idempotency_key("poem")
        .metadata(json!({ "title": "t" }))
        .await
        .unwrap();
    let stream_id = stream.stream_id().to_owned();
    let expected: String = (0..14).map(|n| format!("{n} ")).collect();
    for n in 0..14 {
        stream.delta(&format!("{n} ")).await.unwrap();
    }
    assert!(!stream.is_cancelled());
    stream.end().await.unwrap();
    assert_eq!(until_complete(&assembler).await, expected);
    let metrics = bob.metrics_snapshot();
    assert!(metrics.rate_limited_count > 0, "the guard was met");
    eventually_true(DEADLINE, "each frame handled once", async || {
        bob.metrics_snapshot().processed_count == 16
    })
    .await
    .unwrap();

    let first = parse(&wire.wait_for(|_| true, DEADLINE).await.unwrap().payload);
    assert_eq!(
        (&first["thread_id"], &first["trace_id"]),
        (&json!("t"), &json!(stream_id))
    );
    assert_eq!(first["idempotency_key"], "poem:0");
    let same = |seen: &Captured| parse(&seen.payload)["trace_id"] == stream_id.as_str();
    assert!(wire.messages().iter().all(same));
}

#[tokio::test]
async fn unacknowledged_frames_go_as_fast_as_they_can() {
    let realm = Realm::start().await;
    let (bob, assembler) = assembling(realm.agent("bob")).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let to = bob.account_id().unwrap();
    let stream = alice
        .send_stream_to_account(&to)
        .until(Until::Published)
        .stream_id("mine")
        .await
        .unwrap();
    assert_eq!(stream.stream_id(), "mine");
    for n in 0..500 {
        stream.delta(&format!("{n},")).await.unwrap();
    }
    stream.end_with(json!({ "n": 500 })).await.unwrap();
    let expected: String = (0..500).map(|n| format!("{n},")).collect();
    assert_eq!(until_complete(&assembler).await, expected);
}

#[tokio::test]
async fn a_refused_frame_is_the_senders_error() {
    let realm = Realm::start().await;
    let (bob, _) = assembling(realm.agent("bob")).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let stream = alice.send_stream("@bob").ttl_ms(30_000).await.unwrap();
    // A stream that is dropped says so in the inbox too.
    let wire = realm
        .capture(&format!("account.{}.inbox", bob.account_id().unwrap()))
        .await;
    drop(stream);
    let last = wire.wait_for(|_| true, DEADLINE).await.unwrap();
    let payload = &parse(&last.payload)["payload"];
    assert_eq!(
        (&payload["type"], &payload["error"]),
        (&json!("stream_error"), &json!("stream_abandoned"))
    );
    bob.close().await;
    // The registry knows that the account is offline and rejects the first frame.
    let carol = realm.agent("carol").start().await.unwrap();
    let error = carol.send_stream("@bob").await.unwrap_err();
    assert!(
        matches!(&error, StreamError::Send(SendError::Rejected { code, .. }) if code == "recipient_offline"),
        "{error}"
    );
}
