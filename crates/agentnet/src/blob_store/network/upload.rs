//! Storing an object, in the form of the JetStream object store.
//!
//! The client's own `put` sends each read as a message of its own, waits for each to be stored before it sends the next, and
//! leaves the pieces in the bucket when it fails. This one fills its pieces, has a few on their way at the same time, and takes back
//! what it has sent when it fails or is given up.
//!
//! 1. the pieces, to `$O.<bucket>.C.<nuid>`
//! 2. when all are stored, the object's entry to `$O.<bucket>.M.<name>`: only now there is an object

use std::collections::VecDeque;
use std::time::Duration;

use agentnet_protocol::blob::{BlobRef, NATS_OBJECT_STORAGE};
use agentnet_protocol::hex;
use async_nats::Client;
use async_nats::connection::State;
use async_nats::header::NATS_ROLLUP;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream::{PurgeError, PurgeErrorKind};
use async_nats::{HeaderMap, Subject};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Bucket, NetworkStore, metadata};
use crate::blob_store::error::BlobError;
use crate::blob_store::hashing_reader::{Meter, Source, fill};
use crate::ids;

/// The object store's usual size of a piece.
const CHUNK_BYTES: usize = 128 * 1024;
/// Pieces on their way at the same time.
const MAX_CHUNKS_IN_FLIGHT: usize = 16;
/// How often the state of a lost connection is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a failed put waits for the removal of its pieces; after that the removal continues in the background.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one purge may take; it is tried again.
const PURGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the removal of pieces waits for a lost connection.
const CLEANUP_RETRY_TIMEOUT: Duration = Duration::from_secs(600);

impl NetworkStore {
    /// Stores a blob; size and hash are filled in.
    pub(crate) async fn put(
        &self,
        mut blob: BlobRef,
        mut source: Source,
        mut meter: Meter,
    ) -> Result<BlobRef, BlobError> {
        // Where the bucket could not be created, the reason has been logged.
        let bucket = self.bucket(true).await?.ok_or(BlobError::NotConnected)?;
        let mut upload = Upload::begin(self, bucket, &blob.blob_id);
        let outcome = upload.run(&mut blob, &mut source, &mut meter).await;
        match outcome {
            Ok(()) => {
                upload.left = None;
                Ok(blob)
            }
            Err(error) => {
                if let Some(clearing) = upload.clear() {
                    let _ = tokio::time::timeout(CLEANUP_TIMEOUT, clearing).await;
                }
                Err(error)
            }
        }
    }
}

/// A put under way. Dropped before its end, it takes back what it has sent.
struct Upload<'a> {
    store: &'a NetworkStore,
    nuid: String,
    /// Which connection this is; what was on its way on another is lost.
    connection: u64,
    left: Option<Left>,
}

/// What is to be taken back.
struct Left {
    client: Client,
    bucket: Bucket,
    chunks: String,
    meta: String,
    pending: VecDeque<PublishAckFuture>,
}

impl<'a> Upload<'a> {
    fn begin(store: &'a NetworkStore, bucket: Bucket, id: &str) -> Self {
        let nuid = ids::token();
        Self {
            connection: connection(&store.shared.client),
            left: Some(Left {
                client: store.shared.client.clone(),
                chunks: bucket.chunk_subject(&nuid),
                meta: bucket.meta_subject(id),
                bucket,
                pending: VecDeque::new(),
            }),
            store,
            nuid,
        }
    }

