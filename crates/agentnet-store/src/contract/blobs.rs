//! Blobs of a secure network: what `Blobs` says.

use std::sync::Arc;

use agentnet_protocol::RawJson;
use tokio::task::JoinSet;

use super::sample::at;
use crate::model::{Blob, BlobShare, BlobUsage, MAX_BLOB_RECEIVERS, OldBlobs};
use crate::store::Store;

fn new_blob(id: &str, account: &str, second: i64) -> Blob {
    Blob::begun(
        id.into(),
        account.into(),
        format!("object of {id}"),
        vec![0, 1, 255],
        at(second),
    )
}

/// The blob with one more piece.
fn with_piece(blob: &Blob, bytes: i64, second: i64) -> Blob {
    Blob {
        size: blob.size + bytes,
        chunks: blob.chunks + 1,
        last_sequence: blob.last_sequence + 7,
        hash: vec![u8::try_from(second).unwrap()],
        touched_at: at(second),
        ..blob.clone()
    }
}

fn reference(id: &str) -> RawJson {
    RawJson::parse(format!(
        r#"{{"type":"blob_ref","blob_id":"{id}","text":"a\u0000 é","n":1.50}}"#
    ))
    .unwrap()
}

fn share(id: &str, from: &str, receiver: &str) -> BlobShare {
    BlobShare {
        blob_id: id.into(),
        from_account: from.into(),
        receiver: receiver.into(),
    }
}

/// Pieces are counted one after the other; complete, it changes no more.
pub async fn a_blob_grows_until_it_is_complete(store: Arc<dyn Store>) {
    let begun = new_blob("blob_1", "a", 1);
    assert!(store.begin_blob(&begun).await.unwrap());
    assert_eq!(store.blob("blob_1").await.unwrap().as_ref(), Some(&begun));
    let other = new_blob("blob_1", "b", 2);
    assert!(!store.begin_blob(&other).await.unwrap());
    assert_eq!(store.blob("blob_1").await.unwrap().as_ref(), Some(&begun));
    assert_eq!(store.blob("blob_2").await.unwrap(), None);

    let first = with_piece(&begun, 5, 3);
    assert!(store.advance_blob(&first).await.unwrap());
    assert!(!store.advance_blob(&first).await.unwrap(), "the same piece again");
    let third = with_piece(&with_piece(&first, 1, 4), 1, 4);
    assert!(!store.advance_blob(&third).await.unwrap(), "a piece is missing");
    assert_eq!(store.blob("blob_1").await.unwrap().as_ref(), Some(&first));
    let second = with_piece(&first, i64::MAX - 5, 5);
    assert!(store.advance_blob(&second).await.unwrap());

    let reference = reference("blob_1");
    assert!(!store.complete_blob("blob_1", 1, &reference, at(6)).await.unwrap());
    assert!(store.complete_blob("blob_1", 2, &reference, at(6)).await.unwrap());
    assert!(!store.complete_blob("blob_1", 2, &reference, at(7)).await.unwrap());
    let complete = Blob {
        hash: Vec::new(),
        reference: Some(reference),
        touched_at: at(6),
        ..second.clone()
    };
    assert_eq!(store.blob("blob_1").await.unwrap().as_ref(), Some(&complete));
    assert!(!store.advance_blob(&with_piece(&second, 0, 8)).await.unwrap());

    assert_eq!(store.delete_blob("blob_1").await.unwrap(), Some(complete));
    assert_eq!(store.delete_blob("blob_1").await.unwrap(), None);
    assert_eq!(store.blob("blob_1").await.unwrap(), None);
    assert!(!store.advance_blob(&with_piece(&second, 0, 8)).await.unwrap());
}

/// Of many that add the same piece, one does.
pub async fn a_piece_is_added_once(store: Arc<dyn Store>) {
    let begun = new_blob("blob_1", "a", 1);
    store.begin_blob(&begun).await.unwrap();
    let mut tasks = JoinSet::new();
    for second in 2..12 {
        let (store, next) = (Arc::clone(&store), with_piece(&begun, 5, second));
        tasks.spawn(async move { store.advance_blob(&next).await.unwrap() });
    }
    let added = tasks.join_all().await.into_iter().filter(|added| *added).count();
    assert_eq!(added, 1);
}

