//! Removes blobs that were begun and left, and forgets those that the object store has let expire.

use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_store::StoreError;
use agentnet_store::model::OldBlobs;

use super::Blobs;

/// How often it is looked for them.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);
/// A blob that is not complete is given up after so long without a further piece.
const OPEN_MILLIS: i128 = 60 * 60 * 1000;
/// Blobs that are removed in one sweep.
const MAX_REMOVED: usize = 500;

impl Blobs {
    /// Removes old blobs.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let left = OldBlobs::Open(now.saturating_add_millis(-OPEN_MILLIS));
        for blob in self.store.old_blobs(left, MAX_REMOVED).await? {
            // Its pieces go first: without its row, nothing would know of them.
            if let Err(error) = self.bucket.remove(&blob.blob_id, &blob.object).await {
                tracing::warn!(%error, blob_id = %blob.blob_id, "a blob that was left incomplete cannot be removed; trying again");
                return Ok(());
            }
            self.store.delete_blob(&blob.blob_id).await?;
        }
        match self.bucket.max_age().await {
            Ok(Some(age)) => {
                let age = i128::try_from(age.as_millis()).unwrap_or(i128::MAX);
                let expired = OldBlobs::Complete(now.saturating_add_millis(-age));
                for blob in self.store.old_blobs(expired, MAX_REMOVED).await? {
                    self.store.delete_blob(&blob.blob_id).await?;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the age of blobs is not known"),
        }
        Ok(())
    }
}
