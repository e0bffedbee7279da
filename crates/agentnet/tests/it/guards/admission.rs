//! Rows 5 to 11: the ordered checks of a readable message, and that nothing is remembered before a slot is certain.

use std::time::Duration;

use serde_json::{Value, json};

use crate::guards::harness::*;
use crate::net::from_now;

#[tokio::test]
async fn row_5_shutting_down() {
    let harness = Harness::start(|limits| {
        limits.max_concurrency = 1;
        limits.drain_timeout = Duration::from_millis(100);
    })
    .await;
    let (stuck, waiting) = (message("stuck", "hang"), message("waiting", ""));
    harness.post("stuck", &stuck).await;
    harness.post("waiting", &waiting).await;
    harness
        .when("one in hand, one waiting", |m| {
            (m.inflight_count, m.pending_count) == (1, 1)
        })
        .await;

    // The node leaves its queue group at once; what it had accepted by then it cannot finish in the drain time.
    let session = harness.node.session_tag().unwrap();
    let closing = {
        let node = harness.node.clone();
        tokio::spawn(async move { node.close().await })
    };
    let detail = "agent is shutting down";
    let mut late = Vec::new();
    let mut every = tokio::time::interval(Duration::from_millis(5));
    while !closing.is_finished() {
        every.tick().await;
        let id = format!("late{}", late.len());
        late.push(message(&id, ""));
        harness.post(&id, late.last().unwrap()).await;
    }
    closing.await.unwrap();
    harness.wait(|seen| seen.subject == "registry.goodbye").await;
    let refusals = |id: &str| -> Vec<Value> {
        let receipts = harness.receipts(id);
        receipts
            .iter()
            .for_each(|receipt| assert_eq!(receipt["from_session_tag"], session.as_str()));
        receipts
            .iter()
            .map(|receipt| json!([receipt["status"], receipt["code"], receipt["detail"]]))
            .collect()
    };
    let refused = json!(["rejected", "shutting_down", detail]);
    let accepted = json!(["accepted", null, null]);
    assert_eq!(
        refusals("stuck"),
        [accepted.clone(), refused.clone()],
        "given up in its handler"
    );
    assert_eq!(
        refusals("waiting"),
        [accepted.clone(), refused.clone()],
        "never handled"
    );
    let late: Vec<_> = late
        .iter()
        .map(|message| refusals(message["message_id"].as_str().unwrap()))
        .collect();
    for receipts in &late {
        let told = [vec![], vec![refused.clone()], vec![accepted.clone(), refused.clone()]];
        assert!(told.contains(receipts), "{receipts:?}");
    }
    let mut gone = late.iter().skip_while(|receipts| !receipts.is_empty());
    assert!(
        gone.all(Vec::is_empty),
        "none was lost before the node had left: {late:?}"
    );
    let reply = harness.reply("stuck").await;
    assert_eq!(reply["payload"]["error"], "shutting_down");
    assert_eq!(harness.reply("waiting").await["payload"]["detail"], detail);
    assert!(harness.handled("waiting").is_empty());
    assert_eq!(harness.node.metrics_snapshot().processed_count, 0);
}

#[tokio::test]
async fn row_6_and_the_worker_service_degraded() {
    let harness = Harness::start(|limits| {
        limits.max_concurrency = 1;
        limits.circuit_breaker_failures = 5;
        limits.circuit_breaker_reset = Duration::from_secs(5);
    })
    .await;
    let handler_error = ("handler_error", "handler raised an exception");
    // A success in between starts the count again.
    for number in 0..4 {
        let failing = message(&format!("early{number}"), "fail");
        harness.post("early", &failing).await;
        harness.expect_receipt(&failing, "rejected", Some(handler_error)).await;
    }
    let well = message("well", "");
    harness.post("well", &well).await;
    harness.processed(&well).await;
    for number in 0..4 {
        let failing = message(&format!("again{number}"), "fail");
        harness.post("again", &failing).await;
        harness.expect_receipt(&failing, "rejected", Some(handler_error)).await;
    }
    assert!(!harness.node.metrics_snapshot().circuit_open);

    // Accepted while the circuit was closed, but opened before their turn.
    let (fifth, queued) = (message("fifth", "wait and fail"), message("queued", ""));
    harness.post("fifth", &fifth).await;
    harness.post("queued", &queued).await;
    harness.expect_receipt(&queued, "accepted", None).await;
    harness.gate.add_permits(1);
    harness
        .expect_refusal("fifth", &fifth, handler_error.0, handler_error.1)
        .await;
    harness
        .expect_refusal("queued", &queued, "service_degraded", "circuit breaker open")
        .await;
    assert!(harness.handled("queued").is_empty(), "its handler was not run");

    let metrics = harness.node.metrics_snapshot();
    assert!(metrics.circuit_open);
    assert_eq!((metrics.error_count, metrics.processed_count), (9, 1));
    let refused = message("refused", "");
    harness
        .refused("refused", &refused, "service_degraded", "circuit breaker open")
        .await;
    // The order: schema before the circuit, the circuit before the time to live.
    let schema = with(message("schema", ""), json!({ "schema_version": "2.0" }));
    let detail = "message schema_version is not supported";
    harness
        .refused("schema", &schema, "unsupported_schema_version", detail)
        .await;
    let expired = with(message("expired", ""), json!({ "expires_at": from_now(-60_000) }));
    harness
        .refused("expired", &expired, "service_degraded", "circuit breaker open")
        .await;
    assert_eq!(
        harness.node.metrics_snapshot().dropped_count,
        4,
        "handler errors are counted as such"
    );

    // It closes by itself, and the message that was refused meanwhile is taken: its id was not burned.
    harness
        .when("the circuit closes", |metrics| !metrics.circuit_open)
        .await;
    harness.post("refused again", &refused).await;
    harness.processed(&refused).await;
}

