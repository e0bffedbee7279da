//! What is read from payloads.

use agentnet_protocol::compaction::{CompactionRequired, is_compaction_required};
use agentnet_protocol::extract::extract_text;
use agentnet_protocol::json::Value;
use agentnet_protocol::preview::payload_preview;
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
