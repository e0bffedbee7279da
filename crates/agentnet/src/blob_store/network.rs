//! The network's store: a bucket of the JetStream object store, readable by every client of it (`nats object get` included).
//!
//! A blob is an object whose name is its id; the reference is in the object's metadata. `upload` stores, `read_timeout` bounds the
//! waiting of a read; reading itself is the client's.

mod read_timeout;
mod sweep;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::blob::{BlobRef, NATS_OBJECT_STORAGE};
use agentnet_protocol::hex;
use agentnet_protocol::json::Value;
use agentnet_protocol::subject::CONNECTION_INBOX_PREFIX;
use async_nats::Client;
use async_nats::jetstream::context::{AccountErrorKind, GetStreamErrorKind};
use async_nats::jetstream::object_store::{self, GetErrorKind, InfoErrorKind, ObjectInfo, ObjectStore};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, ContextBuilder, ErrorCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use parking_lot::RwLock;

use super::error::BlobError;
use super::names;
use super::reader::Found;
use super::settings::BlobSettings;
use read_timeout::ReadTimeout;

/// How long the server may take to answer one request or to store one piece.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// A replica may be behind the one that has stored a blob: how often a missing blob is looked for, and the pause in between.
const MAX_FIND_ATTEMPTS: u32 = 10;
const FIND_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The member of an object's metadata that holds the reference.
const REFERENCE_MEMBER: &str = "blob_ref";

/// One bucket on one connection. Ids that come here are checked. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct NetworkStore {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    context: Context,
    settings: BlobSettings,
    /// Opened when first needed; forgotten when something fails, since the bucket may be gone.
    bucket: RwLock<Option<Bucket>>,
}

#[derive(Clone)]
struct Bucket {
    objects: ObjectStore,
    stream: Stream,
}

impl Bucket {
    fn meta_subject(&self, id: &str) -> String {
        format!("$O.{}.M.{}", self.name(), URL_SAFE.encode(id))
    }

    fn chunk_subject(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.name())
    }

    fn name(&self) -> &str {
        let stream = &self.stream.cached_info().config.name;
        stream.strip_prefix("OBJ_").unwrap_or(stream)
    }

    fn looks(&self) -> u32 {
        if self.stream.cached_info().config.num_replicas > 1 {
            MAX_FIND_ATTEMPTS
        } else {
            1
        }
    }
}

impl NetworkStore {
    pub(crate) fn new(client: &Client, settings: BlobSettings) -> Self {
        let context = ContextBuilder::new()
            .timeout(REPLY_TIMEOUT)
            .backpressure_on_inflight(true)
            .build(client.clone());
        Self {
            shared: Arc::new(Shared {
                client: client.clone(),
                context,
                settings,
                bucket: RwLock::new(None),
            }),
        }
    }

    pub(crate) async fn head(&self, id: &str) -> Result<Option<BlobRef>, BlobError> {
        let Some(bucket) = self.bucket(false).await? else {
            return Ok(None);
        };
        Ok(self.info(&bucket, id).await?.map(|info| reference(id, &info)))
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Found, BlobError> {
        let not_found = || BlobError::NotFound {
            blob_id: id.to_owned(),
            place: format!("bucket `{}`", self.shared.settings.bucket),
        };
        let bucket = self.bucket(false).await?.ok_or_else(not_found)?;
        for look in 1..=bucket.looks() {
            match bucket.objects.get(id).await {
                Ok(object) => {
                    let blob = reference(id, object.info());
                    let bytes = Box::new(ReadTimeout::new(object, &blob, self.shared.settings.stall_timeout));
                    return Ok(Found { blob, bytes });
                }
                Err(error) if error.kind() != GetErrorKind::NotFound => {
                    return Err(self.failed("read the blob", &error));
                }
                Err(_) if look < bucket.looks() => tokio::time::sleep(FIND_RETRY_DELAY).await,
                Err(_) => {}
            }
        }
        Err(not_found())
    }

    /// Whether there was anything to delete. The reference goes first.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool, BlobError> {
        let Some(bucket) = self.bucket(false).await? else {
            return Ok(false);
        };
        let Some(info) = self.info(&bucket, id).await? else {
            return Ok(false);
        };
        for subject in [bucket.meta_subject(id), bucket.chunk_subject(&info.nuid)] {
            let purged = bucket.stream.purge().filter(subject).await;
            purged.map_err(|error| self.failed("delete the blob", &error))?;
        }
        Ok(true)
    }

