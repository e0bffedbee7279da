use agentnet::json;
use rstest::rstest;
use serde_json::Value;

use super::*;

const OWN: &str = "acct_me";

fn message(id: &str, kind: &str, from: &str, payload: Value) -> HistoryMessage {
    HistoryMessage {
        message_id: id.into(),
        kind: kind.into(),
        from_account_id: Some(from.into()),
        payload: payload.into(),
        ..HistoryMessage::default()
    }
}

fn said(number: u64) -> HistoryMessage {
    message(
        &format!("m{number}"),
        "direct",
        "acct_a",
        json!({ "text": format!("text {number}") }),
    )
}

fn checkpoint(covers_end: i64, summary: &str) -> HistoryMessage {
    let payload = json!({ "type": "checkpoint", "covers_start": 1, "covers_end": covers_end, "summary": summary });
    message("checkpoint", "system", OWN, payload)
}

fn frame(kind: &str, stream_id: &str, seq: u64, rest: Value) -> HistoryMessage {
    let mut payload = json!({ "type": kind, "stream_id": stream_id, "seq": seq });
    for (name, value) in rest.as_object().unwrap() {
        payload[name] = value.clone();
    }
    message(&format!("{stream_id}_{seq}"), "stream", OWN, payload)
}

/// Reads a thread, its messages newest first.
fn read(messages: Vec<HistoryMessage>, current: Option<&str>) -> ThreadTail {
    let view = ThreadView {
        thread_id: "t",
        own: OWN,
        current,
    };
    let mut reading = Reading::new(view, Some(messages.len() as u64));
    for message in messages {
        reading.push(message);
    }
    reading.finish(true)
}

fn texts(tail: &ThreadTail) -> Vec<&str> {
    tail.entries.iter().map(|entry| &*entry.text).collect()
}

#[rstest]
#[case::none(0, &["text 5", "text 4", "text 3", "text 2", "text 1"], None)]
#[case::some(3, &["text 5", "text 4"], Some(3))]
#[case::all_before_it(5, &[], Some(5))]
#[case::itself(6, &["text 5", "text 4", "text 3", "text 2", "text 1"], None)]
#[case::the_future(1_000_000, &["text 5", "text 4", "text 3", "text 2", "text 1"], None)]
fn a_checkpoint_stands_for_what_it_covers(#[case] end: i64, #[case] expected: &[&str], #[case] covers: Option<i64>) {
    let mut messages = vec![checkpoint(end, "summary")];
    messages.extend((1..=5).rev().map(said));
    let tail = read(messages, None);
    assert_eq!(texts(&tail), expected);
    assert_eq!(tail.checkpoint.map(|checkpoint| checkpoint.covers_end), covers);
}

/// Two replicas can write a checkpoint at the same moment, if they sign.
#[test]
fn of_two_checkpoints_the_newest_counts() {
    let mut messages = vec![checkpoint(3, "newest"), checkpoint(3, "older")];
    messages.extend((1..=5).rev().map(said));
    let tail = read(messages, None);
    assert_eq!(tail.checkpoint.unwrap().summary, "newest");
    assert_eq!(tail.entries.len(), 2);
}

#[test]
fn the_checkpoint_that_covers_the_most_counts() {
    let mut messages = vec![checkpoint(2, "older"), checkpoint(3, "newer"), checkpoint(4, "  ")];
    messages.extend((1..=5).rev().map(said));
    let tail = read(messages, None);
    assert_eq!(tail.checkpoint.unwrap().summary, "newer");
    assert_eq!(tail.entries.len(), 2);
}

#[test]
fn a_streamed_answer_is_one_entry() {
    let tail = read(
        vec![
            frame("stream_end", "s1", 3, json!({ "text": "one two" })),
            frame("stream_delta", "s1", 2, json!({ "delta": "two" })),
            frame("stream_delta", "s1", 1, json!({ "delta": "one " })),
            frame("stream_start", "s1", 0, json!({})),
            said(1),
        ],
        None,
    );
    assert_eq!(texts(&tail), ["one two", "text 1"]);
    assert_eq!((tail.entries[0].speech, &*tail.entries[0].id), (Speech::Answer, "s1"));
}

#[rstest]
#[case::without_text("stream_end", json!({}), "one two")]
#[case::failed("stream_error", json!({ "error": "model_unavailable" }), "one two… (broken off)")]
#[case::killed("", json!({}), "one two… (broken off)")]
fn a_stream_is_put_together_from_its_pieces(#[case] last: &str, #[case] rest: Value, #[case] expected: &str) {
    let mut messages = vec![
        frame("stream_delta", "s1", 2, json!({ "delta": "two" })),
        frame("stream_delta", "s1", 1, json!({ "delta": "one " })),
        frame("stream_delta", "s1", 1, json!({ "delta": "one " })),
        frame("stream_start", "s1", 0, json!({})),
    ];
    if !last.is_empty() {
        messages.insert(0, frame(last, "s1", 3, rest));
    }
    assert_eq!(texts(&read(messages, None)), [expected]);
}

#[test]
fn what_came_after_the_current_message_is_left_out() {
    let at = |mut message: HistoryMessage, received_at: &str| {
        message.received_at = received_at.to_owned();
        message
    };
    let messages = vec![
        at(said(4), "2026-11-30T00:00:04Z"),
        at(said(3), "2026-11-30T00:00:03Z"),
        // Its sender's clock is ahead: it was received before.
        at(said(2), "2026-11-30T00:00:02.500000Z"),
        at(said(1), "2026-11-30T00:00:01Z"),
    ];
    let tail = read(messages, Some("m3"));
    assert_eq!(texts(&tail), ["text 2", "text 1"]);
}
