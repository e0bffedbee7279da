//! Blobs that a registry keeps for the members of a secure network.

use agentnet_protocol::{RawJson, Timestamp};

/// Receivers that one account can name a blob to; further ones are left out.
pub const MAX_BLOB_RECEIVERS: i64 = 1000;

/// A blob (table `agent_blobs`); its pieces are in the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Id of the blob.
    pub blob_id: String,
    /// The account that puts it, or has put it.
    pub account_id: String,
    /// Names its pieces in the object store.
    pub object: String,
    /// Bytes that are stored.
    pub size: i64,
    /// Pieces that are stored.
    pub chunks: i64,
    /// Number of the newest piece in the stream of the object store; 0 before the first.
    pub last_sequence: i64,
    /// State of the SHA-256 of what is stored; of no use once it is complete.
    pub hash: Vec<u8>,
    /// Set once it is complete: the reference that agents send to each other.
    pub reference: Option<RawJson>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub touched_at: Timestamp,
}

impl Blob {
    /// A blob without pieces.
    #[must_use]
    pub fn begun(blob_id: String, account_id: String, object: String, hash: Vec<u8>, at: Timestamp) -> Self {
        Self {
            blob_id,
            account_id,
            object,
            size: 0,
            chunks: 0,
            last_sequence: 0,
            hash,
            reference: None,
            created_at: at,
            touched_at: at,
        }
    }
}

/// What an account has in blobs, complete or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Number of blobs.
    pub blobs: i64,
    /// How many of them are not complete.
    pub open: i64,
    /// All their bytes.
    pub bytes: i64,
}

/// An account has named a blob to a receiver (table `agent_blob_shares`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobShare {
    /// Id of the blob.
    pub blob_id: String,
    /// The account that named it.
    pub from_account: String,
    /// An account id, or `capability:<name>` for every member with that capability.
    pub receiver: String,
}

/// Which old blobs to list, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldBlobs {
    /// Those that are not complete, and were changed last before this time.
    Open(Timestamp),
    /// Those that are complete, and were begun before this time.
    Complete(Timestamp),
}
