//! Blobs of the members of a secure network, which the registry keeps for them (PROTOCOL.md section 23.13, an addition to the
//! Python protocol).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::read::{bounded, number, texts};
use super::record::{Codec, Omitted, record, reply};
use super::{Request, RpcError, opt_trimmed, required};
use crate::blob::{DEFAULT_MIME_TYPE, MAX_ID_LENGTH};
use crate::json::{Kind, Object, ObjectWriter, ascii};
use crate::limits::{DEFAULT_MAX_METADATA_BYTES, MAX_ID_BYTES, MAX_NAME_BYTES, check_bytes};
use crate::{RawJson, Text};

/// Codes of error replies; `: ` and a sentence follow each.
pub mod error_code {
    /// The blob has more bytes than one may have.
    pub const TOO_LARGE: &str = "blob_too_large";
    /// The account has as many blobs or bytes as it may have.
    pub const QUOTA: &str = "blob_quota";
    /// The piece is not the next one of its blob.
    pub const ORDER: &str = "blob_order";
    /// What was stored has another size or SHA-256 than its uploader says; or its pieces are gone. It has to be put again.
    pub const DAMAGED: &str = "blob_damaged";
    /// The registry moves as many pieces as it can; try again.
    pub const BUSY: &str = "blob_busy";
    /// The NATS server has no JetStream, or it does not answer.
    pub const UNAVAILABLE: &str = "blob_unavailable";
}

/// Bytes of one piece at most, before they are written as base64url.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// Accounts that one request shares a blob with.
const MAX_SHARES: usize = 100;

/// The end of a blob that is put: what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobEnd {
    /// All its bytes.
    pub size: i64,
    /// Its SHA-256 as 64 hexadecimal digits.
    pub sha256: String,
    /// What its uploader calls it.
    pub filename: Option<String>,
    /// What it is; `application/octet-stream` by default.
    pub mime_type: String,
    /// An object of the uploader's own.
    pub metadata: Option<RawJson>,
}

impl BlobEnd {
    fn write(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.int("size", self.size)
            .text("sha256", &self.sha256)
            .opt_text("filename", self.filename.as_deref())
            .text("mime_type", &self.mime_type);
        if let Some(metadata) = &self.metadata {
            out.raw("metadata", &ascii(metadata.get()));
        }
        out.finish()
    }

    fn read(object: &Object<'_>) -> Result<Self, RpcError> {
        let metadata = object.get("metadata");
        check_bytes("metadata", metadata.raw(), DEFAULT_MAX_METADATA_BYTES)?;
        let sha256 = bounded(object, "sha256", MAX_NAME_BYTES)?.map(|hash| hash.to_ascii_lowercase());
        let sha256 = sha256.filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Ok(Self {
            size: number(object, "size", -1, -1, i64::MAX)?,
            sha256: sha256.ok_or(RpcError::new("sha256 must be 64 hexadecimal digits"))?,
            filename: bounded(object, "filename", MAX_ID_BYTES)?,
            mime_type: bounded(object, "mime_type", MAX_NAME_BYTES)?.unwrap_or_else(|| DEFAULT_MIME_TYPE.to_owned()),
            metadata: (metadata.kind() == Kind::Object && metadata.is_truthy())
                .then(|| RawJson::validated(Text::from(metadata.raw()))),
        })
    }
}

/// `registry.blob_put`: begins a blob (without an id), adds its next piece, or ends it; the last piece and the end may come
/// together. A piece, and an end, that is sent again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobPutRequest {
    /// The id that the reply to the first request gave; absent in the first one.
    pub blob_id: Option<String>,
    /// Which piece this is, from 0.
    pub chunk: i64,
    /// The piece; empty where there is none.
    pub data: Vec<u8>,
    /// The blob is complete.
    pub end: Option<BlobEnd>,
}

impl Request for BlobPutRequest {
    const NAME: &'static str = "blob_put";
    type Reply = BlobPutReply;
    /// Its piece is larger than a request may be.
    const BOUNDED: bool = false;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(self.data.len() * 4 / 3 + 512);
        out.opt_text("blob_id", self.blob_id.as_deref());
        if !self.data.is_empty() {
            out.int("chunk", self.chunk)
                .text("data", &URL_SAFE_NO_PAD.encode(&self.data));
        }
        if let Some(end) = &self.end {
            out.raw("end", &end.write());
        }
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "blob_put payload must be an object")?;
        Ok(Self {
            blob_id: bounded(object, "blob_id", MAX_ID_LENGTH)?,
            chunk: number(object, "chunk", 0, 0, i64::MAX)?,
            data: data(object)?,
            end: object
                .get("end")
                .as_object()
                .map(|end| BlobEnd::read(&end))
                .transpose()?,
        })
    }
}

fn data(object: &Object<'_>) -> Result<Vec<u8>, RpcError> {
    let text = object.get("data").text();
    check_bytes("data", &text, MAX_CHUNK_BYTES.div_ceil(3) * 4)?;
    let data = URL_SAFE_NO_PAD.decode(text.as_bytes());
    let data = data.map_err(|_| RpcError::new("data must be base64url text without padding"))?;
    match data.len() > MAX_CHUNK_BYTES {
        true => Err(RpcError::with_text(format!(
            "data has {} bytes; at most {MAX_CHUNK_BYTES} are allowed",
            data.len()
        ))),
        false => Ok(data),
    }
}

