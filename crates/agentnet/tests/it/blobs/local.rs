//! The store in a directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use agentnet::protocol::blob::DEFAULT_MIME_TYPE;
use agentnet::protocol::ids::prefixed;
use agentnet::{BlobError, BlobRef, BlobStore, json};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::blobs::pattern::{Breaks, Told, bytes, files};
use crate::net::is_recent;

fn store() -> (TempDir, BlobStore) {
    let dir = TempDir::new().unwrap();
    let store = BlobStore::local(dir.path().join("blobs"));
    (dir, store)
}

#[tokio::test]
async fn the_layout_is_the_originals() {
    let (dir, store) = store();
    let put = store.put_bytes("hello").filename("chart.png");
    let blob = put.metadata(json!({ "k": "é" })).await.unwrap();
    assert!(blob.blob_id.starts_with("blob_") && blob.blob_id.len() == prefixed("blob", 0, [0; 10]).len());
    assert!(!blob.blob_id.bytes().any(|byte| byte.is_ascii_uppercase()));
    let root = dir.path().join("blobs");
    let (data, meta) = (
        root.join("data").join(&blob.blob_id),
        root.join("meta").join(format!("{}.json", blob.blob_id)),
    );
    assert_eq!(files(&root), [data.clone(), meta.clone()]);
    assert_eq!(fs::read(data).unwrap(), b"hello");
    let meta: Value = serde_json::from_slice(&fs::read(meta).unwrap()).unwrap();
    assert!(is_recent(meta["created_at"].as_str().unwrap()));
    let expected = json!({
        "type": "blob_ref", "blob_id": blob.blob_id, "storage": "local_fs", "mime_type": "image/png", "size_bytes": 5,
        "filename": "chart.png", "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "created_at": meta["created_at"], "metadata": { "k": "é" },
    });
    assert_eq!(meta, expected);
    assert_eq!(store.head(&blob).await.unwrap(), Some(blob));
}

#[tokio::test]
async fn what_the_original_has_stored_is_read() {
    let (dir, store) = store();
    let root = dir.path().join("blobs");
    for sub in ["data", "meta"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    let id = "blob_01khzkcw3v04hmasw9nf6yy093";
    fs::write(root.join("data").join(id), "hello").unwrap();
    // Python's json.dumps(…, indent=2, sort_keys=True).
    let meta = format!(
        "{{\n  \"blob_id\": \"{id}\",\n  \"created_at\": \"2026-02-21T08:00:00.5Z\",\n  \"filename\": \"h.txt\",\n  \"mime_type\": \
         \"text/plain\",\n  \"sha256\": \"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\n  \"size_bytes\": \
         5,\n  \"storage\": \"local_fs\",\n  \"type\": \"blob_ref\"\n}}"
    );
    fs::write(root.join("meta").join(format!("{id}.json")), meta).unwrap();
    assert_eq!(store.get_text(id).await.unwrap(), "hello");
    let blob = store.head(id).await.unwrap().unwrap();
    assert_eq!((blob.filename.as_deref(), blob.size), (Some("h.txt"), 5));
}

#[rstest]
#[case::empty(0)]
#[case::one(1)]
#[case::chunk(256 * 1024)]
#[case::more(3_000_001)]
#[tokio::test]
async fn blobs_come_back_as_they_went_in(#[case] size: usize) {
    let (dir, store) = store();
    let wanted = bytes(size);
    let told = Told::default();
    let blob = store.put_bytes(wanted.clone()).progress(told.callback()).await.unwrap();
    if size > 256 * 1024 {
        told.check(size as u64, Some(size as u64));
    }
    assert_eq!((blob.size, blob.mime_type.as_str()), (size as u64, DEFAULT_MIME_TYPE));
    assert_eq!(store.get_bytes(&blob).await.unwrap(), wanted);
    assert_eq!(store.get_bytes(&blob.blob_id).await.unwrap(), wanted, "by the id alone");
    let out = dir.path().join("out");
    let told = Told::default();
    let got = store.get_to_file(&blob, &out).progress(told.callback()).await.unwrap();
    assert_eq!(got, blob);
    assert_eq!(fs::read(&out).unwrap(), wanted);
    if size > 256 * 1024 {
        told.check(size as u64, Some(size as u64));
    }
    let mut reader = store.open(&blob).await.unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, wanted);
    // From a file, and from a reader of unknown length.
    let again = store.put_file(&out).await.unwrap();
    assert_eq!((again.filename.as_deref(), &again.sha256), (Some("out"), &blob.sha256));
    let told = Told::default();
    let file = tokio::fs::File::open(&out).await.unwrap();
    let again = store.put_reader(file).progress(told.callback()).await.unwrap();
    assert_eq!((again.size, &again.sha256), (blob.size, &blob.sha256));
    assert!(store.delete(&blob).await.unwrap());
    assert!(!store.delete(&blob).await.unwrap(), "only once");
    assert_eq!(store.head(&blob).await.unwrap(), None);
    assert!(matches!(store.get_bytes(&blob).await, Err(BlobError::NotFound { .. })));
    assert_eq!(files(&dir.path().join("blobs")).len(), 4, "two blobs are left");
}

