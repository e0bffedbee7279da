//! Thread counters, limits and paging.

use agentnet_protocol::Timestamp;
use agentnet_protocol::cursor::{Cursor, CursorError, encode_text};
use agentnet_protocol::json::Value;
use agentnet_protocol::thread::{self, TokenLimits};

use crate::loader::{Case, check_each};

/// Section 0, decision 1: the status is always `ok`; the recorded `status` describes the Python implementation.
#[test]
fn thread_status() {
    assert_eq!(thread::STATUS, "ok");
    check_each("thread_status", |case| {
        let counters = Case {
            value: case.get("thread"),
        };
        let registry = Case {
            value: case.get("registry"),
        };
        let pending = thread::pending_messages(counters.int("message_count"), counters.int("latest_checkpoint_end"));
        assert_eq!(pending, case.int("pending_messages"));

        let request = case.get("request").to_string();
        let request = Value::parse(&request)
            .unwrap()
            .as_object()
            .expect("the request is an object");
        let limits = TokenLimits::new(registry.int("soft"), registry.int("hard"))
            .requested(&request.get("soft_limit_tokens"), &request.get("hard_limit_tokens"))
            .expect("no limit is infinite");
        assert_eq!(
            (limits.soft(), limits.hard()),
            (case.int("soft_limit_tokens"), case.int("hard_limit_tokens"))
        );
    });
}

#[test]
fn token_estimates() {
    check_each("token_estimates", |case| {
        let tokens = thread::estimate_tokens(case.int("byte_count"), case.float("chars_per_token"));
        assert_eq!(tokens, case.int("tokens"));
    });
}

/// Section 0, decision 2: a store can keep every number, so an end beyond 64 bits, written as text here, saturates.
#[test]
fn checkpoint_end() {
    check_each("checkpoint_end", |case| {
        let expected = match case.opt_text("checkpoint_end") {
            Some(digits) => digits.parse().unwrap_or(i64::MAX),
            None => case.int("checkpoint_end"),
        };
        let payload = Value::parse(case.text("payload_json")).expect("the payload is JSON");
        assert_eq!(thread::checkpoint_end(&payload), expected);
    });
}

/// Section 0, decision 3: what the recordings treat as no cursor is an error here, unless it is blank.
#[test]
fn cursors() {
    check_each("cursors", |case| {
        if case.text("op") == "encode" {
            let message_id = case.text("message_id");
            let time = case
                .opt_text("sent_at_datetime")
                .map(|text| Timestamp::parse(text).expect("a time"));
            let encoded = match (time, case.opt_text("sent_at")) {
                (Some(sent_at), _) => Cursor {
                    sent_at,
                    message_id: message_id.to_owned(),
                }
                .encode(),
                (None, sent_at) => encode_text(sent_at.expect("a time or its text"), message_id),
            };
            assert_eq!(encoded, case.text("cursor"));
        }
        let cursor = case.text("cursor");
        let expected = match (case.opt_text("decoded_sent_at"), case.opt_text("decoded_message_id")) {
            (Some(sent_at), Some(message_id)) => {
                let sent_at = Timestamp::parse(sent_at).expect("a time");
                Ok(Some(Cursor {
                    sent_at,
                    message_id: message_id.to_owned(),
                }))
            }
            _ if cursor.trim().is_empty() => Ok(None),
            _ => Err(CursorError),
        };
        assert_eq!(Cursor::decode(cursor), expected);
    });
}