record! {
    /// How far a blob is.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct BlobPutReply {
        /// Its id, which the registry has made.
        pub blob_id: String,
        /// `open`: further pieces can follow. `stored`: it is complete.
        pub state: String,
        /// Pieces that are stored: the number of the next one.
        pub chunks: i64,
        /// Bytes that are stored.
        pub size: i64,
        /// Bytes of a piece at most.
        pub max_chunk_bytes: i64,
        /// The reference (section 5.5), once it is complete.
        pub blob: Option<RawJson> as OmittedObject,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

impl BlobPutReply {
    /// `state` of a blob that further pieces can follow.
    pub const OPEN: &'static str = "open";
    /// `state` of a blob that is complete.
    pub const STORED: &'static str = "stored";
}

reply!(BlobPutReply, ["blob_id", "state"], not_empty: blob_id, state);

/// `registry.blob_get`: one piece of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobGetRequest {
    /// Id of the blob.
    pub blob_id: String,
    /// `next` of the piece before; 0 for the first one.
    pub after: i64,
}

impl Request for BlobGetRequest {
    const NAME: &'static str = "blob_get";
    type Reply = BlobGetReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(96);
        out.text("blob_id", &self.blob_id).int("after", self.after);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "blob_get payload must be an object")?;
        Ok(Self {
            blob_id: blob_id(object)?,
            after: number(object, "after", 0, 0, i64::MAX)?,
        })
    }
}

record! {
    /// A piece of a blob.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct BlobGetReply {
        /// Id of the blob.
        pub blob_id: String,
        /// The piece; empty behind the last one.
        pub data: Vec<u8> as Base64,
        /// What to ask for the next piece with.
        pub next: i64,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(BlobGetReply, ["blob_id", "data"], not_empty: blob_id);

/// `registry.blob_stat`: what the registry knows of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobStatRequest {
    /// Id of the blob.
    pub blob_id: String,
}

record! {
    /// What the registry knows of a blob.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct BlobStatReply {
        /// The reference (section 5.5).
        pub blob: Option<RawJson> as OmittedObject,
        /// The account that has put it.
        pub account_id: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(BlobStatReply, ["blob"]);

/// `registry.blob_delete`: removes a blob, complete or not. Its uploader and operators may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobDeleteRequest {
    /// Id of the blob.
    pub blob_id: String,
}

record! {
    /// The blob is gone.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct BlobDeleteReply {
        /// Id of the blob.
        pub blob_id: String,
        /// `true`.
        pub deleted: bool,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(BlobDeleteReply, ["blob_id", "deleted"]);

macro_rules! by_id {
    ($request:ty, $name:literal, $reply:ty) => {
        impl Request for $request {
            const NAME: &'static str = $name;
            type Reply = $reply;

            fn encode(&self) -> String {
                let mut out = ObjectWriter::with_capacity(64);
                out.text("blob_id", &self.blob_id);
                out.finish()
            }

            fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
                let object = required(object, concat!($name, " payload must be an object"))?;
                Ok(Self {
                    blob_id: blob_id(object)?,
                })
            }
        }
    };
}

by_id!(BlobStatRequest, "blob_stat", BlobStatReply);
by_id!(BlobDeleteRequest, "blob_delete", BlobDeleteReply);

/// `registry.blob_share`: lets accounts read a blob that the caller may read, as a message that names it does. For messages
/// that the registry cannot read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobShareRequest {
    /// Id of the blob.
    pub blob_id: String,
    /// Account ids, and `capability:<name>` for all members with a capability; at most 100.
    pub to: Vec<String>,
}

impl Request for BlobShareRequest {
    const NAME: &'static str = "blob_share";
    type Reply = BlobShareReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(128);
        out.text("blob_id", &self.blob_id).texts("to", &self.to);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "blob_share payload must be an object")?;
        Ok(Self {
            blob_id: blob_id(object)?,
            to: texts(object, "to", MAX_SHARES, MAX_NAME_BYTES)?,
        })
    }
}

record! {
    /// The accounts may read the blob.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct BlobShareReply {
        /// Id of the blob.
        pub blob_id: String,
        /// The accounts and capabilities.
        pub to: Vec<String>,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(BlobShareReply, ["blob_id", "to"]);

fn blob_id(object: &Object<'_>) -> Result<String, RpcError> {
    let id = bounded(object, "blob_id", MAX_ID_LENGTH)?;
    id.ok_or(RpcError::new("blob_id is required"))
}

/// Bytes as base64url text without padding.
struct Base64;

impl Codec<Vec<u8>> for Base64 {
    fn write(value: &Vec<u8>, name: &str, out: &mut ObjectWriter) {
        out.text(name, &URL_SAFE_NO_PAD.encode(value));
    }

    fn read(object: &Object<'_>, name: &str) -> Vec<u8> {
        let text = opt_trimmed(object.get(name)).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
    }
}

/// An object that is left out when absent.
struct OmittedObject;

impl Codec<Option<RawJson>> for OmittedObject {
    fn write(value: &Option<RawJson>, name: &str, out: &mut ObjectWriter) {
        if let Some(value) = value {
            out.raw(name, &ascii(value.get()));
        }
    }

    fn read(object: &Object<'_>, name: &str) -> Option<RawJson> {
        let value = object.get(name);
        (value.kind() == Kind::Object).then(|| RawJson::validated(Text::from(value.raw())))
    }
}
