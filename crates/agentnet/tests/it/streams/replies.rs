//! Streams between two nodes: pieces, the whole, and what is no stream.

use agentnet::protocol::rpc::ThreadMessagesRequest;
use agentnet::{AgentNode, Context, HandlerResult, Message, SendError, StreamError, StreamRequest, json};
use agentnet_testkit::eventually_true;
use futures::StreamExt;
use serde_json::Value;

use crate::net::{DEADLINE, parse};
use crate::realm::Realm;

/// Answers by what the text of the message asks for.
async fn poet(message: Message, context: Context) -> HandlerResult {
    match message.text().as_deref() {
        Some("poem") => {
            let stream = context.reply_stream().metadata(json!({ "model": "m" })).await?;
            for word in ["roses ", "", " are\n", "réd"] {
                stream.delta(word).await?;
            }
            stream.delta_json(json!({ "rhymes": 0 })).await?;
            stream.delta_json(json!({ "text": "!" })).await?;
            stream.end_with(json!({ "words": 3 })).await?;
        }
        Some("fail") => {
            let stream = context.reply_stream().await?;
            stream.delta("ro").await?;
            stream.fail("no_muse", "she is on leave").await?;
        }
        Some("result only") => {
            let stream = context.reply_stream().await?;
            stream.end_with(json!({ "text": "roses" })).await?;
        }
        Some("error") => return Err("told to fail".into()),
        _ => {
            context.reply(json!({ "text": " plain " })).await?;
        }
    }
    Ok(())
}

struct Stage {
    realm: Realm,
    alice: AgentNode,
    _bob: AgentNode,
}

impl Stage {
    async fn start() -> Self {
        let realm = Realm::start().await;
        let bob = realm.agent("bob").capabilities(["poetry"]).on_message(poet);
        let _bob = bob.start().await.unwrap();
        let alice = realm.agent("alice").start().await.unwrap();
        Self { realm, alice, _bob }
    }

    fn ask(&self, text: &str) -> StreamRequest {
        self.alice
            .request_stream("@bob", json!({ "text": text }))
            .timeout(DEADLINE)
    }
}

