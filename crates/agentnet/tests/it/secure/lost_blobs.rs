//! Blobs whose pieces are not in the object store.

use agentnet::protocol::rpc::{BlobGetRequest, BlobStatRequest};
use agentnet::{BlobError, BlobSettings, BlobStorage, BlobStore};
use async_nats::jetstream;

use crate::secure::network::SecureNetwork;

/// The pieces may be in the bucket of another NATS account, as after a change of the authority, and come back with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_pieces_keeps_the_record() {
    let network = SecureNetwork::start().await;
    let registry = network.agent("alice").await.registry().await;
    let mut settings = BlobSettings::default();
    settings.storage = BlobStorage::NatsObject;
    let store = BlobStore::new(settings).by_registry(&registry);
    let blob = store.put_bytes("some text").await.unwrap();
    let blob_id = blob.blob_id.clone();
    let context = jetstream::new(network.as_registry().await);
    let mut bucket = context.get_stream("OBJ_agentnet_blobs").await.unwrap();
    for sequence in 1..=bucket.info().await.unwrap().state.last_sequence {
        bucket.delete_message(sequence).await.unwrap();
    }
    let read = BlobGetRequest {
        blob_id: blob_id.clone(),
        after: 0,
    };
    for _ in 0..2 {
        let refused = registry.call(&read).await.unwrap_err();
        assert_eq!(refused.to_string(), "not_found");
    }
    let read = store.get_bytes(&blob).await;
    assert!(matches!(read, Err(BlobError::NotFound { .. })), "{read:?}");
    let known = registry.call(&BlobStatRequest { blob_id }).await.unwrap();
    assert!(known.blob.is_some(), "{known:?}");
    network.registry.shutdown().await;
}
