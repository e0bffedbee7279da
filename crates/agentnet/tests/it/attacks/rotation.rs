//! Rotating keys: by their owner, by others, and interrupted.

use agentnet::protocol::rotation;
use agentnet::protocol::rpc::{Request as _, RotateKeyRequest};
use agentnet::protocol::signing_scope::SigningScope;
use agentnet::{RegistryClient, RegistryError, RotateError, SigningKey, StartError, json};
use agentnet_keys::{create, load, next_path};
use agentnet_testkit::eventually_true;
use serde_json::Value;

use crate::attacks::harness::*;
use crate::net::{DEADLINE, from_now, parse};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_rotates_its_key_while_it_runs() {
    let realm = Realm::start().await;
    let second = realm.another_registry("second").await;
    let (bob, notes) = realm.answering("bob").await;
    let (alice, heard) = realm.answering("alice").await;
    let path = realm.keys.path().join("alice.json");
    alice.request("@bob", json!(1)).await.unwrap();
    bob.request("@alice", json!(1)).await.unwrap();
    for round in 0..3 {
        let old = load(&path).unwrap().unwrap();
        let public = alice.rotate_key().await.unwrap();
        assert_ne!(public, old.public_text());
        assert_eq!(load(&path).unwrap().unwrap().public_text(), public);
        assert!(!next_path(&path).exists());
        // Who had the old key in mind asks for the new one; receipts and replies in both directions.
        let key_is_known = async || alice.send("@bob", json!(round)).await.is_ok();
        eventually_true(DEADLINE, "Bob knows the new key", key_is_known)
            .await
            .unwrap();
        alice.request("@bob", json!(round)).timeout(DEADLINE).await.unwrap();
        bob.send("@alice", json!(round)).await.unwrap();
        bob.request("@alice", json!(round)).timeout(DEADLINE).await.unwrap();
        // The old key opens nothing any more.
        let thief = realm.agent("alice").signing_key(old).start().await.unwrap_err();
        assert!(
            matches!(&thief, StartError::Register(RegistryError::Refused(code)) if code == "auth_public_key_mismatch"),
            "{thief}"
        );
    }
    assert!(notes.lock().unwrap().len() >= 7 && heard.lock().unwrap().len() >= 7);
    // Its goodbye is signed with the new key, and every registry knows it.
    let tag = alice.session_tag().unwrap();
    alice.close().await;
    let gone = async || {
        realm
            .online()
            .await
            .iter()
            .all(|session| session["session_tag"] != tag.as_str())
    };
    eventually_true(DEADLINE, "Alice is gone", gone).await.unwrap();
    let again = realm.agent("alice").start().await.unwrap();
    again.close().await;
    bob.close().await;
    second.shutdown().await;
}
/// A request by `old` to bind `new`, made so many milliseconds from now.
fn request(account: &str, old: &SigningKey, new: &SigningKey, millis: i128) -> Value {
    let at = agentnet::protocol::Timestamp::parse(&from_now(millis)).unwrap();
    let nonce = agentnet::protocol::ids::uuid4_hex(rand::random());
    parse(rotation::request(account, old, new, at, &nonce).encode().as_bytes())
}

/// Requests to rotate alice's key that must be refused, with their errors.
fn refused_requests(
    alice: &Peer,
    carol: &Peer,
    new: &SigningKey,
    other: &SigningKey,
) -> Vec<(&'static str, Value, &'static str)> {
    let good = || request(&alice.account_id, &alice.key, new, 0);
    let stolen = request(&alice.account_id, &alice.key, other, 0)["proof"].clone();
    vec![
        (
            "by another's key",
            request(&alice.account_id, &carol.key, new, 0),
            "auth_public_key_mismatch",
        ),
        (
            "by the new key",
            request(&alice.account_id, new, new, 0),
            "auth_public_key_mismatch",
        ),
        (
            "of another account",
            with(good(), "account_id", json!(carol.account_id)),
            "auth_claims_account_mismatch",
        ),
        ("of no account", request("acct_nobody", &alice.key, new, 0), "not_found"),
        (
            "to another key",
            with(good(), "new_public_key", json!(other.public_text())),
            "auth_claims_new_key_mismatch",
        ),
        (
            "without proof",
            with(good(), "proof", Value::Null),
            "auth_proof_invalid",
        ),
        (
            "with another's proof",
            with(good(), "proof", stolen),
            "auth_proof_invalid",
        ),
        (
            "with a large proof",
            with(good(), "proof", json!("A".repeat(1_000))),
            "proof has 1000 bytes; at most 256 are allowed",
        ),
        (
            "old",
            request(&alice.account_id, &alice.key, new, -121_000),
            "auth_claims_timestamp_skew",
        ),
        (
            "future",
            request(&alice.account_id, &alice.key, new, 122_000),
            "auth_claims_timestamp_skew",
        ),
        (
            "the registry's",
            request("acct_registry_registry", &alice.key, new, 0),
            "auth_public_key_mismatch",
        ),
    ]
}

