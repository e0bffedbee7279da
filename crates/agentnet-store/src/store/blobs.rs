//! Blobs that a registry keeps for the members of a secure network.

use agentnet_protocol::{RawJson, Timestamp};
use async_trait::async_trait;

use crate::error::StoreError;
use crate::model::{Blob, BlobShare, BlobUsage, OldBlobs};

/// Blobs: their accounts, their progress, and the receivers that they were named to. Their pieces are in the object store.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores a new blob; false, and no change, if there is one with its id.
    async fn begin_blob(&self, blob: &Blob) -> Result<bool, StoreError>;

    /// The blob with this id, if there is one.
    async fn blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError>;

    /// Takes over size, pieces, newest piece, hash and time of a blob that has one more piece than the stored one; false, and no
    /// change, if the stored one has another number of pieces, is complete, or is gone.
    async fn advance_blob(&self, blob: &Blob) -> Result<bool, StoreError>;

    /// Makes a blob with so many pieces complete; false, and no change, if it has another number of pieces, is complete, or is
    /// gone.
    async fn complete_blob(
        &self,
        blob_id: &str,
        chunks: i64,
        reference: &RawJson,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes a blob and its shares. Returns it; `None` if there was none.
    async fn delete_blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError>;

    /// What an account has in blobs.
    async fn blob_usage(&self, account_id: &str) -> Result<BlobUsage, StoreError>;

    /// Notes the receivers that blobs were named to. Blobs that do not exist are left out, and receivers of one account and blob beyond
    /// [`MAX_BLOB_RECEIVERS`](crate::model::MAX_BLOB_RECEIVERS).
    async fn share_blobs(&self, shares: &[BlobShare]) -> Result<(), StoreError>;

    /// The shares of a blob: at most `limit`, by sender and receiver.
    async fn blob_shares(&self, blob_id: &str, limit: usize) -> Result<Vec<BlobShare>, StoreError>;

    /// Old blobs, the oldest first, at most `limit`.
    async fn old_blobs(&self, which: OldBlobs, limit: usize) -> Result<Vec<Blob>, StoreError>;
}
