//! Sends, asks, and the conversation they make.

use agentnet::{AgentSdk, SdkError, SendError, Until};
use agentnet_testkit::eventually_true;
use serde_json::{Value, json};

use crate::net::{DEADLINE, generous, parse};
use crate::realm::Realm;
use crate::sdk::{sdk, shouter};

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_gives_text_data_and_where_it_stands() {
    let realm = Realm::start().await;
    let bob = shouter(&realm, "bob").await;
    let alice = sdk(&realm, "alice").await;
    let account = bob.account_id().unwrap();
    for to in ["bob", "@bob", "username:Bob", account.as_str(), "capability:shout"] {
        let answer = alice.ask_text(to, "hello").thread("ops_1").await.unwrap();
        assert_eq!(answer.text.as_deref(), Some("HELLO"), "{to}");
        assert_eq!(answer.data.unwrap().get(), r#"{"text":"HELLO"}"#);
        assert_eq!(answer.thread_id, "ops_1");
        assert_ne!(Some(&answer.message_id), answer.parent_message_id.as_ref());
        // The question's own id: its trace and the answer's parent.
        assert_eq!(answer.trace_id, answer.parent_message_id);
    }
    let sent = alice.send_text("@bob", "hi").parent("m0").trace("t0").await.unwrap();
    assert!(sent.thread_id.starts_with("thread_sdk_"), "{}", sent.thread_id);
    assert_eq!(
        (sent.parent_message_id.as_deref(), sent.trace_id.as_deref()),
        (Some("m0"), Some("t0"))
    );
    assert_eq!((sent.text, sent.data), (None, None));
    let other = alice.ask_json("@bob", json!({ "text": "x" })).await.unwrap();
    assert!(other.thread_id.starts_with("thread_sdk_") && other.thread_id != sent.thread_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_carries_its_parent() {
    let realm = Realm::start().await;
    let _bob = shouter(&realm, "bob").await;
    let alice = sdk(&realm, "alice").await;
    let thread = alice.thread("ops_1");
    assert_eq!(thread.parent(), None);
    let first = thread.send_text("@bob", "one").await.unwrap();
    assert_eq!(
        (first.thread_id.as_str(), first.parent_message_id.as_deref()),
        ("ops_1", None)
    );
    assert_eq!(thread.parent(), Some(first.message_id.clone()));
    let wire = realm.capture("account.*.inbox").await;
    let answer = thread.ask_text("@bob", "two").await.unwrap();
    let question = wire.wait_for(|_| true, DEADLINE).await.unwrap();
    let question = parse(&question.payload);
    assert_eq!(question["parent_message_id"], first.message_id.as_str());
    assert_eq!(answer.parent_message_id.as_deref(), question["message_id"].as_str());
    let third = thread.clone().send_json("@bob", json!([1])).await.unwrap();
    assert_eq!(
        third.parent_message_id,
        Some(answer.message_id),
        "the answer is the next one's parent"
    );
    // What a call says of itself goes first; what fails changes nothing.
    let told = thread.send_text("@bob", "x").parent("elsewhere").await.unwrap();
    assert_eq!(told.parent_message_id.as_deref(), Some("elsewhere"));
    thread.ask_text("@bob", "fail").await.unwrap_err();
    assert_eq!(thread.parent(), Some(told.message_id));
    thread.set_parent(None);
    assert_eq!(thread.send_text("@bob", "x").await.unwrap().parent_message_id, None);
    let later = alice.thread("ops_1").after("m7");
    assert_eq!(
        later.send_text("@bob", "x").await.unwrap().parent_message_id.as_deref(),
        Some("m7")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_typed_by_their_code() {
    let realm = Realm::start().await;
    let _bob = shouter(&realm, "bob").await;
    let alice = sdk(&realm, "alice").await;

    let error = alice.ask_text("@bob", "fail").await.unwrap_err();
    assert!(matches!(&error, SdkError::Handler(_)), "{error:?}");
    assert_eq!(error.to_string(), "handler_error: handler raised an exception");
    assert!(error.refusal().unwrap().request_message_id.is_some());

    let error = alice.ask_text("@bob", "refuse").await.unwrap_err();
    assert_eq!(
        (error.to_string(), error.code()),
        ("out_of_milk: buy some".to_owned(), Some("out_of_milk"))
    );

    let error = alice
        .send_text("@bob", "fail")
        .until(Until::Processed)
        .await
        .unwrap_err();
    assert!(matches!(&error, SdkError::Handler(_)), "{error:?}");

    let order = || alice.ask_text("@bob", "x").idempotency_key("order_1");
    order().await.unwrap();
    let error = order().await.unwrap_err();
    assert!(matches!(&error, SdkError::Duplicate(_)), "{error:?}");

    let nobody = alice.ask_text("@nobody", "x").await.unwrap_err();
    assert!(matches!(nobody, SdkError::Send(SendError::Resolve(_))), "{nobody:?}");
    assert_eq!(nobody.to_string(), "No account found for username 'nobody'");
    let blank = alice.send_text(" ", "x").await.unwrap_err();
    assert_eq!(blank.to_string(), "target is required");

    let gone = shouter(&realm, "gone").await;
    gone.close().await;
    let error = alice.ask_text("@gone", "x").await.unwrap_err();
    assert_eq!(error.code(), Some("recipient_offline"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_and_too_fast_are_told_apart() {
    let realm = Realm::start().await;
    let one_at_a_time = realm.agent("slow").limits(|limits| {
        limits.max_concurrency = 1;
        limits.max_pending = 1;
    });
    let slow = one_at_a_time
        .on_message(|_, _| std::future::pending())
        .start()
        .await
        .unwrap();
    let strict = realm.agent("strict").limits(|limits| limits.rate_limit_burst = 1);
    let strict = strict.limits(|limits| limits.rate_limit_per_sender_per_sec = 0.1);
    let _strict = strict.on_message(|_, _| async { Ok(()) }).start().await.unwrap();
    let alice = sdk(&realm, "alice").await;
    // One in the handler, one in the backlog, and one too many.
    alice.send_text("@slow", "x").await.unwrap();
    eventually_true(DEADLINE, "the first is being handled", async || {
        slow.metrics_snapshot().inflight_count == 1
    })
    .await
    .unwrap();
    alice.send_text("@slow", "x").await.unwrap();
    let refused = alice.send_text("@slow", "x").await.err();
    assert!(matches!(&refused, Some(SdkError::Busy(_))), "{refused:?}");
    alice.send_text("@strict", "x").await.unwrap();
    let refused = alice.send_text("@strict", "x").await.unwrap_err();
    assert!(matches!(&refused, SdkError::RateLimited(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_starts_stops_and_handles() {
    let realm = Realm::start().await;
    let bob = AgentSdk::builder("bob").nats_url(realm.nats.url()).ignore_environment();
    let bob = bob.limits(generous).build().unwrap();
    bob.receive(|message, context| async move {
        // The high-level calls inside a handler, on the node that got the message.
        let sdk = AgentSdk::from(context.node().clone());
        let online = sdk.list_online().await?.len();
        context
            .reply(json!({ "text": format!("{online} of us, {}", message.text().unwrap_or_default()) }))
            .await?;
        Ok(())
    });
    bob.start().await.unwrap();
    let alice = sdk(&realm, "alice").await;
    let answer = alice.ask_text("@bob", "you said").await.unwrap();
    assert_eq!(answer.text.as_deref(), Some("2 of us, you said"));
    bob.stop().await;
    let error = bob.send_text("@alice", "x").await.unwrap_err();
    assert_eq!(error, SdkError::Send(SendError::NotRunning));
    let data: Value = answer.data.unwrap().deserialize().unwrap();
    assert_eq!(data["text"], "2 of us, you said");
}
