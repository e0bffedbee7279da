//! The mailbox: its member, receipts, requests, replies and events, and the signed requests (sections 13.8 and 21).

use std::collections::HashSet;

use agentnet_protocol::json::{Object, Value, canonical};
use agentnet_protocol::mailbox::{self, RETRIABLE_CODES};
use agentnet_protocol::register_auth::DEFAULT_MAX_SKEW_MS;
use agentnet_protocol::rpc::{
    MailboxAckRequest, MailboxActionRequest, MailboxEvent, MailboxExtendRequest, MailboxLeaseRequest,
    MailboxListRequest, MailboxPutRequest, MailboxStatusRequest, Reply, Request, SignedRequest, decode_reply,
    decode_request,
};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::signed_request::{self, Requester, request_sha256};
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Envelope, Receipt, Timestamp};

use crate::loader::{Case, Vectors, check_each};

#[test]
fn mailbox_member() {
    check_each("mailbox_member", |case| {
        let envelope = Envelope::decode(case.text("wire").to_owned()).expect("the case is an envelope");
        let ack = envelope.mailbox.map(mailbox::MailboxAck::as_str);
        assert_eq!(ack, case.opt_text("ack"));
        let encoded = envelope.encode();
        assert_eq!(text(&encoded), case.text("reencoded"));
        let again = Envelope::decode(encoded).expect("our own text");
        assert_eq!(again.mailbox, envelope.mailbox);
    });
}

#[test]
fn mailbox_pull() {
    check_each("mailbox_pull", |case| {
        let object = Object::parse_body(case.text("wire").as_bytes());
        let object = object.expect("the case is JSON").expect("the case is an object");
        assert_eq!(Some(mailbox::pulls(&object)), case.get("pull").as_bool());
    });
}

#[test]
fn mailbox_receipts() {
    let vectors = Vectors::load("mailbox_receipts");
    vectors.check(|case| {
        let mut receipt = Receipt::decode(case.text("wire").to_owned()).expect("the case is a receipt");
        let fields = Case {
            value: case.get("fields"),
        };
        for (name, value) in [
            ("message_id", Some(&receipt.message_id)),
            ("status", Some(&receipt.status)),
            ("event_at", Some(&receipt.event_at)),
            ("from_account_id", receipt.from_account_id.as_ref()),
            ("from_session_tag", receipt.from_session_tag.as_ref()),
            ("to_account_id", receipt.to_account_id.as_ref()),
            ("trace_id", receipt.trace_id.as_ref()),
            ("thread_id", receipt.thread_id.as_ref()),
            ("parent_message_id", receipt.parent_message_id.as_ref()),
            ("code", receipt.code.as_ref()),
            ("detail", receipt.detail.as_ref()),
        ] {
            assert_eq!(value.map(|value| &**value), fields.opt_text(name), "{name}");
        }
        assert_eq!(text(&receipt.encode()), case.text("reencoded"));
        assert_eq!(receipt.status().as_str(), case.text("status"));
        let issuer = receipt.from_account_id.as_deref().unwrap_or_default();
        let queued = case.text("status") == "queued" && issuer.starts_with(REGISTRY_ACCOUNT_PREFIX);
        assert_eq!(Some(queued), case.get("queued_by_registry").as_bool());
        let retriable = receipt
            .code
            .as_deref()
            .is_some_and(|code| RETRIABLE_CODES.contains(&code));
        assert_eq!(Some(retriable), case.get("retriable").as_bool());
        let Some(name) = case.opt_text("key") else {
            assert_eq!(receipt.signed_by(), None);
            return;
        };
        let key = signing_key(&vectors, name);
        assert_eq!(receipt.claims().signed_text(), case.text("signed_bytes"));
        assert_eq!(receipt.signed_by().as_deref(), Some(key.public_text()));
        receipt.sign(&key);
        assert_eq!(text(&receipt.encode()), case.text("wire"), "signed again");
    });
}

#[test]
fn mailbox_storable() {
    check_each("mailbox_storable", |case| {
        let envelope = Envelope::decode(case.text("wire").to_owned()).expect("the case is an envelope");
        match mailbox::storable(&envelope) {
            Ok((account_id, expires_at)) => {
                assert_eq!(case.opt_text("error"), None);
                assert_eq!(account_id, case.text("account_id"));
                assert_eq!(expires_at.to_string(), case.text("expires_at"));
            }
            Err(error) => assert_eq!(Some(error.to_string().as_str()), case.opt_text("error")),
        }
    });
}

#[test]
fn mailbox_requests() {
    check_each("mailbox_requests", |case| {
        let read = match case.text("rpc") {
            "mailbox_put" => read::<MailboxPutRequest>(case),
            "mailbox_lease" => read::<MailboxLeaseRequest>(case),
            "mailbox_ack" => read::<MailboxAckRequest>(case),
            "mailbox_extend" => read::<MailboxExtendRequest>(case),
            "mailbox_status" => read::<MailboxStatusRequest>(case),
            "mailbox_list" => read::<MailboxListRequest>(case),
            "mailbox_action" => read::<MailboxActionRequest>(case),
            other => panic!("no such RPC: {other}"),
        };
        match (&read, case.opt_text("error")) {
            (Ok(text), None) => assert_eq!(text, case.text("reencoded")),
            (Err(error), Some(expected)) => assert_eq!(error, expected),
            (other, expected) => panic!("expected {expected:?}, got {other:?}"),
        }
    });
}

