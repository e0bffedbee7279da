//! Threads and messages.

use super::*;

fn thread() -> ThreadSummary {
    ThreadSummary {
        thread_id: "thread_1".to_owned(),
        created_by_account_id: some("acct_1"),
        participants: vec!["acct_1".to_owned(), "acct_2".to_owned()],
        created_at: TIME.to_owned(),
        updated_at: TIME.to_owned(),
        message_count: 3,
        byte_count: 42,
        approx_tokens: 12,
        latest_checkpoint_end: i64::MAX,
        last_message_at: some(TIME),
        status: "ok".to_owned(),
        pending_messages: 1,
    }
}

const THREAD_MEMBERS: &str = "thread_id created_by_account_id participants created_at updated_at message_count byte_count \
    approx_tokens latest_checkpoint_end last_message_at status pending_messages";

#[test]
fn thread_status() {
    let mut request = ThreadStatusRequest {
        thread_id: "thread_1".to_owned(),
        ..Default::default()
    };
    assert_request(&request, r#"{"thread_id":"thread_1"}"#);
    request.limits = ThreadLimits {
        soft: Some(10),
        hard: Some(20),
    };
    assert_request(
        &request,
        r#"{"thread_id":"thread_1","soft_limit_tokens":10,"hard_limit_tokens":20}"#,
    );
    let reply = ThreadStatusReply {
        thread: thread(),
        participants_full: false,
        soft_limit_tokens: 10,
        hard_limit_tokens: 20,
        thread_keep_tail_messages: 24,
        token_estimate_chars_per_token: 4.0,
        generated_at: TIME.to_owned(),
    };
    let limits = "soft_limit_tokens hard_limit_tokens thread_keep_tail_messages token_estimate_chars_per_token";
    assert_eq!(
        assert_reply::<ThreadStatusRequest>(&reply, &format!("{THREAD_MEMBERS} {limits} generated_at")),
        concat!(
            r#"{"thread_id":"thread_1","created_by_account_id":"acct_1","participants":["acct_1","acct_2"],"#,
            r#""created_at":"2026-02-21T08:00:00Z","updated_at":"2026-02-21T08:00:00Z","message_count":3,"byte_count":42,"#,
            r#""approx_tokens":12,"latest_checkpoint_end":9223372036854775807,"last_message_at":"2026-02-21T08:00:00Z","#,
            r#""status":"ok","pending_messages":1,"soft_limit_tokens":10,"hard_limit_tokens":20,"thread_keep_tail_messages":24,"#,
            r#""token_estimate_chars_per_token":4.0,"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
    let thread = ThreadSummary {
        created_by_account_id: None,
        last_message_at: None,
        ..thread()
    };
    let full = ThreadStatusReply {
        thread,
        participants_full: true,
        ..reply
    };
    let text = assert_reply::<ThreadStatusRequest>(
        &full,
        &format!("{THREAD_MEMBERS} {limits} generated_at participants_full"),
    );
    assert!(
        text.contains(r#""created_by_account_id":null"#) && text.contains(r#""last_message_at":null"#),
        "{text}"
    );
}

#[test]
fn thread_list() {
    let mut request = ThreadListRequest::default();
    assert_request(&request, r#"{"query":"","limit":20}"#);
    request.participant_account_id = some("acct_1");
    request.participant_username = some("bob");
    request.limits = ThreadLimits {
        soft: Some(1),
        hard: None,
    };
    request.cursor = some("c=");
    assert_request(
        &request,
        r#"{"query":"","limit":20,"participant_account_id":"acct_1","participant_username":"bob","soft_limit_tokens":1,"cursor":"c="}"#,
    );
    let mut reply = ThreadListReply {
        query: " t ".to_owned(),
        limit: 20,
        limits: Some((10, 20, 4.0)),
        results: vec![thread()],
        generated_at: TIME.to_owned(),
        ..Default::default()
    };
    let filters = "query limit participant_account_id participant_username";
    let limits = "soft_limit_tokens hard_limit_tokens token_estimate_chars_per_token";
    let text = assert_reply::<ThreadListRequest>(&reply, &format!("{filters} {limits} results generated_at"));
    assert!(text.starts_with(
        r#"{"query":" t ","limit":20,"participant_account_id":null,"participant_username":null,"soft_limit_tokens":10,"hard_limit_tokens":20,"token_estimate_chars_per_token":4.0,"results":[{"thread_id":"#
    ), "{text}");
    let first = Value::parse(&text)
        .unwrap()
        .as_object()
        .unwrap()
        .get("results")
        .as_array()
        .unwrap()
        .next()
        .unwrap();
    assert_eq!(names(first.raw()), THREAD_MEMBERS);
    // The short reply to an unknown username, and a name that normalises to nothing.
    reply.limits = None;
    reply.results.clear();
    reply.participant_username = some("nobody");
    assert_reply::<ThreadListRequest>(&reply, &format!("{filters} results generated_at"));
    reply.participant_username = some("");
    reply.next_cursor = some("c=");
    let text = assert_reply::<ThreadListRequest>(&reply, &format!("{filters} results generated_at next_cursor"));
    assert!(text.contains(r#""participant_username":"""#), "{text}");
}

fn message() -> HistoryMessage {
    HistoryMessage {
        message_id: "m".to_owned(),
        thread_id: "thread_m".to_owned(),
        parent_message_id: some("p"),
        from_account_id: some("acct_1"),
        from_session_tag: some("registry_1"),
        to_account_id: some("acct_2"),
        to_agent: "acct_2".to_owned(),
        kind: "direct".to_owned(),
        schema_version: "1.1".to_owned(),
        idempotency_key: some("k"),
        payload: raw(r#"{"b":1.50,"a":123456789012345678901234567890}"#),
        trace_id: some("m"),
        sent_at: TIME.to_owned(),
        received_at: TIME.to_owned(),
        status: "received".to_owned(),
        metadata: raw("{}"),
        from_agent: some("support"),
        ttl_ms: some("30000"),
        expires_at: some(TIME),
    }
}

const MESSAGE_MEMBERS: &str = "message_id thread_id parent_message_id from_account_id from_session_tag to_account_id to_agent \
    kind schema_version idempotency_key payload trace_id sent_at received_at status metadata from_agent ttl_ms expires_at";

#[test]
fn thread_messages() {
    let mut request = ThreadMessagesRequest {
        thread_id: "thread_m".to_owned(),
        ..Default::default()
    };
    assert_request(&request, r#"{"thread_id":"thread_m","limit":50}"#);
    request.cursor = some("c=");
    assert_request(&request, r#"{"thread_id":"thread_m","limit":50,"cursor":"c="}"#);
    let reply = ThreadMessagesReply {
        thread_id: "thread_m".to_owned(),
        limit: 50,
        messages: vec![message()],
        generated_at: TIME.to_owned(),
        ..Default::default()
    };
    let members = "thread_id limit cursor next_cursor messages generated_at";
    assert_eq!(
        assert_reply::<ThreadMessagesRequest>(&reply, members),
        concat!(
            r#"{"thread_id":"thread_m","limit":50,"cursor":null,"next_cursor":null,"messages":[{"message_id":"m","#,
            r#""thread_id":"thread_m","parent_message_id":"p","from_account_id":"acct_1","from_session_tag":"registry_1","#,
            r#""to_account_id":"acct_2","to_agent":"acct_2","kind":"direct","schema_version":"1.1","idempotency_key":"k","#,
            r#""payload":{"b":1.50,"a":123456789012345678901234567890},"trace_id":"m","sent_at":"2026-02-21T08:00:00Z","#,
            r#""received_at":"2026-02-21T08:00:00Z","status":"received","metadata":{},"from_agent":"support","ttl_ms":30000,"#,
            r#""expires_at":"2026-02-21T08:00:00Z"}],"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
}

#[test]
fn an_absent_member_of_a_message_is_null() {
    let message = HistoryMessage {
        parent_message_id: None,
        from_account_id: None,
        from_session_tag: None,
        to_account_id: None,
        idempotency_key: None,
        trace_id: None,
        from_agent: None,
        ttl_ms: None,
        expires_at: None,
        payload: RawJson::null(),
        ..message()
    };
    let text = message.encode();
    assert_eq!(names(&text), MESSAGE_MEMBERS);
    assert_eq!(text.matches(":null").count(), 10, "{text}");
    let reply = ThreadMessagesReply {
        messages: vec![message],
        cursor: some("c"),
        next_cursor: some("d"),
        ..Default::default()
    };
    assert_reply::<ThreadMessagesRequest>(&reply, "thread_id limit cursor next_cursor messages generated_at");
}

#[test]
fn message_search() {
    assert_request(&MessageSearchRequest::default(), r#"{"limit":50}"#);
    let filters = MessageSearchFilters {
        message_id: None,
        thread_id: some("thread_m"),
        from_account_id: some("acct_1"),
        to_account_id: some("acct_2"),
        kind: some("direct"),
        from_ts: some(TIME),
        to_ts: some("2026-02-22"),
    };
    let request = MessageSearchRequest {
        filters: filters.clone(),
        limit: 1,
        cursor: some("c="),
    };
    let text = r#"{"thread_id":"thread_m","from_account_id":"acct_1","to_account_id":"acct_2","kind":"direct","from_ts":"2026-02-21T08:00:00Z","to_ts":"2026-02-22","limit":1,"cursor":"c="}"#;
    assert_request(&request, text);
    let mut reply = MessageSearchReply {
        filters,
        limit: 1,
        messages: vec![message()],
        generated_at: TIME.to_owned(),
        ..Default::default()
    };
    let members = "filters limit cursor next_cursor messages generated_at";
    let text = assert_reply::<MessageSearchRequest>(&reply, members);
    let value = Value::parse(&text).unwrap().as_object().unwrap();
    assert_eq!(
        names(value.get("filters").raw()),
        "thread_id from_account_id to_account_id kind from_ts to_ts"
    );
    assert_eq!(
        names(value.get("messages").as_array().unwrap().next().unwrap().raw()),
        MESSAGE_MEMBERS
    );
    reply.filters = MessageSearchFilters::default();
    reply.messages.clear();
    assert_eq!(
        assert_reply::<MessageSearchRequest>(&reply, members),
        concat!(
            r#"{"filters":{"thread_id":null,"from_account_id":null,"to_account_id":null,"kind":null,"from_ts":null,"to_ts":null},"#,
            r#""limit":1,"cursor":null,"next_cursor":null,"messages":[],"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
}
