//! Transfers that break in the middle.

use std::fs;
use std::future::IntoFuture;
use std::time::Duration;

use agentnet::{BlobError, BlobSettings, BlobStorage, BlobStore, connect};
use agentnet_testkit::eventually_true;
use async_nats::jetstream;
use futures::TryStreamExt;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::blobs::network::{STREAM, Shelf, messages};
use crate::blobs::pattern::{Breaks, bytes, files};
use crate::net::DEADLINE;

const SIZE: usize = 3_000_000;
/// More than a server sends before it waits for the reader.
const LARGE: usize = 100_000_000;

fn breaking(fails: bool) -> Breaks {
    Breaks {
        left: bytes(SIZE),
        fails,
    }
}

/// A callback, and the end where its numbers come out.
fn watched() -> (impl FnMut(u64, Option<u64>) + Send + 'static, mpsc::Receiver<u64>) {
    let (reached, at) = mpsc::channel(10_000);
    let callback = move |done, _| {
        let _ = reached.try_send(done);
    };
    (callback, at)
}

async fn until(at: &mut mpsc::Receiver<u64>, done: u64) {
    tokio::time::timeout(DEADLINE, async { while at.recv().await.unwrap() < done {} })
        .await
        .unwrap();
}

async fn until_empty(shelf: &Shelf) {
    eventually_true(DEADLINE, "the bucket is empty", async || shelf.messages().await == 0)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_leaves_nothing_in_the_bucket() {
    let shelf = Shelf::start().await;
    let (callback, mut at) = watched();
    let error = shelf
        .store
        .put_reader(breaking(true))
        .progress(callback)
        .await
        .unwrap_err();
    assert!(matches!(error, BlobError::Source(_)), "{error}");
    until(&mut at, 2_500_000).await;
    assert_eq!(shelf.messages().await, 0, "taken back before the error is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_given_up_leaves_nothing_in_the_bucket() {
    let shelf = Shelf::start().await;
    let (callback, mut at) = watched();
    let put = tokio::spawn(shelf.store.put_reader(breaking(false)).progress(callback).into_future());
    until(&mut at, 2_500_000).await;
    assert!(shelf.messages().await > 0, "pieces are there while it runs");
    put.abort();
    until_empty(&shelf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_without_its_server_fails_and_is_cleared_when_the_server_is_back() {
    let mut shelf = Shelf::start().await;
    let (callback, mut at) = watched();
    let source = tokio::io::repeat(7).take(10_000_000_000);
    let put = tokio::spawn(shelf.store.put_reader(source).progress(callback).into_future());
    until(&mut at, 2_500_000).await;
    shelf.nats.kill9();
    let error = tokio::time::timeout(DEADLINE, put).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, BlobError::ConnectionLost), "{error}");
    shelf.nats.restart().await.unwrap();
    until_empty(&shelf).await;
    // And the store works as before.
    let blob = shelf.store.put_bytes("again").await.unwrap();
    assert_eq!(shelf.store.get_text(&blob).await.unwrap(), "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_goes_on_when_the_server_is_back() {
    let mut shelf = Shelf::start().await;
    let blob = shelf.store.put_bytes(bytes(LARGE)).await.unwrap();
    let out = shelf.dir.path().join("out");
    let mut reader = shelf.store.open(&blob).await.unwrap();
    let mut start = vec![0; 1_000_000];
    reader.read_exact(&mut start).await.unwrap();
    shelf.nats.kill9();
    shelf.nats.restart().await.unwrap();
    let mut file = tokio::fs::File::create(&out).await.unwrap();
    tokio::io::copy(&mut reader, &mut file).await.unwrap();
    file.sync_all().await.unwrap();
    start.extend(fs::read(&out).unwrap());
    assert!(start == bytes(LARGE));
}

/// A server that restarts may forget the reader's consumer, and says nothing more to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_goes_on_when_its_consumer_is_gone() {
    let shelf = Shelf::start().await;
    let blob = shelf.store.put_bytes(bytes(LARGE)).await.unwrap();
    let mut reader = shelf.store.open(&blob).await.unwrap();
    let mut read = vec![0; 1_000_000];
    reader.read_exact(&mut read).await.unwrap();
    let stream = jetstream::new(shelf.client.clone()).get_stream(STREAM).await.unwrap();
    let consumers: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    assert_eq!(consumers.len(), 1);
    stream.delete_consumer(&consumers[0]).await.unwrap();
    reader.read_to_end(&mut read).await.unwrap();
    assert!(read == bytes(LARGE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_without_its_server_ends_and_leaves_nothing() {
    let mut shelf = Shelf::start().await;
    let mut settings = BlobSettings::default();
    settings.stall_timeout = Duration::from_secs(5);
    settings.storage = BlobStorage::NatsObject;
    let store = BlobStore::new(settings).connected_to(&shelf.client);
    let blob = store.put_bytes(bytes(LARGE)).await.unwrap();
    let out = shelf.dir.path().join("out");
    let (mut callback, mut at) = watched();
    let (mut gone, is_gone) = (Some(()), std::sync::Arc::new(std::sync::Barrier::new(2)));
    let wait = is_gone.clone();
    let get = store.get_to_file(&blob, &out).progress(move |done, total| {
        callback(done, total);
        // The transfer stands still here until the server is dead.
        if done > 1_000_000 && gone.take().is_some() {
            tokio::task::block_in_place(|| wait.wait());
        }
    });
    let get = tokio::spawn(get.into_future());
    until(&mut at, 1_000_000).await;
    shelf.nats.kill9();
    tokio::task::spawn_blocking(move || is_gone.wait()).await.unwrap();
    let error = tokio::time::timeout(DEADLINE, get).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, BlobError::Stalled(_)), "{error}");
    assert_eq!(files(shelf.dir.path()).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_without_its_pieces_is_not_waited_for_for_ever() {
    let shelf = Shelf::start().await;
    let mut settings = BlobSettings::default();
    settings.stall_timeout = Duration::from_millis(500);
    let store = BlobStore::new(settings).connected_to(&shelf.client);
    let blob = shelf.store.put_bytes(bytes(SIZE)).await.unwrap();
    let stream = jetstream::new(shelf.client.clone()).get_stream(STREAM).await.unwrap();
    stream.purge().filter("$O.agentnet_blobs.C.>").await.unwrap();
    let error = store.get_bytes(&blob).await.unwrap_err();
    assert!(matches!(error, BlobError::Stalled(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_piece_is_noticed() {
    let shelf = Shelf::start().await;
    let blob = shelf.store.put_bytes(bytes(SIZE)).await.unwrap();
    let jetstream = jetstream::new(shelf.client.clone());
    let stream = jetstream.get_stream(STREAM).await.unwrap();
    // One piece goes, another of the same size takes its place at the end.
    let piece = stream.get_raw_message(3).await.unwrap();
    stream.delete_message(3).await.unwrap();
    let mut changed = piece.payload.to_vec();
    changed[5] ^= 1;
    jetstream
        .publish(piece.subject, changed.into())
        .await
        .unwrap()
        .await
        .unwrap();
    let out = shelf.dir.path().join("out");
    let error = shelf.store.get_to_file(&blob, &out).await.unwrap_err();
    assert!(matches!(error, BlobError::Damaged { .. }), "{error}");
    assert_eq!(files(shelf.dir.path()).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bucket_is_told_and_cleared() {
    let shelf = Shelf::start().await;
    let config = jetstream::object_store::Config {
        bucket: "agentnet_blobs".to_owned(),
        max_bytes: 1_000_000,
        ..Default::default()
    };
    jetstream::new(shelf.client.clone())
        .create_object_store(config)
        .await
        .unwrap();
    let error = shelf.store.put_bytes(bytes(SIZE)).await.unwrap_err().to_string();
    assert!(error.contains("maximum bytes exceeded"), "{error}");
    until_empty(&shelf).await;
    let client = connect(&shelf.nats.url(), "other").await.unwrap();
    BlobStore::network(&client).put_bytes(bytes(500_000)).await.unwrap();
    assert_eq!(messages(&client).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_swept() {
    let shelf = Shelf::start().await;
    assert_eq!(shelf.store.sweep(Duration::ZERO).await.unwrap(), 0, "no bucket");
    let blob = shelf.store.put_bytes(bytes(SIZE)).await.unwrap();
    let whole = shelf.messages().await;
    assert_eq!(
        shelf.store.sweep(Duration::ZERO).await.unwrap(),
        0,
        "nothing unfinished"
    );
    // A process that is killed says nothing more.
    let jetstream = jetstream::new(shelf.client.clone());
    for put in ["one", "one", "two"] {
        let subject = format!("$O.agentnet_blobs.C.{put}");
        jetstream.publish(subject, "piece".into()).await.unwrap().await.unwrap();
    }
    assert_eq!(
        shelf.store.sweep(Duration::from_secs(3600)).await.unwrap(),
        0,
        "too young"
    );
    assert_eq!(shelf.store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(shelf.messages().await, whole);
    assert_eq!(shelf.store.get_bytes(&blob).await.unwrap(), bytes(SIZE));
}
