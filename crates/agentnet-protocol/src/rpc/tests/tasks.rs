//! Requests about tasks.

use super::*;
use crate::Timestamp;
use crate::signature::SigningKey;
use crate::task::{MAX_CHECKPOINT_BYTES, MAX_REQUEST_BYTES, MAX_RESULT_BYTES, MAX_TEXT_BYTES, TaskState};

fn refused<R: Request + Debug>(body: &str) -> String {
    decode_request::<R>(body.as_bytes()).unwrap_err().text().to_owned()
}

fn snapshot() -> TaskSnapshot {
    TaskSnapshot {
        task_id: "t".into(),
        status: "working".into(),
        r#type: "task.progress".into(),
        text: "tests run".into(),
        assigned_text: "fix it".into(),
        thread_id: some("thread_t"),
        latest_event: Some(TaskEvent {
            seq: 3,
            at: TIME.into(),
            r#type: "progress".into(),
            attempt: 1,
            data: Some(raw(r#"{"percent":40}"#)),
            ..TaskEvent::default()
        }),
        state: "working".into(),
        metadata: RawJson::empty_object(),
        ..TaskSnapshot::default()
    }
}

/// The members that every snapshot has.
const SNAPSHOT: &str = "task_id status type title text assigned_text thread_id assignee_account_id coordinator_account_id coordinator \
     parent_task_id latest_progress_text progress_event_count created_at updated_at message_id terminal event_count latest_event state \
     attempt max_attempts priority revision metadata";

#[test]
fn a_new_task_is_written_with_its_defaults() {
    let request = TaskCreateRequest::new("acct_a", "acct_b", "fix it");
    let text = r#"{"account_id":"acct_a","session_tag":"","to":"acct_b","text":"fix it","priority":0,"max_attempts":1,"backoff_ms":1000,"heartbeat_ms":30000,"metadata":{}}"#;
    assert_request(&request, text);
    let full = TaskCreateRequest {
        session_tag: "s".into(),
        task_id: some("task_1"),
        title: some("Fix #12"),
        payload: Some(raw(r#"{"n":1.0}"#)),
        thread_id: some("thread_1"),
        parent_task_id: some("task_0"),
        idempotency_key: some("k"),
        coordinator: some("boss"),
        priority: -5,
        not_before: some(TIME),
        deadline_at: some(TIME),
        max_attempts: 3,
        metadata: raw(r#"{"a":1}"#),
        ..request
    };
    assert_eq!(
        names(&full.encode()),
        "account_id session_tag task_id to title text payload thread_id parent_task_id idempotency_key coordinator priority not_before \
         deadline_at max_attempts backoff_ms heartbeat_ms metadata"
    );
    assert_eq!(decode_request(full.encode().as_bytes()), Ok(full));
}

#[test]
fn texts_and_values_are_bounded() {
    let create = |member: &str, value: &str| format!(r#"{{"account_id":"a","to":"b","{member}":{value}}}"#);
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    for (member, max) in [
        ("title", 1_024),
        ("text", MAX_TEXT_BYTES),
        ("task_id", 256),
        ("coordinator", 256),
        ("parent_task_id", 256),
        ("idempotency_key", 1_024),
        ("deadline_at", 1_024),
        ("thread_id", 2_048),
    ] {
        assert!(decode_request::<TaskCreateRequest>(create(member, &text(max)).as_bytes()).is_ok());
        let size = max + 1;
        assert_eq!(
            refused::<TaskCreateRequest>(&create(member, &text(size))),
            format!("{member} has {size} bytes; at most {max} are allowed")
        );
    }
    // A value is measured as JSON, with its quotes.
    for (member, max) in [("payload", MAX_RESULT_BYTES), ("metadata", 64 * 1024)] {
        assert!(decode_request::<TaskCreateRequest>(create(member, &text(max - 2)).as_bytes()).is_ok());
        let size = max + 1;
        assert_eq!(
            refused::<TaskCreateRequest>(&create(member, &text(max - 1))),
            format!("{member} has {size} bytes; at most {max} are allowed")
        );
    }
    let beat = |size: usize| {
        let checkpoint = text(size - 2);
        format!(
            r#"{{"account_id":"a","session_tag":"s","items":[{{"task_id":"t","attempt":1,"lease":"l","checkpoint":{checkpoint}}}]}}"#
        )
    };
    // One that is too large is told in its result: the other items of the request count.
    assert!(decode_request::<TaskHeartbeatRequest>(beat(MAX_CHECKPOINT_BYTES + 1).as_bytes()).is_ok());
}

#[test]
fn a_request_is_bounded_as_a_whole() {
    let body = |bytes: usize| {
        let mut body = String::from(r#"{"account_id":"a","task_id":"t","x":""#);
        // Names, values and their quotes count; colons, commas and braces do not.
        let counted = r#""account_id""a""task_id""t""x""""#.len();
        body.push_str(&"x".repeat(bytes - counted));
        body.push_str("\"}");
        body
    };
    assert!(decode_request::<TaskCancelRequest>(body(MAX_REQUEST_BYTES).as_bytes()).is_ok());
    assert_eq!(
        refused::<TaskCancelRequest>(&body(MAX_REQUEST_BYTES + 1)),
        "the request has 786433 bytes; at most 786432 are allowed"
    );
    // These have the bound of every request.
    let long = format!(r#"{{"task_id":"t","x":"{}"}}"#, "x".repeat(64 * 1024));
    assert!(decode_request::<TaskStatusRequest>(long.as_bytes()).is_err());
}

#[test]
fn a_claim_has_defaults_and_bounds() {
    let request = TaskClaimRequest {
        account_id: "a".into(),
        session_tag: "s".into(),
        max: 1,
        ..TaskClaimRequest::default()
    };
    let text = r#"{"account_id":"a","session_tag":"s","capabilities":[],"max":1,"wait_ms":0}"#;
    assert_request(&request, text);
    let body = r#"{"account_id":"a","session_tag":"s","capabilities":["build"],"max":1000,"wait_ms":1e9}"#;
    let request = decode_request::<TaskClaimRequest>(body.as_bytes()).unwrap();
    assert_eq!((request.max, request.wait_ms), (32, 25_000));
    assert_eq!(request.capabilities, ["build"]);
}

#[test]
fn heartbeats_come_back_as_they_were() {
    let item = TaskHeartbeat {
        task_id: "t".into(),
        attempt: 2,
        lease: "l".into(),
        ..TaskHeartbeat::default()
    };
    let request = TaskHeartbeatRequest {
        account_id: "a".into(),
        session_tag: "s".into(),
        items: vec![
            item.clone(),
            TaskHeartbeat {
                progress: Some(TaskProgress {
                    text: some("half"),
                    percent: Some(50),
                    phase: some("working"),
                }),
                checkpoint: Some(raw(r#"{"step":3}"#)),
                ..item
            },
        ],
        auth: RequestAuth::default(),
    };
    let text = r#"{"account_id":"a","session_tag":"s","items":[{"task_id":"t","attempt":2,"lease":"l"},{"task_id":"t","attempt":2,"lease":"l","progress":{"text":"half","percent":50,"phase":"working"},"checkpoint":{"step":3}}]}"#;
    assert_request(&request, text);
}

#[test]
fn an_attempt_ends_in_every_state_but_working() {
    for state in TaskState::ALL {
        let request = TaskFinishRequest {
            account_id: "a".into(),
            session_tag: "s".into(),
            task_id: "t".into(),
            attempt: 1,
            lease: "l".into(),
            finish_id: "f".into(),
            state: *state,
            result: Some(raw("[1.0]")),
            text: some("done"),
            code: some("c"),
            detail: some("d"),
            retryable: true,
            auth: RequestAuth::default(),
        };
        let read = decode_request::<TaskFinishRequest>(request.encode().as_bytes());
        match state {
            TaskState::Working => assert!(read.unwrap_err().text().starts_with("state must be ")),
            _ => assert_eq!(read, Ok(request)),
        }
    }
}

#[test]
fn a_cancellation_keeps_the_parts_only_on_request() {
    let request = TaskCancelRequest {
        account_id: "a".into(),
        task_id: "t".into(),
        reason: some("late"),
        keep_children: true,
        ..TaskCancelRequest::default()
    };
    let text = r#"{"account_id":"a","session_tag":"","task_id":"t","reason":"late","cascade":false}"#;
    assert_request(&request, text);
    for cascade in ["true", "null", "0", "\"false\""] {
        let body = format!(r#"{{"account_id":"a","task_id":"t","cascade":{cascade}}}"#);
        let request = decode_request::<TaskCancelRequest>(body.as_bytes()).unwrap();
        assert!(!request.keep_children, "{cascade}");
    }
    assert_request(
        &TaskInputRequest {
            account_id: "a".into(),
            task_id: "t".into(),
            payload: Some(raw("\"main\"")),
            ..TaskInputRequest::default()
        },
        r#"{"account_id":"a","session_tag":"","task_id":"t","payload":"main"}"#,
    );
    assert_request(
        &TaskRetryRequest {
            account_id: "a".into(),
            task_id: "t".into(),
            not_before: some(TIME),
            ..TaskRetryRequest::default()
        },
        r#"{"account_id":"a","session_tag":"","task_id":"t","not_before":"2026-02-21T08:00:00Z"}"#,
    );
}

#[test]
fn a_list_is_asked_for_by_state_or_by_status() {
    assert_request(&TaskListRequest::default(), r#"{"limit":20}"#);
    let request = TaskListRequest {
        assignee_account_id: some("b"),
        coordinator_account_id: some("a"),
        states: vec![TaskState::Working],
        parent_task_id: some("t"),
        capability: some("build"),
        since: some(TIME),
        limit: 5,
        cursor: some("x"),
    };
    let text = r#"{"assignee_account_id":"b","coordinator_account_id":"a","state":"working","parent_task_id":"t","capability":"build","since":"2026-02-21T08:00:00Z","limit":5,"cursor":"x"}"#;
    assert_request(&request, text);
    for (status, states) in [
        ("assigned", &[TaskState::Submitted][..]),
        ("blocked", &[TaskState::InputRequired, TaskState::AuthRequired]),
        ("failed", &[TaskState::Failed, TaskState::Canceled, TaskState::Rejected]),
    ] {
        let body = format!(r#"{{"status":"{status}"}}"#);
        let request = decode_request::<TaskListRequest>(body.as_bytes()).unwrap();
        assert_eq!(request.states, states);
        let again = decode_request::<TaskListRequest>(request.encode().as_bytes());
        assert_eq!(again, Ok(request), "{status}");
    }
    assert_request(
        &TaskEventsRequest {
            task_id: "t".into(),
            ..TaskEventsRequest::default()
        },
        r#"{"task_id":"t","after":0,"limit":100,"wait_ms":0}"#,
    );
    assert_request(&TaskStatusRequest { task_id: "t".into() }, r#"{"task_id":"t"}"#);
}

#[test]
fn a_signature_covers_the_request() {
    let key = SigningKey::from_seed(&[4; 32]);
    let mut request = TaskInputRequest {
        account_id: "a".into(),
        task_id: "t".into(),
        payload: Some(raw(r#"{"n":1.0}"#)),
        ..TaskInputRequest::default()
    };
    request.sign(&key, Timestamp::from_micros(0), "n");
    let judge = |text: &str| {
        let received = decode_request::<TaskInputRequest>(text.as_bytes()).unwrap();
        let auth = received.auth();
        let (bound, hash) = (Some(key.public_text()), &auth.request_sha256);
        let now = Timestamp::from_micros(0);
        crate::signed_request::check(auth.auth.as_ref(), received.requester(), hash, bound, now, 0, |_| true)
    };
    let text = request.encode();
    assert_eq!(judge(&text), Ok(()));
    for changed in [
        text.replace("1.0", "2.0"),
        text.replace(r#""task_id":"t""#, r#""task_id":"u""#),
    ] {
        assert!(judge(&changed).is_err(), "{changed}");
    }
}

#[test]
fn replies_come_back_as_they_were() {
    let generated_at = || TIME.to_owned();
    let task = snapshot();
    assert_eq!(
        names(&task.encode()),
        SNAPSHOT.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    assert_reply::<TaskCreateRequest>(
        &TaskCreateReply {
            task: task.clone(),
            created: true,
            delivery: "lease".into(),
            generated_at: generated_at(),
        },
        "task created delivery generated_at",
    );
    assert_reply::<TaskClaimRequest>(
        &TaskClaimReply {
            tasks: vec![ClaimedTask {
                task: task.clone(),
                attempt: 1,
                lease: "l".into(),
                lease_until: TIME.into(),
                heartbeat_ms: 30_000,
                payload: Some(raw("[1.0]")),
                checkpoint: Some(raw(r#"{"step":3}"#)),
                input: Some(raw("\"main\"")),
            }],
            generated_at: generated_at(),
        },
        "tasks generated_at",
    );
    assert_reply::<TaskFinishRequest>(
        &TaskFinishReply {
            finished: true,
            duplicate: false,
            state: "submitted".into(),
            next_attempt_at: some(TIME),
            generated_at: generated_at(),
        },
        "finished duplicate state next_attempt_at generated_at",
    );
    assert_reply::<TaskStatusRequest>(
        &TaskReply {
            task: task.clone(),
            next_attempt_at: None,
            generated_at: generated_at(),
        },
        "task generated_at",
    );
    assert_reply::<TaskListRequest>(
        &TaskListReply {
            tasks: vec![task.clone(), task],
            limit: 2,
            next_cursor: some("x"),
            generated_at: generated_at(),
        },
        "tasks limit next_cursor generated_at",
    );
}

#[test]
fn flags_and_absent_members_are_left_out() {
    let mut task = snapshot();
    task.latest_event = None;
    let text = task.encode();
    for member in [
        "latest_event",
        "stalled",
        "resumable",
        "cancel_requested",
        "result",
        "percent",
        "children",
    ] {
        assert!(!text.contains(&format!("\"{member}\"")), "{member} in {text}");
    }
    assert!(text.contains(r#""type":"task.progress","title":null"#), "{text}");
    task.stalled = true;
    task.percent = Some(0);
    task.children = Some(TaskChildren { open: 1, done: 0 });
    let text = task.encode();
    for member in r#""stalled":true "percent":0 "children":{"open":1,"done":0}"#.split(' ') {
        assert!(text.contains(member), "{member} in {text}");
    }
    let event = TaskEvent {
        task_id: some("t"),
        seq: 1,
        r#type: "created".into(),
        ..TaskEvent::default()
    };
    assert_eq!(
        event.encode(),
        r#"{"task_id":"t","seq":1,"at":"","type":"created","attempt":0}"#
    );
    assert_eq!(TaskEvent::decode(event.encode().as_bytes()), Ok(event));
    assert!(TaskEvent::decode(b"[]").is_err());
}
