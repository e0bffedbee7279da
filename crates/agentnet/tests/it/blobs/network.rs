//! The network's store on a real server: the same calls as the local one, and what only it has.

use std::fs;

use agentnet::{BlobError, BlobRef, BlobSettings, BlobStorage, BlobStore, connect};
use agentnet_testkit::{NatsCluster, NatsServer, RawClient};
use async_nats::Client;
use async_nats::jetstream;
use futures::TryStreamExt;
use rstest::rstest;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::blobs::pattern::{Told, bytes, files};

pub(crate) const STREAM: &str = "OBJ_agentnet_blobs";

/// A server, a connection, a store.
pub(crate) struct Shelf {
    pub(crate) nats: NatsServer,
    pub(crate) client: Client,
    pub(crate) store: BlobStore,
    pub(crate) dir: TempDir,
}

impl Shelf {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let client = connect(&nats.url(), "blobs").await.unwrap();
        let dir = TempDir::new().unwrap();
        let store = BlobStore::network(&client);
        Self {
            nats,
            client,
            store,
            dir,
        }
    }

    /// Messages in the bucket: pieces and entries.
    pub(crate) async fn messages(&self) -> u64 {
        messages(&self.client).await
    }
}

pub(crate) async fn messages(client: &Client) -> u64 {
    let stream = jetstream::new(client.clone()).get_stream(STREAM).await.unwrap();
    stream.get_info().await.unwrap().state.messages
}

/// The store's settings with another directory, so that nothing can be read from this one.
fn elsewhere(dir: &TempDir) -> BlobSettings {
    let mut settings = BlobSettings::default();
    settings.dir = dir.path().join("blobs");
    settings
}

