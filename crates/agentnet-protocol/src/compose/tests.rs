//! Defaults of sent messages, replies, error replies.

use super::*;
use crate::json::{self, Value};

fn text(text: &str) -> Text {
    Text::from(text.to_owned())
}

fn some(value: &str) -> Option<Text> {
    Some(text(value))
}

fn sender() -> Sender {
    Sender {
        agent_id: text("support"),
        account_id: text("acct_me"),
        session_tag: text("registry_me"),
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-02-21T08:00:00.250000Z").unwrap()
}

fn payload(json: &str) -> RawJson {
    RawJson::parse(json.to_owned()).unwrap()
}

fn wire(envelope: &Envelope) -> String {
    String::from_utf8(envelope.encode().to_vec()).unwrap()
}

fn request() -> Envelope {
    Envelope {
        message_id: text("REQ1"),
        from_agent: text("asker"),
        from_account_id: some("acct_you"),
        from_session_tag: some("registry_you"),
        to_account_id: some("acct_me"),
        trace_id: some("trace_1"),
        thread_id: some("thread_1"),
        parent_message_id: some("before"),
        idempotency_key: some("once"),
        kind: text(kind::REQUEST),
        ..Envelope::default()
    }
}

#[test]
fn a_draft_without_choices_gets_the_defaults() {
    let draft = Draft {
        to_agent: text("acct_you"),
        to_account_id: some("acct_you"),
        payload: payload(r#"{ "n": 1.50 }"#),
        ..Draft::default()
    };
    let message = draft.compose(&sender(), text("01ABC"), now());
    assert_eq!(
        wire(&message),
        concat!(
            r#"{"message_id":"01ABC","from_agent":"support","to_agent":"acct_you","payload":{ "n": 1.50 },"#,
            r#""sent_at":"2026-02-21T08:00:00.250000Z","kind":"direct","schema_version":"1.1","from_session_tag":"registry_me","#,
            r#""from_account_id":"acct_me","to_account_id":"acct_you","ttl_ms":30000,"expires_at":"2026-02-21T08:00:30.250000Z","#,
            r#""trace_id":"01ABC","thread_id":"thread_01abc"}"#,
        )
    );
    assert_eq!(Envelope::decode(message.encode()), Ok(message));
}

#[test]
fn choices_are_kept() {
    let draft = Draft {
        to_agent: text("capability:chat"),
        to_account_id: None,
        payload: RawJson::null(),
        kind: text("request"),
        ttl_ms: Some(1500),
        trace_id: some("Tr"),
        thread_id: some("Th"),
        parent_message_id: some("p"),
        idempotency_key: some(" once\u{1c}"),
        schema_version: text("2.0"),
        mailbox: None,
    };
    assert_eq!(
        wire(&draft.compose(&sender(), text("m"), now())),
        concat!(
            r#"{"message_id":"m","from_agent":"support","to_agent":"capability:chat","payload":null,"#,
            r#""sent_at":"2026-02-21T08:00:00.250000Z","kind":"request","schema_version":"2.0","from_session_tag":"registry_me","#,
            r#""from_account_id":"acct_me","ttl_ms":1500,"expires_at":"2026-02-21T08:00:01.750000Z","#,
            r#""trace_id":"Tr","thread_id":"Th","parent_message_id":"p","idempotency_key":"once"}"#,
        )
    );
}

#[test]
fn empty_choices_count_as_none() {
    let empty = || some("");
    let draft = Draft {
        to_account_id: empty(),
        trace_id: empty(),
        thread_id: empty(),
        parent_message_id: empty(),
        idempotency_key: some(" \t"),
        ttl_ms: Some(-5),
        ..Draft::default()
    };
    let message = draft.compose(&sender(), text("M"), now());
    assert_eq!(
        (
            message.to_account_id,
            message.parent_message_id,
            message.idempotency_key
        ),
        (None, None, None)
    );
    assert_eq!((message.trace_id, message.thread_id), (some("M"), some("thread_m")));
    assert_eq!(
        (message.ttl_ms, message.expires_at),
        (Some(1), some("2026-02-21T08:00:00.251000Z"))
    );
}

#[test]
fn the_thread_defaults_to_the_trace() {
    let draft = Draft {
        trace_id: some("TRACE"),
        ..Draft::default()
    };
    assert_eq!(
        draft.compose(&sender(), text("m"), now()).thread_id,
        some("thread_trace")
    );
}

#[test]
fn a_reply_follows_the_request() {
    let reply = Draft {
        payload: payload("1"),
        ..Draft::default()
    }
    .answering(&request());
    let reply = reply.compose(&sender(), text("rep"), now());
    assert_eq!((&*reply.to_agent, reply.to_account_id), ("acct_you", some("acct_you")));
    assert_eq!((&*reply.kind, reply.idempotency_key), ("reply", None));
    assert_eq!(
        (reply.trace_id, reply.thread_id, reply.parent_message_id),
        (some("trace_1"), some("thread_1"), some("REQ1"))
    );
}

#[test]
fn what_a_reply_names_itself_is_kept() {
    let draft = Draft {
        kind: text("stream"),
        trace_id: some("t"),
        thread_id: some("th"),
        parent_message_id: some("p"),
        ..Draft::default()
    };
    let reply = draft.answering(&request()).compose(&sender(), text("rep"), now());
    assert_eq!(&*reply.kind, "stream");
    assert_eq!(
        (reply.trace_id, reply.thread_id, reply.parent_message_id),
        (some("t"), some("th"), some("p"))
    );
}

#[test]
fn a_reply_to_nobody_known_goes_to_the_agent_else_unknown() {
    let mut request = Envelope {
        message_id: text("M"),
        from_agent: text("asker"),
        ..Envelope::default()
    };
    let reply = Draft::default()
        .answering(&request)
        .compose(&sender(), text("rep"), now());
    assert_eq!((&*reply.to_agent, reply.to_account_id), ("asker", None));
    assert_eq!((reply.trace_id, reply.thread_id), (some("M"), some("thread_m")));
    request.from_agent = Text::new();
    assert_eq!(&*Draft::default().answering(&request).to_agent, "unknown");
}

#[test]
fn an_error_reply_says_what_was_refused_and_why() {
    let reply = error_reply(&request(), &Reject::Busy, &sender(), text("err"), now());
    assert_eq!(
        wire(&reply),
        concat!(
            r#"{"message_id":"err","from_agent":"support","to_agent":"asker","payload":{"error":"busy","#,
            r#""detail":"agent backlog is full","request_message_id":"REQ1","trace_id":"trace_1"},"#,
            r#""sent_at":"2026-02-21T08:00:00.250000Z","kind":"error","schema_version":"1.1","from_session_tag":"registry_me","#,
            r#""from_account_id":"acct_me","to_account_id":"acct_you","ttl_ms":30000,"expires_at":"2026-02-21T08:00:30.250000Z","#,
            r#""trace_id":"trace_1","thread_id":"thread_1","parent_message_id":"REQ1"}"#,
        )
    );
    assert_eq!(Envelope::decode(reply.encode()), Ok(reply));
}

#[test]
fn an_error_reply_to_a_bare_request_has_ids_of_its_own() {
    let reply = error_reply(
        &Envelope::default(),
        &Reject::AccountNotFound,
        &sender(),
        text("ERR"),
        now(),
    );
    assert_eq!(
        json::wire(&reply.payload.view()),
        r#"{"error":"account_not_found","detail":"no such account","request_message_id":"","trace_id":""}"#
    );
    assert_eq!(
        (&*reply.to_agent, reply.to_account_id, reply.parent_message_id),
        ("", None, None)
    );
    assert_eq!((reply.trace_id, reply.thread_id), (some("ERR"), some("thread_err")));
}

#[test]
fn the_detail_of_an_error_reply_is_escaped() {
    let why = "expected `,` or \"\u{e9}\"\n";
    let reply = error_reply(
        &request(),
        &Reject::MessageInvalid(why.to_owned()),
        &sender(),
        text("e"),
        now(),
    );
    let view = reply.payload.view();
    assert!(Value::parse(view.raw()).is_ok());
    assert_eq!(view.as_object().unwrap().get("detail").text(), why);
}
