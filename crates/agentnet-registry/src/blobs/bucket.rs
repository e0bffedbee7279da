//! The bucket of the object store, in the form of all clients of NATS: pieces on `$O.<bucket>.C.<object>`, and an entry on
//! `$O.<bucket>.M.<base64url of the name>` once they are complete.
//!
//! The registry may neither purge nor delete the stream (section 23.2): what is removed is rolled up into one empty message, which
//! is then deleted.

use std::time::Duration;

use agentnet_protocol::blob::{BlobRef, DEFAULT_BUCKET};
use agentnet_protocol::{RawJson, hex};
use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::object_store;
use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, ContextBuilder, ErrorCode};
use async_nats::{Client, Subject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::json;

/// How long JetStream may take to answer one request.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// The member of an entry's metadata that holds the reference.
const REFERENCE_MEMBER: &str = "blob_ref";

/// Why JetStream did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    /// The piece is not the next one of its object.
    #[error("another piece is the newest one")]
    NotNext,
    /// Something else; the log says what.
    #[error("cannot {doing}: {why}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// The error of the client or of the server.
        why: String,
    },
}

fn failed(doing: &'static str) -> impl Fn(String) -> BucketError {
    move |why| BucketError::Unavailable { doing, why }
}

/// An object that a client of a network in token mode may have put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Names its pieces.
    pub(crate) object: String,
    /// What its uploader says of it.
    pub(crate) reference: BlobRef,
}

/// The bucket `agentnet_blobs`.
pub(crate) struct Bucket {
    context: Context,
    replicas: usize,
    /// Found or made when first needed; forgotten when something fails, since it may be gone.
    stream: RwLock<Option<Stream>>,
}

fn chunks(object: &str) -> String {
    format!("$O.{DEFAULT_BUCKET}.C.{object}")
}

fn entry(blob_id: &str) -> String {
    format!("$O.{DEFAULT_BUCKET}.M.{}", URL_SAFE.encode(blob_id))
}

impl Bucket {
    pub(super) fn new(client: Client, replicas: usize) -> Self {
        Self {
            context: ContextBuilder::new().timeout(REPLY_TIMEOUT).build(client),
            replicas: replicas.max(1),
            stream: RwLock::new(None),
        }
    }

    /// Adds a piece behind the one with this number, 0 for the first; returns its own number.
    pub(crate) async fn append(&self, object: &str, after: u64, piece: Bytes) -> Result<u64, BucketError> {
        const DOING: &str = "store a piece";
        self.stream(true).await?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
        match self.publish(DOING, chunks(object), headers, piece).await {
            Err(BucketError::Unavailable { why, .. }) => Err(self.lost(DOING, why)),
            done => done,
        }
    }

    /// The number of a piece behind the one with this number, if it is the newest one and has these bytes: one whose storing was
    /// not noted.
    pub(crate) async fn find(&self, object: &str, after: u64, piece: &[u8]) -> Result<Option<u64>, BucketError> {
        let Some(stream) = self.stream(false).await? else {
            return Ok(None);
        };
        let last = self.last(&stream, &chunks(object)).await?;
        Ok(last
            .filter(|last| last.sequence > after && last.payload == piece)
            .map(|last| last.sequence))
    }

    /// The piece behind the one with this number, and its own number.
    pub(crate) async fn read(&self, object: &str, after: u64) -> Result<Option<(u64, Bytes)>, BucketError> {
        const DOING: &str = "read a piece";
        let Some(stream) = self.stream(false).await? else {
            return Ok(None);
        };
        let (subject, from) = (chunks(object), after.saturating_add(1));
        let near = stream.direct_get_next_for_subject(subject.as_str(), Some(from)).await;
        let found = match near {
            Ok(piece) => Some(piece),
            // A replica may be behind, and a bucket without direct reads does not answer: the leader knows.
            Err(error)
                if matches!(
                    error.kind(),
                    DirectGetErrorKind::NotFound | DirectGetErrorKind::TimedOut
                ) =>
            {
                match stream.get_first_raw_message_by_subject(&subject, from).await {
                    Ok(piece) => Some(piece),
                    Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => None,
                    Err(error) => return Err(self.lost(DOING, error.to_string())),
                }
            }
            Err(error) => return Err(self.lost(DOING, error.to_string())),
        };
        Ok(found.map(|piece| (piece.sequence, piece.payload)))
    }

