//! Blobs with a timeout on every call.

use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{Blob, BlobShare, BlobUsage, OldBlobs};
use agentnet_store::{Blobs, StoreError};
use async_trait::async_trait;

use super::ResilientStore;

#[async_trait]
impl Blobs for ResilientStore {
    async fn begin_blob(&self, blob: &Blob) -> Result<bool, StoreError> {
        self.call(|| self.database.store.begin_blob(blob)).await
    }

    async fn blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError> {
        self.call(|| self.database.store.blob(blob_id)).await
    }

    async fn advance_blob(&self, blob: &Blob) -> Result<bool, StoreError> {
        self.call(|| self.database.store.advance_blob(blob)).await
    }

    async fn complete_blob(
        &self,
        blob_id: &str,
        chunks: i64,
        reference: &RawJson,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.call(|| self.database.store.complete_blob(blob_id, chunks, reference, at))
            .await
    }

    async fn delete_blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError> {
        self.call(|| self.database.store.delete_blob(blob_id)).await
    }

    async fn blob_usage(&self, account_id: &str) -> Result<BlobUsage, StoreError> {
        self.call(|| self.database.store.blob_usage(account_id)).await
    }

    async fn share_blobs(&self, shares: &[BlobShare]) -> Result<(), StoreError> {
        self.call(|| self.database.store.share_blobs(shares)).await
    }

    async fn blob_shares(&self, blob_id: &str, limit: usize) -> Result<Vec<BlobShare>, StoreError> {
        self.call(|| self.database.store.blob_shares(blob_id, limit)).await
    }

    async fn old_blobs(&self, which: OldBlobs, limit: usize) -> Result<Vec<Blob>, StoreError> {
        self.call(|| self.database.store.old_blobs(which, limit)).await
    }
}
