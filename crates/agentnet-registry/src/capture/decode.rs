//! Decodes a body on the wire into a row of the history (PROTOCOL.md sections 4.5 and 8).

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::json::persisted_len;
use agentnet_protocol::{Envelope, Text, Timestamp, json, thread};
use agentnet_store::model::{BlobShare, Message, NewMessage};
use bytes::Bytes;

use super::proof::Proof;
use crate::task_ledger::messages::CapturedTask;

/// Whether a body can be a message: an object with `message_id` somewhere in it. That sorts out most bodies on `_INBOX.>`
/// without parsing them.
pub(crate) fn may_be_message(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
        && std::str::from_utf8(body).is_ok_and(|text| text.contains("message_id") || text.contains("\\u00"))
}

/// A message that was captured.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) new: NewMessage,
    /// What it says about a task.
    pub(crate) task: Option<Box<CapturedTask>>,
    /// The blobs that it names to its receiver, in secure mode.
    pub(crate) shares: Vec<BlobShare>,
}

/// Decodes a body. `None` if it is no message: not an object, not readable, or without a message id; and if it names another
/// sender than the one that has proven to have published it (PROTOCOL.md section 23.6): its receivers refuse it too.
pub(crate) fn captured(body: Bytes, proof: &Proof, received_at: Timestamp, chars_per_token: f64) -> Option<Captured> {
    let envelope = envelope(body)?;
    if !proof.vouches_for(&envelope) {
        return None;
    }
    let task = CapturedTask::read(&envelope, received_at);
    let shares = proof.shares(&envelope);
    let mut new = new_message(envelope, received_at, chars_per_token);
    new.message.issuer = proof.issuer().map(str::to_owned);
    Some(Captured { new, task, shares })
}

/// Decodes a body, as [`captured`], whatever it says about tasks.
pub(crate) fn message(body: Bytes, received_at: Timestamp, chars_per_token: f64) -> Option<NewMessage> {
    Some(new_message(envelope(body)?, received_at, chars_per_token))
}

fn envelope(body: Bytes) -> Option<Envelope> {
    Envelope::decode(body)
        .ok()
        .filter(|envelope| !envelope.message_id.is_empty())
}

fn new_message(envelope: Envelope, received_at: Timestamp, chars_per_token: f64) -> NewMessage {
    let payload = envelope.payload.view();
    let byte_count = i64::try_from(persisted_len(&payload)).unwrap_or(i64::MAX);
    let checkpoint_end = thread::checkpoint_end(&payload);
    let owned = |text: Text| text.to_string();
    let scheme = envelope.auth.as_ref().and_then(|auth| auth.view().as_object());
    let message = Message {
        thread_id: thread_id(&envelope),
        sent_at: Timestamp::parse(&envelope.sent_at).unwrap_or(received_at),
        received_at,
        auth_scheme: scheme
            .map(|auth| auth.get("scheme").text().into_owned())
            .unwrap_or_default(),
        issuer: None,
        message_id: owned(envelope.message_id),
        parent_message_id: envelope.parent_message_id.map(owned),
        from_agent: owned(envelope.from_agent),
        from_account_id: envelope.from_account_id.map(owned),
        from_session_tag: envelope.from_session_tag.map(owned),
        to_account_id: envelope.to_account_id.map(owned),
        to_agent: owned(envelope.to_agent),
        kind: owned(envelope.kind),
        schema_version: owned(envelope.schema_version),
        idempotency_key: envelope.idempotency_key.map(owned),
        payload: envelope.payload,
        trace_id: envelope.trace_id.map(owned),
        ttl_ms: envelope.ttl_ms.map(|ttl| ttl.to_string()),
        expires_at: envelope.expires_at.map(owned),
    };
    let approx_tokens = thread::estimate_tokens(byte_count, chars_per_token);
    NewMessage {
        message,
        byte_count,
        approx_tokens,
        checkpoint_end,
    }
}

/// The thread as written, trimmed; else the one of the trace or the message.
fn thread_id(envelope: &Envelope) -> String {
    match json::trim(envelope.thread_id.as_deref().unwrap_or_default()) {
        "" => default_thread_id(envelope.trace_or_message_id()).to_string(),
        written => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: Timestamp = Timestamp::from_micros(1_771_660_800_000_000);

    fn read(body: &'static str) -> Option<NewMessage> {
        message(Bytes::from_static(body.as_bytes()), RECEIVED, 4.0)
    }

    #[test]
    fn a_message_is_counted_as_the_original_does() {
        let new = read(
            r#"{"message_id":"m1","payload":{"type":" Checkpoint ","covers_end":"4"},"sent_at":"2026-02-21T09:00:00+01:00",
                "trace_id":"T","ttl_ms":1e3,"auth":{"scheme":"dev-ed25519-v1"},"from_account_id":" a "}"#,
        )
        .unwrap();
        assert_eq!(
            new.byte_count,
            r#"{"type": " Checkpoint ", "covers_end": "4"}"#.len() as i64
        );
        assert_eq!(new.approx_tokens, (new.byte_count + 3) / 4);
        assert_eq!(new.checkpoint_end, 4);
        let message = new.message;
        assert_eq!(message.thread_id, "thread_t");
        assert_eq!(message.sent_at.to_string(), "2026-02-21T08:00:00Z");
        assert_eq!(
            (message.kind.as_str(), message.schema_version.as_str()),
            ("direct", "1.0")
        );
        assert_eq!(message.ttl_ms.as_deref(), Some("1000"));
        assert_eq!(message.auth_scheme, "dev-ed25519-v1");
        assert_eq!(message.from_account_id.as_deref(), Some(" a "));
    }

    #[test]
    fn a_minimal_message_gets_its_defaults() {
        let new = read(r#"{"message_id":"NoFields"}"#).unwrap();
        assert_eq!((new.byte_count, new.approx_tokens, new.checkpoint_end), (4, 1, 0));
        assert_eq!(new.message.thread_id, "thread_nofields");
        assert_eq!((new.message.sent_at, new.message.received_at), (RECEIVED, RECEIVED));
    }

    #[test]
    fn unreadable_times_become_the_time_of_receipt() {
        for sent_at in [
            "not-a-date",
            "",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            let body = format!(r#"{{"message_id":"m","sent_at":"{sent_at}"}}"#);
            assert_eq!(
                message(body.into(), RECEIVED, 4.0).unwrap().message.sent_at,
                RECEIVED,
                "{sent_at}"
            );
        }
    }

    #[test]
    fn what_is_no_message_is_ignored() {
        for body in [
            "",
            "[]",
            "{bad",
            "null",
            r#"{"payload":1}"#,
            r#"{"message_id":""}"#,
            r#"{"message_id":"m","ttl_ms":1e400}"#,
        ] {
            assert_eq!(read(body), None, "{body}");
        }
    }

    #[test]
    fn most_bodies_are_told_apart_without_reading_them() {
        for body in [r#"{"message_id":"m"}"#, " \n{\"\\u006dessage_id\":\"m\"}"] {
            assert!(may_be_message(body.as_bytes()), "{body}");
        }
        for body in [&b"[]"[..], b"", b"{}", b"+ACK", b"{\"a\":1}", b"{\"message_id\xff"] {
            assert!(!may_be_message(body), "{body:?}");
        }
    }
}
