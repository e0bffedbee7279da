//! Blobs of members, which the registry keeps for them (PROTOCOL.md section 23.13).

use std::time::Duration;

use agentnet::protocol::hex;
use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{
    BlobDeleteRequest, BlobEnd, BlobGetRequest, BlobPutRequest, BlobShareRequest, BlobStatRequest, MemberGrantRequest,
    Request,
};
use agentnet::{
    AgentBuilder, BlobError, BlobRef, BlobSettings, BlobStorage, BlobStore, BoxError, Context, HandlerResult, Message,
    RegistryClient, Until, json,
};
use agentnet_testkit::eventually_true;
use async_nats::jetstream;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::secure::network::{DEADLINE, Member, SecureNetwork};

const PIECE: usize = 256 * 1024;

/// Bytes that differ from piece to piece.
fn bytes(size: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at / 7 + at / PIECE) % 251);
    (0..size).map(byte).collect::<Result<_, _>>().unwrap()
}

fn in_network(node: AgentBuilder) -> AgentBuilder {
    node.blob_storage(BlobStorage::NatsObject)
}

/// The store as a member without a node reaches it.
async fn store_of(member: &Member) -> BlobStore {
    let mut settings = BlobSettings::default();
    settings.storage = BlobStorage::NatsObject;
    BlobStore::new(settings).by_registry(&member.registry().await)
}

async fn is_hidden(store: &BlobStore, blob: &BlobRef) -> bool {
    let got = store.get_bytes(blob).await;
    matches!(got, Err(BlobError::NotFound { .. })) && !store.delete(blob).await.unwrap()
}

