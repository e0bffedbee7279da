//! Every request and reply: written and read again, members in the order of section 6, exact texts.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::*;
use crate::{AgentInfo, RawJson};

const TIME: &str = "2026-02-21T08:00:00Z";

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The names of an object's members, as written.
fn names(text: &str) -> String {
    let value = Value::parse(text).unwrap();
    let object = value.as_object().unwrap();
    let names: Vec<String> = object.iter().map(|(name, _)| owned(name)).collect();
    names.join(" ")
}

#[track_caller]
fn assert_request<R: Request + PartialEq + Debug>(request: &R, text: &str) {
    assert_eq!(request.encode(), text, "{}", R::NAME);
    assert_eq!(
        decode_request::<R>(text.as_bytes()).as_ref(),
        Ok(request),
        "{}",
        R::NAME
    );
}

/// Checks the order of a reply's members and that it reads back as it was, by itself and among members of the future.
#[track_caller]
fn assert_reply<R: Request<Reply: PartialEq + Debug>>(reply: &R::Reply, members: &str) -> String {
    let text = reply.encode();
    assert_eq!(names(&text), members, "{}", R::NAME);
    assert_eq!(decode_reply::<R>(text.as_bytes()).as_ref(), Ok(reply), "{}", R::NAME);
    let with_more = text.replacen('{', r#"{"of_the_future":{"error":1},"#, 1);
    assert_eq!(
        decode_reply::<R>(with_more.as_bytes()).as_ref(),
        Ok(reply),
        "{}",
        R::NAME
    );
    text
}

fn agent() -> AgentInfo {
    AgentInfo {
        agent_id: "support".to_owned(),
        name: "Sup\u{f6}rt".to_owned(),
        capabilities: vec!["chat".to_owned(), "x y".to_owned()],
        metadata: raw(r#"{"z":{"b":1,"a":[1.50]}}"#),
        account_id: some("acct_1"),
        username: some("bob"),
        session_tag: some("registry_1"),
        last_seen: some(TIME),
    }
}

#[test]
fn register() {
    assert_eq!(RegisterRequest::subject(), "registry.register");
    let agent = AgentInfo {
        session_tag: None,
        last_seen: None,
        ..agent()
    };
    let text = r#"{"agent_id":"support","name":"Sup\u00f6rt","capabilities":["chat","x y"],"metadata":{"z":{"b":1,"a":[1.50]}},"account_id":"acct_1","username":"bob""#;
    assert_request(
        &RegisterRequest {
            agent: agent.clone(),
            auth: None,
            keep_profile: false,
        },
        &format!("{text}}}"),
    );
    let auth = Some(raw(r#"{"scheme":"dev-ed25519-v1"}"#));
    assert_request(
        &RegisterRequest {
            agent,
            auth,
            keep_profile: true,
        },
        &format!(r#"{text},"auth":{{"scheme":"dev-ed25519-v1"}},"keep_profile":true}}"#),
    );

    let mut reply = RegisterReply {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        session_tag: "registry_1".to_owned(),
        heartbeat_interval: 12.0,
        ttl_seconds: 40.5,
        registered_at: TIME.to_owned(),
        reply_prefix: None,
    };
    let members = "account_id username session_tag heartbeat_interval ttl_seconds registered_at";
    assert_eq!(
        assert_reply::<RegisterRequest>(&reply, members),
        r#"{"account_id":"acct_1","username":"bob","session_tag":"registry_1","heartbeat_interval":12.0,"ttl_seconds":40.5,"registered_at":"2026-02-21T08:00:00Z"}"#
    );
    reply.reply_prefix = some("agentnet.reply");
    assert_reply::<RegisterRequest>(&reply, &format!("{members} reply_prefix"));
}

#[test]
fn goodbye() {
    let goodbye = Goodbye {
        agent_id: "support".to_owned(),
        session_tag: "registry_1".to_owned(),
        seen_at: TIME.to_owned(),
    };
    let text = goodbye.encode();
    assert_eq!(
        text,
        r#"{"agent_id":"support","session_tag":"registry_1","seen_at":"2026-02-21T08:00:00Z"}"#
    );
    assert_eq!(
        Goodbye::decode(&Object::parse_body(text.as_bytes()).unwrap().unwrap()),
        goodbye
    );
}

#[test]
fn list() {
    assert_request(&ListRequest::default(), "{}");
    assert_request(
        &ListRequest {
            limit: Some(5),
            cursor: some("c="),
        },
        r#"{"limit":5,"cursor":"c="}"#,
    );
    for body in [
        "null",
        "[1]",
        "\"x\"",
        r#"{"limit":"many"}"#,
        r#"{"limit":1e400}"#,
        r#"{"limit":0}"#,
        "",
    ] {
        assert_eq!(
            decode_request::<ListRequest>(body.as_bytes()),
            Ok(ListRequest::default()),
            "{body}"
        );
    }
    let mut reply = ListReply {
        generated_at: TIME.to_owned(),
        agents: vec![agent(), agent()],
        next_cursor: None,
    };
    let text = assert_reply::<ListRequest>(&reply, "generated_at agents");
    let first = Value::parse(&text)
        .unwrap()
        .as_object()
        .unwrap()
        .get("agents")
        .as_array()
        .unwrap()
        .next()
        .unwrap();
    let members = "agent_id name capabilities metadata account_id username session_tag last_seen";
    assert_eq!(names(first.raw()), members);
    reply.next_cursor = some("c=");
    assert_reply::<ListRequest>(&reply, "generated_at agents next_cursor");
    assert_reply::<ListRequest>(&ListReply::default(), "generated_at agents");
}

#[test]
fn resolve_account() {
    assert_request(
        &ResolveAccountRequest {
            username: "bob".to_owned(),
        },
        r#"{"username":"bob"}"#,
    );
    let asked = decode_request::<ResolveAccountRequest>(r#"{"username":" @B\u00d6b! "}"#.as_bytes());
    assert_eq!(
        asked,
        Ok(ResolveAccountRequest {
            username: "b_b".to_owned()
        })
    );
    let reply = ResolveAccountReply {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        resolved_at: TIME.to_owned(),
    };
    assert_eq!(
        assert_reply::<ResolveAccountRequest>(&reply, "account_id username resolved_at"),
        r#"{"account_id":"acct_1","username":"bob","resolved_at":"2026-02-21T08:00:00Z"}"#
    );
    let empty = decode_reply::<ResolveAccountRequest>(b"{}");
    assert!(
        matches!(
            empty,
            Err(ReplyError::Invalid(DecodeError::Member {
                member: "account_id",
                ..
            }))
        ),
        "{empty:?}"
    );
}

#[test]
fn resolve_key() {
    assert_request(
        &ResolveKeyRequest {
            account_id: "acct_1".to_owned(),
        },
        r#"{"account_id":"acct_1"}"#,
    );
    let reply = ResolveKeyReply {
        account_id: "acct_1".to_owned(),
        public_key: "AbC_-".to_owned(),
        resolved_at: TIME.to_owned(),
        signs: crate::signing_scope::SigningScope::default(),
    };
    assert_eq!(
        assert_reply::<ResolveKeyRequest>(&reply, "account_id public_key resolved_at"),
        r#"{"account_id":"acct_1","public_key":"AbC_-","resolved_at":"2026-02-21T08:00:00Z"}"#
    );
    let signs = ResolveKeyReply {
        signs: crate::signing_scope::SigningScope::ALL,
        ..reply
    };
    let wire = assert_reply::<ResolveKeyRequest>(&signs, "account_id public_key resolved_at signs");
    assert!(wire.ends_with(r#","signs":"receipts,presence"}"#), "{wire}");
}

#[test]
fn search() {
    let mut request = SearchRequest {
        query: " Bo ".to_owned(),
        limit: 7,
        online_only: true,
        ..Default::default()
    };
    assert_request(
        &request,
        r#"{"query":" Bo ","capability":null,"limit":7,"online_only":true}"#,
    );
    request.capability = some("chat");
    request.cursor = some("c=");
    assert_request(
        &request,
        r#"{"query":" Bo ","capability":"chat","limit":7,"online_only":true,"cursor":"c="}"#,
    );
    let hit = AccountHit {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        display_name: "B\u{f6}b".to_owned(),
        capabilities: vec!["chat".to_owned()],
        metadata: raw(r#"{"k":12345678901234567890123}"#),
        visibility: "public".to_owned(),
        status: "active".to_owned(),
        online_sessions: 2,
        online: true,
    };
    let mut reply = SearchReply {
        query: " Bo ".to_owned(),
        limit: 7,
        online_only: true,
        results: vec![hit],
        generated_at: TIME.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        assert_reply::<SearchRequest>(&reply, "query capability limit online_only results generated_at"),
        concat!(
            r#"{"query":" Bo ","capability":null,"limit":7,"online_only":true,"results":[{"account_id":"acct_1","username":"bob","#,
            r#""display_name":"B\u00f6b","capabilities":["chat"],"metadata":{"k":12345678901234567890123},"visibility":"public","#,
            r#""status":"active","online_sessions":2,"online":true}],"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
    reply.capability = some("chat");
    reply.next_cursor = some("c=");
    assert_reply::<SearchRequest>(
        &reply,
        "query capability limit online_only results generated_at next_cursor",
    );
}

#[test]
fn profile() {
    let by_id = ProfileRequest {
        account_id: some("acct_1"),
        username: None,
    };
    assert_request(&by_id, r#"{"account_id":"acct_1"}"#);
    assert_request(
        &ProfileRequest {
            account_id: None,
            username: some("bob"),
        },
        r#"{"username":"bob"}"#,
    );
    let session = ProfileSession {
        session_tag: "registry_1".to_owned(),
        agent_id: "support".to_owned(),
        server_id: "registry".to_owned(),
        connected_at: TIME.to_owned(),
        last_seen: TIME.to_owned(),
        capabilities: vec!["chat".to_owned()],
        metadata: raw(r#"{"k":1}"#),
    };
    let profile = Profile {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        display_name: "Bob".to_owned(),
        bio: String::new(),
        capabilities: vec!["chat".to_owned()],
        metadata: raw("{}"),
        visibility: "public".to_owned(),
        status: "active".to_owned(),
        created_at: TIME.to_owned(),
        updated_at: TIME.to_owned(),
        online_sessions: vec![session],
        online: true,
    };
    let reply = ProfileReply {
        profile,
        generated_at: TIME.to_owned(),
    };
    assert_eq!(
        assert_reply::<ProfileRequest>(&reply, "profile generated_at"),
        concat!(
            r#"{"profile":{"account_id":"acct_1","username":"bob","display_name":"Bob","bio":"","capabilities":["chat"],"#,
            r#""metadata":{},"visibility":"public","status":"active","created_at":"2026-02-21T08:00:00Z","#,
            r#""updated_at":"2026-02-21T08:00:00Z","online_sessions":[{"session_tag":"registry_1","agent_id":"support","#,
            r#""server_id":"registry","connected_at":"2026-02-21T08:00:00Z","last_seen":"2026-02-21T08:00:00Z","#,
            r#""capabilities":["chat"],"metadata":{"k":1}}],"online":true},"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
    let none = decode_reply::<ProfileRequest>(b"{}");
    assert!(
        matches!(
            none,
            Err(ReplyError::Invalid(DecodeError::Member { member: "profile", .. }))
        ),
        "{none:?}"
    );
}

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

#[test]
fn metrics() {
    assert_request(&MetricsRequest, "{}");
    for body in ["null", "[]", "5", ""] {
        assert_eq!(
            decode_request::<MetricsRequest>(body.as_bytes()),
            Ok(MetricsRequest),
            "{body}"
        );
    }
    let mut reply = MetricsReply {
        generated_at: TIME.to_owned(),
        server_id: "registry".to_owned(),
        window_size: 1024,
        store_enabled: true,
        db_write_queue: WriteQueueStats {
            enabled: true,
            size: 1,
            max: 10_000,
            batch_size: 64,
            flush_ms: 40.0,
            overflow_count: 2,
        },
        latency_ms: BTreeMap::from([
            (
                "handler.search".to_owned(),
                LatencyStats {
                    count: 2,
                    p50: 1.0,
                    p95: 1.25,
                    p99: 0.0,
                },
            ),
            ("handler.list".to_owned(), LatencyStats::default()),
        ]),
        handlers: BTreeMap::from([("list".to_owned(), HandlerStats { calls: 3, errors: 1 })]),
        ..Default::default()
    };
    let members = "generated_at server_id window_size store_enabled db_write_queue latency_ms handlers";
    assert_eq!(
        assert_reply::<MetricsRequest>(&reply, members),
        concat!(
            r#"{"generated_at":"2026-02-21T08:00:00Z","server_id":"registry","window_size":1024,"store_enabled":true,"#,
            r#""db_write_queue":{"enabled":true,"size":1,"max":10000,"batch_size":64,"flush_ms":40.0,"overflow_count":2},"#,
            r#""latency_ms":{"handler.list":{"count":0,"p50":0.0,"p95":0.0,"p99":0.0},"#,
            r#""handler.search":{"count":2,"p50":1.0,"p95":1.25,"p99":0.0}},"handlers":{"list":{"calls":3,"errors":1}}}"#,
        )
    );
    reply.store_backend = some("sqlite");
    reply.online_sessions = Some(4);
    reply.capture = Some(CaptureStats {
        mode: "jetstream".to_owned(),
        stored: 1,
        duplicates: 2,
        refused: 3,
        ignored: 4,
        lag: 5,
        recovered: 6,
    });
    reply.version = some("0.1.0");
    assert_reply::<MetricsRequest>(
        &reply,
        &format!("{members} store_backend online_sessions capture version"),
    );
}

/// The errors that section 6 names, for bodies that are no objects and objects that lack what is needed.
#[test]
fn errors_of_requests() {
    fn error<R: Request + Debug>(body: &str) -> String {
        decode_request::<R>(body.as_bytes()).unwrap_err().encode()
    }
    /// Reads a body as one request type; the body; the error.
    type Case = (fn(&str) -> String, &'static str, &'static str);
    let cases: &[Case] = &[
        (error::<RegisterRequest>, "[]", "register payload must be an object"),
        (error::<RegisterRequest>, r#"{"name":"n"}"#, "agent_id is required"),
        (
            error::<RegisterRequest>,
            r#"{"agent_id":"a","capabilities":5}"#,
            "`capabilities` must be a list of texts",
        ),
        (error::<ResolveAccountRequest>, "5", "resolve payload must be an object"),
        (
            error::<ResolveAccountRequest>,
            r#"{"username":"!!"}"#,
            "username is required",
        ),
        (error::<ResolveKeyRequest>, "null", "resolve payload must be an object"),
        (
            error::<ResolveKeyRequest>,
            r#"{"account_id":" \u001c"}"#,
            "account_id is required",
        ),
        (error::<SearchRequest>, "\"\"", "search payload must be an object"),
        (error::<SearchRequest>, r#"{"limit":1e400}"#, "limit is out of range"),
        (error::<ProfileRequest>, "true", "profile payload must be an object"),
        (error::<ProfileRequest>, "", "account_id or username is required"),
        (
            error::<ThreadStatusRequest>,
            "[]",
            "thread_status payload must be an object",
        ),
        (error::<ThreadStatusRequest>, "{}", "thread_id is required"),
        (
            error::<ThreadStatusRequest>,
            r#"{"thread_id":"t","hard_limit_tokens":-Infinity}"#,
            "hard_limit_tokens is out of range",
        ),
        (
            error::<ThreadListRequest>,
            "[]",
            "thread_list payload must be an object",
        ),
        (
            error::<ThreadMessagesRequest>,
            "[]",
            "thread_messages payload must be an object",
        ),
        (
            error::<ThreadMessagesRequest>,
            r#"{"thread_id":""}"#,
            "thread_id is required",
        ),
        (
            error::<MessageSearchRequest>,
            "[]",
            "message_search payload must be an object",
        ),
        (
            error::<ListRequest>,
            "{",
            "invalid JSON at byte 1: expected a member name in quotes",
        ),
        (
            error::<MetricsRequest>,
            "nope",
            "invalid JSON at byte 0: expected a value",
        ),
    ];
    for (error, body, expected) in cases {
        assert_eq!(error(body), format!(r#"{{"error":"{expected}"}}"#), "{body}");
    }
    for (body, fault) in [("{", true), (r#"{"limit":1e400}"#, true), ("[]", false)] {
        assert_eq!(
            decode_request::<SearchRequest>(body.as_bytes()).unwrap_err().is_fault(),
            fault,
            "{body}"
        );
    }
    let garbage = decode_request::<SearchRequest>(b"\xff\xfe").unwrap_err();
    assert_eq!(garbage.encode(), r#"{"error":"the body is not valid UTF-8"}"#);
    assert_eq!(RpcError::NOT_FOUND.encode(), r#"{"error":"not_found"}"#);
    assert_eq!(RpcError::CURSOR_INVALID.encode(), r#"{"error":"cursor_invalid"}"#);
}

#[test]
fn errors_of_replies() {
    let refused = decode_reply::<ListRequest>(br#"{"error":"search_failed","generated_at":""}"#);
    assert_eq!(refused, Err(ReplyError::Refused("search_failed".to_owned())));
    assert_eq!(
        decode_reply::<ListRequest>(br#"{"error":null,"agents":[]}"#),
        Ok(ListReply::default())
    );
    // What others answer: a stream's confirmation, an error of the server's API, nothing.
    for strange in [
        r#"{"stream":"BACKUP","seq":7}"#,
        r#"{"error":{"code":404}}"#,
        r#"{"error":null}"#,
        "{}",
    ] {
        let missing = DecodeError::Member {
            member: "agents",
            problem: "is missing",
        };
        assert_eq!(
            decode_reply::<ListRequest>(strange.as_bytes()),
            Err(ReplyError::Invalid(missing)),
            "{strange}"
        );
    }
    assert_eq!(
        decode_reply::<ListRequest>(b"[]"),
        Err(ReplyError::Invalid(DecodeError::NotAnObject))
    );
    assert!(matches!(
        decode_reply::<ListRequest>(b"{"),
        Err(ReplyError::Invalid(DecodeError::Json(_)))
    ));
}

/// "L or N", then the integer, then the clamp; the token limits without the "or" (sections 1 and 6).
#[test]
fn limits() {
    let cases = [
        ("null", 20),
        ("0", 20),
        ("\"\"", 20),
        ("false", 20),
        ("[]", 20),
        ("\"many\"", 20),
        ("NaN", 20),
        ("-3", 1),
        ("1", 1),
        ("true", 1),
        ("\" 7 \"", 7),
        ("7.9", 7),
        ("0.5", 1),
        ("\"0\"", 1),
        ("101", 100),
        ("1e300", 100),
        ("99999999999999999999999999999999999999999999", 100),
    ];
    for (limit, expected) in cases {
        let body = format!(r#"{{"limit":{limit}}}"#);
        assert_eq!(
            decode_request::<SearchRequest>(body.as_bytes()).unwrap().limit,
            expected,
            "{limit}"
        );
        assert_eq!(
            decode_request::<ThreadListRequest>(body.as_bytes()).unwrap().limit,
            expected,
            "{limit}"
        );
    }
    let history = decode_request::<MessageSearchRequest>(br#"{"limit":1000}"#).unwrap();
    assert_eq!(
        (
            history.limit,
            decode_request::<MessageSearchRequest>(b"").unwrap().limit
        ),
        (200, 50)
    );

    let resolved = |soft: &str, hard: &str| {
        let body = format!(r#"{{"thread_id":"t","soft_limit_tokens":{soft},"hard_limit_tokens":{hard}}}"#);
        decode_request::<ThreadStatusRequest>(body.as_bytes())
            .unwrap()
            .limits
            .resolve(50, 60)
    };
    assert_eq!(resolved("null", "\"x\""), (50, 60));
    assert_eq!(resolved("0", "0"), (1, 1));
    assert_eq!(resolved("-5", "-5"), (1, 1));
    assert_eq!(resolved("70", "null"), (70, 70));
    assert_eq!(resolved("99999999999999999999", "1"), (i64::MAX, i64::MAX));
}
