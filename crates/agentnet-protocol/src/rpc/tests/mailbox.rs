//! Requests of the mailbox.

use super::super::*;
use crate::mailbox::{MailboxAction, MailboxOutcome};
use crate::signature::SigningKey;
use crate::{RawJson, Timestamp};

fn refused<R: Request + std::fmt::Debug>(body: &str) -> String {
    decode_request::<R>(body.as_bytes()).unwrap_err().text().to_owned()
}

#[test]
fn a_message_is_put_as_it_is_written() {
    let body = r#"{"envelope": {"b":1e0,  "a":[ ]} }"#;
    let request = decode_request::<MailboxPutRequest>(body.as_bytes()).unwrap();
    assert_eq!(request.envelope.get(), r#"{"b":1e0,  "a":[ ]}"#);
    for body in ["{}", r#"{"envelope":"x"}"#, r#"{"envelope":[]}"#] {
        assert_eq!(
            refused::<MailboxPutRequest>(body),
            "envelope must be an object",
            "{body}"
        );
    }
    assert_eq!(
        refused::<MailboxPutRequest>("[]"),
        "mailbox_put payload must be an object"
    );
}

#[test]
fn a_lease_has_defaults_and_bounds() {
    let request = decode_request::<MailboxLeaseRequest>(br#"{"account_id":" a ","session_tag":"s"}"#).unwrap();
    assert_eq!(
        request,
        MailboxLeaseRequest {
            account_id: "a".into(),
            session_tag: "s".into(),
            ..MailboxLeaseRequest::default()
        }
    );
    let body = r#"{"account_id":"a","session_tag":"s","max":1000,"lease_ms":5,"wait_ms":1e9}"#;
    let request = decode_request::<MailboxLeaseRequest>(body.as_bytes()).unwrap();
    assert_eq!((request.max, request.lease_ms, request.wait_ms), (100, 1_000, 25_000));
    let lease_id = |id: &str| format!(r#"{{"account_id":"a","session_tag":"s","lease_id":"{id}"}}"#);
    let request = decode_request::<MailboxLeaseRequest>(lease_id(" aZ-_9 ").as_bytes()).unwrap();
    assert_eq!(request.lease_id.as_deref(), Some("aZ-_9"));
    let request = decode_request::<MailboxLeaseRequest>(lease_id(" ").as_bytes()).unwrap();
    assert_eq!(request.lease_id, None);
    for id in ["a b", "é", "a.b"] {
        assert_eq!(
            refused::<MailboxLeaseRequest>(&lease_id(id)),
            "lease_id must be of letters, digits, - and _"
        );
    }
    assert_eq!(
        refused::<MailboxLeaseRequest>(&lease_id(&"x".repeat(65))),
        "lease_id has 65 bytes; at most 64 are allowed"
    );
    assert_eq!(refused::<MailboxLeaseRequest>("{}"), "account_id is required");
    assert_eq!(
        refused::<MailboxLeaseRequest>(r#"{"account_id":"a"}"#),
        "session_tag is required"
    );
    let long = format!(r#"{{"account_id":"a","session_tag":"{}"}}"#, "s".repeat(257));
    assert_eq!(
        refused::<MailboxLeaseRequest>(&long),
        "session_tag has 257 bytes; at most 256 are allowed"
    );
}

#[test]
fn a_lease_request_may_have_an_id() {
    let request = MailboxLeaseRequest {
        account_id: "a".into(),
        session_tag: "s".into(),
        lease_id: Some("L-1_a".into()),
        ..MailboxLeaseRequest::default()
    };
    let wire = request.encode();
    assert!(wire.ends_with(r#""wait_ms":0,"lease_id":"L-1_a"}"#), "{wire}");
    assert_eq!(
        decode_request::<MailboxLeaseRequest>(wire.as_bytes()).as_ref(),
        Ok(&request)
    );
    let with = |id: &str| wire.replace("L-1_a", id);
    assert_eq!(
        refused::<MailboxLeaseRequest>(&with("a b")),
        "lease_id must be of letters, digits, - and _"
    );
    assert_eq!(
        refused::<MailboxLeaseRequest>(&with(&"x".repeat(65))),
        "lease_id has 65 bytes; at most 64 are allowed"
    );
    let blank = decode_request::<MailboxLeaseRequest>(with(" ").as_bytes()).unwrap();
    assert_eq!(blank.lease_id, None);
}

#[test]
fn acknowledgements_come_back_as_they_were() {
    let request = MailboxAckRequest {
        account_id: "a".into(),
        session_tag: "s".into(),
        acks: vec![
            MailboxAckItem {
                lease: "l1".into(),
                outcome: MailboxOutcome::Done,
                delay_ms: None,
                code: None,
                detail: None,
            },
            MailboxAckItem {
                lease: "l2".into(),
                outcome: MailboxOutcome::Retry,
                delay_ms: Some(500),
                code: Some("busy".into()),
                detail: Some("later".into()),
            },
        ],
        auth: RequestAuth::default(),
    };
    assert_eq!(
        decode_request::<MailboxAckRequest>(request.encode().as_bytes()),
        Ok(request)
    );
    let ack = |ack: &str| format!(r#"{{"account_id":"a","session_tag":"s","acks":[{ack}]}}"#);
    assert_eq!(refused::<MailboxAckRequest>(&ack("7")), "an ack must be an object");
    assert_eq!(refused::<MailboxAckRequest>(&ack("{}")), "lease is required");
    assert_eq!(
        refused::<MailboxAckRequest>(&ack(r#"{"lease":"l","outcome":"maybe"}"#)),
        "outcome must be done, retry or dead"
    );
    let many = vec![r#"{"lease":"l","outcome":"done"}"#; 101].join(",");
    assert_eq!(
        refused::<MailboxAckRequest>(&ack(&many)),
        "acks has 101 entries; at most 100 are allowed"
    );
}

#[test]
fn a_signed_request_is_checked_as_it_was_received() {
    let key = SigningKey::from_seed(&[4; 32]);
    let now = Timestamp::from_micros(0);
    let mut request = MailboxExtendRequest {
        account_id: "a".into(),
        session_tag: "s".into(),
        leases: vec!["l".into()],
        lease_ms: 5_000,
        auth: RequestAuth::default(),
    };
    request.sign(&key, now, "n");
    let received = decode_request::<MailboxExtendRequest>(request.encode().as_bytes()).unwrap();
    let judge = |received: &MailboxExtendRequest| {
        let auth = received.auth();
        let bound = Some(key.public_text());
        let hash = &auth.request_sha256;
        crate::signed_request::check(auth.auth.as_ref(), received.requester(), hash, bound, now, 0, |_| true)
    };
    assert_eq!(judge(&received), Ok(()));
    let changed = request.encode().replace("5000", "50000");
    assert!(judge(&decode_request(changed.as_bytes()).unwrap()).is_err());
}

#[test]
fn an_action_names_messages_or_a_state() {
    let base = r#""account_id":"a","action":"requeue""#;
    assert_eq!(
        refused::<MailboxActionRequest>(&format!("{{{base}}}")),
        "message_ids or state is required"
    );
    assert_eq!(
        refused::<MailboxActionRequest>(&format!(r#"{{{base},"state":"x"}}"#)),
        "state must be queued, leased, dead or done"
    );
    assert_eq!(
        refused::<MailboxActionRequest>(r#"{"account_id":"a","action":"burn","state":"dead"}"#),
        "action must be requeue or drop"
    );
    let request = MailboxActionRequest {
        account_id: "a".into(),
        session_tag: String::new(),
        action: MailboxAction::Drop,
        message_ids: vec!["m".into()],
        state: None,
        auth: RequestAuth::default(),
    };
    assert_eq!(
        decode_request::<MailboxActionRequest>(request.encode().as_bytes()),
        Ok(request)
    );
}

#[test]
fn replies_come_back_as_they_were() {
    let reply = MailboxLeaseReply {
        messages: vec![LeasedMessage {
            lease: "l".into(),
            seq: 7,
            attempt: 1,
            queued_at: "2026-01-01T00:00:00Z".into(),
            envelope: RawJson::parse(r#"{"message_id":"m"}"#.to_owned()).unwrap(),
        }],
        remaining: 3,
        generated_at: "2026-01-01T00:00:00Z".into(),
    };
    let wire = reply.encode();
    assert_eq!(decode_reply::<MailboxLeaseRequest>(wire.as_bytes()), Ok(reply));
    let event = MailboxEvent {
        event: "dead".into(),
        message_id: "m".into(),
        from_account_id: "a".into(),
        at: "2026-01-01T00:00:00Z".into(),
        attempt: 2,
        code: Some("expired".into()),
    };
    assert_eq!(MailboxEvent::decode(event.encode().as_bytes()), Ok(event));
}
