//! Storing a blob: the builder.

use std::future::IntoFuture;
use std::io;
use std::path::PathBuf;

use agentnet_protocol::blob::BlobRef;
use agentnet_protocol::json::Kind;
use agentnet_protocol::{RawJson, ids as protocol_ids};
use bytes::Bytes;
use futures::future::BoxFuture;

use super::BlobStore;
use super::error::BlobError;
use super::hashing_reader::{Meter, Progress, Source};
use super::names;
use super::settings::BlobStorage;
use crate::ids;

/// Where the bytes are.
pub(crate) enum Origin {
    Bytes(Bytes),
    File(PathBuf),
    Reader(Source),
}

/// A blob to be stored; await it to store it.
///
/// Nothing of it is to be seen until all of it is stored. If its source or the store fails, or the future is dropped, nothing
/// is left.
///
/// # Errors
/// When awaited, [`BlobError`].
#[must_use = "await it to store the blob"]
pub struct PutBlob {
    store: BlobStore,
    origin: Origin,
    filename: Option<String>,
    mime_type: Option<String>,
    metadata: Option<RawJson>,
    progress: Option<Progress>,
}

impl PutBlob {
    pub(crate) fn new(store: &BlobStore, origin: Origin) -> Self {
        Self {
            store: store.clone(),
            origin,
            filename: None,
            mime_type: None,
            metadata: None,
            progress: None,
        }
    }

    /// What receivers are to call it. Default: a file's own name, else none. Path separators and the like become `_`.
    pub fn filename(mut self, filename: impl Into<String>) -> Self {
        self.filename = Some(filename.into());
        self
    }

    /// What it is. Default: by the file name, else `application/octet-stream`.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.mime_type = Some(mime_type.into()).filter(|kind: &String| !kind.trim().is_empty());
        self
    }

    /// A JSON object that goes with the reference. What is no object, or an empty one, is left out.
    pub fn metadata(mut self, metadata: impl Into<RawJson>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// Calls this with the bytes taken in so far, and with all bytes where they are known beforehand. The first call is for 0.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    async fn run(self) -> Result<BlobRef, BlobError> {
        let shared = &self.store.shared;
        let network = match shared.settings.storage {
            BlobStorage::Local => None,
            BlobStorage::NatsObject => Some(shared.network.as_ref().ok_or(BlobError::NotConnected)?),
        };
        let (source, total, own_name) = open(self.origin).await?;
        let filename = self.filename.or(own_name).and_then(|name| names::shown(&name));
        let now = ids::now();
        let blob_id = protocol_ids::prefixed("blob", now.as_unix_millis(), rand::random());
        let is_object = |json: &RawJson| json.view().kind() == Kind::Object && json.view().is_truthy();
        let blob = BlobRef {
            mime_type: self.mime_type.unwrap_or_else(|| names::mime_type(filename.as_deref())),
            filename,
            created_at: Some(now.to_string()),
            metadata: self.metadata.filter(is_object),
            ..BlobRef::new(blob_id, shared.settings.storage.as_str())
        };
        let meter = Meter::new(total, self.progress);
        match network {
            None => shared.local.put(blob, source, meter).await,
            Some(network) => network.put(blob, source, meter).await,
        }
    }
}

/// The bytes, how many if known, and their own name.
async fn open(origin: Origin) -> Result<(Source, Option<u64>, Option<String>), BlobError> {
    match origin {
        Origin::Bytes(bytes) => {
            let size = bytes.len() as u64;
            Ok((Box::new(io::Cursor::new(bytes)), Some(size), None))
        }
        Origin::Reader(source) => Ok((source, None, None)),
        Origin::File(path) => {
            let file = tokio::fs::File::open(&path)
                .await
                .map_err(BlobError::file("open", &path))?;
            let metadata = file.metadata().await.map_err(BlobError::file("look at", &path))?;
            if metadata.is_dir() {
                return Err(BlobError::file("store", &path)(io::ErrorKind::IsADirectory.into()));
            }
            let size = metadata.is_file().then_some(metadata.len());
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok((Box::new(file), size, name))
        }
    }
}

impl IntoFuture for PutBlob {
    type Output = Result<BlobRef, BlobError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for PutBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PutBlob")
            .field("filename", &self.filename)
            .finish_non_exhaustive()
    }
}
