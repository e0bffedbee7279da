//! Signs requests anew: their claims contain the time, so recorded signatures are invalid.

use std::collections::BTreeMap;
use std::time::SystemTime;

use agentnet_protocol::claims::Claims;
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::signed_request::request_sha256;
use agentnet_protocol::{Envelope, Timestamp, json, message_auth};
use serde_json::Value;

const SIGNATURE: &str = "<signature by the named key>";
const REQUEST_SHA256: &str = "<sha256 of the request>";

/// The request of a step, with claims of the age in the note, signed by the named test key. Placeholders are filled in already,
/// since hashes and signatures cover their values.
///
/// # Errors
/// Describes what is wrong with the step.
pub(super) fn signed(note: &str, request: &Value, keys: &BTreeMap<String, String>) -> Result<Value, String> {
    let mut request = request.clone();
    sign_message(&mut request, keys)?;
    if let Some(timestamp) = request.pointer_mut("/auth/claims/timestamp") {
        let age = seconds_of_skew(note)? * 1000;
        *timestamp = Timestamp::from(SystemTime::now())
            .saturating_add_millis(-age)
            .to_string()
            .into();
    }
    let hash = hash_without_auth(&request)?;
    if let Some(sha256) = request.pointer_mut("/auth/claims/request_sha256")
        && *sha256 == REQUEST_SHA256
    {
        *sha256 = hash.into();
    }
    let Some(auth) = request.get_mut("auth").filter(|auth| auth["signature"] == SIGNATURE) else {
        return Ok(request);
    };
    let claims = if auth["claims"].is_object() {
        auth["claims"].to_string()
    } else {
        "{}".to_owned()
    };
    let claims = json::Value::parse(&claims).map_err(|error| error.to_string())?;
    let claims = Claims::read(&claims).ok_or("the claims cannot be signed")?;
    auth["signature"] = signing_key(auth, keys)?.sign(&claims).into();
    Ok(request)
}

/// Signs the message in a request (section 13.4) whose `auth` names a test key.
fn sign_message(request: &mut Value, keys: &BTreeMap<String, String>) -> Result<(), String> {
    let Some(message) = request
        .get_mut("envelope")
        .filter(|message| message["auth"]["signature"] == SIGNATURE)
    else {
        return Ok(());
    };
    let key = signing_key(&message["auth"], keys)?;
    let envelope = Envelope::decode(message.to_string()).map_err(|error| error.to_string())?;
    let auth = message_auth::sign(&key, &envelope);
    message["auth"] = serde_json::from_str(auth.get()).map_err(|error| error.to_string())?;
    Ok(())
}

/// What a signed request's claims say of it (section 13.8).
fn hash_without_auth(request: &Value) -> Result<String, String> {
    let text = request.to_string();
    let request = json::Value::parse(&text).map_err(|error| error.to_string())?;
    Ok(request
        .as_object()
        .map(|request| request_sha256(&request))
        .unwrap_or_default())
}

/// The private key of the public key in an `auth` member.
fn signing_key(auth: &Value, keys: &BTreeMap<String, String>) -> Result<SigningKey, String> {
    let private_key = auth["public_key"].as_str().and_then(|public_key| keys.get(public_key));
    let key = SigningKey::from_text(private_key.ok_or("the file has no key for this step")?);
    key.map_err(|error| error.to_string())
}

/// The number in `skew 121 s` of a note.
fn seconds_of_skew(note: &str) -> Result<i128, String> {
    let Some((_, rest)) = note.split_once("skew ") else {
        return Ok(0);
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .map_err(|_| format!("`{note}` does not say how many seconds of skew"))
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::rpc::{MailboxLeaseRequest, SignedRequest as _, decode_request};
    use agentnet_protocol::signed_request;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_note_contains_the_clock_skew() {
        assert_eq!(seconds_of_skew("clock skew 121 s"), Ok(121));
        assert_eq!(seconds_of_skew("accepted"), Ok(0));
        assert!(seconds_of_skew("skew unknown").is_err());
    }

    #[test]
    fn requests_and_messages_are_signed_as_they_are_sent() {
        let key = SigningKey::from_seed(&[3; 32]);
        let keys = BTreeMap::from([(key.public_text().to_owned(), key.private_text())]);
        let auth = json!({"scheme": "dev-ed25519-v1", "public_key": key.public_text(), "signature": SIGNATURE});
        let put = json!({"envelope": {"message_id": "m", "from_account_id": "a", "to_account_id": "b", "payload": {"n": 1.0},
            "thread_id": "t", "auth": auth}});
        let put = signed("put", &put, &keys).unwrap();
        let envelope = Envelope::decode(put["envelope"].to_string()).unwrap();
        let bound = Some(key.public_text());
        let verified = message_auth::SignedMessage::read(&envelope).and_then(|signed| signed.verify(bound, &envelope));
        assert_eq!(verified.err().map(|error| error.code()), None);

        let mut auth = auth;
        auth["claims"] = json!({"purpose": "mailbox_lease", "account_id": "a", "session_tag": "s",
            "request_sha256": REQUEST_SHA256, "timestamp": "", "nonce": "n"});
        let lease = json!({"account_id": "a", "session_tag": "s", "max": 2, "auth": auth});
        let lease = signed("lease", &lease, &keys).unwrap().to_string();
        let lease = decode_request::<MailboxLeaseRequest>(lease.as_bytes()).unwrap();
        let checked = signed_request::check(
            lease.auth.auth.as_ref(),
            lease.requester(),
            &lease.auth.request_sha256,
            bound,
            Timestamp::from(SystemTime::now()),
            60_000,
            |_| true,
        );
        assert_eq!(checked, Ok(()));
    }
}
