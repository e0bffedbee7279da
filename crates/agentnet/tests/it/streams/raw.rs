//! A reader against a producer that the test plays itself: disorder, loss, silence, flood.

use std::time::Duration;

use agentnet::protocol::stream::{AssembleError, StreamLimits, StreamWriter};
use agentnet::{RawJson, ReplyStream, StreamError, StreamRequest, json};
use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::net::DEADLINE;
use crate::streams::peer::{Asked, Harness, NOW, payloads};

/// Timeout of a stream or of one frame: longer than the time between two frames.
const STREAM_TIMEOUT: Duration = Duration::from_secs(2);

async fn ask(harness: &mut Harness, change: impl FnOnce(StreamRequest) -> StreamRequest) -> (ReplyStream, Asked) {
    let request = harness
        .alice
        .request_stream_account("acct_peer", "go")
        .timeout(DEADLINE)
        .idle_timeout(DEADLINE);
    let stream = change(request).await.unwrap();
    (stream, harness.asked().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_pieces_shuffled_and_doubled_arrive_exactly() {
    let mut harness = Harness::start().await;
    // The peer sends all 20,004 before the reader takes one.
    let (stream, asked) = ask(&mut harness, |request| request.buffer(30_000, 64 << 20)).await;
    let texts: Vec<String> = (0..10_000).map(|n| format!("{n} é\n")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let payloads = payloads(&texts);
    let mut arriving: Vec<RawJson> = payloads.iter().chain(&payloads).cloned().collect();
    arriving.shuffle(&mut StdRng::seed_from_u64(7));
    asked.frames(&arriving).await;
    harness.net.settle().await;

    let deltas: Vec<_> = stream
        .map(|delta| delta.map(|delta| (delta.seq, delta.value)))
        .collect()
        .await;
    assert_eq!(deltas.len(), 10_000);
    for (index, delta) in deltas.into_iter().enumerate() {
        let (seq, value) = delta.unwrap();
        assert_eq!(seq, index as u64 + 1);
        assert_eq!(value.deserialize::<String>().unwrap(), texts[index]);
    }
    let (stream, asked) = ask(&mut harness, |request| request.buffer(30_000, 64 << 20)).await;
    let (whole, ()) = tokio::join!(stream.finish(), asked.frames(&arriving));
    let whole = whole.unwrap();
    assert_eq!(whole.deltas, 10_000);
    assert!(whole.text == texts.concat());
}

#[tokio::test]
async fn a_producer_that_falls_silent_is_an_error_within_the_idle_timeout() {
    let mut harness = Harness::start().await;
    let (mut stream, asked) = ask(&mut harness, |request| request.idle_timeout(STREAM_TIMEOUT)).await;
    asked.frames(&payloads(&["a", "b", "c"])[..3]).await;
    assert_eq!(stream.next().await.unwrap().unwrap().text().as_deref(), Some("a"));
    assert_eq!(stream.next().await.unwrap().unwrap().text().as_deref(), Some("b"));
    // Repeating what was there is no sign of life.
    let repeating = async {
        let mut pace = tokio::time::interval(STREAM_TIMEOUT / 8);
        loop {
            pace.tick().await;
            asked.frame(&payloads(&["a"])[1]).await;
        }
    };
    let error = tokio::select! {
        item = tokio::time::timeout(DEADLINE, stream.next()) => item.unwrap().unwrap().unwrap_err(),
        () = repeating => unreachable!(),
    };
    assert_eq!(
        error,
        StreamError::Idle {
            last_seq: 2,
            idle: STREAM_TIMEOUT
        }
    );
    assert!(stream.next().await.is_none());
    assert_eq!(stream.text_so_far(), "ab", "what came is still there");
    assert_eq!(stream.finish().await.unwrap_err(), error);
}

#[tokio::test]
async fn a_producer_that_never_answers_is_an_error_within_the_timeout() {
    let mut harness = Harness::start().await;
    let (stream, _asked) = ask(&mut harness, |request| request.timeout(STREAM_TIMEOUT)).await;
    let error = tokio::time::timeout(DEADLINE, stream.text())
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(
            error,
            StreamError::Timeout {
                timeout: STREAM_TIMEOUT,
                ..
            }
        ),
        "{error}"
    );

    let request = harness.alice.request_stream_account("acct_nobody", "hi");
    let error = request.timeout(Duration::MAX).await.unwrap().text().await.unwrap_err();
    let subject = "account.acct_nobody.inbox".to_owned();
    assert_eq!(error, StreamError::NoResponders { subject });
}

#[tokio::test]
async fn a_short_idle_timeout_counts_though_the_first_is_long() {
    let mut harness = Harness::start().await;
    let (stream, asked) = ask(&mut harness, |request| {
        request.timeout(DEADLINE * 10).idle_timeout(STREAM_TIMEOUT)
    })
    .await;
    let reading = tokio::spawn(stream.text());
    asked.frame(&payloads(&[])[0]).await;
    let error = tokio::time::timeout(DEADLINE, reading)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error,
        StreamError::Idle {
            last_seq: 0,
            idle: STREAM_TIMEOUT
        }
    );
}

#[tokio::test]
async fn frames_that_never_come_are_named() {
    let mut harness = Harness::start().await;
    let (mut stream, asked) = ask(&mut harness, |request| request.idle_timeout(STREAM_TIMEOUT)).await;
    let payloads = payloads(&["a", "b", "c", "d"]);
    for seq in [0, 1, 3, 5] {
        asked.frame(&payloads[seq]).await;
    }
    assert_eq!(stream.next().await.unwrap().unwrap().seq, 1);
    let error = stream.next().await.unwrap().unwrap_err();
    let missing = StreamError::Missing {
        first: vec![2, 4],
        count: 2,
        idle: STREAM_TIMEOUT,
    };
    assert_eq!(error, missing);

    // An error whose pieces are missing is still that error.
    let (stream, asked) = ask(&mut harness, |request| request.idle_timeout(STREAM_TIMEOUT)).await;
    let mut writer = StreamWriter::new("s1");
    asked.frame(&writer.start(None, NOW)).await;
    let _lost = writer.text("lost");
    asked.frame(&writer.error("broken", None, NOW)).await;
    let error = stream.text().await.unwrap_err();
    let detail = String::new();
    assert_eq!(
        error,
        StreamError::Failed {
            code: "broken".to_owned(),
            detail
        }
    );
}

#[tokio::test]
async fn what_is_no_frame_of_the_stream_is_told_apart() {
    let mut harness = Harness::start().await;
    let (stream, asked) = ask(&mut harness, |request| request).await;
    let own = payloads(&["a", "b"]);
    let mut other = StreamWriter::new("s2");
    asked.frames(&own[..2]).await;
    asked.frame(&other.start(None, NOW)).await;
    asked.frame(&other.text("x")).await;
    asked
        .frame(&RawJson::parse(r#"{"type":"stream_pause"}"#).unwrap())
        .await;
    asked
        .answer("reply", &RawJson::parse(r#"{"text":"done"}"#).unwrap())
        .await;
    asked.frames(&own[2..]).await;
    assert_eq!(stream.text().await.unwrap(), "ab");

    // Agents that leave the kind to their library send `reply`.
    let (stream, asked) = ask(&mut harness, |request| request).await;
    for payload in &own {
        asked.answer("reply", payload).await;
    }
    assert_eq!(stream.text().await.unwrap(), "ab");

    let (stream, asked) = ask(&mut harness, |request| request).await;
    asked
        .frame(&RawJson::parse(r#"{"type":"stream_delta","seq":1,"delta":"a"}"#).unwrap())
        .await;
    let error = stream.text().await.unwrap_err();
    assert!(matches!(error, StreamError::Frame { .. }), "{error}");

    let (stream, asked) = ask(&mut harness, |request| request.timeout(STREAM_TIMEOUT)).await;
    asked.client.publish(asked.reply.clone(), "[1]".into()).await.unwrap();
    let error = stream.text().await.unwrap_err();
    assert!(matches!(error, StreamError::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_loses_its_stream_and_nothing_else() {
    let mut harness = Harness::start().await;
    let cancels = harness.net.capture("_INBOX.*.*.cancel").await;
    let texts = vec!["0123456789"; 100];
    for (frames, bytes) in [(10, 1 << 20), (1000, 3000)] {
        let (mut slow, asked) = ask(&mut harness, |request| request.buffer(frames, bytes)).await;
        asked.frames(&payloads(&texts)).await;
        // A reply behind all frames: the listening task went past them.
        let (other, asked_too) = ask(&mut harness, |request| request).await;
        asked_too.frames(&payloads(&["fine"])).await;
        assert_eq!(other.text().await.unwrap(), "fine");

        let mut read = 0;
        let error = loop {
            match slow.next().await.unwrap() {
                Ok(delta) => {
                    read += 1;
                    assert_eq!(delta.seq, read, "what was queued is still read, in order");
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error, StreamError::TooSlow { frames, bytes });
        assert!((1..100).contains(&read), "{read}");
        let told = |seen: &agentnet_testkit::Captured| seen.subject == format!("{}.cancel", asked.reply);
        cancels.wait_for(told, DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_for_missing_frames_has_limits() {
    let mut harness = Harness::start().await;
    let mut limits = StreamLimits::default();
    limits.held_frames = 2;
    let (stream, asked) = ask(&mut harness, |request| request.limits(limits)).await;
    asked.frames(&payloads(&["a", "b", "c", "d"])[2..]).await;
    let error = stream.text().await.unwrap_err();
    let full = AssembleError::Full {
        frames: 2,
        bytes: 6,
        missing: 0,
    };
    assert_eq!(error, StreamError::Assemble(full));
}

#[tokio::test]
async fn pieces_can_be_any_json() {
    let mut harness = Harness::start().await;
    let (stream, asked) = ask(&mut harness, |request| request).await;
    let values = [
        json!(null),
        json!([1, 2.5]),
        json!({ "a": { "b": "é" } }),
        json!(true),
        json!("text"),
    ];
    let mut writer = StreamWriter::new("s1");
    asked.frame(&writer.start(None, NOW)).await;
    // `null` is no piece: the frame that carries it cannot be read.
    for value in &values[1..] {
        asked.frame(&writer.delta(RawJson::from(value))).await;
    }
    asked.frame(&writer.end(None, NOW)).await;
    let read: Vec<serde_json::Value> = stream
        .map(|delta| delta.unwrap().value.deserialize().unwrap())
        .collect()
        .await;
    assert_eq!(read, values[1..]);
}

#[tokio::test]
async fn the_text_of_the_end_counts_though_it_is_empty() {
    let mut harness = Harness::start().await;
    for (end, text) in [
        (json!({ "text": "", "result": "of the result" }), ""),
        (json!({ "text": "other", "result": "of the result" }), "other"),
        (json!({ "result": "of the result" }), "piece"),
    ] {
        let (stream, asked) = ask(&mut harness, |request| request).await;
        let mut frames = payloads(&["piece"]);
        let mut last = json!({ "type": "stream_end", "stream_id": "s1", "seq": 2 });
        last.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
        *frames.last_mut().unwrap() = RawJson::from(last);
        asked.frames(&frames).await;
        assert_eq!(stream.finish().await.unwrap().text, text, "{end}");
    }
}

#[tokio::test]
async fn the_error_of_the_registry_for_an_absent_account_ends_the_stream() {
    let mut harness = Harness::start().await;
    harness.net.registry.know("peer", "acct_peer");
    for _ in 0..2 {
        // When she gets the list, all that she has asked for before is counted, repeats included.
        harness.alice.list_online().await.unwrap();
        let before = harness.net.registry.calls("resolve_account");
        let request = harness.alice.request_stream("@peer", "go").timeout(DEADLINE);
        let stream = request.await.unwrap();
        let asked = harness.asked().await;
        let refusal = json!({ "error": "recipient_offline", "detail": "offline since noon" });
        asked.answer("error", &RawJson::from(refusal)).await;
        let error = stream.text().await.unwrap_err();
        assert_eq!(error.to_string(), "recipient_offline: offline since noon");
        let calls = harness.net.registry.calls("resolve_account");
        assert!(calls > before, "the name is looked up again");
    }
}