#[tokio::test]
async fn a_stream_is_read_piece_by_piece_and_as_a_whole() {
    let stage = Stage::start().await;
    let wire = stage.realm.capture("agentnet.reply.>").await;
    let mut stream = stage.ask("poem").thread("t").trace("tr").await.unwrap();
    let request = stream.request().clone();
    assert_eq!((request.thread_id.as_str(), request.trace_id.as_str()), ("t", "tr"));
    let mut pieces = Vec::new();
    while let Some(delta) = stream.next().await {
        let delta = delta.unwrap();
        let text = delta.text().map(std::borrow::Cow::into_owned);
        pieces.push((delta.seq, serde_json::from_str(delta.value.get()).unwrap(), text));
    }
    let text = |text: &str| Some(text.to_owned());
    let expected: [(u64, Value, Option<String>); 6] = [
        (1, json!("roses "), text("roses ")),
        (2, json!(""), text("")),
        (3, json!(" are\n"), text(" are\n")),
        (4, json!("réd"), text("réd")),
        (5, json!({ "rhymes": 0 }), None),
        (6, json!({ "text": "!" }), text("!")),
    ];
    assert_eq!(pieces, expected);
    assert!(stream.next().await.is_none(), "nothing after the end");
    assert_eq!(stream.metadata().unwrap().get(), r#"{"model":"m"}"#);
    assert_eq!(stream.text_so_far(), "roses  are\nréd!");
    let whole = stream.finish().await.unwrap();
    assert_eq!(whole.text, "roses  are\nréd!");
    assert_eq!(whole.result.unwrap().get(), r#"{"words":3}"#);
    assert_eq!(whole.metadata.unwrap().get(), r#"{"model":"m"}"#);
    assert_eq!(whole.deltas, 6);

    // Every frame is a reply like any other.
    eventually_true(DEADLINE, "start, six pieces and the end are seen", async || {
        wire.messages().len() >= 8
    })
    .await
    .unwrap();
    let frames = wire.messages();
    assert_eq!(frames.len(), 8, "and no cancel");
    for (seq, frame) in frames.iter().enumerate() {
        let message = parse(&frame.payload);
        assert_eq!(message["kind"], "stream");
        assert_eq!(
            (&message["thread_id"], &message["trace_id"]),
            (&json!("t"), &json!("tr"))
        );
        assert_eq!(message["parent_message_id"], request.message_id.as_str());
        assert_eq!(message["payload"]["stream_id"], whole.stream_id.as_str());
        assert_eq!(message["payload"]["seq"], seq);
        assert_eq!(message["to_account_id"], stage.alice.account_id().unwrap());
    }
    assert_eq!(
        *whole.message.message_id,
        *parse(&frames[7].payload)["message_id"].as_str().unwrap()
    );

    // And is in the thread's history: the request, and each frame.
    eventually_true(DEADLINE, "all recorded", async || {
        let request = ThreadMessagesRequest {
            thread_id: "t".to_owned(),
            ..ThreadMessagesRequest::default()
        };
        let thread = stage.alice.thread_messages(&request).await;
        thread.is_ok_and(|thread| thread.messages.len() == 9)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_whole_can_be_had_at_once_and_from_the_middle() {
    let stage = Stage::start().await;
    let text = stage.ask("poem").await.unwrap().text().await.unwrap();
    assert_eq!(text, "roses  are\nréd!");

    let mut stream = stage
        .alice
        .request_stream_capability("poetry", json!({ "text": "poem" }))
        .timeout(DEADLINE)
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(stream.text_so_far(), "roses ");
    let whole = stream.finish().await.unwrap();
    assert_eq!((whole.text.as_str(), whole.deltas), ("roses  are\nréd!", 6));

    let whole = stage.ask("result only").await.unwrap().finish().await.unwrap();
    assert_eq!((whole.text.as_str(), whole.deltas), ("roses", 0));
}

#[tokio::test]
async fn an_ordinary_reply_is_one_piece_and_the_end() {
    let stage = Stage::start().await;
    let mut stream = stage.ask("anything").await.unwrap();
    let delta = stream.next().await.unwrap().unwrap();
    assert_eq!((delta.seq, delta.text().as_deref()), (0, Some(" plain ")));
    assert!(stream.next().await.is_none());
    let whole = stream.finish().await.unwrap();
    assert_eq!((whole.text.as_str(), whole.deltas), (" plain ", 1));
    assert_eq!(whole.result.unwrap().get(), r#"{"text":" plain "}"#);
    assert_eq!(&*whole.message.kind, "reply");
    assert_eq!(whole.stream_id, *whole.message.message_id);
}

#[tokio::test]
async fn errors_keep_their_code() {
    let stage = Stage::start().await;
    let mut stream = stage.ask("fail").await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text().as_deref(), Some("ro"));
    let error = stream.next().await.unwrap().unwrap_err();
    let failed = |code: &str, detail: &str| StreamError::Failed {
        code: code.to_owned(),
        detail: detail.to_owned(),
    };
    assert_eq!(error, failed("no_muse", "she is on leave"));
    assert_eq!(error.to_string(), "no_muse: she is on leave");
    assert!(stream.next().await.is_none(), "nothing after an error");
    assert_eq!(
        stream.finish().await.unwrap_err(),
        error,
        "the whole is not there either"
    );

    let error = stage.ask("error").await.unwrap().text().await.unwrap_err();
    assert_eq!(error, failed("handler_error", "handler raised an exception"));

    let error = stage.alice.request_stream("@nobody", "hi").await.unwrap_err();
    assert!(matches!(error, StreamError::Send(SendError::Resolve(_))), "{error}");
}

#[tokio::test]
async fn many_streams_at_once_do_not_mix() {
    const STREAMS: usize = 40;
    let realm = Realm::start().await;
    let _bob = realm
        .agent("bob")
        .on_message(|message, context| async move {
            let name = message.text().unwrap_or_default();
            let stream = context.reply_stream().await?;
            for n in 0..50 {
                stream.delta(&format!("{name}-{n} ")).await?;
                tokio::task::yield_now().await;
            }
            stream.end().await?;
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let alice = realm.agent("alice").start().await.unwrap();
    let texts = futures::future::join_all((0..STREAMS).map(|name| {
        let request = alice.request_stream("@bob", json!({ "text": name.to_string() }));
        async move { request.timeout(DEADLINE).await.unwrap().text().await.unwrap() }
    }))
    .await;
    for (name, text) in texts.into_iter().enumerate() {
        let expected: String = (0..50).map(|n| format!("{name}-{n} ")).collect();
        assert_eq!(text, expected);
    }
}

#[tokio::test]
async fn a_message_that_wants_no_reply_gets_no_stream() {
    let realm = Realm::start().await;
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let _bob = realm
        .agent("bob")
        .on_message(move |_, context| {
            let told = told.clone();
            async move {
                let _ = told.send(context.reply_stream().await.unwrap_err()).await;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let alice = realm.agent("alice").start().await.unwrap();
    alice.send("@bob", "hi").await.unwrap();
    let error = tokio::time::timeout(DEADLINE, heard.recv()).await.unwrap().unwrap();
    assert_eq!(error, StreamError::Send(SendError::NoReplySubject));
    // Nor is a request made that is too large for a message.
    let error = alice.request_stream("@bob", "x".repeat(300_000)).await.unwrap_err();
    assert!(
        matches!(error, StreamError::Send(SendError::TooLarge { .. })),
        "{error}"
    );
}
