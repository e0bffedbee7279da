//! What an agent does with blobs: its store, references that it sends and gets.

use std::path::PathBuf;

use agentnet_protocol::RawJson;
use agentnet_protocol::blob::{BlobRef, BlobRefError};

use super::BlobStore;
use super::settings::{BlobSettings, BlobStorage};
use crate::builder::{Agent, AgentBuilder};
use crate::error::SendError;
use crate::message::Message;
use crate::message_options::IntoPayload;
use crate::node::AgentNode;
use crate::send::SendMessage;

impl<A: Agent> AgentBuilder<A> {
    /// The directory of the local blob store. Default `.agentnet_blobs` or `AGENTNET_BLOB_DIR`.
    pub fn blob_dir(self, dir: impl Into<PathBuf>) -> Self {
        self.blobs(|blobs| blobs.dir = dir.into())
    }

    /// Which store keeps new blobs. Default [`BlobStorage::Local`] or `AGENTNET_BLOB_STORAGE`.
    pub fn blob_storage(self, storage: BlobStorage) -> Self {
        self.blobs(|blobs| blobs.storage = storage)
    }

    /// Changes settings of the blob store: `.blobs(|blobs| blobs.bucket = "media".into())`.
    pub fn blobs(mut self, change: impl FnOnce(&mut BlobSettings)) -> Self {
        change(self.blob_settings());
        self
    }
}

impl AgentNode {
    /// The node's blob store. Taken while the node runs, it reaches the network's store until the node is closed; taken
    /// before, only the local one.
    #[must_use]
    pub fn blobs(&self) -> BlobStore {
        let new = || BlobStore::new(self.blob_settings().clone());
        match self.session() {
            Ok(session) => session
                .blobs
                .get_or_init(|| match session.publisher.issuer.account_id() {
                    Some(_) => new().by_registry(&session.registry),
                    None => new().connected_to(&session.publisher.client),
                })
                .clone(),
            Err(_) => new(),
        }
    }

    /// Sends a reference to a blob (section 5.5). The receiver must reach the store that keeps it: a blob of the local store
    /// is read by agents with the same directory only.
    pub fn send_blob_ref(&self, to: impl Into<String>, blob: &BlobRef) -> SendMessage {
        self.send(to, blob)
    }
}

impl Message {
    /// The blob that the message refers to; `None` if it is another kind of message.
    ///
    /// # Errors
    /// [`BlobRefError`] if it is a reference that cannot be read.
    pub fn blob_ref(&self) -> Result<Option<BlobRef>, BlobRefError> {
        BlobRef::parse(&self.payload().view())
    }
}

impl IntoPayload for &BlobRef {
    fn into_payload(self) -> Result<RawJson, SendError> {
        Ok(self.to_payload())
    }
}

impl IntoPayload for BlobRef {
    fn into_payload(self) -> Result<RawJson, SendError> {
        Ok(self.to_payload())
    }
}
