//! Signs requests anew: their claims contain the time, so recorded signatures are invalid.

use std::collections::BTreeMap;
use std::time::SystemTime;

use agentnet_protocol::Timestamp;
use agentnet_protocol::claims::Claims;
use agentnet_protocol::json;
use agentnet_protocol::signature::SigningKey;
use serde_json::Value;

const SIGNATURE: &str = "<signature by the named key>";

/// The request of a step, with claims of the age in the note, signed by the named test key.
///
/// # Errors
/// Describes what is wrong with the step.
pub(super) fn signed(note: &str, request: &Value, keys: &BTreeMap<String, String>) -> Result<Value, String> {
    let mut request = request.clone();
    if let Some(timestamp) = request.pointer_mut("/auth/claims/timestamp") {
        let age = seconds_of_skew(note)? * 1000;
        *timestamp = Timestamp::from(SystemTime::now())
            .saturating_add_millis(-age)
            .to_string()
            .into();
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
    let private_key = auth["public_key"].as_str().and_then(|public_key| keys.get(public_key));
    let key = SigningKey::from_text(private_key.ok_or("the file has no key for this step")?);
    auth["signature"] = key.map_err(|error| error.to_string())?.sign(&claims).into();
    Ok(request)
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
    use super::*;

    #[test]
    fn the_note_contains_the_clock_skew() {
        assert_eq!(seconds_of_skew("clock skew 121 s"), Ok(121));
        assert_eq!(seconds_of_skew("accepted"), Ok(0));
        assert!(seconds_of_skew("skew unknown").is_err());
    }
}
