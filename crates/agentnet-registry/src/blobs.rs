//! Blobs of the members of a secure network (PROTOCOL.md section 23.13). Members have no rights of JetStream: the registry keeps
//! their blobs in the object store, in the form in which agents of a network in token mode keep theirs.
//!
//! - `bucket`: the pieces, and the entry that makes a blob an object of the store
//! - `access`: who may read a blob: the receivers of messages that name it, if their senders may read it
//! - `sweep`: removes what was begun and left, and what the object store has let expire
//!
//! Whose a blob is and how far it is stands in the database, so that each piece may go to another registry.

pub(crate) mod access;
pub(crate) mod bucket;
pub(crate) mod sweep;

use std::sync::Arc;

use agentnet_protocol::blob::named_ids;
use agentnet_store::Store;
use agentnet_store::model::BlobShare;
use async_nats::Client;
use tokio::sync::Semaphore;

use self::access::KnownReaders;
use self::bucket::Bucket;
use crate::config::RegistryConfig;

/// Pieces that are moved at the same time: each is in memory, as text and as bytes.
const MAX_TRANSFERS: usize = 64;
/// Blobs of one account that are begun and not complete.
pub(crate) const MAX_OPEN: i64 = 16;

/// What the requests about blobs use.
pub(crate) struct Blobs {
    pub(crate) bucket: Bucket,
    pub(crate) transfers: Semaphore,
    pub(crate) store: Arc<dyn Store>,
    readers: KnownReaders,
}

impl Blobs {
    pub(crate) fn new(config: &RegistryConfig, client: Client, store: Arc<dyn Store>) -> Self {
        Self {
            bucket: Bucket::new(client, config.capture_replicas),
            transfers: Semaphore::new(MAX_TRANSFERS),
            store,
            readers: KnownReaders::default(),
        }
    }
}

/// What a text that one account sends to a receiver names: an account id, or `capability:<name>`.
pub(crate) fn shares(text: &str, from_account: &str, receiver: &str) -> Vec<BlobShare> {
    named_ids(text)
        .into_iter()
        .map(|blob_id| BlobShare {
            blob_id: blob_id.to_owned(),
            from_account: from_account.to_owned(),
            receiver: receiver.to_owned(),
        })
        .collect()
}