#[rstest]
#[case::empty(0)]
#[case::one(1)]
#[case::piece(128 * 1024)]
#[case::more(5_000_001)]
#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_back_on_another_connection(#[case] size: usize) {
    let shelf = Shelf::start().await;
    let wanted = bytes(size);
    let told = Told::default();
    let put = shelf.store.put_bytes(wanted.clone()).filename("é 😀.png");
    let blob = put.progress(told.callback()).await.unwrap();
    if size > 128 * 1024 {
        told.check(size as u64, Some(size as u64));
    }
    assert_eq!((blob.storage.as_str(), blob.size), ("nats_object", size as u64));
    assert_eq!(
        (blob.filename.as_deref(), blob.mime_type.as_str()),
        (Some("é 😀.png"), "image/png")
    );
    assert_eq!(shelf.messages().await, 1 + size.div_ceil(128 * 1024) as u64);

    // Another host: another connection, another directory, and settings for the local store.
    let client = connect(&shelf.nats.url(), "reader").await.unwrap();
    let reader = BlobStore::new(elsewhere(&shelf.dir)).connected_to(&client);
    assert_eq!(reader.settings().storage, BlobStorage::Local);
    assert_eq!(reader.head(&blob).await.unwrap().as_ref(), Some(&blob));
    assert_eq!(reader.get_bytes(&blob).await.unwrap(), wanted);
    let out = shelf.dir.path().join("out");
    let told = Told::default();
    let got = reader.get_to_file(&blob, &out).progress(told.callback()).await.unwrap();
    assert_eq!(got, blob);
    assert_eq!(fs::read(&out).unwrap(), wanted);
    if size > 128 * 1024 {
        told.check(size as u64, Some(size as u64));
    }
    let mut read = Vec::new();
    reader.open(&blob).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert_eq!(read, wanted);
    // By the id alone it is looked for where the settings say.
    assert_eq!(shelf.store.get_bytes(&blob.blob_id).await.unwrap(), wanted);
    assert!(matches!(
        reader.get_bytes(&blob.blob_id).await,
        Err(BlobError::NotFound { .. })
    ));

    assert!(reader.delete(&blob).await.unwrap());
    assert!(!reader.delete(&blob).await.unwrap(), "only once");
    assert_eq!(reader.head(&blob).await.unwrap(), None);
    assert!(matches!(reader.get_bytes(&blob).await, Err(BlobError::NotFound { .. })));
    assert_eq!(shelf.messages().await, 0);
    assert_eq!(files(&shelf.dir.path().join("blobs")).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_follows_the_reference() {
    let shelf = Shelf::start().await;
    let local = BlobStore::local(shelf.dir.path().join("blobs"));
    let mut settings = elsewhere(&shelf.dir);
    settings.storage = BlobStorage::NatsObject;
    let network = BlobStore::new(settings).connected_to(&shelf.client);
    let (here, there) = (
        local.put_bytes("here").await.unwrap(),
        network.put_bytes("there").await.unwrap(),
    );
    assert_eq!(network.get_text(&here).await.unwrap(), "here");
    assert_eq!(network.get_text(&there).await.unwrap(), "there");
    assert!(network.delete(&here).await.unwrap());
    assert_eq!(local.head(&here).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_object_store_of_other_clients_is_the_same() {
    let shelf = Shelf::start().await;
    let blob = shelf.store.put_bytes(bytes(300_000)).await.unwrap();
    let bucket = jetstream::new(shelf.client.clone())
        .get_object_store("agentnet_blobs")
        .await
        .unwrap();
    // The client's own reader checks the digest.
    let mut read = Vec::new();
    let mut object = bucket.get(&blob.blob_id).await.unwrap();
    object.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, bytes(300_000));
    let listed: Vec<_> = bucket.list().await.unwrap().try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].size, listed[0].chunks), (300_000, 3));
    // And what another client has put is read.
    bucket.put("report", &mut bytes(300_000).as_slice()).await.unwrap();
    let head = shelf.store.head("report").await.unwrap().unwrap();
    assert_eq!((head.size, &head.sha256), (300_000, &blob.sha256));
    assert_eq!(shelf.store.get_bytes("report").await.unwrap(), bytes(300_000));
    bucket.delete("report").await.unwrap();
    assert_eq!(shelf.store.head("report").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_refused_here_too() {
    let shelf = Shelf::start().await;
    shelf.store.put_bytes("x").await.unwrap();
    let long = "x".repeat(10_000);
    for id in ["", "..", "../x", "/etc/passwd", "a.b", "*", ">", long.as_str()] {
        let blob = BlobRef::new(id, "nats_object");
        assert!(
            matches!(shelf.store.get_bytes(&blob).await, Err(BlobError::Id(_))),
            "{id}"
        );
        assert!(matches!(shelf.store.head(&blob).await, Err(BlobError::Id(_))), "{id}");
        assert!(matches!(shelf.store.delete(&blob).await, Err(BlobError::Id(_))), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_makes_no_bucket() {
    let shelf = Shelf::start().await;
    assert!(matches!(
        shelf.store.get_bytes("b").await,
        Err(BlobError::NotFound { .. })
    ));
    assert_eq!(shelf.store.head("b").await.unwrap(), None);
    assert!(!shelf.store.delete("b").await.unwrap());
    assert!(jetstream::new(shelf.client.clone()).get_stream(STREAM).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_gone_is_made_again() {
    let shelf = Shelf::start().await;
    shelf.store.put_bytes("x").await.unwrap();
    jetstream::new(shelf.client.clone())
        .delete_stream(STREAM)
        .await
        .unwrap();
    assert!(matches!(
        shelf.store.put_bytes("y").await,
        Err(BlobError::Network { .. })
    ));
    let blob = shelf.store.put_bytes("y").await.unwrap();
    assert_eq!(shelf.store.get_text(&blob).await.unwrap(), "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_told() {
    let plain = NatsServer::builder().start().await.unwrap();
    let client = connect(&plain.url(), "blobs").await.unwrap();
    let store = BlobStore::network(&client);
    assert!(matches!(store.put_bytes("x").await, Err(BlobError::NoJetStream)));
    assert!(matches!(store.get_bytes("x").await, Err(BlobError::NoJetStream)));

    let shelf = Shelf::start().await;
    let raw = RawClient::connect(&shelf.nats.url()).await.unwrap();
    assert!(matches!(
        BlobStore::network(&raw).put_bytes("x").await,
        Err(BlobError::InboxPrefix)
    ));
    let mut settings = BlobSettings::default();
    settings.storage = BlobStorage::NatsObject;
    assert!(matches!(
        BlobStore::new(settings.clone()).put_bytes("x").await,
        Err(BlobError::NotConnected)
    ));
    settings.bucket = "no such.name".to_owned();
    let error = BlobStore::new(settings)
        .connected_to(&shelf.client)
        .put_bytes("x")
        .await;
    assert!(error.unwrap_err().to_string().contains("`no such.name`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_messages_make_small_pieces() {
    let nats = NatsServer::builder()
        .jetstream(true)
        .max_payload(20_000)
        .start()
        .await
        .unwrap();
    let client = connect(&nats.url(), "blobs").await.unwrap();
    let store = BlobStore::network(&client);
    let blob = store.put_bytes(bytes(100_000)).await.unwrap();
    assert_eq!(messages(&client).await, 6);
    assert_eq!(store.get_bytes(&blob).await.unwrap(), bytes(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_as_many_as_told() {
    let cluster = NatsCluster::start().await.unwrap();
    let client = connect(&cluster.node(0).url(), "blobs").await.unwrap();
    let mut settings = BlobSettings::default();
    settings.storage = BlobStorage::NatsObject;
    settings.replicas = 3;
    let store = BlobStore::new(settings.clone()).connected_to(&client);
    let other = connect(&cluster.node(2).url(), "reader").await.unwrap();
    let reader = BlobStore::new(settings).connected_to(&other);
    for round in 0..5 {
        let blob = store.put_bytes(bytes(400_000 + round)).await.unwrap();
        assert_eq!(
            reader.get_bytes(&blob).await.unwrap(),
            bytes(400_000 + round),
            "at once"
        );
    }
    let stream = jetstream::new(client).get_stream(STREAM).await.unwrap();
    assert_eq!(stream.cached_info().config.num_replicas, 3);
}
