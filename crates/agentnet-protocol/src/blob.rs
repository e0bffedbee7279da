//! References to blobs: the payload that travels in place of a file (`blob_ref`, PROTOCOL.md section 5.5).
//!
//! ```json
//! {"type":"blob_ref","blob_id":"blob_01khzkcw3v04hmasw9nf6yy093","storage":"local_fs","mime_type":"image/png",
//!  "size_bytes":1024,"filename":"chart.png","sha256":"9f86d0…","created_at":"2026-02-21T08:00:00Z"}
//! ```

use crate::json::{self, Kind, ObjectWriter, Value};
use crate::{RawJson, Text};

/// `type` of the payload.
pub const TYPE: &str = "blob_ref";
/// The MIME type of a blob that names none.
pub const DEFAULT_MIME_TYPE: &str = "application/octet-stream";
/// `storage` of a blob in a directory; also what is meant when a payload names none.
pub const LOCAL_STORAGE: &str = "local_fs";
/// `storage` of a blob in the object store of the network's NATS servers.
pub const NATS_OBJECT_STORAGE: &str = "nats_object";
/// The bucket of the object store that agents use by default, and the only one that registries of a secure network use
/// (section 23.13).
pub const DEFAULT_BUCKET: &str = "agentnet_blobs";
/// How every id begins that a registry or an SDK makes, before `_` and a ULID in lower case.
pub const ID_PREFIX: &str = "blob";
/// The longest id, in characters.
pub const MAX_ID_LENGTH: usize = 128;

/// Whether this can be the id of a blob: 1 to 128 of `A-Z a-z 0-9 _ -`. None of them is a path.
#[must_use]
pub fn valid_id(id: &str) -> bool {
    (1..=MAX_ID_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Ids that one message can name: further ones are not looked for.
pub const MAX_NAMED_IDS: usize = 64;

/// The ids of the form `blob_<ulid>` in a JSON text, in any member and at any depth, each once and at most
/// [`MAX_NAMED_IDS`]: a registry lets the receiver of a message read the blobs that it names (section 23.13).
#[must_use]
pub fn named_ids(json: &str) -> Vec<&str> {
    const ULID_BYTES: usize = 26;
    let mut found: Vec<&str> = Vec::new();
    for (start, prefix) in json.match_indices("blob_") {
        let end = start + prefix.len() + ULID_BYTES;
        let Some(id) = json.get(start..end) else { continue };
        let is_ulid = (id.bytes().skip(prefix.len())).all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        // What stands before it does not matter: it may be the n of a line break, written as \n.
        let is_whole =
            !(json.as_bytes().get(end)).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_ulid && is_whole && !found.contains(&id) {
            found.push(id);
            if found.len() == MAX_NAMED_IDS {
                break;
            }
        }
    }
    found
}

/// A reference to bytes that are kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// Where the store finds it; never blank. Whether it is a [valid id](valid_id) is for the store to check.
    pub blob_id: String,
    /// Which store keeps it; [`LOCAL_STORAGE`] when the payload does not say.
    pub storage: String,
    /// What the sender calls it. Not to be used as a path.
    pub filename: Option<String>,
    /// What it is; [`DEFAULT_MIME_TYPE`] when the payload does not say.
    pub mime_type: String,
    /// Its length in bytes (`size_bytes`); 0 when the payload does not say.
    pub size: u64,
    /// Its SHA-256 as 64 lower-case hexadecimal digits, if known.
    pub sha256: Option<String>,
    /// When it was stored, as the sender wrote it (section 3).
    pub created_at: Option<String>,
    /// An object of the sender's own, if it is not empty.
    pub metadata: Option<RawJson>,
    /// A word from the sender. An addition: the Python implementation ignores it.
    pub text: Option<String>,
}

/// Why a `blob_ref` payload cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobRefError {
    /// `blob_id` is missing or blank.
    #[error("a blob_ref payload needs a `blob_id`")]
    BlobId,
    /// `size_bytes` (or `size`) is given and is no number of bytes.
    #[error("the `size_bytes` of a blob_ref payload must be a number of bytes")]
    Size,
    /// `sha256` is given and is no hash.
    #[error("the `sha256` of a blob_ref payload must be 64 hexadecimal digits")]
    Sha256,
}

impl BlobRef {
    /// A reference with nothing but an id and the store that keeps it.
    #[must_use]
    pub fn new(blob_id: impl Into<String>, storage: impl Into<String>) -> Self {
        Self {
            blob_id: blob_id.into(),
            storage: storage.into(),
            filename: None,
            mime_type: DEFAULT_MIME_TYPE.to_owned(),
            size: 0,
            sha256: None,
            created_at: None,
            metadata: None,
            text: None,
        }
    }

    /// The payload to send.
    #[must_use]
    pub fn to_payload(&self) -> RawJson {
        let mut json = ObjectWriter::new();
        json.text("type", TYPE)
            .text("blob_id", &self.blob_id)
            .text("storage", &self.storage)
            .text("mime_type", &self.mime_type)
            .int("size_bytes", self.size)
            .opt_text("filename", self.filename.as_deref())
            .opt_text("sha256", self.sha256.as_deref())
            .opt_text("created_at", self.created_at.as_deref());
        if let Some(metadata) = &self.metadata {
            json.raw("metadata", metadata.get());
        }
        let json = json.opt_text("text", self.text.as_deref()).finish();
        RawJson::validated(Text::from(json))
    }