/// A request of a case as a registry reads it, written again.
pub(crate) fn read<R: Request>(case: Case<'_>) -> Result<String, String> {
    let request = decode_request::<R>(case.text("request").as_bytes()).map_err(|error| error.to_string())?;
    Ok(request.encode())
}

#[test]
fn mailbox_replies() {
    check_each("mailbox_replies", |case| {
        let written = match case.text("rpc") {
            "mailbox_put" => answer::<MailboxPutRequest>(case),
            "mailbox_lease" => answer::<MailboxLeaseRequest>(case),
            "mailbox_ack" => answer::<MailboxAckRequest>(case),
            "mailbox_extend" => answer::<MailboxExtendRequest>(case),
            "mailbox_status" => answer::<MailboxStatusRequest>(case),
            "mailbox_list" => answer::<MailboxListRequest>(case),
            "mailbox_action" => answer::<MailboxActionRequest>(case),
            other => panic!("no such RPC: {other}"),
        };
        assert_eq!(written, case.text("reencoded"));
    });
}

/// A reply of a case, read and written again.
pub(crate) fn answer<R: Request>(case: Case<'_>) -> String {
    match decode_reply::<R>(case.text("wire").as_bytes()) {
        Ok(reply) => Reply::encode(&reply),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn mailbox_events() {
    check_each("mailbox_events", |case| {
        let event = MailboxEvent::decode(case.text("wire").as_bytes()).expect("the case is an event");
        assert_eq!(event.encode(), case.text("reencoded"));
    });
}

#[test]
fn signed_requests() {
    let vectors = Vectors::load("signed_requests");
    vectors.check(|case| {
        let request = case.text("request");
        let value = Value::parse(request).expect("the request is JSON");
        assert_eq!(canonical(&value), case.text("canonical"));
        let hash = request_sha256(&value.as_object().expect("the request is an object"));
        assert_eq!(hash, case.text("request_sha256"));
        let requester = Requester {
            purpose: case.text("rpc"),
            account_id: case.text("account_id"),
            session_tag: case.text("session_tag"),
        };
        let now = Timestamp::parse(case.text("timestamp")).expect("a time");
        let key = signing_key(&vectors, case.text("key"));
        let auth = signed_request::sign(&key, requester, request, now, case.text("nonce"));
        assert_eq!(auth.get(), case.text("auth"));
        let claims = auth.view().as_object().expect("auth is an object").get("claims");
        assert_eq!(canonical(&claims), case.text("signed_bytes"));
        let accepted = signed_request::check(
            Some(&auth),
            requester,
            &hash,
            Some(key.public_text()),
            now,
            0,
            |nonce| {
                assert_eq!(nonce, format!("{}:{}", requester.account_id, case.text("nonce")));
                true
            },
        );
        assert_eq!(accepted, Ok(()));
    });
}

#[test]
fn signed_request_auth() {
    let vectors = Vectors::load("signed_request_auth");
    let now = Timestamp::parse(vectors.member("now").as_str().expect("now")).expect("now is a time");
    let mut nonces = HashSet::new();
    vectors.check(|case| {
        // Every case has a registry of its own, except a replay, which continues the case of the same nonce.
        if case.opt_text("error") != Some("auth_nonce_replayed") {
            nonces.clear();
        }
        let error = match case.text("rpc") {
            "mailbox_lease" => judge::<MailboxLeaseRequest>(case, now, &mut nonces),
            "mailbox_extend" => judge::<MailboxExtendRequest>(case, now, &mut nonces),
            other => panic!("no case is for {other}"),
        };
        assert_eq!(error, case.opt_text("error"));
    });
}

fn judge<R: SignedRequest>(case: Case<'_>, now: Timestamp, nonces: &mut HashSet<String>) -> Option<&'static str> {
    let request = decode_request::<R>(case.text("request").as_bytes()).expect("the request is read");
    let auth = request.auth();
    let checked = signed_request::check(
        auth.auth.as_ref(),
        request.requester(),
        &auth.request_sha256,
        case.opt_text("bound_key"),
        now,
        DEFAULT_MAX_SKEW_MS,
        |nonce| nonces.insert(nonce.to_owned()),
    );
    checked.err().map(|error| error.code())
}

fn signing_key(vectors: &Vectors, name: &str) -> SigningKey {
    let texts = Case {
        value: &vectors.member("keys")[name],
    };
    let key = SigningKey::from_text(texts.text("private_key")).expect("a private key");
    assert_eq!(key.public_text(), texts.text("public_key"));
    key
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).expect("the wire text is UTF-8")
}
