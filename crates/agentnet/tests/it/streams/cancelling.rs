//! A reader that is dropped, as its producer sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet::protocol::stream::{StreamCancel, StreamWriter};
use agentnet::{AgentNode, Context, Message, StreamError, json};
use agentnet_testkit::Captured;
use futures::StreamExt;
use tokio::sync::{Notify, mpsc};

use crate::net::{DEADLINE, from_now, now, parse};
use crate::realm::Realm;
use crate::streams::peer::{Harness, NOW, payloads};

/// The shortest time between two cancel messages for one dropped stream.
const CANCEL_INTERVAL: Duration = Duration::from_millis(200);

/// What a producer has seen.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Started,
    /// In its context, in its sender, and as the error of a send.
    Cancelled(bool, bool, StreamError),
    Ended,
}

/// A node `bob` that streams until it is cancelled: a few pieces, then it only waits. It opens its stream when told, and where
/// it ends its stream, it ends its handler when told.
async fn endless(realm: &Realm, open: Option<Arc<Notify>>) -> (AgentNode, mpsc::Receiver<Seen>) {
    let (seen, watch) = mpsc::channel(100);
    let handler = move |message: Message, context: Context| {
        let (seen, open) = (seen.clone(), open.clone());
        async move {
            if let Some(open) = &open {
                seen.send(Seen::Started).await?;
                open.notified().await;
            }
            let stream = context.reply_stream().await?;
            assert!(!context.is_cancelled() && !stream.is_cancelled());
            for _ in 0..3 {
                stream.delta("x").await.or_else(|error| match error {
                    StreamError::Cancelled => Ok(()),
                    error => Err(error),
                })?;
            }
            if message.text().as_deref() == Some("end") {
                stream.end().await?;
                seen.send(Seen::Ended).await?;
                open.ok_or("nobody tells")?.notified().await;
                assert!(!context.is_cancelled(), "an end that was read is no cancel");
                return Ok(());
            }
            tokio::join!(context.cancelled(), stream.cancelled());
            let error = stream.delta("more").await.unwrap_err();
            let cancelled = Seen::Cancelled(context.is_cancelled(), stream.is_cancelled(), error);
            seen.send(cancelled).await?;
            Ok(())
        }
    };
    let bob = realm.agent("bob").on_message(handler).start().await.unwrap();
    (bob, watch)
}

async fn next(watch: &mut mpsc::Receiver<Seen>) -> Seen {
    tokio::time::timeout(DEADLINE, watch.recv()).await.unwrap().unwrap()
}

fn cancelled() -> Seen {
    Seen::Cancelled(true, true, StreamError::Cancelled)
}

