//! The hash of a payload (PROTOCOL.md section 4.4).

use sha2::{Digest as _, Sha256};

use crate::hex;
use crate::json::{self, Value};

/// The lower-case hexadecimal SHA-256 of the payload's canonical form. An absent payload is hashed as `null`
/// ([`Value::NULL`]).
#[must_use]
pub fn payload_sha256(payload: &Value<'_>) -> String {
    sha256_hex(json::canonical(payload).as_bytes())
}

/// The lower-case hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_canonical_text() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(payload_sha256(&Value::NULL), sha256_hex(b"null"));
        let spaced = Value::parse(r#"{ "b": 1e0, "a": [ ] }"#).unwrap();
        assert_eq!(payload_sha256(&spaced), sha256_hex(br#"{"a":[],"b":1.0}"#));
    }
}
