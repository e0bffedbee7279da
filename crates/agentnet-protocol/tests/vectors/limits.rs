//! Upper bounds of what travels on the wire.

use agentnet_protocol::Envelope;
use agentnet_protocol::json::Value;
use agentnet_protocol::limits::{check_capabilities, check_envelope};
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

fn stream(case: Case<'_>, text: &str) -> Option<String> {
    let mut payload = json!({ "type": case.text("type"), "stream_id": "s", "seq": 1, "delta": "d" });
    payload[case.text("member")] = json!(text);
    let payload = payload.to_string();
    match StreamFrame::parse(&Value::parse(&payload).expect("a payload")) {
        Ok(frame) => frame.map_or_else(|| panic!("{payload} is no frame"), |_| None),
        Err(error) => Some(error.to_string()),
    }
}
