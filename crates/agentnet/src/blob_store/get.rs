//! Reading a blob: the builder.

use std::future::IntoFuture;
use std::path::PathBuf;

use agentnet_protocol::blob::BlobRef;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt;

use super::BlobStore;
use super::atomic_file::{AtomicFile, blocking, parent, rename_into_place};
use super::error::BlobError;
use super::hashing_reader::Progress;
use super::key::BlobKey;
use super::reader::BlobReader;

const CHUNK_BYTES: usize = 256 * 1024;

/// What becomes of the bytes. Besides them it gets the limit for memory.
type Finish<T> = Box<dyn FnOnce(BlobReader, u64) -> BoxFuture<'static, Result<T, BlobError>> + Send>;

/// A blob to be read; await it to read it.
///
/// # Errors
/// When awaited, [`BlobError`]. A blob whose size or SHA-256 is not what its reference says is [`BlobError::Damaged`].
#[must_use = "await it to read the blob"]
pub struct GetBlob<T> {
    store: BlobStore,
    key: BlobKey,
    progress: Option<Progress>,
    finish: Finish<T>,
}

impl<T> GetBlob<T> {
    fn new<F: Future<Output = Result<T, BlobError>> + Send + 'static>(
        store: &BlobStore,
        key: BlobKey,
        finish: impl FnOnce(BlobReader, u64) -> F + Send + 'static,
    ) -> Self {
        Self {
            store: store.clone(),
            key,
            progress: None,
            finish: Box::new(move |reader, limit| Box::pin(finish(reader, limit))),
        }
    }

    /// Calls this with the bytes read so far and with all bytes. The first call is for 0.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    async fn run(self) -> Result<T, BlobError> {
        let found = self.store.find(&self.key).await?;
        let reader = BlobReader::new(found, self.key.sha256(), self.progress);
        (self.finish)(reader, self.store.shared.settings.memory_limit).await
    }
}

impl<T: 'static> IntoFuture for GetBlob<T> {
    type Output = Result<T, BlobError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T> std::fmt::Debug for GetBlob<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GetBlob")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

pub(crate) fn bytes(store: &BlobStore, key: BlobKey) -> GetBlob<Bytes> {
    GetBlob::new(store, key, |reader, limit| async move {
        Ok(into_memory(reader, limit).await?.1.into())
    })
}

pub(crate) fn text(store: &BlobStore, key: BlobKey) -> GetBlob<String> {
    GetBlob::new(store, key, |reader, limit| async move {
        let (blob, bytes) = into_memory(reader, limit).await?;
        String::from_utf8(bytes).map_err(|_| BlobError::NotText { blob_id: blob.blob_id })
    })
}

pub(crate) fn open(store: &BlobStore, key: BlobKey) -> GetBlob<BlobReader> {
    GetBlob::new(store, key, |reader, _| async move { Ok(reader) })
}

pub(crate) fn to_file(store: &BlobStore, key: BlobKey, path: PathBuf) -> GetBlob<BlobRef> {
    GetBlob::new(store, key, |mut reader, _| async move {
        let dir = parent(&path);
        let mut staged = AtomicFile::create(dir)
            .await
            .map_err(BlobError::file("make a file in", dir))?;
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        loop {
            chunk.clear();
            let read = reader.read_buf(&mut chunk).await;
            if read.map_err(|error| BlobError::of_reader(error, &reader.blob().blob_id))? == 0 {
                break;
            }
            staged.write(&chunk).await.map_err(BlobError::file("write", &path))?;
        }
        let staged = staged.seal().await.map_err(BlobError::file("write", &path))?;
        let target = path.clone();
        blocking(move || rename_into_place(staged, &target, true))
            .await
            .map_err(BlobError::file("write", &path))?;
        Ok(reader.blob().clone())
    })
}

async fn into_memory(mut reader: BlobReader, limit: u64) -> Result<(BlobRef, Vec<u8>), BlobError> {
    let blob = reader.blob().clone();
    if blob.size > limit {
        return Err(BlobError::TooLarge {
            blob_id: blob.blob_id,
            size: blob.size,
            limit,
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or_default());
    let read = reader.read_to_end(&mut bytes).await;
    read.map_err(|error| BlobError::of_reader(error, &blob.blob_id))?;
    Ok((blob, bytes))
}