/// Readers that stop reading are no failures of the handler, though it gives the error on.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_reading_do_not_open_the_circuit() {
    let realm = Realm::start().await;
    let handler = |_: Message, context: Context| async move {
        let stream = context.reply_stream().await?;
        loop {
            stream.delta("x").await?;
            tokio::task::yield_now().await;
        }
    };
    let bob = realm.agent("bob").on_message(handler).start().await.unwrap();
    let alice = realm.agent("alice").start().await.unwrap();
    let wire = realm.capture("account.*.receipts").await;
    // The sixth would find the circuit open, if these were failures.
    for _ in 0..7 {
        let mut stream = alice.request_stream("@bob", "go").timeout(DEADLINE).await.unwrap();
        stream.next().await.unwrap().unwrap();
        let id = stream.request().message_id.clone();
        drop(stream);
        wire.wait_for(
            |seen| {
                let receipt = parse(&seen.payload);
                receipt["message_id"] == id.as_str() && receipt["status"] == "processed"
            },
            DEADLINE,
        )
        .await
        .unwrap();
    }
    assert_eq!(bob.metrics_snapshot().dropped_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_reader_is_seen() {
    let realm = Realm::start().await;
    let (_bob, mut watch) = endless(&realm, None).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let wire = realm.capture("agentnet.reply.>").await;
    for _ in 0..5 {
        let mut stream = alice.request_stream("@bob", "go").timeout(DEADLINE).await.unwrap();
        stream.next().await.unwrap().unwrap();
        let request = stream.request().clone();
        let stream_id = stream.stream_id().unwrap().to_owned();
        drop(stream);
        assert_eq!(next(&mut watch).await, cancelled());
        // The cancel is a message of the request's thread.
        let of_this = |seen: &Captured| {
            seen.subject.ends_with(".cancel")
                && parse(&seen.payload)["parent_message_id"] == request.message_id.as_str()
        };
        let cancel = parse(&wire.wait_for(of_this, DEADLINE).await.unwrap().payload);
        assert_eq!(cancel["kind"], "stream");
        assert_eq!(cancel["thread_id"], request.thread_id.as_str());
        assert_eq!(
            cancel["payload"],
            json!({ "type": "stream_cancel", "stream_id": stream_id })
        );
    }
    // A cancelled stream gets no last word.
    let spoken = |seen: &Captured| parse(&seen.payload)["payload"]["type"] == "stream_error";
    assert!(!wire.messages().iter().any(spoken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_dropped_before_the_first_frame_is_seen_when_the_stream_opens() {
    let realm = Realm::start().await;
    let open = Arc::new(Notify::new());
    let (_bob, mut watch) = endless(&realm, Some(open.clone())).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let wire = realm.capture("agentnet.reply.>").await;
    let stream = alice.request_stream("@bob", "go").timeout(DEADLINE).await.unwrap();
    assert_eq!(next(&mut watch).await, Seen::Started);
    drop(stream);
    // Its cancel is published before there is a subscriber.
    wire.wait_for(|seen| seen.subject.ends_with(".cancel"), DEADLINE)
        .await
        .unwrap();
    open.notify_one();
    assert_eq!(next(&mut watch).await, cancelled());
}

#[tokio::test]
async fn a_stream_that_was_read_to_its_end_is_not_cancelled() {
    let realm = Realm::start().await;
    let told = Arc::new(Notify::new());
    let (bob, mut watch) = endless(&realm, Some(told.clone())).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let wire = realm.capture("agentnet.reply.*.*.*.cancel").await;
    let request = alice.request_stream("@bob", json!({ "text": "end" }));
    let stream = request.timeout(DEADLINE).await.unwrap();
    assert_eq!(next(&mut watch).await, Seen::Started);
    told.notify_one();
    assert_eq!(stream.text().await.unwrap(), "xxx");
    assert_eq!(next(&mut watch).await, Seen::Ended);
    // When she is gone, all that she had to say is on the wire.
    alice.close().await;
    let fence = "agentnet.reply.a.b.c.cancel";
    realm.raw.publish(fence, "".into()).await.unwrap();
    assert_eq!(wire.wait_for(|_| true, DEADLINE).await.unwrap().subject, fence);
    told.notify_one();
    bob.close().await;
    assert_eq!(bob.metrics_snapshot().error_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_readers_node_cancels_what_it_reads() {
    let realm = Realm::start().await;
    let (_bob, mut watch) = endless(&realm, None).await;
    let alice = realm.agent("alice").start().await.unwrap();
    let mut stream = alice.request_stream("@bob", "go").timeout(DEADLINE).await.unwrap();
    stream.next().await.unwrap().unwrap();
    alice.close().await;
    assert_eq!(next(&mut watch).await, cancelled());
    let error = stream.text().await.unwrap_err();
    assert_eq!(error, StreamError::Send(agentnet::SendError::NotRunning));
    // Dropped without a goodbye, too.
    let alice = realm.agent("alice2").start().await.unwrap();
    let mut stream = alice.request_stream("@bob", "go").timeout(DEADLINE).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(alice);
    assert!(tokio::time::timeout(DEADLINE, stream.text()).await.unwrap().is_err());
    assert_eq!(next(&mut watch).await, cancelled());
}

#[tokio::test]
async fn a_reader_goes_on_telling_a_producer_that_did_not_hear() {
    let mut harness = Harness::start().await;
    let wire = harness.net.capture("_INBOX.*.*.cancel").await;
    let request = harness.alice.request_stream_account("acct_peer", "go");
    let stream = request.timeout(DEADLINE).await.unwrap();
    let asked = harness.asked().await;
    drop(stream);
    let count = |count: usize| move |seen: &[Captured]| seen.len() >= count;
    wire.wait_until(count(1), DEADLINE).await.unwrap();
    let any = StreamCancel::parse(&agentnet::RawJson::from(&parse(&wire.messages()[0].payload)["payload"]).view());
    assert_eq!(any, Some(StreamCancel { stream_id: None }), "no frame was seen yet");
    // The producer goes on: told again, now by name, but not for every frame.
    let mut writer = StreamWriter::new("s9");
    let began = Instant::now();
    asked.frame(&writer.start(None, NOW)).await;
    wire.wait_until(count(2), DEADLINE).await.unwrap();
    let again = parse(&wire.messages()[1].payload);
    assert_eq!(again["payload"], json!({ "type": "stream_cancel", "stream_id": "s9" }));
    let until_two_more = async {
        while wire.messages().len() < 4 {
            asked.frame(&writer.text("x")).await;
            harness.net.settle().await;
        }
    };
    tokio::time::timeout(DEADLINE, until_two_more).await.unwrap();
    assert!(began.elapsed() >= CANCEL_INTERVAL * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_producer_that_ends_needs_no_telling() {
    let mut harness = Harness::start().await;
    let wire = harness.net.capture("_INBOX.*.*.cancel").await;
    // What ends the stream needs no answer, nor does an ordinary reply; a frame as the first that is heard would get one at
    // once.
    let whole = payloads(&["x"]);
    let mut streams = Vec::new();
    for (kind, last) in [
        ("stream", &whole[2]),
        ("reply", &whole[2]),
        ("reply", &agentnet::RawJson::null()),
        ("stream", &whole[1]),
    ] {
        let request = harness.alice.request_stream_account("acct_peer", "go");
        let stream = request.timeout(DEADLINE).await.unwrap();
        let asked = harness.asked().await;
        drop(stream);
        let subject = format!("{}.cancel", asked.reply);
        wire.wait_for(|seen| seen.subject == subject, DEADLINE).await.unwrap();
        asked.answer(kind, last).await;
        streams.push(subject);
    }
    let cancels = |seen: &[Captured], subject: &str| seen.iter().filter(|seen| seen.subject == subject).count();
    let frame_is_answered = |seen: &[Captured]| cancels(seen, &streams[3]) == 2;
    wire.wait_until(frame_is_answered, DEADLINE).await.unwrap();
    // When she is gone, all that she had to say is on the wire.
    harness.alice.close().await;
    let fence = "_INBOX.a.b.cancel";
    harness.net.raw.publish(fence, "".into()).await.unwrap();
    wire.wait_for(|seen| seen.subject == fence, DEADLINE).await.unwrap();
    let said: Vec<_> = streams
        .iter()
        .map(|subject| cancels(&wire.messages(), subject))
        .collect();
    assert_eq!(said, [1, 1, 1, 2]);
}

/// Requests with the reply subject that other NATS clients use.
#[tokio::test]
async fn a_foreign_reader_can_cancel() {
    let realm = Realm::start().await;
    let (bob, mut watch) = endless(&realm, None).await;
    let account = bob.account_id().unwrap();
    let ask = async |reply: &str| {
        let request = json!({
            "message_id": format!("{:032x}", rand::random::<u128>()), "from_agent": "py", "to_agent": account,
            "payload": "go", "sent_at": now(), "kind": "request", "schema_version": "1.1",
            "from_account_id": "acct_py", "ttl_ms": 30_000, "expires_at": from_now(30_000),
        });
        let body = request.to_string().into();
        let inbox = format!("account.{account}.inbox");
        realm
            .raw
            .publish_with_reply(inbox, reply.to_owned(), body)
            .await
            .unwrap();
    };
    let cancel = async |reply: &str, stream_id: &serde_json::Value| {
        let cancel = json!({
            "message_id": "c1", "from_agent": "py", "to_agent": account, "sent_at": now(), "kind": "stream",
            "payload": { "type": "stream_cancel", "stream_id": stream_id },
        });
        let body = cancel.to_string().into();
        realm.raw.publish(format!("{reply}.cancel"), body).await.unwrap();
    };
    for (reply, named) in [("_INBOX.py1", true), ("_INBOX.py2.7", false)] {
        let mut frames = realm.raw.subscribe(reply).await.unwrap();
        ask(reply).await;
        let first = tokio::time::timeout(DEADLINE, frames.next()).await.unwrap().unwrap();
        let first = parse(&first.payload);
        assert_eq!(
            (&first["payload"]["type"], &first["payload"]["seq"]),
            (&json!("stream_start"), &json!(0))
        );
        assert_eq!(first["to_account_id"], "acct_py");
        // What does not concern the stream is not heard.
        realm
            .raw
            .publish(format!("{reply}.cancel"), "no json".into())
            .await
            .unwrap();
        cancel(reply, &json!("another stream")).await;
        crate::net::settle(&realm.raw).await;
        assert!(watch.try_recv().is_err());
        let name = if named {
            first["payload"]["stream_id"].clone()
        } else {
            json!(null)
        };
        cancel(reply, &name).await;
        assert_eq!(next(&mut watch).await, cancelled());
    }
}