#[tokio::test]
async fn file_names_are_kept_and_harmless() {
    let (dir, store) = store();
    let path = dir.path().join("Größe 日本語 😀.json");
    fs::write(&path, "{}").unwrap();
    let blob = store.put_file(&path).await.unwrap();
    assert_eq!(blob.filename.as_deref(), Some("Größe 日本語 😀.json"));
    assert_eq!(blob.mime_type, "application/json");
    let head = store.head(&blob).await.unwrap().unwrap();
    assert_eq!(head, blob);
    let named = store.put_file(&path).filename("../../x.html").mime_type("text/plain");
    let named = named.await.unwrap();
    assert_eq!(named.filename.as_deref(), Some("_.._x.html"));
    assert_eq!(named.mime_type, "text/plain");
}

#[tokio::test]
async fn a_file_that_is_missing_is_named() {
    let (dir, store) = store();
    let path = dir.path().join("nowhere.png");
    let error = store.put_file(&path).await.unwrap_err().to_string();
    assert!(
        error.contains("cannot open") && error.contains("nowhere.png"),
        "{error}"
    );
    assert!(error.contains("No such file"), "{error}");
    let error = store.put_file(dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("is a directory"), "{error}");
    let blob = store.put_bytes("x").await.unwrap();
    let target = dir.path().join("no/such/dir/x");
    let error = store.get_to_file(&blob, target).await.unwrap_err();
    assert!(matches!(error, BlobError::File { .. }), "{error}");
}

#[rstest]
#[case::empty("")]
#[case::dots("..")]
#[case::up("../../etc/passwd")]
#[case::up_from_below("a/../../x")]
#[case::absolute("/etc/passwd")]
#[case::windows("..\\x")]
#[case::drive("C:x")]
#[case::dot("a.b")]
#[case::hidden(".put-x")]
#[case::nul("a\0b")]
#[case::space(" ")]
#[case::unicode("blöb")]
#[case::long(&*Box::leak("x".repeat(10_000).into_boxed_str()))]
#[tokio::test]
async fn ids_that_could_be_paths_are_refused(#[case] id: &'static str) {
    let (dir, store) = store();
    // Where such an id would lead, if it were followed.
    fs::create_dir_all(dir.path().join("blobs/data/a")).unwrap();
    fs::create_dir_all(dir.path().join("blobs/meta/a")).unwrap();
    fs::write(dir.path().join("x"), "secret").unwrap();
    let before = files(dir.path());
    for storage in ["local_fs", "nats_object"] {
        let blob = BlobRef::new(id, storage);
        let refused = [
            store.get_bytes(&blob).await.unwrap_err(),
            store.get_text(&blob).await.unwrap_err(),
            store.get_to_file(&blob, dir.path().join("out")).await.unwrap_err(),
            store.open(&blob).await.unwrap_err(),
            store.head(&blob).await.unwrap_err(),
            store.delete(&blob).await.unwrap_err(),
            store.get_bytes(id).await.unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(&error, BlobError::Id(shown) if shown.len() <= 64), "{error}");
        }
    }
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn links_do_not_lead_out() {
    let (dir, store) = store();
    let blob = store.put_bytes("inside").await.unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let data = dir.path().join("blobs/data").join(&blob.blob_id);
    fs::remove_file(&data).unwrap();
    std::os::unix::fs::symlink(&secret, &data).unwrap();
    let error = store.get_bytes(&blob).await.unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    assert!(store.delete(&blob).await.unwrap());
    assert_eq!(
        fs::read(&secret).unwrap(),
        b"secret",
        "the link goes, not what it leads to"
    );
}

#[tokio::test]
async fn a_flipped_byte_is_noticed() {
    let (dir, store) = store();
    let blob = store.put_bytes(bytes(1_000_000)).await.unwrap();
    let data = dir.path().join("blobs/data").join(&blob.blob_id);
    let mut stored = fs::read(&data).unwrap();
    stored[500_000] ^= 1;
    fs::write(&data, &stored).unwrap();
    let out = dir.path().join("out");
    fs::write(&out, "what was there").unwrap();
    let is_damaged = |error: &BlobError| matches!(error, BlobError::Damaged { what, .. } if what.contains("sha256"));
    assert!(is_damaged(&store.get_bytes(&blob).await.unwrap_err()));
    assert!(is_damaged(&store.get_bytes(&blob.blob_id).await.unwrap_err()));
    assert!(is_damaged(&store.get_to_file(&blob, &out).await.unwrap_err()));
    assert_eq!(fs::read(&out).unwrap(), b"what was there");
    assert_eq!(files(dir.path()).len(), 3, "data, meta, out");
    // A streaming reader gets an error instead of the last bytes.
    let mut read = vec![0; 1_000_000];
    let error = store
        .open(&blob)
        .await
        .unwrap()
        .read_exact(&mut read)
        .await
        .unwrap_err();
    assert!(is_damaged(error.get_ref().unwrap().downcast_ref().unwrap()));

    stored.pop();
    fs::write(&data, &stored).unwrap();
    assert!(matches!(store.get_bytes(&blob).await, Err(BlobError::Damaged { .. })));
}

