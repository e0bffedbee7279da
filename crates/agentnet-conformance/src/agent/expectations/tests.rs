//! Which records satisfy an expectation, and what is said of those that do not.

use std::time::SystemTime;

use agentnet_protocol::Timestamp;

use super::*;
use crate::agent::compose::MessageComposer;

fn sent() -> SentMessage {
    let names = MessageComposer {
        run: "xyw".into(),
        step: 1,
        agent: "acct_a".into(),
        peer: "acct_p".into(),
        stranger: "acct_s".into(),
        session: "s".into(),
        capability: String::new(),
    };
    names.compose(&super::super::steps::MessageSpec::default(), 1, None)
}

fn now() -> String {
    Timestamp::from(SystemTime::now()).to_string()
}

fn receipt_of(status: &str) -> Value {
    json!({"message_id": "cf_xyw_1_1", "status": status, "event_at": now(), "from_account_id": "acct_a",
           "from_session_tag": "r_1", "to_account_id": "acct_p", "trace_id": "Trace-cf_xyw_1_1",
           "thread_id": "thread_conformance_xyw", "parent_message_id": "parent_cf_xyw_1_1"})
}

fn echo_of(sent: &SentMessage) -> Value {
    json!({"message_id": "m", "from_agent": "bob", "to_agent": "acct_p", "payload": sent.message["payload"], "sent_at": now(),
           "kind": "reply", "schema_version": "1.1", "from_session_tag": "r_1", "from_account_id": "acct_a",
           "to_account_id": "acct_p", "ttl_ms": 30_000, "expires_at": now(), "trace_id": "Trace-cf_xyw_1_1",
           "thread_id": "thread_conformance_xyw", "parent_message_id": "cf_xyw_1_1"})
}

fn expect() -> Expectation {
    let expect = json!({"receipts": [{"status": "accepted"}, {"status": "processed"}], "replies": [{"echo": true}]});
    serde_json::from_value(expect).unwrap()
}

fn with(mut record: Value, member: &str, value: Value) -> Value {
    if value.is_null() {
        record.as_object_mut().unwrap().remove(member);
    } else {
        record[member] = value;
    }
    record
}

#[test]
fn everything_has_to_come_and_nothing_else() {
    let sent = sent();
    let check = |receipts: &[Value], replies: &[Value]| {
        let seen = ReceivedRecords {
            receipts: receipts.to_vec(),
            replies: replies.to_vec(),
            elsewhere: Vec::new(),
        };
        let found = compare(&expect(), &sent, "acct_a", &seen, &mut Bindings::default());
        (found.wrong.len(), found.missing.len())
    };
    let (accepted, processed, echo) = (receipt_of("accepted"), receipt_of("processed"), echo_of(&sent));
    let both = [accepted.clone(), processed.clone()];
    assert_eq!(check(&both, std::slice::from_ref(&echo)), (0, 0));
    assert_eq!(check(&[], &[]), (0, 3));
    assert_eq!(check(&both[..1], std::slice::from_ref(&echo)), (0, 1));
    assert_eq!(
        check(&[processed, accepted], std::slice::from_ref(&echo)),
        (2, 0),
        "in another order"
    );
    assert_eq!(check(&both, &[echo.clone(), echo.clone()]), (1, 0), "once too often");
    for (member, value) in [
        ("payload", json!({"do": "echo"})),
        ("to_agent", json!("conformance")),
        ("to_account_id", Value::Null),
        ("kind", json!("direct")),
        ("parent_message_id", Value::Null),
        ("trace_id", json!("other")),
        ("thread_id", Value::Null),
        ("sent_at", json!("2001-01-01T00:00:00Z")),
        ("from_account_id", json!("acct_other")),
        ("schema_version", json!("1.0")),
        // Another session than that of the receipts.
        ("from_session_tag", json!("r_2")),
    ] {
        assert_eq!(check(&both, &[with(echo.clone(), member, value)]), (1, 0), "{member}");
    }
    assert_eq!(check(&both, &[with(echo, "x_new", json!(1))]), (0, 0), "an addition");
    for (member, value) in [
        ("parent_message_id", Value::Null),
        ("trace_id", Value::Null),
        ("to_account_id", json!("acct_s")),
        ("event_at", json!("soon")),
    ] {
        let receipts = [with(both[0].clone(), member, value), both[1].clone()];
        assert_eq!(check(&receipts, &[echo_of(&sent)]), (1, 0), "{member}");
    }
}

#[test]
fn copies_are_compared_by_number() {
    let expect: Expectation = serde_json::from_value(json!({
        "copies": [{"from": 1, "to": 1, "one_of": ["echo"]}, {"from": 2, "to": 4, "one_of": ["duplicate", "rate_limited"]}],
        "some": ["rate_limited"],
    }))
    .unwrap();
    let check = |outcomes: [&str; 4]| {
        let outcomes = outcomes.map(|outcome| Some(outcome.to_owned()).filter(|text| !text.is_empty()));
        let found = compare_copies(&expect, &outcomes);
        (found.wrong.len(), found.missing.len())
    };
    assert_eq!(check(["echo", "duplicate", "duplicate", "rate_limited"]), (0, 0));
    assert_eq!(check(["echo", "duplicate", "duplicate", "duplicate"]), (0, 1));
    assert_eq!(check(["echo", "echo", "busy", "rate_limited"]), (2, 0));
    assert_eq!(check(["", "duplicate", "", "rate_limited"]), (0, 2));
}

#[test]
fn a_gist_is_short() {
    let rejected = json!({"status": "rejected", "code": "busy", "detail": "agent backlog is full"});
    assert_eq!(summary(&rejected), "rejected, busy, agent backlog is full");
    let error = json!({"kind": "error", "payload": {"error": "busy", "detail": "full"}});
    assert_eq!(
        (summary(&error), outcome(&error)),
        ("error busy, full".to_owned(), "busy".to_owned())
    );
    assert_eq!(
        summary(&json!({"kind": "reply", "payload": "x".repeat(1000)}))
            .chars()
            .count(),
        201
    );
}