    /// Reads a payload; `None` where its `type` is another. `name` is read where `filename` is missing, `size` where
    /// `size_bytes` is.
    ///
    /// # Errors
    /// [`BlobRefError`] where the type is right and a member is not.
    pub fn parse(payload: &Value<'_>) -> Result<Option<Self>, BlobRefError> {
        let Some(object) = payload.as_object() else {
            return Ok(None);
        };
        if !json::trim(&object.get("type").text()).eq_ignore_ascii_case(TYPE) {
            return Ok(None);
        }
        let text = |name| {
            let text = object.get(name).text();
            Some(json::trim(&text))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let size = match object.get("size_bytes") {
            value if value.is_null() => object.get("size"),
            value => value,
        };
        let size = match size {
            value if value.is_null() => Some(0),
            value => value.int().ok().flatten().and_then(|size| u64::try_from(size).ok()),
        };
        let sha256 = text("sha256").map(|hash| hash.to_ascii_lowercase());
        if sha256
            .as_deref()
            .is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(BlobRefError::Sha256);
        }
        let metadata = object.get("metadata");
        Ok(Some(Self {
            blob_id: text("blob_id").ok_or(BlobRefError::BlobId)?,
            storage: text("storage").unwrap_or_else(|| LOCAL_STORAGE.to_owned()),
            filename: text("filename").or_else(|| text("name")),
            mime_type: text("mime_type").unwrap_or_else(|| DEFAULT_MIME_TYPE.to_owned()),
            size: size.ok_or(BlobRefError::Size)?,
            sha256,
            created_at: text("created_at"),
            metadata: (metadata.kind() == Kind::Object && metadata.is_truthy())
                .then(|| RawJson::validated(Text::from(metadata.raw()))),
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
            filename: Some("chärt.png".to_owned()),
            mime_type: "image/png".to_owned(),
            size: u64::MAX,
            sha256: Some("0f".repeat(32)),
            created_at: Some("2026-02-21T08:00:00Z".to_owned()),
            metadata: Some(RawJson::parse(r#"{"k":[1]}"#).unwrap()),
            text: Some("look".to_owned()),
            ..BlobRef::new("b1", NATS_OBJECT_STORAGE)
        };
        let payload = blob.to_payload();
        assert_eq!(
            payload.get(),
            format!(
                r#"{{"type":"blob_ref","blob_id":"b1","storage":"nats_object","mime_type":"image/png","size_bytes":18446744073709551615,"filename":"ch\u00e4rt.png","sha256":"{}","created_at":"2026-02-21T08:00:00Z","metadata":{{"k":[1]}},"text":"look"}}"#,
                "0f".repeat(32)
            )
        );
        assert_eq!(BlobRef::parse(&payload.view()), Ok(Some(blob)));
    }

    #[test]
    fn members_are_checked_or_defaulted() {
        let parse = |text: &str| BlobRef::parse(&Value::parse(text).unwrap());
        let least = parse(r#"{"type":" BLOB_REF ","blob_id":" b ","name":"x","metadata":{},"sha256":""}"#);
        let expected = BlobRef {
            filename: Some("x".to_owned()),
            ..BlobRef::new("b", LOCAL_STORAGE)
        };
        assert_eq!(least, Ok(Some(expected)));
        let size = |text: &str| parse(text).unwrap().unwrap().size;
        assert_eq!(size(r#"{"type":"blob_ref","blob_id":"b","size":7}"#), 7);
        assert_eq!(size(r#"{"type":"blob_ref","blob_id":"b","size":7,"size_bytes":8}"#), 8);
        assert_eq!(parse("5"), Ok(None));
        assert_eq!(parse(r#"{"type":"x"}"#), Ok(None));
        assert_eq!(parse(r#"{"type":"blob_ref"}"#), Err(BlobRefError::BlobId));
        assert_eq!(
            parse(r#"{"type":"blob_ref","blob_id":"b","size_bytes":-1}"#),
            Err(BlobRefError::Size)
        );
        assert_eq!(
            parse(r#"{"type":"blob_ref","blob_id":"b","sha256":"x"}"#),
            Err(BlobRefError::Sha256)
        );
    }

    #[test]
    fn ids_are_found_wherever_they_are_named() {
        let (one, other) = ("blob_01khzkcw3v04hmasw9nf6yy093", "blob_01khzkcw3v04hmasw9nf6yy094");
        let nested = format!(r#"{{"a":[{{"blob_id":"{one}"}}],"text":"see\n{other}, or {one}"}}"#);
        assert_eq!(named_ids(&nested), [one, other]);
        for none in [
            "",
            "blob_",
            "blob_ref",
            "blob_01KHZKCW3V04HMASW9NF6YY093",
            "blob_01khzkcw3v04hmasw9nf6yy09",
            "blob_01khzkcw3v04hmasw9nf6yy0933",
            "blob_01khzkcw3v04hmasw9nf6yy093-",
            "blob_01khzkcw3v04hmasw9nf6yyé",
        ] {
            assert!(named_ids(none).is_empty(), "{none}");
        }
        let many: String = (10..99).map(|n| format!("blob_01khzkcw3v04hmasw9nf6yy0{n} ")).collect();
        assert_eq!(named_ids(&many).len(), MAX_NAMED_IDS);
        let made = crate::ids::prefixed(ID_PREFIX, 1_771_660_800_000, [7; 10]);
        assert_eq!(named_ids(&made), [made.as_str()]);
    }

    #[test]
    fn ids_are_no_paths() {
        for good in ["b", "blob_01khzkcw3v04hmasw9nf6yy093", "A-9_", &"x".repeat(128)] {
            assert!(valid_id(good), "{good:?}");
        }
        let long = "x".repeat(10_000);
        let bad = [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "C:x",
            "a.json",
            "a\0",
            "é",
            " a",
            &long,
        ];
        for bad in bad {
            assert!(!valid_id(bad), "{bad:?}");
        }
    }
}
