//! Requests to the registry that only an account's owner may make (an addition to the Python protocol, PROTOCOL.md section 13.8).
//!
//! Under signed identity the `auth` member carries claims: which request it is (`purpose`), of which account and session, when,
//! a nonce, and the hash of the request without `auth`. So a signature serves for one request, and once.

use crate::canonical::payload_sha256;
use crate::claims::Claims;
use crate::json::{self, Object, ObjectWriter, Value};
use crate::register_auth::{RegisterAuthError as Error, ensure, ensure_recent};
use crate::signature::{Auth, AuthForm, SigningKey};
use crate::{RawJson, Timestamp};

/// Who makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requester<'a> {
    /// The name of the RPC.
    pub purpose: &'a str,
    /// Account id of the requester.
    pub account_id: &'a str,
    /// Its session; may be empty.
    pub session_tag: &'a str,
}

/// The hash of a request without its `auth` member.
#[must_use]
pub fn request_sha256(request: &Object<'_>) -> String {
    let mut out = ObjectWriter::new();
    for (name, value) in request.unique() {
        let name = name.text();
        if name != "auth" {
            out.raw(&name, value.raw());
        }
    }
    payload_sha256(&Value::validated(&out.finish()))
}

/// The `auth` member of a request whose text without it is given.
#[must_use]
pub fn sign(key: &SigningKey, requester: Requester<'_>, request: &str, now: Timestamp, nonce: &str) -> RawJson {
    let claims = Claims::new([
        ("purpose", requester.purpose),
        ("account_id", requester.account_id),
        ("session_tag", requester.session_tag),
        ("request_sha256", &payload_sha256(&Value::validated(request))),
        ("timestamp", &now.to_string()),
        ("nonce", nonce),
    ]);
    key.auth(&claims)
}

/// Checks the signature of a request.
///
/// `remember_nonce` as in [`register_auth::check`](crate::register_auth::check).
///
/// # Errors
/// The codes of a registration, the first that applies.
pub fn check(
    auth: Option<&RawJson>,
    requester: Requester<'_>,
    request_sha256: &str,
    bound_key: Option<&str>,
    now: Timestamp,
    max_skew_ms: u64,
    remember_nonce: impl FnOnce(&str) -> bool,
) -> Result<(), Error> {
    let auth = auth.map_or(Value::NULL, RawJson::view);
    let auth = Auth::read(&auth).map_err(|form| match form {
        AuthForm::NotAnObject => Error::Required,
        AuthForm::Scheme => Error::Scheme,
        AuthForm::Payload => Error::Payload,
    })?;
    let claims = &auth.claims;
    let timestamp = json::trim(claims.get("timestamp"));
    let nonce = json::trim(claims.get("nonce"));
    ensure(!timestamp.is_empty() && !nonce.is_empty(), Error::Claims)?;
    ensure(claims.get("purpose") == requester.purpose, Error::Claims)?;
    ensure(claims.get("account_id") == requester.account_id, Error::Account)?;
    ensure(claims.get("session_tag") == requester.session_tag, Error::Claims)?;
    ensure(claims.get("request_sha256") == request_sha256, Error::Claims)?;
    ensure_recent(timestamp, now, max_skew_ms)?;
    ensure(auth.signature_holds(), Error::Signature)?;
    ensure(
        remember_nonce(&format!("{}:{nonce}", requester.account_id)),
        Error::Replayed,
    )?;
    ensure(bound_key == Some(auth.public_key.as_str()), Error::PublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTER: Requester<'static> = Requester {
        purpose: "mailbox_lease",
        account_id: "acct_a",
        session_tag: "registry_1",
    };

    #[test]
    fn a_signature_serves_for_one_request_of_one_account() {
        let [key, other] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let now = Timestamp::from_micros(1_000_000_000);
        let request = r#"{"account_id":"acct_a","max":10}"#;
        let sent = |text: &str, auth: &RawJson| format!("{},\"auth\":{}}}", &text[..text.len() - 1], auth.get());
        let judge = |body: &str, requester: Requester<'_>, bound: &SigningKey, now: Timestamp, fresh: bool| {
            let object = Object::parse_body(body.as_bytes()).unwrap().unwrap();
            let auth = object.get("auth");
            let auth = (!auth.is_null()).then(|| RawJson::validated(auth.raw().into()));
            let hash = request_sha256(&object);
            check(
                auth.as_ref(),
                requester,
                &hash,
                Some(bound.public_text()),
                now,
                1000,
                |nonce| {
                    assert_eq!(nonce, "acct_a:n");
                    fresh
                },
            )
        };
        let auth = sign(&key, REQUESTER, request, now, "n");
        let body = sent(request, &auth);
        assert_eq!(judge(&body, REQUESTER, &key, now, true), Ok(()));
        assert_eq!(judge(&body, REQUESTER, &key, now, false), Err(Error::Replayed));
        assert_eq!(judge(&body, REQUESTER, &other, now, true), Err(Error::PublicKey));
        assert_eq!(judge(request, REQUESTER, &key, now, true), Err(Error::Required));
        let late = now.saturating_add_millis(1001);
        assert_eq!(judge(&body, REQUESTER, &key, late, true), Err(Error::Skew));
        let changed = body.replace("10", "11");
        assert_eq!(judge(&changed, REQUESTER, &key, now, true), Err(Error::Claims));
        for requester in [
            Requester {
                purpose: "mailbox_ack",
                ..REQUESTER
            },
            Requester {
                session_tag: "registry_2",
                ..REQUESTER
            },
        ] {
            assert_eq!(judge(&body, requester, &key, now, true), Err(Error::Claims));
        }
        let victim = Requester {
            account_id: "acct_b",
            ..REQUESTER
        };
        assert_eq!(judge(&body, victim, &key, now, true), Err(Error::Account));
    }
}
