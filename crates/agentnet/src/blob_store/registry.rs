//! The network's store in secure mode: the registry keeps the blobs of members, who have no rights of JetStream (PROTOCOL.md
//! section 23.13).
//!
//! A blob is put piece by piece and read piece by piece, each by one request, which may go to another registry than the one before.
//! The receiver of a message may come for its blob before the registry has stored that message, which gives it the right: so a blob
//! that is not found is asked for again, for a short while.

use std::time::Duration;

use agentnet_protocol::blob::{BlobRef, DEFAULT_BUCKET};
use agentnet_protocol::hex;
use agentnet_protocol::rpc::{
    BlobDeleteRequest, BlobEnd, BlobGetRequest, BlobPutReply, BlobPutRequest, BlobStatRequest, Request,
    blob_error_code as code,
};
use agentnet_protocol::{RawJson, mailbox};
use bytes::{Bytes, BytesMut};
use futures::stream;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::io::StreamReader;

use super::error::BlobError;
use super::hashing_reader::{Meter, Source, fill};
use super::reader::Found;
use super::settings::BlobSettings;
use crate::registry::RegistryClient;
use crate::registry::error::RegistryError;

/// How long the registry may take to answer one request.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Delays before a blob that is not found is asked for again: the message that names it may not be stored yet.
const FIND_RETRY_DELAYS: [u64; 6] = [50, 100, 200, 400, 800, 1000];
/// Delay before a request is repeated that a busy registry has refused.
const BUSY_RETRY_DELAY: Duration = Duration::from_millis(100);

/// What the registry keeps. Ids that come here are checked. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct RegistryStore {
    registry: RegistryClient,
    stall_timeout: Duration,
}

impl RegistryStore {
    pub(crate) fn new(registry: RegistryClient, settings: &BlobSettings) -> Self {
        Self {
            registry: registry.with_timeout(REPLY_TIMEOUT),
            stall_timeout: settings.stall_timeout,
        }
    }

    /// Stores a blob; id, time, size and hash are filled in.
    pub(crate) async fn put(&self, blob: BlobRef, mut source: Source, mut meter: Meter) -> Result<BlobRef, BlobError> {
        let begun = self.call(&BlobPutRequest::default()).await;
        let begun = begun.map_err(|error| failed("begin a blob", &error))?;
        let mut upload = Upload {
            registry: &self.registry,
            blob_id: Some(begun.blob_id.clone()),
        };
        let limit = usize::try_from(begun.max_chunk_bytes).unwrap_or_default().max(1);
        let mut request = BlobPutRequest {
            blob_id: Some(begun.blob_id.clone()),
            ..BlobPutRequest::default()
        };
        loop {
            let mut chunk = BytesMut::with_capacity(limit);
            fill(&mut source, &mut chunk, limit).await.map_err(BlobError::Source)?;
            meter.count(&chunk);
            let is_last = chunk.len() < limit;
            request.data = chunk.into();
            request.end = is_last.then(|| end(&blob, &meter));
            let stored = self.call(&request).await;
            let stored = stored.map_err(|error| failed("store the blob", &error))?;
            if is_last {
                upload.blob_id = None;
                return complete(blob, stored);
            }
            request.chunk += 1;
        }
    }

    pub(crate) async fn head(&self, id: &str) -> Result<Option<BlobRef>, BlobError> {
        let request = BlobStatRequest { blob_id: id.to_owned() };
        let mut delays = FIND_RETRY_DELAYS.into_iter();
        loop {
            match self.call(&request).await {
                Ok(found) => return Ok(found.blob.and_then(|blob| reference(&blob))),
                Err(error) if error.is_not_found() => match delays.next() {
                    Some(delay) => tokio::time::sleep(Duration::from_millis(delay)).await,
                    None => return Ok(None),
                },
                Err(error) => return Err(failed("look for the blob", &error)),
            }
        }
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Found, BlobError> {
        let blob = self.head(id).await?.ok_or_else(|| not_found(id))?;
        let pieces = Pieces {
            store: self.clone(),
            request: BlobGetRequest {
                blob_id: id.to_owned(),
                after: 0,
            },
        };
        let pieces = stream::try_unfold(pieces, |mut pieces| async move {
            let next = pieces.next().await.map_err(std::io::Error::from)?;
            Ok::<_, std::io::Error>(next.map(|piece| (piece, pieces)))
        });
        Ok(Found {
            blob,
            bytes: Box::new(StreamReader::new(Box::pin(pieces))),
        })
    }

    /// Whether there was a blob that this account may delete.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool, BlobError> {
        let request = BlobDeleteRequest { blob_id: id.to_owned() };
        match self.call(&request).await {
            Ok(reply) => Ok(reply.deleted),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(failed("delete the blob", &error)),
        }
    }

    /// Calls, and calls again while the registry is busy.
    async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, RegistryError> {
        let deadline = Instant::now() + self.stall_timeout;
        loop {
            match self.registry.call(request).await {
                Err(RegistryError::Refused(text))
                    if mailbox::code_of(&text) == code::BUSY && Instant::now() < deadline =>
                {
                    tokio::time::sleep(BUSY_RETRY_DELAY).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// What a blob is, once all of it has passed.
fn end(blob: &BlobRef, meter: &Meter) -> BlobEnd {
    BlobEnd {
        size: i64::try_from(meter.done()).unwrap_or(i64::MAX),
        sha256: hex::encode(&meter.digest()),
        filename: blob.filename.clone(),
        mime_type: blob.mime_type.clone(),
        metadata: blob.metadata.clone(),
    }
}

/// The reference that the registry has made.
fn complete(blob: BlobRef, stored: BlobPutReply) -> Result<BlobRef, BlobError> {
    let made = stored.blob.as_ref().and_then(reference);
    made.ok_or_else(|| BlobError::Damaged {
        blob_id: blob.blob_id,
        what: "the registry gave no reference to it".to_owned(),
    })
}

fn reference(blob: &RawJson) -> Option<BlobRef> {
    BlobRef::parse(&blob.view()).ok().flatten()
}

fn not_found(id: &str) -> BlobError {
    BlobError::NotFound {
        blob_id: id.to_owned(),
        place: "what the registry keeps, or this account may not read it".to_owned(),
    }
}

fn failed(doing: &'static str, error: &RegistryError) -> BlobError {
    BlobError::Network {
        doing,
        bucket: DEFAULT_BUCKET.to_owned(),
        why: error.to_string(),
    }
}

/// A blob that is read.
struct Pieces {
    store: RegistryStore,
    request: BlobGetRequest,
}

impl Pieces {
    /// The next piece; `None` behind the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        let asked = self.store.call(&self.request).await;
        let piece = asked.map_err(|error| match error.is_not_found() {
            true => not_found(&self.request.blob_id),
            false => failed("read the blob", &error),
        })?;
        if piece.data.is_empty() || piece.next <= self.request.after {
            return Ok(None);
        }
        self.request.after = piece.next;
        Ok(Some(piece.data.into()))
    }
}

/// A put under way. Dropped before its end, it has what was stored removed.
struct Upload<'a> {
    registry: &'a RegistryClient,
    blob_id: Option<String>,
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // Without a runtime the process ends; the registry removes what was left.
        if let (Some(blob_id), Ok(runtime)) = (self.blob_id.take(), Handle::try_current()) {
            let registry = self.registry.clone();
            runtime.spawn(async move {
                if let Err(error) = registry.call(&BlobDeleteRequest { blob_id }).await {
                    tracing::debug!(%error, "a blob that failed is removed by the registry later");
                }
            });
        }
    }
}