    async fn run(&mut self, blob: &mut BlobRef, source: &mut Source, meter: &mut Meter) -> Result<(), BlobError> {
        // Zero before the server has sent its information.
        let limit = match self.store.shared.client.server_info().max_payload {
            0 => CHUNK_BYTES,
            limit => limit.min(CHUNK_BYTES),
        };
        let Some((chunks, meta)) = self
            .left
            .as_ref()
            .map(|left| (Subject::from(left.chunks.as_str()), left.meta.clone()))
        else {
            return Err(BlobError::ConnectionLost);
        };
        let mut count = 0_usize;
        loop {
            let mut chunk = BytesMut::with_capacity(limit);
            fill(source, &mut chunk, limit).await.map_err(BlobError::Source)?;
            if chunk.is_empty() {
                break;
            }
            count += 1;
            meter.count(&chunk);
            self.stored(MAX_CHUNKS_IN_FLIGHT - 1).await?;
            self.publish(chunks.clone(), HeaderMap::new(), chunk.freeze()).await?;
        }
        self.stored(0).await?;

        blob.size = meter.done();
        blob.sha256 = Some(hex::encode(&meter.digest()));
        NATS_OBJECT_STORAGE.clone_into(&mut blob.storage);
        let entry = json!({
            "name": blob.blob_id,
            "description": blob.filename,
            "metadata": metadata(blob),
            "options": { "max_chunk_size": limit },
            "bucket": self.store.shared.settings.bucket,
            "nuid": self.nuid,
            "size": blob.size,
            "mtime": blob.created_at,
            "chunks": count,
            "digest": format!("SHA-256={}", URL_SAFE.encode(meter.digest())),
        });
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        self.publish(Subject::from(meta), headers, entry.to_string().into())
            .await?;
        self.stored(0).await
    }

    async fn publish(&mut self, subject: Subject, headers: HeaderMap, body: Bytes) -> Result<(), BlobError> {
        let store = self.store;
        let context = &store.shared.context;
        let lost = lost(&store.shared.client, self.connection);
        let sending = async {
            if headers.is_empty() {
                context.publish(subject, body).await
            } else {
                context.publish_with_headers(subject, headers, body).await
            }
        };
        let sent = tokio::select! {
            biased;
            sent = sending => sent.map_err(|error| store.failed("store the blob", &error))?,
            () = lost => return Err(BlobError::ConnectionLost),
        };
        if let Some(left) = &mut self.left {
            left.pending.push_back(sent);
        }
        Ok(())
    }

    /// Waits until no more than so many pieces are on their way.
    async fn stored(&mut self, under_way: usize) -> Result<(), BlobError> {
        let store = self.store;
        while let Some(left) = self.left.as_mut().filter(|left| left.pending.len() > under_way)
            && let Some(acknowledgement) = left.pending.pop_front()
        {
            let lost = lost(&store.shared.client, self.connection);
            tokio::select! {
                biased;
                stored = acknowledgement => {
                    stored.map_err(|error| store.failed("store the blob", &error))?;
                }
                () = lost => return Err(BlobError::ConnectionLost),
            }
        }
        Ok(())
    }

    /// Begins to take back what was sent.
    fn clear(&mut self) -> Option<JoinHandle<()>> {
        let left = self.left.take()?;
        // Without a runtime the process ends.
        Some(Handle::try_current().ok()?.spawn(left.clear()))
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Left {
    /// Takes everything back, as soon as there is a connection.
    async fn clear(mut self) {
        // A purge must not overtake what it is to remove.
        let pending = std::mem::take(&mut self.pending)
            .into_iter()
            .map(IntoFuture::into_future);
        let _ = tokio::time::timeout(CLEANUP_TIMEOUT, join_all(pending)).await;
        let cleared = async {
            while self.client.connection_state() != State::Connected || !self.purge().await {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        if tokio::time::timeout(CLEANUP_RETRY_TIMEOUT, cleared).await.is_err() {
            tracing::warn!(
                subject = self.chunks,
                "pieces of a blob that failed could not be removed"
            );
        }
    }

    /// Whether there was nothing left to purge.
    async fn purge(&self) -> bool {
        // The entry too: it may have been stored though no reply came.
        for subject in [&self.meta, &self.chunks] {
            let purge = self.bucket.stream.purge().filter(subject);
            match tokio::time::timeout(PURGE_TIMEOUT, purge.into_future()).await {
                Ok(Ok(answer)) if answer.purged == 0 => {}
                Ok(Err(error)) if is_gone(&error) => return true,
                outcome => {
                    tracing::debug!(?outcome, subject, "removing pieces of a blob that failed");
                    return false;
                }
            }
        }
        true
    }
}

/// Whether there is no bucket any more.
fn is_gone(error: &PurgeError) -> bool {
    matches!(error.kind(), PurgeErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Which connection this is, counted from the first.
fn connection(client: &Client) -> u64 {
    client.statistics().connects.load(std::sync::atomic::Ordering::Acquire)
}

/// Returns when the connection is not the one that it was.
async fn lost(client: &Client, since: u64) {
    while client.connection_state() == State::Connected && connection(client) == since {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
