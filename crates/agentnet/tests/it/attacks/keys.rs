//! Key files that cannot be used, and keys that belong to others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use agentnet::{KeyFileError, RegistryError, SigningKey, StartError, json};

use crate::attacks::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_cannot_be_used_stops_the_start() {
    let realm = Realm::start().await;
    let path = realm.keys.path().join("alice.json");
    let private = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let good = SigningKey::from_seed(&[1; 32]).to_key_file();
    let mixed = good.replace(
        SigningKey::from_seed(&[1; 32]).public_text(),
        SigningKey::from_seed(&[2; 32]).public_text(),
    );
    for (content, mode) in [
        ("", 0o600),
        ("no json", 0o600),
        (r#"{"private_key":"","public_key":""}"#, 0o600),
        (r#"{"private_key":"AAAA","public_key":"AAAA"}"#, 0o600),
        (mixed.as_str(), 0o600),
        (good.as_str(), 0o644),
        (good.as_str(), 0o660),
        (good.as_str(), 0o606),
    ] {
        fs::write(&path, content).unwrap();
        private(mode);
        let error = realm.agent("alice").start().await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        match error {
            StartError::Key(KeyFileError::Damaged { .. }) => assert_eq!(mode, 0o600, "{told}"),
            StartError::Key(KeyFileError::Exposed { mode: seen, .. }) => assert_eq!(seen, mode, "{told}"),
            other => panic!("{other}"),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "it is as it was");
        assert_eq!(
            realm.accounts().await.len(),
            1,
            "nobody but the registry has an account"
        );
    }
    fs::write(&path, &good).unwrap();
    private(0o600);
    let alice = realm.agent("alice").start().await.unwrap();
    let bound = realm.store.account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(
        bound.public_key.as_deref(),
        Some(SigningKey::from_seed(&[1; 32]).public_text())
    );
    alice.close().await;
}

/// Processes of one agent that start at once make one key file, and are one account.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_share_a_key() {
    let realm = Realm::start().await;
    let starts = (0..8).map(|_| realm.agent("worker").start());
    let nodes = futures::future::try_join_all(starts).await.unwrap();
    let accounts: std::collections::BTreeSet<_> = nodes.iter().map(|node| node.account_id().unwrap()).collect();
    assert_eq!((accounts.len(), realm.online().await.len()), (1, 8));
    let mode = fs::metadata(realm.keys.path().join("worker.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for node in nodes {
        node.close().await;
    }
}

/// The same name on another machine is another identity.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_alone_opens_nothing() {
    let realm = Realm::start().await;
    let (bob, notes) = realm.answering("bob").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let refused = |error: StartError, code: &str| {
        assert!(
            matches!(&error, StartError::Register(RegistryError::Refused(text)) if text == code),
            "{error}"
        );
    };
    let impostor = realm.agent("bob").key_dir(elsewhere.path());
    refused(impostor.start().await.unwrap_err(), "auth_public_key_mismatch");
    let by_id = realm.agent("x").account_id(bob.account_id().unwrap());
    refused(by_id.start().await.unwrap_err(), "auth_public_key_mismatch");
    refused(
        realm.agent("bob").dev_auth(false).start().await.unwrap_err(),
        "auth_required",
    );
    // A key in the program's own hands does as well as a file.
    let carol = realm.agent("carol").signing_key(SigningKey::from_seed(&[3; 32]));
    let carol = carol.start().await.unwrap();
    carol.send("@bob", json!("hi")).await.unwrap();
    handled(&notes, 1).await;
    assert!(!realm.keys.path().join("carol.json").exists());
    carol.close().await;
    bob.close().await;
}
