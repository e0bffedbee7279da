//! Signing what the recording could not keep: its claims carry the time.

use std::fs;
use std::time::SystemTime;

use agentnet_protocol::Timestamp;
use agentnet_protocol::claims::Claims;
use agentnet_protocol::json;
use agentnet_protocol::signature::SigningKey;
use serde_json::Value;

use crate::transcript::{Step, spec};

const SIGNATURE: &str = "<signature by the named key>";

/// The request of a step, its claims made as old as the note says and signed by the key that it names.
pub(crate) fn signed(step: &Step, request: &Value) -> Value {
    let mut request = request.clone();
    if let Some(timestamp) = request.pointer_mut("/auth/claims/timestamp") {
        let age = seconds_of_skew(&step.note) * 1000;
        *timestamp = Timestamp::from(SystemTime::now())
            .saturating_add_millis(-age)
            .to_string()
            .into();
    }
    let Some(auth) = request.get_mut("auth").filter(|auth| auth["signature"] == SIGNATURE) else {
        return request;
    };
    let claims = if auth["claims"].is_object() {
        auth["claims"].to_string()
    } else {
        "{}".to_owned()
    };
    let claims = Claims::read(&json::Value::parse(&claims).unwrap()).expect("claims are an object");
    let key = key(auth["public_key"].as_str().expect("a public key"));
    auth["signature"] = key.sign(&claims).into();
    request
}

/// `skew 121 s` in a note.
fn seconds_of_skew(note: &str) -> i128 {
    let Some((_, rest)) = note.split_once("skew ") else {
        return 0;
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a note with skew says how many seconds")
}

/// The fixed test key with this public half.
fn key(public_key: &str) -> SigningKey {
    let path = spec("vectors").join("message_auth_valid.json");
    let root: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let keys = root["context"]["keys"]
        .as_object()
        .expect("the vectors name their keys");
    let known = keys.values().find(|key| key["public_key"] == public_key);
    let private_key = known.and_then(|key| key["private_key"].as_str());
    SigningKey::from_text(private_key.unwrap_or_else(|| panic!("no test key {public_key}"))).expect("a private key")
}