    /// Makes complete pieces an object.
    pub(crate) async fn complete(&self, object: &str, pieces: i64, blob: &BlobRef) -> Result<(), BucketError> {
        const DOING: &str = "store the entry of a blob";
        self.stream(true).await?;
        let digest = blob.sha256.as_deref().and_then(hex::decode).unwrap_or_default();
        let text = json!({
            "name": blob.blob_id,
            "description": blob.filename,
            "metadata": { REFERENCE_MEMBER: blob.to_payload().get() },
            "bucket": DEFAULT_BUCKET,
            "nuid": object,
            "size": blob.size,
            "mtime": blob.created_at,
            "chunks": pieces,
            "digest": format!("SHA-256={}", URL_SAFE.encode(digest)),
        });
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        let stored = self.publish(DOING, entry(&blob.blob_id), headers, text.to_string().into());
        stored.await.map(drop)
    }

    /// The object with this name, if there is one.
    pub(crate) async fn entry(&self, blob_id: &str) -> Result<Option<Entry>, BucketError> {
        let Some(stream) = self.stream(false).await? else {
            return Ok(None);
        };
        let last = self.last(&stream, &entry(blob_id)).await?;
        Ok(last.and_then(|last| read_entry(blob_id, &last.payload)))
    }

    /// Removes a blob: first what makes it an object, then its pieces.
    pub(crate) async fn remove(&self, blob_id: &str, object: &str) -> Result<(), BucketError> {
        let Some(stream) = self.stream(false).await? else {
            return Ok(());
        };
        for subject in [entry(blob_id), chunks(object)] {
            if self.last(&stream, &subject).await?.is_some() {
                self.clear(&stream, subject).await?;
            }
        }
        Ok(())
    }

    async fn clear(&self, stream: &Stream, subject: String) -> Result<(), BucketError> {
        const DOING: &str = "remove a blob";
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        let left = self.publish(DOING, subject, headers, Bytes::new()).await?;
        let removed = stream.delete_message(left).await;
        removed.map(drop).map_err(|error| self.lost(DOING, error.to_string()))
    }

    /// How long the bucket keeps what is put into it; `None` for ever.
    pub(super) async fn max_age(&self) -> Result<Option<Duration>, BucketError> {
        let Some(stream) = self.stream(false).await? else {
            return Ok(None);
        };
        let info = stream.get_info().await;
        let info = info.map_err(|error| self.lost("look at the bucket", error.to_string()))?;
        Ok(Some(info.config.max_age).filter(|age| !age.is_zero()))
    }

