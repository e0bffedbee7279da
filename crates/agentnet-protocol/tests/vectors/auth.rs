//! Dev auth: signatures, signed registration, signed messages.

use std::collections::HashSet;

use agentnet_protocol::claims::Claims;
use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::json::{Value, canonical};
use agentnet_protocol::message_auth::{self, SignedMessage};
use agentnet_protocol::register_auth::{self, DEFAULT_MAX_SKEW_MS, Registration};
use agentnet_protocol::signature::{SigningKey, key_file_name, verify};
use agentnet_protocol::version::{self, SUPPORTED_MAJOR};
use agentnet_protocol::{AgentInfo, Envelope, Timestamp, expiry};

use crate::loader::{Case, Vectors, check_each};

#[test]
fn signatures() {
    let vectors = Vectors::load("signatures");
    vectors.check(|case| {
        let texts = Case {
            value: &vectors.member("keys")[case.text("key")],
        };
        let key = SigningKey::from_text(texts.text("private_key")).expect("a private key");
        assert_eq!(
            (key.private_text().as_str(), key.public_text()),
            (texts.text("private_key"), texts.text("public_key"))
        );
        let wire = case.get("claims").to_string();
        let claims = Claims::read(&Value::parse(&wire).unwrap()).expect("claims are an object");
        assert_eq!(claims.signed_text(), case.text("canonical"));
        assert_eq!(key.sign(&claims), case.text("signature"));
        assert!(verify(key.public_text(), case.text("signature"), &claims));
    });
}

#[test]
fn key_file_names() {
    check_each("key_file_names", |case| {
        assert_eq!(
            key_file_name(case.opt_text("username"), case.text("agent_id")),
            case.text("file")
        );
    });
}

/// Section 0, decision 6: an empty username claim matches a request that carried none, so that one case is accepted here.
#[test]
fn register_auth() {
    let vectors = Vectors::load("register_auth");
    let now = Timestamp::parse(vectors.member("now").as_str().expect("now")).expect("now is a time");
    let mut nonces = HashSet::new();
    vectors.check(|case| {
        // Every case has a registry of its own, but for a replay, which goes on from the case before it.
        if case.opt_text("error") != Some("auth_nonce_replayed") {
            nonces.clear();
        }
        let request = Value::parse(case.text("request")).expect("the request is JSON");
        let request = request.as_object().expect("the request is an object");
        let info = AgentInfo::decode(&request).expect("the request is an agent");
        let auth = request.get("auth");
        let registration = Registration {
            agent_id: &info.agent_id,
            name: &info.name,
            requested_username: info.username.as_deref(),
            account_id: case.text("resolved_account_id"),
            username: case.text("resolved_username"),
            bound_key: case.opt_text("bound_key_before"),
        };
        let result = register_auth::check(&auth, &registration, now, DEFAULT_MAX_SKEW_MS, |nonce| {
            nonces.insert(nonce.to_owned())
        });
        let username_claimed = auth.as_object().is_some_and(|auth| {
            auth.get("claims")
                .as_object()
                .is_some_and(|claims| claims.get("username").is_truthy())
        });
        let expected = case.opt_text("error").filter(|error| {
            !(*error == "auth_claims_username_mismatch" && !username_claimed && info.username.is_none())
        });
        assert_eq!(result.as_ref().err().map(|error| error.code()), expected);
        if case.opt_text("error").is_none() {
            assert_eq!(
                result.ok().map(|registrant| registrant.public_key).as_deref(),
                case.opt_text("bound_key_after")
            );
        }
    });
}

#[test]
fn message_auth_valid() {
    check_messages("message_auth_valid");
}

#[test]
fn message_auth_invalid() {
    check_messages("message_auth_invalid");
}

/// Runs the receiver's checks in their order, from the schema version to the lifetime, and compares the first refusal.
fn check_messages(name: &str) {
    let vectors = Vectors::load(name);
    let context = Case {
        value: vectors.member("context"),
    };
    let now = Timestamp::parse(context.text("now")).expect("now is a time");
    vectors.check(|case| {
        let mut envelope = Envelope::decode(case.text("wire").to_owned()).expect("the wire text is an envelope");
        assert_eq!(canonical(&envelope.payload.view()), case.text("payload_canonical"));
        if envelope.thread_id.is_none() {
            envelope.thread_id = Some(default_thread_id(envelope.trace_or_message_id()));
        }
        let code = admit(&mut envelope, &context, now);
        assert_eq!(code, case.opt_text("code"));
        if code.is_none() {
            assert_resigned(&envelope, case, &context);
        }
    });
}

fn admit(envelope: &mut Envelope, context: &Case<'_>, now: Timestamp) -> Option<&'static str> {
    match version::check(&envelope.schema_version, SUPPORTED_MAJOR) {
        Ok(version) => envelope.schema_version = version.to_owned().into(),
        Err(error) => return Some(error.code()),
    }
    let bound_key = context
        .get("bound_keys")
        .get(envelope.from_account_id.as_deref().unwrap_or_default());
    let bound_key = bound_key.and_then(|key| key.as_str());
    if let Err(error) = SignedMessage::read(envelope).and_then(|signed| signed.verify(bound_key, envelope)) {
        return Some(error.code());
    }
    // Section 0, decision 7: the recordings know no clock skew.
    let end = expiry::check(
        &envelope.sent_at,
        envelope.ttl_ms,
        envelope.expires_at.as_deref(),
        now,
        0,
    );
    end.err().map(|error| error.code())
}

/// Signs the accepted message again: the claims and the signature must be those that the Python implementation made.
fn assert_resigned(envelope: &Envelope, case: Case<'_>, context: &Case<'_>) {
    let auth = envelope.auth.as_ref().expect("an accepted message is signed").view();
    let auth = auth.as_object().expect("auth is an object");
    let claims = message_auth::claims(envelope);
    if auth
        .get("claims")
        .as_object()
        .is_some_and(|claims| claims.get("schema_version").is_null())
    {
        // Legacy claims, which are read and not made.
        return;
    }
    assert_eq!(claims.signed_text(), case.text("signed_bytes"));
    let alice = context.get("keys")["alice"]["private_key"]
        .as_str()
        .expect("alice has a key");
    let key = SigningKey::from_text(alice).expect("a private key");
    let signature = auth.get("signature").text();
    assert_eq!(key.sign(&claims), signature.trim().trim_end_matches('='));
    let signed = message_auth::sign(&key, envelope);
    assert_eq!(
        signed
            .view()
            .as_object()
            .expect("auth is an object")
            .get("claims")
            .raw(),
        claims.json()
    );
}
