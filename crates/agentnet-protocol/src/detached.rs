//! Detached signatures: of records whose every member is signed, so that the claims need not travel (an addition to the Python
//! protocol, PROTOCOL.md section 13.6).
//!
//! The `auth` member is `{"scheme","public_key","signature"}`; the verifier makes the claims again from the record. Each
//! kind of record has claims of its own (`purpose`), so that no signature of one can stand for another.

use crate::claims::Claims;
use crate::json::{self, ObjectWriter, Value};
use crate::signature::{SCHEME, SigningKey, verify};
use crate::{RawJson, Text};

/// The `auth` member of a record with these claims.
#[must_use]
pub fn sign(key: &SigningKey, claims: &Claims) -> RawJson {
    let json = ObjectWriter::with_capacity(224)
        .text("scheme", SCHEME)
        .text("public_key", key.public_text())
        .text("signature", &key.sign(claims))
        .finish();
    RawJson::validated(Text::from(json))
}

/// A detached signature as received; its form is right, nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachedAuth {
    public_key: String,
    signature: String,
}

impl DetachedAuth {
    /// Reads an `auth` member; `None` where it is missing, of another scheme, or without key or signature.
    #[must_use]
    pub fn read(auth: &Value<'_>) -> Option<Self> {
        let object = auth.as_object()?;
        let text = |name| json::trim(&object.get(name).text()).to_owned();
        let read = Self {
            public_key: text("public_key"),
            signature: text("signature"),
        };
        let usable = object.get("scheme").text() == SCHEME && !read.public_key.is_empty() && !read.signature.is_empty();
        usable.then_some(read)
    }

    /// The key that it says it was made with.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Whether it was made over these claims with its key. Whose key that is, is for the caller to know.
    #[must_use]
    pub fn covers(&self, claims: &Claims) -> bool {
        verify(&self.public_key, &self.signature, claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_covers_its_claims_alone() {
        let key = SigningKey::from_seed(&[3; 32]);
        let claims = Claims::new([("purpose", "receipt"), ("message_id", "m")]);
        let auth = sign(&key, &claims);
        let read = DetachedAuth::read(&auth.view()).unwrap();
        assert_eq!(read.public_key(), key.public_text());
        assert!(read.covers(&claims));
        assert!(!read.covers(&Claims::new([("purpose", "hello"), ("message_id", "m")])));
        for broken in [
            "null",
            "{}",
            r#"{"scheme":"x","public_key":"a","signature":"b"}"#,
            r#"{"scheme":"dev-ed25519-v1","public_key":" ","signature":"b"}"#,
            r#"{"scheme":"dev-ed25519-v1","public_key":"a"}"#,
        ] {
            assert_eq!(DetachedAuth::read(&Value::parse(broken).unwrap()), None, "{broken}");
        }
    }
}