    async fn last(&self, stream: &Stream, subject: &str) -> Result<Option<StreamMessage>, BucketError> {
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(last) => Ok(Some(last)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.lost("look for a blob", error.to_string())),
        }
    }

    async fn publish(
        &self,
        doing: &'static str,
        subject: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<u64, BucketError> {
        let sent = async {
            let sent = self.context.publish_with_headers(Subject::from(subject), headers, body);
            sent.await?.await
        };
        match sent.await {
            Ok(stored) => Ok(stored.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Err(BucketError::NotNext),
            Err(error) => Err(self.lost(doing, error.to_string())),
        }
    }

    /// The stream, created if asked for. `None` if there is none.
    async fn stream(&self, create: bool) -> Result<Option<Stream>, BucketError> {
        let known = self.stream.read().clone();
        if known.is_some() {
            return Ok(known);
        }
        let unavailable = failed("find the bucket");
        let name = format!("OBJ_{DEFAULT_BUCKET}");
        let mut found = self.context.get_stream(&name).await;
        if let Err(error) = &found {
            match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    if !create {
                        return Ok(None);
                    }
                    let config = object_store::Config {
                        bucket: DEFAULT_BUCKET.to_owned(),
                        description: Some("blobs of agents".to_owned()),
                        num_replicas: self.replicas,
                        ..object_store::Config::default()
                    };
                    let created = self.context.create_object_store(config).await;
                    // Another registry may have been quicker.
                    found = self.context.get_stream(&name).await;
                    if let (Err(error), Err(_)) = (created, &found) {
                        return Err(failed("make the bucket")(error.to_string()));
                    }
                }
                _ => {}
            }
        }
        let stream = found.map_err(|error| unavailable(error.to_string()))?;
        *self.stream.write() = Some(stream.clone());
        Ok(Some(stream))
    }

    /// An error after which the bucket is looked for anew.
    fn lost(&self, doing: &'static str, why: String) -> BucketError {
        *self.stream.write() = None;
        failed(doing)(why)
    }
}

/// An entry as any client of NATS writes it.
fn read_entry(blob_id: &str, text: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Stored {
        nuid: String,
        size: u64,
        #[serde(default)]
        deleted: bool,
        #[serde(default)]
        digest: String,
        #[serde(default)]
        metadata: std::collections::HashMap<String, String>,
    }
    let stored: Stored = serde_json::from_slice(text).ok()?;
    // What names the pieces becomes part of a subject.
    let is_token = !stored.nuid.is_empty() && stored.nuid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if stored.deleted || !is_token {
        return None;
    }
    let kept = stored.metadata.get(REFERENCE_MEMBER);
    let kept = kept.and_then(|text| RawJson::parse(text.as_str()).ok());
    let kept = kept.and_then(|payload| BlobRef::parse(&payload.view()).ok()?);
    let digest = stored.digest.strip_prefix("SHA-256=");
    let sha256 = digest.and_then(|digest| URL_SAFE.decode(digest).ok());
    let new = || BlobRef::new(blob_id, agentnet_protocol::blob::NATS_OBJECT_STORAGE);
    let mut reference = kept.unwrap_or_else(new);
    blob_id.clone_into(&mut reference.blob_id);
    agentnet_protocol::blob::NATS_OBJECT_STORAGE.clone_into(&mut reference.storage);
    reference.size = stored.size;
    reference.sha256 = sha256.map(|digest| hex::encode(&digest)).or(reference.sha256);
    Some(Entry {
        object: stored.nuid,
        reference,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_every_client_are_read() {
        let text = json!({
            "name": "b", "nuid": "N1", "size": 3, "chunks": 1, "digest": format!("SHA-256={}", URL_SAFE.encode([7; 32])),
            "metadata": { REFERENCE_MEMBER: r#"{"type":"blob_ref","blob_id":"x","filename":"a.png","mime_type":"image/png"}"# },
        });
        let entry = read_entry("b", text.to_string().as_bytes()).unwrap();
        assert_eq!(entry.object, "N1");
        assert_eq!(
            (
                entry.reference.blob_id.as_str(),
                entry.reference.size,
                entry.reference.filename.as_deref()
            ),
            ("b", 3, Some("a.png"))
        );
        assert_eq!(entry.reference.sha256, Some("07".repeat(32)));
        let plain = read_entry("b", br#"{"nuid":"N1","size":3}"#).unwrap();
        assert_eq!(
            (plain.reference.storage.as_str(), plain.reference.sha256),
            ("nats_object", None)
        );
        for none in [
            &b"{"[..],
            b"{}",
            br#"{"nuid":"N1","size":3,"deleted":true}"#,
            br#"{"nuid":"a.>","size":3}"#,
            br#"{"nuid":"","size":3}"#,
        ] {
            assert_eq!(read_entry("b", none), None, "{none:?}");
        }
    }
}
