//! Producers that do not come to an end.

use std::time::Duration;

use agentnet::{AgentNode, Context, HandlerResult, Message, ReplyStream, StreamError, StreamSender, json};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::net::DEADLINE;
use crate::realm::Realm;

async fn read(stream: ReplyStream) -> (String, StreamError) {
    let mut stream = stream;
    let mut text = String::new();
    loop {
        let item = tokio::time::timeout(DEADLINE, stream.next())
            .await
            .expect("no silence")
            .unwrap();
        match item {
            Ok(delta) => text.push_str(&delta.text().unwrap()),
            Err(error) => return (text, error),
        }
    }
}

fn code(error: &StreamError) -> &str {
    match error {
        StreamError::Failed { code, .. } => code,
        other => panic!("{other}"),
    }
}

/// The work timeout in tests whose handlers exceed it.
const WORK_TIMEOUT: Duration = Duration::from_secs(2);

async fn ask(alice: &AgentNode, to: &str, text: &str) -> ReplyStream {
    // A reader that waits for ever: what it learns, it is told.
    let request = alice.request_stream(to, json!({ "text": text }));
    request.timeout(DEADLINE).idle_timeout(Duration::MAX).await.unwrap()
}

#[tokio::test]
async fn a_handler_that_does_not_end_its_stream_ends_it() {
    let realm = Realm::start().await;
    let handler = |message: Message, context: Context| async move {
        let stream = context.reply_stream().await?;
        stream.delta("a").await?;
        match message.text().as_deref() {
            Some("return") => Ok(()),
            Some("fail") => Err("told to fail".into()),
            Some("panic") => panic!("told to panic"),
            Some("too large") => {
                let error = stream.delta(&"x".repeat(300_000)).await.unwrap_err();
                assert!(matches!(error, StreamError::Send(agentnet::SendError::TooLarge { .. })));
                stream.delta("b").await?;
                stream.end_with("x".repeat(300_000)).await?;
                Ok(())
            }
            // A call that is given up leaves no gap in the numbers.
            Some("given up") => {
                for n in 0..200 {
                    let delta = stream.delta("-");
                    tokio::select! {
                        biased;
                        () = async { for _ in 0..n % 3 { tokio::task::yield_now().await; } } => {}
                        sent = delta => sent?,
                    }
                }
                stream.fail("done", "").await?;
                Ok(())
            }
            _ => {
                let () = std::future::pending().await;
                HandlerResult::Ok(())
            }
        }
    };
    let _bob = realm.agent("bob").on_message(handler).start().await.unwrap();
    let _hasty = realm
        .agent("hasty")
        .limits(|limits| limits.work_timeout = WORK_TIMEOUT)
        .on_message(handler)
        .start()
        .await
        .unwrap();
    let alice = realm.agent("alice").start().await.unwrap();
    // The sender's last word and the receiver's error reply: whichever is first.
    for (to, text, before, codes) in [
        ("@bob", "return", "a", &["stream_abandoned"][..]),
        ("@bob", "fail", "a", &["stream_abandoned", "handler_error"]),
        ("@bob", "panic", "a", &["stream_abandoned", "handler_error"]),
        ("@bob", "too large", "ab", &["stream_abandoned", "handler_error"]),
        ("@hasty", "hang", "a", &["stream_abandoned", "timeout"]),
    ] {
        let (read, error) = read(ask(&alice, to, text).await).await;
        assert_eq!(read, before, "{text}");
        assert!(codes.contains(&code(&error)), "{text}: {error}");
    }
    let (text, error) = read(ask(&alice, "@bob", "given up").await).await;
    assert!(text.starts_with("a-") && text.ends_with('-'), "{text}");
    assert_eq!(code(&error), "done");
}

/// A node `bob` whose streams outlive their handlers. When told to hang, it does, and opens none.
async fn spawning(realm: &Realm) -> (AgentNode, mpsc::Receiver<StreamSender>) {
    let (keep, kept) = mpsc::channel(10);
    let bob = realm
        .agent("bob")
        .limits(|limits| limits.work_timeout = WORK_TIMEOUT)
        .on_message(move |message, context| {
            let keep = keep.clone();
            async move {
                if message.text().as_deref() == Some("hang") {
                    std::future::pending::<()>().await;
                }
                let stream = context.reply_stream().await?;
                stream.delta("a").await?;
                keep.send(stream).await?;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    (bob, kept)
}

#[tokio::test]
async fn a_stream_outlives_its_handler_but_not_its_node() {
    let realm = Realm::start().await;
    let (bob, mut kept) = spawning(&realm).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let mut stream = ask(&alice, "@bob", "go").await;
    let sender = kept.recv().await.unwrap();
    stream.next().await.unwrap().unwrap();
    // Another handler that began later has taken longer than it may: so would this one have.
    let hung = alice.request("@bob", "hang").timeout(DEADLINE).await.unwrap();
    assert_eq!(hung.error_code().as_deref(), Some("timeout"));
    sender.delta("b").await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text().as_deref(), Some("b"));

    bob.close().await;
    let (_, error) = read(stream).await;
    assert_eq!(code(&error), "shutting_down");
    let error = sender.delta("c").await.unwrap_err();
    assert_eq!(error, StreamError::Send(agentnet::SendError::NotRunning));
}

#[tokio::test]
async fn a_node_that_is_dropped_ends_its_streams() {
    let realm = Realm::start().await;
    let (bob, mut kept) = spawning(&realm).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let stream = ask(&alice, "@bob", "go").await;
    let _sender = kept.recv().await.unwrap();
    drop(bob);
    let (text, error) = read(stream).await;
    assert_eq!((text.as_str(), code(&error)), ("a", "shutting_down"));
}

#[tokio::test]
async fn closing_a_node_whose_handler_streams_tells_the_reader() {
    let realm = Realm::start().await;
    let bob = realm
        .agent("bob")
        .limits(|limits| limits.drain_timeout = Duration::from_millis(100))
        .on_message(|_, context| async move {
            let stream = context.reply_stream().await?;
            stream.delta("a").await?;
            let () = std::future::pending().await;
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let alice = realm.agent("alice").start().await.unwrap();
    let mut stream = ask(&alice, "@bob", "go").await;
    stream.next().await.unwrap().unwrap();
    bob.close().await;
    let (_, error) = read(stream).await;
    assert!(["shutting_down", "stream_abandoned"].contains(&code(&error)), "{error}");
}