/// Malformed requests to rotate alice's key, with their errors.
fn malformed_requests(alice: &Peer, new: &SigningKey) -> Vec<(&'static str, Value, &'static str)> {
    let good = || request(&alice.account_id, &alice.key, new, 0);
    vec![
        ("unsigned", with(good(), "auth", Value::Null), "auth_required"),
        ("malformed", with(good(), "auth", json!([1])), "auth_required"),
        (
            "a registration",
            with(
                good(),
                "auth",
                registration("alice", &alice.key, SigningScope::ALL)["auth"].clone(),
            ),
            "auth_claims_invalid",
        ),
        (
            "no key",
            with(good(), "new_public_key", Value::Null),
            "new_public_key is required",
        ),
        (
            "no id",
            with(good(), "account_id", json!(" ")),
            "account_id is required",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_rotates() {
    let realm = Realm::start().await;
    let second = realm.another_registry("second").await;
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let carol = realm.peer("carol", SigningScope::ALL).await;
    let [new, other] = [20, 21].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let before = realm.accounts().await;
    let refused = refused_requests(&alice, &carol, &new, &other);
    for (what, request, code) in refused.into_iter().chain(malformed_requests(&alice, &new)) {
        assert_eq!(
            realm.ask("rotate_key", &request).await,
            json!({ "error": code }),
            "{what}"
        );
        assert_eq!(realm.accounts().await, before, "{what}");
    }
    let done = request(&alice.account_id, &alice.key, &new, 0);
    let reply = realm.ask("rotate_key", &done).await;
    assert_eq!(
        (&reply["account_id"], &reply["public_key"]),
        (&json!(alice.account_id), &json!(new.public_text()))
    );
    let replayed = realm.ask("rotate_key", &done).await["error"].clone();
    assert!(
        replayed == "auth_nonce_replayed" || replayed == "auth_public_key_mismatch",
        "{replayed}"
    );
    // And back: the recorded request does not work a second time.
    let back = request(&alice.account_id, &new, &alice.key, 0);
    assert_eq!(realm.ask("rotate_key", &back).await.get("error"), None);
    let after = realm.accounts().await;
    for _ in 0..10 {
        assert_eq!(
            realm.ask("rotate_key", &done).await,
            json!({ "error": "auth_nonce_replayed" })
        );
    }
    assert_eq!(realm.accounts().await, after);
    second.shutdown().await;
}

/// The program ended between any two steps of a rotation.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rotation_is_finished() {
    let realm = Realm::start().await;
    let registry = RegistryClient::connect(&realm.nats.url()).await.unwrap();
    let node = realm.agent("alice").start().await.unwrap();
    let account_id = node.account_id().unwrap();
    node.close().await;
    let path = realm.keys.path().join("alice.json");
    let current = || load(&path).unwrap().unwrap();
    let rotate = async |old: &SigningKey, new: &SigningKey| {
        let nonce = agentnet::protocol::ids::uuid4_hex(rand::random());
        let now = std::time::SystemTime::now().into();
        let request: RotateKeyRequest = rotation::request(&account_id, old, new, now, &nonce);
        registry.call(&request).await.unwrap();
    };

    // Before the registry was asked: a node starts with the old key, and a rotation goes on with the new one.
    let next = agentnet_keys::generate();
    create(&next_path(&path), &next).unwrap();
    realm.agent("alice").start().await.unwrap().close().await;
    let public = registry.rotate_key_file(&account_id, &path).await.unwrap();
    assert_eq!(
        (public.as_str(), current().public_text()),
        (next.public_text(), next.public_text())
    );
    assert!(!next_path(&path).exists());

    // After it was asked, before the files were changed: a node finds out at its start.
    let next = agentnet_keys::generate();
    create(&next_path(&path), &next).unwrap();
    rotate(&current(), &next).await;
    realm.agent("alice").start().await.unwrap().close().await;
    assert_eq!(current().public_text(), next.public_text());
    assert!(!next_path(&path).exists());

    // The same, found out by a rotation.
    let next = agentnet_keys::generate();
    create(&next_path(&path), &next).unwrap();
    rotate(&current(), &next).await;
    assert_eq!(
        registry.rotate_key_file(&account_id, &path).await.unwrap(),
        next.public_text()
    );
    assert_eq!(current().public_text(), next.public_text());

    // After the files were changed: what is left beside is of no account.
    create(&next_path(&path), &current()).unwrap();
    let public = registry.rotate_key_file(&account_id, &path).await.unwrap();
    assert_eq!(public, current().public_text());
    assert_ne!(public, next.public_text());

    // Bound to a key that is in neither file: nothing is changed.
    let (lost, next) = (agentnet_keys::generate(), agentnet_keys::generate());
    rotate(&current(), &lost).await;
    let before = current();
    create(&next_path(&path), &next).unwrap();
    let error = registry.rotate_key_file(&account_id, &path).await.unwrap_err();
    assert!(matches!(error, RotateError::Lost(_)), "{error}");
    assert_eq!(current().public_text(), before.public_text());
    let error = realm.agent("alice").start().await.unwrap_err();
    assert!(matches!(error, StartError::Register(_)), "{error}");
    assert_eq!(
        load(&next_path(&path)).unwrap().unwrap().public_text(),
        next.public_text()
    );
}
