//! The store in a directory, in the layout of the Python implementation: bytes in `data/<id>`, the reference in `meta/<id>.json`.
//!
//! The reference appears after the bytes and goes before them: a blob exists when its reference does.

use std::io;
use std::path::{Path, PathBuf};

use agentnet_protocol::blob::{BlobRef, LOCAL_STORAGE};
use agentnet_protocol::hex;
use agentnet_protocol::json::Value;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, BufReader};

use super::atomic_file::{AtomicFile, blocking, rename_into_place, write_small};
use super::error::BlobError;
use super::hashing_reader::{Meter, Source, fill};
use super::reader::Found;

const CHUNK_BYTES: usize = 256 * 1024;
/// No reference is longer.
const MAX_METADATA_BYTES: u64 = 4 << 20;

/// A directory of blobs. Ids that come here are checked.
#[derive(Debug, Clone)]
pub(crate) struct LocalStore {
    dir: PathBuf,
}

impl LocalStore {
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn data(&self, id: &str) -> PathBuf {
        self.dir.join("data").join(id)
    }

    fn meta(&self, id: &str) -> PathBuf {
        self.dir.join("meta").join(format!("{id}.json"))
    }

    /// Stores a blob; size and hash are filled in.
    pub(crate) async fn put(
        &self,
        mut blob: BlobRef,
        mut source: Source,
        mut meter: Meter,
    ) -> Result<BlobRef, BlobError> {
        let (data, meta) = (self.data(&blob.blob_id), self.meta(&blob.blob_id));
        let (data_dir, meta_dir) = (self.dir.join("data"), self.dir.join("meta"));
        for dir in [&data_dir, &meta_dir] {
            tokio::fs::create_dir_all(dir)
                .await
                .map_err(BlobError::file("make the directory", dir))?;
        }
        let mut staged = AtomicFile::create(&data_dir)
            .await
            .map_err(BlobError::file("make a file in", &data_dir))?;
        let mut chunk = BytesMut::new();
        loop {
            chunk.clear();
            fill(&mut source, &mut chunk, CHUNK_BYTES)
                .await
                .map_err(BlobError::Source)?;
            if chunk.is_empty() {
                break;
            }
            staged.write(&chunk).await.map_err(BlobError::file("write", &data))?;
            meter.count(&chunk);
        }
        let staged = staged.seal().await.map_err(BlobError::file("write", &data))?;
        blob.size = meter.done();
        blob.sha256 = Some(hex::encode(&meter.digest()));
        let reference = blob.to_payload();
        let path = data.clone();
        // One piece of work, so that a caller who goes away does not leave bytes without their reference.
        let named = blocking(move || {
            let reference = write_small(&meta_dir, reference.get().as_bytes())?;
            rename_into_place(staged, &data, false)?;
            rename_into_place(reference, &meta, false).inspect_err(|_| {
                let _ = std::fs::remove_file(&data);
            })
        });
        named.await.map_err(BlobError::file("store", &path))?;
        Ok(blob)
    }

    pub(crate) async fn head(&self, id: &str) -> Result<Option<BlobRef>, BlobError> {
        let path = self.meta(id);
        let Some((file, size)) = open_regular(&path).await.map_err(BlobError::file("read", &path))? else {
            return Ok(None);
        };
        let damaged = |what: String| BlobError::Damaged {
            blob_id: id.to_owned(),
            what,
        };
        if size > MAX_METADATA_BYTES {
            return Err(damaged(format!("its reference has {size} bytes")));
        }
        let mut text = Vec::new();
        file.take(MAX_METADATA_BYTES)
            .read_to_end(&mut text)
            .await
            .map_err(BlobError::file("read", &path))?;
        let text = String::from_utf8(text).map_err(|error| damaged(error.to_string()))?;
        let value = Value::parse(&text).map_err(|error| damaged(error.to_string()))?;
        match BlobRef::parse(&value).map_err(|error| damaged(error.to_string()))? {
            Some(blob) if blob.blob_id == id => Ok(Some(BlobRef {
                storage: LOCAL_STORAGE.to_owned(),
                ..blob
            })),
            _ => Err(damaged(format!("{} is no reference to it", path.display()))),
        }
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Found, BlobError> {
        let blob = self.head(id).await?.ok_or_else(|| self.not_found(id))?;
        let path = self.data(id);
        let opened = open_regular(&path).await.map_err(BlobError::file("read", &path))?;
        let (file, size) = opened.ok_or_else(|| self.not_found(id))?;
        if size != blob.size {
            return Err(BlobError::Damaged {
                blob_id: id.to_owned(),
                what: format!("it has {size} bytes, not {}", blob.size),
            });
        }
        let bytes = Box::new(BufReader::with_capacity(CHUNK_BYTES, file));
        Ok(Found { blob, bytes })
    }

    /// Whether there was anything to delete.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool, BlobError> {
        let mut existed = false;
        for path in [self.meta(id), self.data(id)] {
            match tokio::fs::remove_file(&path).await {
                Ok(()) => existed = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(BlobError::file("delete", &path)(error)),
            }
        }
        Ok(existed)
    }

    fn not_found(&self, id: &str) -> BlobError {
        BlobError::NotFound {
            blob_id: id.to_owned(),
            place: self.dir.display().to_string(),
        }
    }
}

/// Opens a file and tells its size; `None` if there is none. A link is not followed: it may lead out of the directory.
async fn open_regular(path: &Path) -> io::Result<Option<(tokio::fs::File, u64)>> {
    let path = path.to_owned();
    let opened = blocking(move || {
        let metadata = std::fs::symlink_metadata(&path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = std::fs::File::open(&path)?;
        Ok((tokio::fs::File::from_std(file), metadata.len()))
    });
    match opened.await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}