#[tokio::test]
async fn row_7_time_to_live() {
    let harness = Harness::start(|_| {}).await;
    let detail = "message ttl invalid or expired";
    let no_ttl = json!({ "ttl_ms": null, "expires_at": null });
    let missing = [
        no_ttl.clone(),
        with(no_ttl, json!({ "sent_at": "yesterday", "ttl_ms": 30_000 })),
        json!({ "ttl_ms": "soon", "expires_at": "tomorrow" }),
    ];
    for (number, change) in missing.iter().enumerate() {
        let id = format!("missing{number}");
        harness
            .refused(&id, &with(message(&id, ""), change.clone()), "missing_ttl", detail)
            .await;
    }
    let expired = [
        json!({ "expires_at": from_now(-1) }),
        json!({ "sent_at": from_now(-30_001), "expires_at": null }),
        json!({ "sent_at": from_now(-30_001) }),
        json!({ "ttl_ms": 0 }),
        json!({ "ttl_ms": -5 }),
    ];
    for (number, change) in expired.iter().enumerate() {
        let id = format!("expired{number}");
        harness
            .refused(&id, &with(message(&id, ""), change.clone()), "expired", detail)
            .await;
    }
    let alive = [
        json!({ "ttl_ms": null }),
        json!({ "expires_at": null }),
        json!({ "expires_at": "nonsense" }),
        json!({ "sent_at": from_now(3_600_000), "expires_at": null }),
        json!({ "ttl_ms": 1e30, "expires_at": null }),
    ];
    for (number, change) in alive.iter().enumerate() {
        let id = format!("alive{number}");
        let message = with(message(&id, ""), change.clone());
        harness.post(&id, &message).await;
        harness.processed(&message).await;
    }
    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.expired_count, metrics.dropped_count), (8, 8));
}

#[tokio::test]
async fn row_7_with_clock_skew() {
    let harness = Harness::start(|limits| limits.clock_skew_ms = 60_000).await;
    let behind = with(
        message("behind", ""),
        json!({ "sent_at": from_now(-80_000), "expires_at": null }),
    );
    harness.post("behind", &behind).await;
    harness.processed(&behind).await;
    let older = with(
        message("older", ""),
        json!({ "sent_at": from_now(-90_001), "expires_at": null }),
    );
    let detail = "message ttl invalid or expired";
    harness.refused("older", &older, "expired", detail).await;
}

#[tokio::test]
async fn row_8_rate() {
    let harness = Harness::start(|limits| {
        limits.rate_limit_per_sender_per_sec = 0.1;
        limits.rate_limit_burst = 2;
    })
    .await;
    for id in ["a", "b"] {
        harness.post(id, &message(id, "")).await;
        harness.processed(&message(id, "")).await;
    }
    harness
        .refused("c", &message("c", ""), "rate_limited", "sender rate exceeded")
        .await;
    // Before the duplicates: a repeated message costs a token too.
    harness
        .refused("d", &message("a", ""), "rate_limited", "sender rate exceeded")
        .await;
    // By session, so that another session of the account is not held up.
    let other = with(message("e", ""), json!({ "from_session_tag": "session_other" }));
    harness.post("e", &other).await;
    harness.processed(&other).await;
    // Without a session by account.
    let account = with(message("f", ""), json!({ "from_session_tag": null }));
    harness.post("f", &account).await;
    harness.processed(&account).await;
    let metrics = harness.node.metrics_snapshot();
    assert_eq!(
        (
            metrics.rate_limited_count,
            metrics.dropped_count,
            metrics.duplicate_count
        ),
        (2, 2, 0)
    );
}

