//! Timestamps and lifetimes.

use agentnet_protocol::{Envelope, Timestamp, expiry};
use serde_json::json;

use crate::loader::{Case, check_each};

/// The vectors show offsets; the network writes `Z`.
fn zulu(text: Option<&str>) -> Option<String> {
    text.map(|text| {
        text.strip_suffix("+00:00")
            .map_or(text.to_owned(), |local| format!("{local}Z"))
    })
}

#[test]
fn timestamps() {
    let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    check_each("timestamps", |case| {
        let input = case.text("input");
        assert_eq!(
            text(Timestamp::parse(input)),
            zulu(case.opt_text("registry_and_claims")),
            "trimmed"
        );
        assert_eq!(
            text(Timestamp::parse_exact(input)),
            zulu(case.opt_text("node_ttl")),
            "as it is"
        );
    });
}

#[test]
fn timestamp_format() {
    check_each("timestamp_format", |case| {
        if case.has("unix_micros") {
            let time = Timestamp::from_micros(case.int("unix_micros"));
            assert_eq!(time.to_string(), case.text("text"));
            assert_eq!(Timestamp::parse(case.text("text")), Some(time));
        } else {
            let sent_at = Timestamp::parse(case.text("sent_at")).expect("sent_at is a time");
            let end = expiry::expires_at(sent_at, case.int("ttl_ms").into());
            assert_eq!(end.to_string(), case.text("expires_at"));
        }
    });
}

#[test]
fn ttl_validation() {
    check_each("ttl_validation", |case| {
        assert_eq!(ttl_result(case), case.text("result"))
    });
}

/// Decided by the Python implementation's exact rule: a clock skew of 0 (section 0, decision 7 allows more by default).
fn ttl_result(case: Case<'_>) -> &'static str {
    let wire = json!({
        "sent_at": case.get("sent_at"), "ttl_ms": case.get("ttl_ms"), "expires_at": case.get("expires_at"),
    });
    let envelope = Envelope::decode(wire.to_string()).expect("the case is an envelope");
    let now = Timestamp::parse(case.text("now")).expect("now is a time");
    let result = expiry::check(
        &envelope.sent_at,
        envelope.ttl_ms,
        envelope.expires_at.as_deref(),
        now,
        0,
    );
    result.map_or_else(expiry::ExpiryError::code, |()| "ok")
}