/// Messages of the bucket: pieces and entries.
async fn stored_messages(network: &SecureNetwork) -> u64 {
    let context = jetstream::new(network.as_registry().await);
    let stream = context.get_stream("OBJ_agentnet_blobs").await.unwrap();
    stream.get_info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_a_message_reads_the_blobs_that_it_names() {
    let network = SecureNetwork::start().await;
    let (alice, bob, carol) = (
        network.agent("alice").await,
        network.agent("bob").await,
        network.agent("carol").await,
    );
    let mallory = store_of(&network.agent("mallory").await).await;
    let (told, mut read) = mpsc::channel(8);
    // Read at once: the registry may not have stored the message yet.
    let reading = move |message: Message, context: Context| {
        let told = told.clone();
        async move {
            if let Some(blob) = message.blob_ref()? {
                let bytes = context.node().blobs().get_bytes(&blob).await?;
                told.send((blob, bytes)).await.unwrap();
            }
            Ok::<(), BoxError>(())
        }
    };
    let reader = |node: AgentBuilder| in_network(node).on_message(reading.clone());
    let (alice, bob, carol) = (
        alice.start(in_network).await,
        bob.start(reader).await,
        carol.start(reader).await,
    );
    for size in [0, 1, PIECE, 2 * PIECE + 5] {
        let wanted = bytes(size);
        let blob = alice
            .blobs()
            .put_bytes(wanted.clone())
            .filename("é 😀.png")
            .await
            .unwrap();
        assert_eq!(
            (blob.storage.as_str(), blob.size, blob.mime_type.as_str()),
            ("nats_object", size as u64, "image/png")
        );
        assert_eq!(blob.sha256, Some(hex::encode(&Sha256::digest(&wanted))));
        assert_eq!(alice.blobs().head(&blob).await.unwrap().as_ref(), Some(&blob));
        assert_eq!(alice.blobs().get_bytes(&blob).await.unwrap(), wanted);
        alice
            .send_to_username("bob", &blob)
            .until(Until::Processed)
            .receipt_timeout(DEADLINE)
            .await
            .unwrap();
        assert_eq!(read.recv().await.unwrap(), (blob.clone(), wanted.clone().into()));
        // Whoever may read it may pass it on, in any form.
        bob.send_to_username(
            "carol",
            json!({ "type": "blob_ref", "blob_id": blob.blob_id, "storage": "nats_object" }),
        )
        .until(Until::Processed)
        .receipt_timeout(DEADLINE)
        .await
        .unwrap();
        let (_, again) = read.recv().await.unwrap();
        assert_eq!(again, wanted);
        assert!(size != 1 || is_hidden(&mallory, &blob).await);
    }
    // To name an id gives no right.
    let blob = alice.blobs().put_bytes(bytes(9)).await.unwrap();
    let taking = |node: AgentBuilder| in_network(node).on_message(|_, _| async { Ok(()) });
    let nosy = network.agent("nosy").await.start(taking).await;
    let carol_account = carol.account_id().unwrap();
    for to in [nosy.account_id().unwrap(), carol_account] {
        let sent = nosy
            .send_to_account(to, &blob)
            .until(Until::Accepted)
            .receipt_timeout(DEADLINE);
        let _ = sent.await;
    }
    // Behind them, one of hers is stored; then theirs is too.
    alice
        .send_to_username("bob", &blob)
        .until(Until::Processed)
        .receipt_timeout(DEADLINE)
        .await
        .unwrap();
    read.recv().await.unwrap();
    for node in [&nosy, &carol] {
        assert!(matches!(
            node.blobs().get_bytes(&blob).await,
            Err(BlobError::NotFound { .. })
        ));
    }
    for node in [alice, bob, carol, nosy] {
        node.close().await;
    }
    network.registry.shutdown().await;
}

/// Answers a request that names a blob with another blob.
async fn negative(message: Message, context: Context) -> HandlerResult {
    let blobs = context.node().blobs();
    if let Some(blob) = message.blob_ref()? {
        let bytes = blobs.get_bytes(&blob).await?;
        let inverted: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        context.reply(&blobs.put_bytes(inverted).await?).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_capability_and_replies_name_blobs_too() {
    let network = SecureNetwork::start().await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    let painter = network.agent("painter").await;
    let grant = MemberGrantRequest {
        username: Some("painter".into()),
        capabilities_add: vec!["paint".into()],
        ..MemberGrantRequest::default()
    };
    operator.call(&grant).await.unwrap();
    let painter = painter
        .start(|node| in_network(node).capabilities(["paint"]).on_message(negative))
        .await;
    let alice = network.agent("alice").await.start(in_network).await;
    let blob = alice.blobs().put_bytes(bytes(1000)).await.unwrap();
    let reply = alice
        .request_capability("paint", &blob)
        .timeout(DEADLINE)
        .await
        .unwrap();
    let inverted = reply.blob_ref().unwrap().unwrap();
    let expected: Vec<u8> = bytes(1000).iter().map(|byte| !byte).collect();
    assert_eq!(alice.blobs().get_bytes(&inverted).await.unwrap(), expected);
    let bob = store_of(&network.agent("bob").await).await;
    assert!(is_hidden(&bob, &blob).await && is_hidden(&bob, &inverted).await);
    for node in [alice, painter] {
        node.close().await;
    }
    network.registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_read_all_and_the_uploader_deletes() {
    let network = SecureNetwork::start().await;
    let (alice, bob) = (network.agent("alice").await, network.agent("bob").await);
    let (of_alice, of_bob) = (store_of(&alice).await, store_of(&bob).await);
    let blob = of_alice.put_bytes(bytes(PIECE + 1)).await.unwrap();
    for role in [Role::Observer, Role::Operator] {
        let reader = network.member(role.as_str(), role).await;
        let reads = store_of(&reader).await.get_bytes(&blob).await.unwrap();
        assert_eq!(reads, bytes(PIECE + 1));
    }
    let share = BlobShareRequest {
        blob_id: blob.blob_id.clone(),
        to: vec![bob.account_id.clone()],
    };
    let refused = bob.registry().await.call(&share).await.unwrap_err();
    assert!(refused.is_not_found(), "{refused}");
    alice.registry().await.call(&share).await.unwrap();
    assert_eq!(of_bob.get_bytes(&blob).await.unwrap(), bytes(PIECE + 1));
    let refused = of_bob.delete(&blob).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden: "), "{refused}");
    assert_eq!(stored_messages(&network).await, 3);
    assert!(of_alice.delete(&blob).await.unwrap());
    assert!(!of_alice.delete(&blob).await.unwrap());
    assert!(is_hidden(&of_bob, &blob).await);
    assert_eq!(stored_messages(&network).await, 0);

    // What observers may not: put something.
    let eye = network.member("eye", Role::Observer).await.registry().await;
    let refused = eye.call(&BlobPutRequest::default()).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden: "), "{refused}");
    network.registry.shutdown().await;
}

fn piece(blob_id: &str, chunk: i64, data: &[u8], all: Option<&[u8]>) -> BlobPutRequest {
    BlobPutRequest {
        blob_id: Some(blob_id.to_owned()),
        chunk,
        data: data.to_vec(),
        end: all.map(|all| BlobEnd {
            size: i64::try_from(all.len()).unwrap(),
            sha256: hex::encode(&Sha256::digest(all)),
            mime_type: "text/plain".into(),
            ..BlobEnd::default()
        }),
    }
}

async fn refusal<R: Request>(registry: &RegistryClient, request: &R) -> String {
    match registry.call(request).await {
        Ok(_) => panic!("{}", request.encode()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_are_taken_once_in_order_and_from_their_uploader() {
    let network = SecureNetwork::start().await;
    let alice = network.agent("alice").await.registry().await;
    let mallory = network.agent("mallory").await.registry().await;
    let id = alice.call(&BlobPutRequest::default()).await.unwrap().blob_id;
    let one = piece(&id, 0, b"one ", None);
    assert_eq!(alice.call(&one).await.unwrap().chunks, 1);
    assert_eq!(alice.call(&one).await.unwrap().size, 4, "the same piece again");
    for number in [2, i64::MAX] {
        let refused = refusal(&alice, &piece(&id, number, b"x", None)).await;
        assert_eq!(refused, "blob_order: piece 1 is next", "{number}");
    }
    // Nobody else adds to it, reads it, or learns that it is there.
    for refused in [
        refusal(&mallory, &piece(&id, 1, b"x", None)).await,
        refusal(&mallory, &BlobDeleteRequest { blob_id: id.clone() }).await,
        refusal(&mallory, &piece("blob_x", 1, b"x", None)).await,
        // It is not complete.
        refusal(&alice, &BlobStatRequest { blob_id: id.clone() }).await,
        refusal(
            &alice,
            &BlobGetRequest {
                blob_id: id.clone(),
                after: 0,
            },
        )
        .await,
    ] {
        assert_eq!(refused, "not_found");
    }
    // Of many at once, one is stored.
    let two = piece(&id, 1, b"two", None);
    let many = futures::future::join_all((0..8).map(|_| alice.call(&two))).await;
    assert!(many.into_iter().all(|stored| stored.unwrap().chunks == 2));
    let end = piece(&id, 2, b"", Some(b"one two"));
    let stored = alice.call(&end).await.unwrap();
    let again = alice.call(&end).await.unwrap();
    assert_eq!((stored.state.as_str(), &stored.blob), ("stored", &again.blob));
    let other_end = piece(&id, 2, b"", Some(b"another"));
    assert!(refusal(&alice, &other_end).await.starts_with("blob_damaged: "));
    assert!(
        refusal(&alice, &piece(&id, 2, b"x", None))
            .await
            .starts_with("blob_order: ")
    );
    assert_eq!(stored_messages(&network).await, 3);

    // A hash that is another one: nothing is left.
    let id = alice.call(&BlobPutRequest::default()).await.unwrap().blob_id;
    let wrong = piece(&id, 0, b"one", Some(b"two"));
    assert!(refusal(&alice, &wrong).await.starts_with("blob_damaged: "));
    assert_eq!(refusal(&alice, &wrong).await, "not_found");
    assert_eq!(stored_messages(&network).await, 3);
    for id in ["", "..", "a.>", &"x".repeat(129)] {
        assert!(mallory.call(&BlobStatRequest { blob_id: id.into() }).await.is_err());
    }
    network.registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_account_can_keep_is_bounded() {
    let network = SecureNetwork::start_configured("", |config| {
        config.blob_max_bytes = 3000;
        config.blob_account_max_bytes = 5000;
        config.blob_account_max = 18;
    })
    .await;
    let alice = network.agent("alice").await;
    let (store, registry) = (store_of(&alice).await, alice.registry().await);
    let refused = store.put_bytes(bytes(3001)).await.unwrap_err().to_string();
    assert!(refused.contains("blob_too_large: "), "{refused}");
    let (first, second) = (
        store.put_bytes(bytes(3000)).await.unwrap(),
        store.put_bytes(bytes(2000)).await.unwrap(),
    );
    let refused = store.put_bytes(bytes(1)).await.unwrap_err().to_string();
    assert!(refused.contains("blob_quota: "), "{refused}");
    store.delete(&second).await.unwrap();
    store.put_bytes(bytes(1999)).await.unwrap();
    store.delete(&first).await.unwrap();
    // Those that failed are removed in the background.
    let one_left = async || stored_messages(&network).await == 2;
    eventually_true(DEADLINE, "the failed ones are gone", one_left)
        .await
        .unwrap();

    let begin = BlobPutRequest::default();
    let mut open = 0;
    let refused = loop {
        match registry.call(&begin).await {
            Ok(_) => open += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(open <= 16 && refused.contains("blob_quota: "), "{open}: {refused}");
    let bob = store_of(&network.agent("bob").await).await;
    for _ in 0..18 {
        bob.put_bytes(bytes(1)).await.unwrap();
    }
    let refused = bob.put_bytes(bytes(1)).await.unwrap_err().to_string();
    assert!(refused.contains("AGENTNET_BLOB_ACCOUNT_MAX)"), "{refused}");
    network.registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_leaves_nothing() {
    let network = SecureNetwork::start().await;
    let store = store_of(&network.agent("alice").await).await;
    store.put_bytes(bytes(1)).await.unwrap();
    let (mut writer, reader) = tokio::io::duplex(PIECE);
    let putting = tokio::spawn({
        let store = store.clone();
        async move { store.put_reader(reader).await }
    });
    tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes(2 * PIECE))
        .await
        .unwrap();
    let begun = async || stored_messages(&network).await > 2;
    eventually_true(DEADLINE, "a piece is stored", begun).await.unwrap();
    putting.abort();
    let gone = async || stored_messages(&network).await == 2;
    eventually_true(DEADLINE, "its pieces are gone", gone).await.unwrap();
    network.registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_waits_in_a_mailbox_with_its_message() {
    let network = SecureNetwork::start().await;
    let (bob, alice) = (
        network.agent("bob").await,
        network.agent("alice").await.start(in_network).await,
    );
    // It has an account, and is offline.
    bob.start(|node| node).await.close().await;
    let blob = alice.blobs().put_bytes(bytes(5)).await.unwrap();
    let sent = alice.send_to_username("bob", &blob).mailbox(Duration::from_secs(600));
    sent.await.unwrap();
    let (told, mut read) = mpsc::channel(1);
    let reading = move |message: Message, context: Context| {
        let told = told.clone();
        async move {
            if let Some(blob) = message.blob_ref()? {
                let _ = told.send(context.node().blobs().get_bytes(&blob).await?).await;
            }
            Ok::<(), BoxError>(())
        }
    };
    let bob = bob.start(|node| in_network(node).on_message(reading)).await;
    let got = tokio::time::timeout(DEADLINE, read.recv()).await.unwrap().unwrap();
    assert_eq!(got, bytes(5));
    for node in [alice, bob] {
        node.close().await;
    }
    network.registry.shutdown().await;
}
