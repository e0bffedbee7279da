//! What comes to a reply subject (PROTOCOL.md section 0.11).

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::envelope::Envelope;
use crate::json::trim;
use crate::limits::check_envelope;

/// As [`Envelope::decode`], for what comes to a reply subject: something without an id and a sender is no reply, but for example
/// the word of a JetStream stream that it has stored the request; and the bounds of the texts of messages hold for replies too.
///
/// # Errors
/// [`DecodeError`], also where both are missing, and where a text is too large.
pub fn decode_reply(body: impl Into<Bytes>) -> Result<Envelope, DecodeError> {
    let envelope = Envelope::decode(body)?;
    if trim(&envelope.message_id).is_empty() && trim(&envelope.from_agent).is_empty() {
        return Err(DecodeError::Member {
            member: "message_id",
            problem: "is missing",
        });
    }
    check_envelope(&envelope)?;
    Ok(envelope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};

    #[test]
    fn a_reply_is_a_message_within_the_bounds_of_messages() {
        assert_eq!(&*decode_reply(r#"{"from_agent":"a"}"#).unwrap().from_agent, "a");
        let errors = [
            ("[]", "the body must be a JSON object"),
            (r#"{"stream":"S","seq":1}"#, "`message_id` is missing"),
            (r#"{"message_id":" ","from_agent":null}"#, "`message_id` is missing"),
        ];
        for (body, error) in errors {
            assert_eq!(decode_reply(body).unwrap_err().to_string(), error, "{body}");
        }
        for (member, max) in [("from_agent", MAX_NAME_BYTES), ("thread_id", MAX_ID_BYTES)] {
            let reply = |bytes| format!(r#"{{"message_id":"m","{member}":"{}"}}"#, "x".repeat(bytes));
            assert!(decode_reply(reply(max)).is_ok());
            assert_eq!(
                decode_reply(reply(max + 1)).unwrap_err().to_string(),
                format!("{member} has {} bytes; at most {max} are allowed", max + 1)
            );
        }
    }
}