#[tokio::test]
async fn the_hash_of_the_reference_counts() {
    let (_dir, store) = store();
    let blob = store.put_bytes("stored").await.unwrap();
    let other = BlobRef {
        sha256: Some("0".repeat(64)),
        ..blob.clone()
    };
    assert!(matches!(store.get_bytes(&other).await, Err(BlobError::Damaged { .. })));
    let none = BlobRef { sha256: None, ..blob };
    assert_eq!(store.get_bytes(&none).await.unwrap(), "stored");
}

#[rstest]
#[case::nothing("")]
#[case::no_json("{")]
#[case::another_type(r#"{"type":"text"}"#)]
#[case::another_blob(r#"{"type":"blob_ref","blob_id":"other","size_bytes":1}"#)]
#[tokio::test]
async fn a_reference_that_is_none_is_damage(#[case] text: &str) {
    let (dir, store) = store();
    let blob = store.put_bytes("x").await.unwrap();
    let meta = dir.path().join("blobs/meta").join(format!("{}.json", blob.blob_id));
    fs::write(meta, text).unwrap();
    assert!(matches!(store.head(&blob).await, Err(BlobError::Damaged { .. })));
    assert!(matches!(store.get_bytes(&blob).await, Err(BlobError::Damaged { .. })));
}

#[tokio::test]
async fn memory_is_limited_and_text_is_text() {
    let (dir, store) = store();
    let mut settings = store.settings().clone();
    settings.memory_limit = 10;
    let small = BlobStore::new(settings);
    let blob = store.put_bytes(vec![0xff; 11]).await.unwrap();
    let error = small.get_bytes(&blob).await.unwrap_err();
    assert!(matches!(
        error,
        BlobError::TooLarge {
            size: 11,
            limit: 10,
            ..
        }
    ));
    assert!(error.to_string().contains("get_to_file"), "{error}");
    small.get_to_file(&blob, dir.path().join("out")).await.unwrap();
    assert!(matches!(store.get_text(&blob).await, Err(BlobError::NotText { .. })));
}

#[tokio::test]
async fn a_source_that_breaks_leaves_nothing() {
    let (dir, store) = store();
    let source = |fails| Breaks {
        left: bytes(2_000_000),
        fails,
    };
    let error = store.put_reader(source(true)).await.unwrap_err();
    assert_eq!(error.to_string(), "the source of the blob failed: the cable is cut");
    assert_eq!(files(dir.path()), Vec::<&Path>::new());
    // Given up half-way: the future is dropped while the source gives nothing more.
    let told = Told::default();
    let mut callback = told.callback();
    let (reached, mut half) = tokio::sync::mpsc::channel(100);
    let put = store.put_reader(source(false)).progress(move |done, total| {
        callback(done, total);
        let _ = reached.try_send(done);
    });
    tokio::select! {
        _ = put.into_future() => panic!("the source has no end"),
        () = async { while half.recv().await.unwrap() < 1_500_000 {} } => {}
    }
    agentnet_testkit::eventually_true(crate::net::DEADLINE, "nothing is left", async || {
        files(dir.path()).is_empty()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_a_crash_left_is_not_seen() {
    let (dir, store) = store();
    store.put_bytes("x").await.unwrap();
    // Killed while writing, and killed between bytes and reference.
    fs::write(dir.path().join("blobs/data/.put-abc"), "half").unwrap();
    fs::write(dir.path().join("blobs/data/blob_x"), "whole").unwrap();
    assert!(matches!(store.get_bytes(".put-abc").await, Err(BlobError::Id(_))));
    assert!(matches!(
        store.get_bytes("blob_x").await,
        Err(BlobError::NotFound { .. })
    ));
    assert_eq!(store.head("blob_x").await.unwrap(), None);
    fs::write(dir.path().join("blobs/meta/.put-def"), "half").unwrap();
    assert_eq!(store.sweep(Duration::from_secs(3600)).await.unwrap(), 0, "too young");
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 3);
    assert_eq!(files(dir.path()).len(), 2, "the blob that is whole is left");
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test]
async fn other_storages_are_named_or_refused() {
    let (_dir, store) = store();
    let foreign = BlobRef::new("b", "s3");
    let error = store.get_bytes(&foreign).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the blob is kept in `s3`, which is neither local_fs nor nats_object"
    );
    let network = BlobRef::new("b", "nats_object");
    assert!(matches!(store.head(&network).await, Err(BlobError::NotConnected)));
    let short = BlobRef::new("b", "local");
    assert_eq!(store.head(&short).await.unwrap(), None, "`local` is short for local_fs");
}
