//! The rules of error replies, as tables.

use agentnet_protocol::{Envelope, RawJson};

use super::*;

fn answer(payload: &str, kind: &'static str) -> Message {
    let envelope = Envelope {
        payload: RawJson::parse(payload).unwrap(),
        kind: kind.into(),
        trace_id: Some("trace_1".into()),
        parent_message_id: Some("m1".into()),
        ..Envelope::default()
    };
    Message::new(envelope, None, Default::default())
}

#[test]
fn every_code_has_its_error() {
    type Kind = fn(Refusal) -> SdkError;
    let table: [(&str, Kind); 12] = [
        ("busy", SdkError::Busy),
        ("shutting_down", SdkError::Busy),
        ("rate_limited", SdkError::RateLimited),
        ("timeout", SdkError::Timeout),
        ("service_degraded", SdkError::ServiceDegraded),
        ("duplicate", SdkError::Duplicate),
        ("expired", SdkError::Expired),
        ("missing_ttl", SdkError::Expired),
        ("handler_error", SdkError::Handler),
        ("recipient_offline", SdkError::Refused),
        ("auth_missing", SdkError::Refused),
        ("out_of_milk", SdkError::Refused),
    ];
    for (code, kind) in table {
        let refusal = Refusal {
            code: code.to_owned(),
            detail: "why".to_owned(),
            trace_id: Some("trace_1".to_owned()),
            request_message_id: Some("m1".to_owned()),
        };
        // As the answer of a request, whatever its kind; and as the receipt of a send.
        for answer_kind in ["error", "reply"] {
            let payload = format!(r#"{{"error":" {code} ","detail":"why"}}"#);
            assert_eq!(
                SdkError::reported(&answer(&payload, answer_kind)),
                Some(kind(refusal.clone()))
            );
        }
        let rejected = SendError::Rejected {
            code: code.to_owned(),
            detail: "why".to_owned(),
            message_id: "m1".to_owned(),
        };
        let untraced = Refusal {
            trace_id: None,
            ..refusal
        };
        let error = SdkError::from(rejected);
        assert_eq!(error, kind(untraced));
        assert_eq!((error.to_string(), error.code()), (format!("{code}: why"), Some(code)));
    }
}

#[test]
fn an_answer_without_an_error_is_none() {
    for payload in [
        "null",
        "\"error\"",
        r#"{"error":null}"#,
        r#"{"error":""}"#,
        r#"{"text":"x"}"#,
        "[]",
    ] {
        assert_eq!(SdkError::reported(&answer(payload, "reply")), None, "{payload}");
    }
    let bare = SdkError::reported(&answer(
        r#"{"error":"busy","trace_id":"t2","request_message_id":"m2"}"#,
        "error",
    ))
    .unwrap();
    assert_eq!(bare.to_string(), "busy");
    let refusal = bare.refusal().unwrap();
    assert_eq!(
        (refusal.trace_id.as_deref(), refusal.request_message_id.as_deref()),
        (Some("t2"), Some("m2"))
    );
}

#[test]
fn thread_ids_are_fresh_and_carry_the_prefix() {
    let sdk = AgentSdk::builder("a").build().unwrap();
    let (one, other) = (sdk.new_thread_id(), sdk.new_thread_id());
    assert_ne!(one, other);
    assert!(
        one.starts_with("thread_sdk_") && one.len() == "thread_sdk_".len() + 26,
        "{one}"
    );
    let sdk = AgentSdk::builder("a").default_thread_prefix("ops").build().unwrap();
    assert!(sdk.new_thread_id().starts_with("ops_"));
}
