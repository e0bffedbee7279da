//! References to blobs: the payload that travels in place of a file (`blob_ref`).
//!
//! ```json
//! {"type":"blob_ref","blob_id":"b1","filename":"chart.png","mime_type":"image/png","size":1024,
//!  "sha256":"9f86d0…","storage":"jetstream"}
//! ```

use crate::json::{self, ObjectWriter, Value};
use crate::{RawJson, Text};

/// `type` of the payload.
pub const TYPE: &str = "blob_ref";
/// What a blob is when nobody says.
pub const DEFAULT_MIME_TYPE: &str = "application/octet-stream";

/// A reference to bytes that are kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// Where the store finds it; never blank.
    pub blob_id: String,
    /// What the sender calls it. Not to be used as a path.
    pub filename: Option<String>,
    /// What it is; [`DEFAULT_MIME_TYPE`] when the payload does not say.
    pub mime_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 as 64 lower-case hexadecimal digits, if known.
    pub sha256: Option<String>,
    /// Which store keeps it, if not the network's usual one.
    pub storage: Option<String>,
    /// A word from the sender.
    pub text: Option<String>,
}

/// Why a `blob_ref` payload cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// `blob_id` is missing or blank.
    #[error("a blob_ref payload needs a `blob_id`")]
    BlobId,
    /// `size` is given and is no number of bytes.
    #[error("the `size` of a blob_ref payload must be a number of bytes")]
    Size,
    /// `sha256` is given and is no hash.
    #[error("the `sha256` of a blob_ref payload must be 64 hexadecimal digits")]
    Sha256,
}

impl BlobRef {
    /// The payload to send.
    #[must_use]
    pub fn to_payload(&self) -> RawJson {
        let json = ObjectWriter::new()
            .text("type", TYPE)
            .text("blob_id", &self.blob_id)
            .opt_text("filename", self.filename.as_deref())
            .text("mime_type", &self.mime_type)
            .int("size", self.size)
            .opt_text("sha256", self.sha256.as_deref())
            .opt_text("storage", self.storage.as_deref())
            .opt_text("text", self.text.as_deref())
            .finish();
        RawJson::validated(Text::from(json))
    }

    /// Reads a payload; `None` where its `type` is another. `name` is read where `filename` is missing.
    ///
    /// # Errors
    /// [`BlobError`] where the type is right and a member is not.
    pub fn parse(payload: &Value<'_>) -> Result<Option<Self>, BlobError> {
        let Some(object) = payload.as_object() else {
            return Ok(None);
        };
        if json::trim(&object.get("type").text()) != TYPE {
            return Ok(None);
        }
        let text = |name| {
            let text = object.get(name).text();
            Some(json::trim(&text))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let size = match object.get("size") {
            value if value.is_null() => Some(0),
            value => value.int().ok().flatten().and_then(|size| u64::try_from(size).ok()),
        };
        let sha256 = text("sha256").map(|hash| hash.to_ascii_lowercase());
        if sha256
            .as_deref()
            .is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(BlobError::Sha256);
        }
        Ok(Some(Self {
            blob_id: text("blob_id").ok_or(BlobError::BlobId)?,
            filename: text("filename").or_else(|| text("name")),
            mime_type: text("mime_type").unwrap_or_else(|| DEFAULT_MIME_TYPE.to_owned()),
            size: size.ok_or(BlobError::Size)?,
            sha256,
            storage: text("storage"),
            text: text("text"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back() {
        let blob = BlobRef {
            blob_id: "b1".to_owned(),
            filename: Some("chärt.png".to_owned()),
            mime_type: "image/png".to_owned(),
            size: u64::MAX,
            sha256: Some("0f".repeat(32)),
            storage: Some("jetstream".to_owned()),
            text: None,
        };
        let payload = blob.to_payload();
        assert!(
            payload
                .get()
                .starts_with(r#"{"type":"blob_ref","blob_id":"b1","filename":"ch\u00e4rt.png","#)
        );
        assert_eq!(BlobRef::parse(&payload.view()), Ok(Some(blob)));
    }

    #[test]
    fn members_are_checked_or_defaulted() {
        let parse = |text: &str| BlobRef::parse(&Value::parse(text).unwrap());
        let least = parse(r#"{"type":"blob_ref","blob_id":" b ","name":"x"}"#)
            .unwrap()
            .unwrap();
        assert_eq!(
            (least.blob_id.as_str(), least.filename.as_deref(), least.size),
            ("b", Some("x"), 0)
        );
        assert_eq!(least.mime_type, DEFAULT_MIME_TYPE);
        assert_eq!(parse("5"), Ok(None));
        assert_eq!(parse(r#"{"type":"x"}"#), Ok(None));
        assert_eq!(parse(r#"{"type":"blob_ref"}"#), Err(BlobError::BlobId));
        assert_eq!(
            parse(r#"{"type":"blob_ref","blob_id":"b","size":-1}"#),
            Err(BlobError::Size)
        );
        assert_eq!(
            parse(r#"{"type":"blob_ref","blob_id":"b","sha256":"x"}"#),
            Err(BlobError::Sha256)
        );
    }
}
