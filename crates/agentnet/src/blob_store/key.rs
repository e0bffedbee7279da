//! What a blob is looked up by.

use agentnet_protocol::blob::{BlobRef, LOCAL_STORAGE, valid_id};

use super::error::BlobError;
use super::settings::{BlobStorage, UnknownStorage};

/// What a blob is looked up by: an id, which is looked for in the store that the settings choose, or a [`BlobRef`], which names
/// its store and often the hash that its bytes must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobKey {
    blob_id: String,
    storage: Option<String>,
    sha256: Option<String>,
}

impl BlobKey {
    /// The id, if it can be one.
    pub(crate) fn id(&self) -> Result<&str, BlobError> {
        if valid_id(&self.blob_id) {
            Ok(&self.blob_id)
        } else {
            Err(BlobError::id(&self.blob_id))
        }
    }

    /// Where to look.
    pub(crate) fn storage(&self, chosen: BlobStorage) -> Result<BlobStorage, BlobError> {
        match &self.storage {
            None => Ok(chosen),
            Some(name) => name
                .parse()
                .map_err(|UnknownStorage| BlobError::Storage(name.chars().take(64).collect())),
        }
    }

    pub(crate) fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

impl From<&str> for BlobKey {
    fn from(blob_id: &str) -> Self {
        Self::from(blob_id.to_owned())
    }
}

impl From<String> for BlobKey {
    fn from(blob_id: String) -> Self {
        Self {
            blob_id,
            storage: None,
            sha256: None,
        }
    }
}

impl From<&String> for BlobKey {
    fn from(blob_id: &String) -> Self {
        Self::from(blob_id.clone())
    }
}

impl From<&BlobRef> for BlobKey {
    fn from(blob: &BlobRef) -> Self {
        let storage = Some(&blob.storage).filter(|name| !name.is_empty());
        Self {
            blob_id: blob.blob_id.clone(),
            storage: Some(storage.cloned().unwrap_or_else(|| LOCAL_STORAGE.to_owned())),
            sha256: blob.sha256.clone(),
        }
    }
}

impl From<BlobRef> for BlobKey {
    fn from(blob: BlobRef) -> Self {
        Self::from(&blob)
    }
}