#[tokio::test]
async fn rows_9_and_10_duplicates() {
    let harness = Harness::start(|_| {}).await;
    let first = with(message("one", ""), json!({ "idempotency_key": " key " }));
    harness.post("first", &first).await;
    harness.processed(&first).await;
    let detail = "message_id has already been processed";
    harness
        .refused("same id", &message("one", ""), "duplicate", detail)
        .await;
    let detail = "idempotency_key has already been processed";
    let key = with(message("two", ""), json!({ "idempotency_key": "key" }));
    harness.refused("same_key", &key, "duplicate", detail).await;
    // A refused duplicate does not burn its own id; another sender's key is another key; blank keys are none.
    let taken = [
        message("two", ""),
        with(message("three", ""), json!({ "idempotency_key": "  " })),
        with(message("four", ""), json!({ "idempotency_key": "  " })),
        with(message("five", ""), json!({ "idempotency_key": "KEY" })),
    ];
    for message in &taken {
        harness.post("taken", message).await;
        harness.processed(message).await;
    }
    let stranger = json!({ "idempotency_key": "key", "from_account_id": "acct_stranger" });
    harness.post("stranger", &with(message("six", ""), stranger)).await;
    harness
        .when("the stranger's is handled", |metrics| metrics.processed_count == 6)
        .await;
    // Without an id nothing can be told apart.
    for label in ["x", "y"] {
        harness.post(label, &message("", "")).await;
    }
    harness
        .when("both without id are handled", |metrics| metrics.processed_count == 8)
        .await;
    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.duplicate_count, metrics.dropped_count), (2, 2));
}

#[tokio::test]
async fn row_11_busy_burns_neither_id_nor_key() {
    let harness = Harness::start(|limits| {
        limits.max_concurrency = 1;
        limits.max_pending = 1;
    })
    .await;
    let (running, pending) = (message("running", "wait"), message("pending", ""));
    harness.post("running", &running).await;
    harness.when("one runs", |metrics| metrics.inflight_count == 1).await;
    harness.post("pending", &pending).await;
    harness.expect_receipt(&pending, "accepted", None).await;
    assert_eq!(harness.node.metrics_snapshot().pending_count, 1);

    let busy = with(message("busy", ""), json!({ "idempotency_key": "once" }));
    harness.refused("busy", &busy, "busy", "agent backlog is full").await;
    harness.refused("busy2", &busy, "busy", "agent backlog is full").await;
    let metrics = harness.node.metrics_snapshot();
    assert_eq!(
        (metrics.busy_count, metrics.duplicate_count, metrics.dropped_count),
        (2, 0, 2)
    );
    // Duplicates are told apart from busy even now: the checks come before the slot.
    let detail = "message_id has already been processed";
    harness.refused("pending2", &pending, "duplicate", detail).await;

    harness.gate.add_permits(1);
    harness.processed(&pending).await;
    harness.post("retry", &busy).await;
    harness.processed(&busy).await;
    harness.refused("busy3", &busy, "duplicate", detail).await;
    let again = with(message("other", ""), json!({ "idempotency_key": "once" }));
    harness
        .refused(
            "busy4",
            &again,
            "duplicate",
            "idempotency_key has already been processed",
        )
        .await;
    assert_eq!(harness.handled("busy").len(), 1);
}

#[tokio::test]
async fn the_first_failing_check_wins() {
    let harness = Harness::start(|limits| {
        limits.max_concurrency = 1;
        limits.max_pending = 1;
        limits.rate_limit_per_sender_per_sec = 0.1;
        limits.rate_limit_burst = 1;
        limits.max_payload_bytes = 5_000;
    })
    .await;
    // Each sender session has one message.
    let session = |message: Value, tag: &str| with(message, json!({ "from_session_tag": tag }));
    let known = with(message("known", "wait"), json!({ "idempotency_key": "k" }));
    harness.post("known", &session(known.clone(), "s1")).await;
    harness.when("one runs", |metrics| metrics.inflight_count == 1).await;
    let filler = session(message("filler", ""), "s2");
    harness.post("filler", &filler).await;
    harness.expect_receipt(&filler, "accepted", None).await;

    let mut worse = session(message("new", ""), "s3");
    harness.refused("11", &worse, "busy", "agent backlog is full").await;
    worse = session(with(worse, json!({ "idempotency_key": "k" })), "s4");
    harness
        .refused("10", &worse, "duplicate", "idempotency_key has already been processed")
        .await;
    worse = session(
        with(worse, json!({ "message_id": "known", "trace_id": "Trace-known" })),
        "s5",
    );
    harness
        .refused("9", &worse, "duplicate", "message_id has already been processed")
        .await;
    harness
        .refused("8", &worse, "rate_limited", "sender rate exceeded")
        .await;
    worse = with(worse, json!({ "expires_at": from_now(-60_000) }));
    harness
        .refused("7b", &worse, "expired", "message ttl invalid or expired")
        .await;
    worse = with(worse, json!({ "expires_at": null, "ttl_ms": null }));
    harness
        .refused("7", &worse, "missing_ttl", "message ttl invalid or expired")
        .await;
    let schema = "message schema_version is not supported";
    worse = with(worse, json!({ "schema_version": "3" }));
    harness
        .refused("3b", &worse, "unsupported_schema_version", schema)
        .await;
    worse = with(worse, json!({ "schema_version": "three" }));
    harness.refused("3", &worse, "schema_version_invalid", schema).await;
    worse = with(worse, json!({ "payload": "x".repeat(5_000) }));
    let detail = format!(
        "message of {} bytes exceeds the receiver's limit of 5000 bytes",
        worse.to_string().len()
    );
    harness.refused("1", &worse, "payload_too_large", &detail).await;
    assert_eq!(harness.node.metrics_snapshot().dropped_count, 9);
    harness.gate.add_permits(1);
    harness.processed(&filler).await;
}
