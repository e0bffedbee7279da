//! Upper bounds of what travels on the wire.

use agentnet_protocol::Envelope;
use agentnet_protocol::json::Value;
use agentnet_protocol::limits::{check_capabilities, check_envelope};
use agentnet_protocol::rpc::{
    ListRequest, MessageSearchRequest, MetricsRequest, ProfileRequest, RegisterRequest, ResolveAccountRequest,
    ResolveKeyRequest, RotateKeyRequest, RpcError, SearchRequest, ThreadListRequest, ThreadMessagesRequest,
    ThreadStatusRequest, decode_request, decode_request_or_default,
};
use agentnet_protocol::stream::StreamFrame;
use serde_json::json;

use crate::loader::{Case, check_each};

#[test]
fn limits() {
    check_each("limits", |case| {
        let size = |member: &str| usize::try_from(case.get(member).as_u64().expect("a size")).unwrap();
        let text = case.text("unit_text").repeat(size("repeat"));
        let error = match case.text("where") {
            "envelope" => envelope(case, &text),
            "capabilities" => check_capabilities(&vec![text; size("count")])
                .err()
                .map(|error| error.to_string()),
            "stream" => stream(case, &text),
            "request" => request(case, text),
            other => panic!("no such place: {other}"),
        };
        assert_eq!(error.as_deref(), case.opt_text("error"));
    });
}

fn envelope(case: Case<'_>, text: &str) -> Option<String> {
    let body = json!({ case.text("member"): text });
    let envelope = Envelope::decode(body.to_string()).expect("an envelope");
    check_envelope(&envelope).err().map(|error| error.to_string())
}

fn request(case: Case<'_>, mut text: String) -> Option<String> {
    let needed =
        json!({ "agent_id": "a", "account_id": "a", "username": "u", "thread_id": "t", "new_public_key": "k" });
    let body = |text: &str| {
        let mut body = needed.clone();
        body[case.text("member")] = json!(text);
        body.to_string()
    };
    if case.text("member") == "padding" {
        let around = body("").len();
        text.truncate(text.len() - around);
    }
    let body = body(&text);
    let body = body.as_bytes();
    let read = match case.text("rpc") {
        "register" => decode_request::<RegisterRequest>(body).map(drop),
        "list" => decode_request_or_default::<ListRequest>(body).map(drop),
        "resolve_account" => decode_request::<ResolveAccountRequest>(body).map(drop),
        "resolve_key" => decode_request::<ResolveKeyRequest>(body).map(drop),
        "rotate_key" => decode_request::<RotateKeyRequest>(body).map(drop),
        "search" => decode_request::<SearchRequest>(body).map(drop),
        "profile" => decode_request::<ProfileRequest>(body).map(drop),
        "thread_status" => decode_request::<ThreadStatusRequest>(body).map(drop),
        "thread_list" => decode_request::<ThreadListRequest>(body).map(drop),
        "thread_messages" => decode_request::<ThreadMessagesRequest>(body).map(drop),
        "message_search" => decode_request::<MessageSearchRequest>(body).map(drop),
        "metrics" => decode_request_or_default::<MetricsRequest>(body).map(drop),
        other => panic!("no such RPC: {other}"),
    };
    read.err().as_ref().map(RpcError::to_string)
}

fn stream(case: Case<'_>, text: &str) -> Option<String> {
    let mut payload = json!({ "type": case.text("type"), "stream_id": "s", "seq": 1, "delta": "d" });
    payload[case.text("member")] = json!(text);
    let payload = payload.to_string();
    match StreamFrame::parse(&Value::parse(&payload).expect("a payload")) {
        Ok(frame) => frame.map_or_else(|| panic!("{payload} is no frame"), |_| None),
        Err(error) => Some(error.to_string()),
    }
}
