//! The calls of [`AgentNode::blobs`](crate::AgentNode::blobs) under the names of the Python implementation.

use std::path::PathBuf;

use agentnet_protocol::blob::BlobRef;
use bytes::Bytes;

use super::AgentSdk;
use super::tell::Tell;
use crate::blob_store::{BlobError, BlobKey, GetBlob, PutBlob};

impl AgentSdk {
    /// Stores bytes, see [`BlobStore::put_bytes`](crate::BlobStore::put_bytes).
    pub fn put_blob_bytes(&self, bytes: impl Into<Bytes>) -> PutBlob {
        self.node.blobs().put_bytes(bytes)
    }

    /// Stores a file, see [`BlobStore::put_file`](crate::BlobStore::put_file).
    pub fn put_blob_file(&self, path: impl Into<PathBuf>) -> PutBlob {
        self.node.blobs().put_file(path)
    }

    /// Reads a blob into memory, see [`BlobStore::get_bytes`](crate::BlobStore::get_bytes).
    pub fn get_blob_bytes(&self, blob: impl Into<BlobKey>) -> GetBlob<Bytes> {
        self.node.blobs().get_bytes(blob)
    }

    /// Reads a blob of text into memory, see [`BlobStore::get_text`](crate::BlobStore::get_text).
    pub fn get_blob_text(&self, blob: impl Into<BlobKey>) -> GetBlob<String> {
        self.node.blobs().get_text(blob)
    }

    /// Writes a blob to a file, see [`BlobStore::get_to_file`](crate::BlobStore::get_to_file).
    pub fn get_blob_to_file(&self, blob: impl Into<BlobKey>, path: impl Into<PathBuf>) -> GetBlob<BlobRef> {
        self.node.blobs().get_to_file(blob, path)
    }

    /// What the store knows of a blob; `None` if it has no such blob.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn head_blob(&self, blob: impl Into<BlobKey>) -> Result<Option<BlobRef>, BlobError> {
        self.node.blobs().head(blob).await
    }

    /// Removes a blob; false if there was none.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn delete_blob(&self, blob: impl Into<BlobKey>) -> Result<bool, BlobError> {
        self.node.blobs().delete(blob).await
    }

    /// Sends a reference to a blob, see [`AgentNode::send_blob_ref`](crate::AgentNode::send_blob_ref).
    pub fn send_blob_ref(&self, to: impl Into<String>, blob: &BlobRef) -> Tell {
        self.send_json(to, blob)
    }
}