    async fn info(&self, bucket: &Bucket, id: &str) -> Result<Option<ObjectInfo>, BlobError> {
        for look in 1..=bucket.looks() {
            match bucket.objects.info(id).await {
                Ok(info) => return Ok(Some(info).filter(|info| !info.deleted)),
                Err(error) if error.kind() != InfoErrorKind::NotFound => {
                    return Err(self.failed("look for the blob", &error));
                }
                Err(_) if look < bucket.looks() => tokio::time::sleep(FIND_RETRY_DELAY).await,
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// The bucket, created if asked for. `None` if there is none.
    async fn bucket(&self, create: bool) -> Result<Option<Bucket>, BlobError> {
        let known = self.shared.bucket.read().clone();
        if known.is_some() {
            return Ok(known);
        }
        if !self.shared.client.new_inbox().starts_with(CONNECTION_INBOX_PREFIX) {
            return Err(BlobError::InboxPrefix);
        }
        let bucket = self.open(create).await?;
        self.shared.bucket.write().clone_from(&bucket);
        Ok(bucket)
    }

    async fn open(&self, create: bool) -> Result<Option<Bucket>, BlobError> {
        let BlobSettings { bucket, replicas, .. } = &self.shared.settings;
        let context = &self.shared.context;
        let name = format!("OBJ_{bucket}");
        let mut stream = context.get_stream(&name).await;
        if let Err(error) = &stream {
            match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    if !create {
                        return Ok(None);
                    }
                    let config = object_store::Config {
                        bucket: bucket.clone(),
                        description: Some("blobs of agents".to_owned()),
                        num_replicas: (*replicas).max(1),
                        ..object_store::Config::default()
                    };
                    let created = context.create_object_store(config).await;
                    // Another agent may have been quicker, with other settings.
                    stream = context.get_stream(&name).await;
                    if let (Err(error), Err(_)) = (created, &stream) {
                        return Err(self.refused("make room for blobs", &error));
                    }
                }
                _ if self.without_jetstream().await => return Err(BlobError::NoJetStream),
                _ => {}
            }
        }
        let stream = stream.map_err(|error| self.refused("find the store", &error))?;
        let objects = context
            .get_object_store(bucket)
            .await
            .map_err(|error| self.refused("open the store", &error))?;
        Ok(Some(Bucket { objects, stream }))
    }

    async fn without_jetstream(&self) -> bool {
        match self.shared.context.query_account().await {
            Ok(_) => false,
            Err(error) => match error.kind() {
                AccountErrorKind::JetStreamUnavailable => true,
                AccountErrorKind::JetStream(error) => matches!(
                    error.error_code(),
                    ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
                ),
                _ => false,
            },
        }
    }

    /// As `refused`; the bucket is looked for anew next time.
    fn failed(&self, doing: &'static str, error: &dyn std::error::Error) -> BlobError {
        *self.shared.bucket.write() = None;
        self.refused(doing, error)
    }

    fn refused(&self, doing: &'static str, error: &dyn std::error::Error) -> BlobError {
        BlobError::Network {
            doing,
            bucket: self.shared.settings.bucket.clone(),
            why: error.to_string(),
        }
    }
}

/// The reference in an object's metadata; for an object that no agent has put, one made from its name and size.
fn reference(id: &str, info: &ObjectInfo) -> BlobRef {
    let stored = info.metadata.get(REFERENCE_MEMBER).and_then(|text| {
        let value = Value::parse(text).ok()?;
        BlobRef::parse(&value).ok()?
    });
    let digest = info
        .digest
        .as_deref()
        .and_then(|digest| digest.strip_prefix("SHA-256="));
    let sha256 = digest
        .and_then(|digest| URL_SAFE.decode(digest).ok())
        .map(|digest| hex::encode(&digest));
    let mut blob = stored.unwrap_or_else(|| BlobRef {
        filename: names::shown(&info.name),
        mime_type: names::mime_type(Some(&info.name)),
        ..BlobRef::new(id, NATS_OBJECT_STORAGE)
    });
    id.clone_into(&mut blob.blob_id);
    NATS_OBJECT_STORAGE.clone_into(&mut blob.storage);
    blob.size = info.size as u64;
    blob.sha256 = sha256.or(blob.sha256);
    blob
}

/// The metadata that [`reference`] reads.
fn metadata(blob: &BlobRef) -> HashMap<&'static str, String> {
    HashMap::from([(REFERENCE_MEMBER, blob.to_payload().get().to_owned())])
}