/// By account: all blobs, those that are not complete, all bytes.
pub async fn what_an_account_has_is_counted(store: Arc<dyn Store>) {
    assert_eq!(store.blob_usage("a").await.unwrap(), BlobUsage::default());
    for (id, account) in [("blob_1", "a"), ("blob_2", "a"), ("blob_3", "A")] {
        let begun = new_blob(id, account, 1);
        store.begin_blob(&begun).await.unwrap();
        store.advance_blob(&with_piece(&begun, 5, 2)).await.unwrap();
    }
    store
        .complete_blob("blob_2", 1, &reference("blob_2"), at(3))
        .await
        .unwrap();
    let usage = BlobUsage {
        blobs: 2,
        open: 1,
        bytes: 10,
    };
    assert_eq!(store.blob_usage("a").await.unwrap(), usage);
    store.delete_blob("blob_1").await.unwrap();
    let usage = BlobUsage {
        blobs: 1,
        open: 0,
        bytes: 5,
    };
    assert_eq!(store.blob_usage("a").await.unwrap(), usage);
}

/// Of blobs that exist, each once, and gone with them.
pub async fn it_is_known_to_whom_a_blob_was_named(store: Arc<dyn Store>) {
    for id in ["blob_1", "blob_2"] {
        store.begin_blob(&new_blob(id, "a", 1)).await.unwrap();
    }
    let shares = [
        share("blob_1", "b", "c"),
        share("blob_1", "a", "capability:résumé"),
        share("blob_1", "a", "b"),
        share("blob_1", "a", "b"),
        share("blob_2", "a", "b"),
        share("blob_3", "a", "b"),
    ];
    store.share_blobs(&shares).await.unwrap();
    store.share_blobs(&shares[..1]).await.unwrap();
    store.share_blobs(&[]).await.unwrap();
    let named = store.blob_shares("blob_1", 9).await.unwrap();
    assert_eq!(named, [shares[2].clone(), shares[1].clone(), shares[0].clone()]);
    assert_eq!(store.blob_shares("blob_1", 1).await.unwrap(), [shares[2].clone()]);
    assert!(store.blob_shares("blob_3", 9).await.unwrap().is_empty());
    store.delete_blob("blob_1").await.unwrap();
    assert!(store.blob_shares("blob_1", 9).await.unwrap().is_empty());
    assert_eq!(store.blob_shares("blob_2", 9).await.unwrap(), [shares[4].clone()]);
}

/// Who names a blob to very many is not listened to any more; others are.
pub async fn one_account_names_a_blob_to_a_bounded_number(store: Arc<dyn Store>) {
    store.begin_blob(&new_blob("blob_1", "a", 1)).await.unwrap();
    let many: Vec<BlobShare> = (0..MAX_BLOB_RECEIVERS + 5)
        .map(|index| share("blob_1", "m", &format!("r{index}")))
        .collect();
    store.share_blobs(&many).await.unwrap();
    store.share_blobs(&[share("blob_1", "a", "b")]).await.unwrap();
    let named = store.blob_shares("blob_1", 5000).await.unwrap();
    assert_eq!(named.len(), usize::try_from(MAX_BLOB_RECEIVERS).unwrap() + 1);
    assert_eq!(named[0], share("blob_1", "a", "b"));
}

/// Those that were left alone, and those that are as old as blobs get.
pub async fn old_blobs_are_found(store: Arc<dyn Store>) {
    for (id, second) in [("blob_1", 3), ("blob_2", 2), ("blob_3", 1), ("blob_4", 4)] {
        store.begin_blob(&new_blob(id, "a", second)).await.unwrap();
    }
    store
        .advance_blob(&with_piece(&new_blob("blob_2", "a", 2), 1, 8))
        .await
        .unwrap();
    for id in ["blob_3", "blob_4"] {
        store.complete_blob(id, 0, &reference(id), at(9)).await.unwrap();
    }
    for (which, limit, expected) in [
        (OldBlobs::Open(at(3)), 9, &[][..]),
        (OldBlobs::Open(at(4)), 9, &["blob_1"]),
        (OldBlobs::Open(at(9)), 9, &["blob_1", "blob_2"]),
        (OldBlobs::Open(at(9)), 1, &["blob_1"]),
        (OldBlobs::Complete(at(1)), 9, &[]),
        (OldBlobs::Complete(at(2)), 9, &["blob_3"]),
        (OldBlobs::Complete(at(9)), 9, &["blob_3", "blob_4"]),
    ] {
        let found = store.old_blobs(which, limit).await.unwrap();
        let found: Vec<&str> = found.iter().map(|blob| blob.blob_id.as_str()).collect();
        assert_eq!(found, expected, "{which:?} {limit}");
    }
}
