//! Every request and reply: written and read again, members in the order of section 6, exact texts.

mod accounts;
mod blobs;
mod errors;
mod history;
mod mailbox;
mod members;
mod tasks;

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
            pulls_mailbox: false,
            claims_tasks: false,
        },
        &format!("{text}}}"),
    );
    let auth = Some(raw(r#"{"scheme":"dev-ed25519-v1"}"#));
    assert_request(
        &RegisterRequest {
            agent,
            auth,
            keep_profile: true,
            pulls_mailbox: false,
            claims_tasks: true,
        },
        &format!(r#"{text},"auth":{{"scheme":"dev-ed25519-v1"}},"keep_profile":true,"tasks":"claim"}}"#),
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
