//! Answers that come piece by piece, through the SDK.

use std::time::Duration;

use agentnet::{AgentNode, SdkError, StreamExt as _};
use agentnet_testkit::eventually_true;
use serde_json::json;

use crate::net::{DEADLINE, parse};
use crate::realm::Realm;
use crate::sdk::{sdk, shouter};

/// Answers with a stream of words, and fails or hangs in the middle when told to.
async fn poet(realm: &Realm) -> AgentNode {
    let agent = realm.agent("poet").on_message(|message, context| async move {
        let stream = context.reply_stream().metadata(json!({ "model": "m" })).await?;
        for word in ["roses ", "are "] {
            stream.delta(word).await?;
        }
        match message.text().as_deref() {
            Some("fail") => return Ok(stream.fail("out_of_ink", "buy some").await?),
            Some("hang") => stream.cancelled().await,
            _ => {}
        }
        stream.delta("red").await?;
        stream.end_with(json!({ "words": 3 })).await?;
        Ok(())
    });
    agent.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_come_in_order_and_the_whole_at_the_end() {
    let realm = Realm::start().await;
    let _poet = poet(&realm).await;
    let alice = sdk(&realm, "alice").await;
    let mut answer = alice.ask_stream("@poet", "a poem").thread("ops_1").await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = answer.next().await {
        pieces.push(piece.unwrap().text().unwrap().into_owned());
    }
    assert_eq!(pieces, ["roses ", "are ", "red"]);
    assert_eq!(answer.text_so_far(), "roses are red");
    let whole = answer.finish().await.unwrap();
    assert_eq!(
        (whole.text.as_deref(), whole.thread_id.as_str()),
        (Some("roses are red"), "ops_1")
    );
    assert_eq!(whole.data.unwrap().get(), r#"{"words":3}"#);
    assert!(whole.parent_message_id.is_some() && whole.trace_id == whole.parent_message_id);

    assert_eq!(
        alice
            .ask_json_stream("poet", json!({}))
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "roses are red"
    );
    // Everything is in the thread's history.
    eventually_true(DEADLINE, "the frames are stored", async || {
        alice
            .thread("ops_1")
            .messages()
            .await
            .is_ok_and(|page| page.messages.len() == 6)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_stream_gives_one_piece() {
    let realm = Realm::start().await;
    let _bob = shouter(&realm, "bob").await;
    let alice = sdk(&realm, "alice").await;
    let whole = alice.ask_stream("@bob", "hello").await.unwrap().finish().await.unwrap();
    assert_eq!(whole.text.as_deref(), Some("HELLO"));
    assert!(whole.thread_id.starts_with("thread_sdk_"));
    let refused = alice
        .ask_stream("@bob", "refuse")
        .await
        .unwrap()
        .finish()
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "out_of_milk: buy some");
    let failed = alice
        .ask_stream("@bob", "fail")
        .await
        .unwrap()
        .finish()
        .await
        .unwrap_err();
    assert!(matches!(failed, SdkError::Handler(_)), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_break_off_in_typed_ways() {
    let realm = Realm::start().await;
    let _poet = poet(&realm).await;
    let alice = sdk(&realm, "alice").await;
    let mut answer = alice.ask_stream("@poet", "fail").await.unwrap();
    assert!(answer.next().await.unwrap().is_ok() && answer.next().await.unwrap().is_ok());
    let error = answer.next().await.unwrap().unwrap_err();
    assert_eq!(
        (error.to_string(), error.code()),
        ("out_of_ink: buy some".to_owned(), Some("out_of_ink"))
    );
    assert!(answer.next().await.is_none());

    let idle = Duration::from_secs(3);
    let silent = alice.ask_stream("@poet", "hang").idle_timeout(idle).await.unwrap();
    let error = silent.finish().await.unwrap_err();
    assert!(matches!(&error, SdkError::Stream(_)), "{error:?}");
    assert!(
        error.to_string().starts_with("the stream went silent after frame 2"),
        "{error}"
    );
    let error = alice.ask_stream("@nobody", "x").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'nobody'");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_after_a_stream() {
    let realm = Realm::start().await;
    let _poet = poet(&realm).await;
    let wire = realm.capture("account.*.inbox").await;
    let alice = sdk(&realm, "alice").await;
    let thread = alice.thread("ops_1").after("m0");
    let whole = thread
        .ask_stream("@poet", "a poem")
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    let question = parse(&wire.wait_for(|_| true, DEADLINE).await.unwrap().payload);
    assert_eq!(
        (question["parent_message_id"].as_str(), question["thread_id"].as_str()),
        (Some("m0"), Some("ops_1"))
    );
    assert_eq!(thread.parent(), Some(whole.message_id.clone()));

    let bob = realm
        .agent("bob")
        .on_message(|_, _| async { Ok(()) })
        .start()
        .await
        .unwrap();
    let stream = thread.send_stream("@bob").await.unwrap();
    stream.delta("hi").await.unwrap();
    stream.end().await.unwrap();
    // Behind the frames on their way to bob.
    let fence = alice.send_text("@bob", "fence").await.unwrap();
    wire.wait_for(|seen| seen.text().contains(&fence.message_id), DEADLINE)
        .await
        .unwrap();
    let to_bob = |seen: &&agentnet_testkit::Captured| seen.subject.contains(&bob.account_id().unwrap());
    let mut frames: Vec<_> = wire
        .messages()
        .iter()
        .filter(to_bob)
        .map(|seen| parse(&seen.payload))
        .collect();
    assert_eq!(frames.pop().unwrap()["message_id"], fence.message_id.as_str());
    assert_eq!(frames.len(), 3);
    for frame in frames {
        assert_eq!(
            (frame["kind"].as_str(), frame["thread_id"].as_str()),
            (Some("stream"), Some("ops_1"))
        );
        assert_eq!(frame["parent_message_id"], whole.message_id.as_str());
    }
}
