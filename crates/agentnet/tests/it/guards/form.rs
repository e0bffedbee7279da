//! Rows 1 to 3: size, form and schema version.

use agentnet_testkit::Captured;
use bytes::Bytes;
use serde_json::json;

use crate::guards::harness::*;

#[tokio::test]
async fn row_1_oversized() {
    let harness = Harness::start(|limits| limits.max_payload_bytes = 2_000).await;
    let large = with(message("big", ""), json!({ "payload": "x".repeat(3_000) }));
    let size = large.to_string().len();
    let detail = format!("message of {size} bytes exceeds the receiver's limit of 2000 bytes");
    harness.refused("big", &large, "payload_too_large", &detail).await;

    // An unreadable message names no account to send a receipt to.
    harness
        .post_bytes(INBOX, "garbage", Bytes::from(vec![b'{'; 2_001]))
        .await;
    let detail = "message of 2001 bytes exceeds the receiver's limit of 2000 bytes";
    let reply = harness.reply("garbage").await;
    check_error_reply(&harness.node, &json!({}), &reply, "payload_too_large", detail);

    // Exactly the limit is taken.
    let fill = 2_000 - with(message("full", ""), json!({ "payload": "" })).to_string().len();
    let full = with(message("full", ""), json!({ "payload": "x".repeat(fill) }));
    assert_eq!(full.to_string().len(), 2_000);
    harness.post("full", &full).await;
    harness.processed(&full).await;

    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.payload_rejected_count, metrics.dropped_count), (2, 2));
    assert_eq!(metrics.processed_count, 1);
}

#[tokio::test]
async fn row_2_undecodable() {
    let harness = Harness::start(|_| {}).await;
    let infinite = message("infinite", "").to_string().replace("30000", "1e400");
    assert!(infinite.contains("1e400"));
    let rows: [(&str, Vec<u8>, &str); 7] = [
        ("truncated", br#"{"message_id": "#.to_vec(), ""),
        ("array", b"[1]".to_vec(), "the body must be a JSON object"),
        ("text", br#""hello""#.to_vec(), "the body must be a JSON object"),
        ("latin1", b"{\"a\": \"\xe9\"}".to_vec(), ""),
        ("trailing", b"{} {}".to_vec(), ""),
        ("deep", [b"[".repeat(100_000)].concat(), ""),
        ("infinite", infinite.into_bytes(), ""),
    ];
    let count = rows.len() as u64;
    for (label, body, detail) in rows {
        harness.post_bytes(INBOX, label, body.into()).await;
        let reply = harness.reply(label).await;
        let said = reply["payload"]["detail"].as_str().unwrap().to_owned();
        assert!(!said.is_empty() && said.starts_with(detail), "{label}: {said}");
        check_error_reply(&harness.node, &json!({}), &reply, "message_invalid", &said);
    }
    // An empty body is an empty message: it fails a later check.
    harness.post_bytes(INBOX, "empty", Bytes::new()).await;
    let reply = harness.reply("empty").await;
    check_error_reply(
        &harness.node,
        &json!({}),
        &reply,
        "missing_ttl",
        "message ttl invalid or expired",
    );

    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.payload_rejected_count, metrics.expired_count), (count, 1));
    assert_eq!(metrics.dropped_count, count + 1);
    let receipts = |seen: &Captured| seen.subject.ends_with(".receipts");
    assert!(
        !harness.wire.messages().iter().any(receipts),
        "nobody to send a receipt to"
    );
}

#[tokio::test]
async fn row_3_schema() {
    let harness = Harness::start(|_| {}).await;
    let detail = "message schema_version is not supported";
    for (number, version) in ["v1", "x.1", "."].iter().enumerate() {
        let id = format!("invalid{number}");
        let message = with(message(&id, ""), json!({ "schema_version": version }));
        harness.refused(&id, &message, "schema_version_invalid", detail).await;
    }
    for (number, version) in ["2", "2.0", "0.9", "-1"].iter().enumerate() {
        let id = format!("unsupported{number}");
        let message = with(message(&id, ""), json!({ "schema_version": version }));
        harness
            .refused(&id, &message, "unsupported_schema_version", detail)
            .await;
    }
    for (number, version) in [json!(" 1.7 "), json!(1), json!(null), json!("  ")].iter().enumerate() {
        let id = format!("supported{number}");
        let message = with(message(&id, ""), json!({ "schema_version": version }));
        harness.post(&id, &message).await;
        harness.processed(&message).await;
    }
    let metrics = harness.node.metrics_snapshot();
    assert_eq!((metrics.payload_rejected_count, metrics.dropped_count), (7, 7));
}

/// Rows 2a and 2b: what has no place in a message, before anything of it is kept.
#[tokio::test]
async fn row_2_bounds_and_headers() {
    let harness = Harness::start(|_| {}).await;
    let long = with(message("long", ""), json!({ "from_session_tag": "x".repeat(257) }));
    let detail = "from_session_tag has 257 bytes; at most 256 are allowed";
    harness.post("long", &long).await;
    let reply = harness.reply("long").await;
    assert_eq!(reply["payload"]["error"], "message_invalid");
    assert_eq!(reply["payload"]["detail"], detail);
    harness
        .wait(|seen| seen.subject.ends_with(".receipts") && seen.payload.windows(4).any(|w| w == b"long"))
        .await;
    for (id, header) in [
        ("h1", "Nats-Expected-Stream"),
        ("h2", "nats-ttl"),
        ("h3", "Nats-Rollup"),
    ] {
        let hidden = message(id, "");
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(header, "x");
        let raw = &harness.net.raw;
        raw.publish_with_reply_and_headers(INBOX, reply_subject(id), headers, hidden.to_string().into())
            .await
            .unwrap();
        let detail =
            format!("header {header} is for the NATS server; messages have no header whose name begins with Nats-");
        harness.expect_refusal(id, &hidden, "message_invalid", &detail).await;
        assert!(harness.handled(id).is_empty());
    }
    for (id, status) in [("s1", "100 Idle Heartbeat"), ("s2", "404 No Messages"), ("s3", "503")] {
        let hidden = message(id, "");
        let block = format!("NATS/1.0 {status}\r\n\r\n");
        let body = hidden.to_string();
        let nats = &harness.net.nats;
        nats.publish_with_header_block(INBOX, &reply_subject(id), block.as_bytes(), body.as_bytes())
            .await
            .unwrap();
        let code = status.split(' ').next().unwrap();
        let detail = format!("status {code} is the NATS server's to give; messages have no status in their headers");
        harness.expect_refusal(id, &hidden, "message_invalid", &detail).await;
        assert!(harness.handled(id).is_empty());
    }
}
