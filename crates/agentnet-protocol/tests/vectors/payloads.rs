//! Texts, errors and records read from payloads.

use agentnet_protocol::RawJson;
use agentnet_protocol::compaction::{CompactionRequired, is_compaction_required};
use agentnet_protocol::json::Value;
use agentnet_protocol::payload_text::extract_text;
use agentnet_protocol::preview::payload_preview;
use agentnet_protocol::stream::{AssembleError, StreamAssembler, StreamError, StreamFrame, StreamPart};
use serde_json::json;

use crate::loader::check_each;

/// The recordings are of the Python helper; `pending_messages` and `keep_tail_messages`, which it leaves out, are read too.
#[test]
fn compaction_events() {
    check_each("compaction_events", |case| {
        let source = Value::parse(case.text("source_json")).expect("the source is JSON");
        assert_eq!(json!(is_compaction_required(&source)), *case.get("is_compaction"));
        let event = CompactionRequired::parse(&source).map(|event| {
            json!({
                "thread_id": event.thread_id,
                "status": event.status,
                "message_count": event.message_count,
                "byte_count": event.byte_count,
                "approx_tokens": event.approx_tokens,
                "soft_limit_tokens": event.soft_limit_tokens,
                "hard_limit_tokens": event.hard_limit_tokens,
                "latest_checkpoint_end": event.latest_checkpoint_end,
                "requested_at": event.requested_at,
                "reason": event.reason,
            })
        });
        assert_eq!(json!(event), *case.get("event"));
    });
}

#[test]
fn sdk_extract_text() {
    check_each("sdk_extract_text", |case| {
        let payload = Value::parse(case.text("payload_json")).expect("the payload is JSON");
        assert_eq!(extract_text(&payload).as_deref(), case.opt_text("text"));
    });
}

#[test]
fn cli_payload_preview() {
    check_each("cli_payload_preview", |case| {
        let payload = Value::parse(case.text("payload_json")).expect("the payload is JSON");
        assert_eq!(payload_preview(&payload), case.text("preview"));
    });
}

#[test]
fn stream_frames() {
    let json = |json: Option<RawJson>| json!(json.map(|json| json.deserialize::<serde_json::Value>().unwrap()));
    check_each("stream_frames", |case| {
        let payload = Value::parse(case.text("payload_json")).expect("the payload is JSON");
        let (frame, error) = match StreamFrame::parse(&payload) {
            Ok(frame) => (frame, None),
            Err(StreamError::StreamId) => (None, Some("stream_id")),
            Err(StreamError::Seq) => (None, Some("seq")),
            Err(StreamError::Delta) => (None, Some("delta")),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(error, case.opt_text("error"));
        let written = frame.as_ref().map(StreamFrame::to_payload);
        let read = frame.clone().map(|frame| {
            let mut read = json!({
                "stream_id": frame.stream_id, "seq": frame.seq,
                "role": &*frame.role, "content_type": &*frame.content_type,
            });
            let time = |time: Option<agentnet_protocol::Text>| json!(time.as_deref());
            let members = match frame.part {
                StreamPart::Start {
                    numbered,
                    started_at,
                    metadata,
                } => json!({
                    "type": "stream_start", "numbered": numbered,
                    "started_at": time(started_at), "metadata": json(metadata),
                }),
                StreamPart::Delta { delta } => json!({ "type": "stream_delta", "delta": json(Some(delta)) }),
                StreamPart::End {
                    text,
                    result,
                    finished_at,
                    metadata,
                } => json!({
                    "type": "stream_end", "text": time(text), "result": json(result),
                    "finished_at": time(finished_at), "metadata": json(metadata),
                }),
                StreamPart::Error {
                    error,
                    detail,
                    finished_at,
                    metadata,
                } => json!({
                    "type": "stream_error", "error": error, "detail": detail,
                    "finished_at": time(finished_at), "metadata": json(metadata),
                }),
            };
            let members = members.as_object().unwrap().clone();
            read.as_object_mut().unwrap().extend(members);
            read
        });
        assert_eq!(json!(read), *case.get("frame"));
        // What is read is written so that it reads the same.
        let again = written.map(|written| StreamFrame::parse(&written.view()).unwrap().unwrap());
        assert_eq!(again, frame);
    });
}

#[test]
fn stream_assembly() {
    check_each("stream_assembly", |case| {
        let mut assembler = StreamAssembler::new();
        let (mut pieces, mut failure) = (Vec::new(), None);
        for payload in case.get("payloads_json").as_array().unwrap() {
            let payload = Value::parse(payload.as_str().unwrap()).expect("the payload is JSON");
            let frame = StreamFrame::parse(&payload).unwrap().unwrap();
            let foreign = matches!(assembler.push(frame), Err(AssembleError::OtherStream { .. }));
            assert_eq!(
                foreign,
                case.text("case") == "frames of another stream" && payload.raw().contains("s2")
            );
            while let Some(frame) = assembler.pop() {
                match frame.part {
                    StreamPart::Delta { .. } => pieces.push(frame.part.text().unwrap().into_owned()),
                    StreamPart::Error { error, .. } => failure = Some(error),
                    _ => {}
                }
            }
        }
        assert_eq!(json!(pieces), *case.get("pieces"));
        assert_eq!(assembler.text(), case.text("text"));
        assert_eq!(json!(assembler.is_complete()), *case.get("complete"));
        let missing: Vec<u64> = assembler.missing().collect();
        assert_eq!(json!(missing), *case.get("missing"));
        assert_eq!(assembler.missing_count(), missing.len() as u64);
        assert_eq!(failure.as_deref(), case.opt_text("error"));
        assembler.end_here();
        let complete =
            assembler.is_complete() || std::iter::from_fn(|| assembler.pop()).any(|frame| frame.part.is_last());
        assert_eq!(json!(complete), *case.get("complete_at_end_here"));
    });
}
