//! Two agents, each with a directory of its own, behind a real server and a real registry.

use std::fs;
use std::sync::Arc;

use agentnet::protocol::rpc::MessageSearchRequest;
use agentnet::{AgentBuilder, AgentNode, AgentSdk, BlobError, BlobRef, BlobStorage, RegistryClient, json};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{Capture, NatsServer, RawClient, TestDatabase};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::blobs::pattern::{Told, bytes, files};
use crate::net::{DEADLINE, agent, generous};

struct Realm {
    nats: NatsServer,
    registry: RegistryHandle,
    store: Arc<dyn Store>,
    _database: TestDatabase,
}

impl Realm {
    async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let config = RegistryConfig {
            nats_url: nats.url(),
            ..RegistryConfig::default()
        };
        let registry = Registry::start(config, store.clone()).await.unwrap();
        Self {
            nats,
            registry,
            store,
            _database: database,
        }
    }

    fn agent(&self, id: &str, dir: &TempDir) -> AgentBuilder {
        agent(&self.nats.url(), id)
            .limits(generous)
            .blob_dir(dir.path().join("blobs"))
            .blob_storage(BlobStorage::NatsObject)
    }
}

/// A node that hands on the references it gets.
async fn receiver(agent: AgentBuilder) -> (AgentNode, mpsc::Receiver<(String, BlobRef)>) {
    let (seen, references) = mpsc::channel(10);
    let handler = move |message: agentnet::Message, _| {
        let seen = seen.clone();
        async move {
            if let Some(blob) = message.blob_ref()? {
                let thread = message.thread_id.as_deref().unwrap_or_default().to_owned();
                seen.send((thread, blob)).await?;
            }
            Ok(())
        }
    };
    (agent.on_message(handler).start().await.unwrap(), references)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_exchange_200_megabytes_and_none_of_it_is_in_the_history() {
    const SIZE: u64 = 200_000_000;
    let realm = Realm::start().await;
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let raw = RawClient::connect(&realm.nats.url()).await.unwrap();
    let tapped = Capture::subscribe(&raw, "_INBOX.>").await.unwrap();
    let alice = realm.agent("alice", &here).start().await.unwrap();
    let (bob, mut references) = receiver(realm.agent("bob", &there)).await;

    let file = here.path().join("film.mp4");
    let content = bytes(SIZE as usize);
    fs::write(&file, &content).unwrap();
    let sha256: [u8; 32] = Sha256::digest(&content).into();
    drop(content);
    let told = Told::default();
    let blob = alice.blobs().put_file(&file).progress(told.callback()).await.unwrap();
    told.check(SIZE, Some(SIZE));
    alice.send_blob_ref("@bob", &blob).thread("media_1").await.unwrap();

    let (thread, reference) = tokio::time::timeout(DEADLINE, references.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((thread.as_str(), &reference), ("media_1", &blob));
    assert_eq!(
        (reference.mime_type.as_str(), reference.filename.as_deref()),
        ("video/mp4", Some("film.mp4"))
    );
    let out = there.path().join("received");
    let told = Told::default();
    let got = bob
        .blobs()
        .get_to_file(&reference, &out)
        .progress(told.callback())
        .await
        .unwrap();
    told.check(SIZE, Some(SIZE));
    assert_eq!(got, blob);
    let received: [u8; 32] = Sha256::digest(fs::read(&out).unwrap()).into();
    assert!(received == sha256);
    assert!(matches!(
        bob.blobs().get_bytes(&reference).await,
        Err(BlobError::TooLarge { .. })
    ));
    assert_eq!(files(there.path()).len(), 1, "nothing but the file");
    assert_eq!(files(here.path()).len(), 1, "nothing in the local store");

    // A second message goes the same way to the history as every piece would have: when it is there, all are.
    alice
        .send("@bob", json!({ "text": "last" }))
        .thread("media_1")
        .await
        .unwrap();
    let registry = RegistryClient::new(raw.clone());
    let history = agentnet_testkit::eventually(DEADLINE, async || {
        let found = registry.call(&MessageSearchRequest::default()).await;
        let found = found.map_err(|error| error.to_string())?;
        let count = found.messages.len();
        if count >= 2 {
            Ok(found)
        } else {
            Err(format!("{count} messages"))
        }
    })
    .await
    .unwrap();
    assert_eq!(history.messages.len(), 2, "the reference and the last message");
    let piece = |seen: &agentnet_testkit::Captured| seen.subject.starts_with("_INBOX.") && seen.payload.len() > 10_000;
    assert!(
        !tapped.messages().iter().any(piece),
        "no piece passes where registries tap"
    );

    alice.close().await;
    bob.close().await;
    realm.registry.shutdown().await;
    realm.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_blob_is_read_where_its_directory_is() {
    let realm = Realm::start().await;
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let alice = realm.agent("alice", &here).blob_storage(BlobStorage::Local);
    let alice = alice.start().await.unwrap();
    let (bob, mut references) = receiver(realm.agent("bob", &there)).await;
    let (carol, _) = receiver(realm.agent("carol", &here)).await;
    let blob = alice.blobs().put_bytes("hello").filename("h.txt").await.unwrap();
    alice.send_blob_ref("@bob", &blob).await.unwrap();
    let (_, reference) = tokio::time::timeout(DEADLINE, references.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reference, blob);
    assert_eq!(carol.blobs().get_text(&reference).await.unwrap(), "hello");
    let error = bob.blobs().get_text(&reference).await.unwrap_err();
    assert!(matches!(&error, BlobError::NotFound { place, .. } if place.starts_with(there.path().to_str().unwrap())));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_reached_while_the_node_runs() {
    let realm = Realm::start().await;
    let dir = TempDir::new().unwrap();
    let node = realm.agent("alice", &dir).build().unwrap();
    assert!(matches!(
        node.blobs().put_bytes("x").await,
        Err(BlobError::NotConnected)
    ));
    node.start().await.unwrap();
    let blob = node.blobs().put_bytes("x").await.unwrap();
    node.close().await;
    assert!(matches!(
        node.blobs().get_bytes(&blob).await,
        Err(BlobError::NotConnected)
    ));
    node.start().await.unwrap();
    assert_eq!(node.blobs().get_text(&blob).await.unwrap(), "x");
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_names_do_the_same() {
    let realm = Realm::start().await;
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_bob, mut references) = receiver(realm.agent("bob", &there)).await;
    let sdk = AgentSdk::from(realm.agent("alice", &here).start().await.unwrap());
    let file = here.path().join("notes.txt");
    fs::write(&file, "hello").unwrap();
    let blob = sdk.put_blob_file(&file).await.unwrap();
    sdk.send_blob_ref("bob", &blob).thread("media_1").await.unwrap();
    let seen = tokio::time::timeout(DEADLINE, references.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen, ("media_1".to_owned(), blob.clone()));
    assert_eq!(sdk.get_blob_text(&blob).await.unwrap(), "hello");
    assert_eq!(sdk.get_blob_bytes(&blob.blob_id).await.unwrap(), "hello");
    sdk.get_blob_to_file(&blob, here.path().join("copy")).await.unwrap();
    assert_eq!(fs::read(here.path().join("copy")).unwrap(), b"hello");
    assert_eq!(sdk.head_blob(&blob).await.unwrap().as_ref(), Some(&blob));
    assert!(sdk.delete_blob(&blob).await.unwrap());
    assert_eq!(sdk.head_blob(&blob).await.unwrap(), None);
    let bytes = sdk.put_blob_bytes("x").mime_type("text/plain").await.unwrap();
    assert_eq!((bytes.size, bytes.mime_type.as_str()), (1, "text/plain"));
    sdk.stop().await;
}
