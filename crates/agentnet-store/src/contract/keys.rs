//! Keys that are bound to accounts: what `Accounts::claim_account` and `Accounts::rotate_key` say of them.

use std::sync::Arc;

use agentnet_protocol::RawJson;
use agentnet_protocol::signing_scope::SigningScope;
use tokio::task::JoinSet;

use super::claims::{derived, generated, with_id, with_key};
use super::sample::{any_account, at, requested, texts, usernames};
use crate::StoreError;
use crate::model::{Account, AccountClaim};
use crate::store::Store;

/// A key is bound at creation or later, and then stays.
pub async fn a_key_is_bound_once(store: Arc<dyn Store>) {
    let alice = store
        .claim_account(&with_key("key_a", requested("alice")))
        .await
        .unwrap();
    assert_eq!(alice.public_key.as_deref(), Some("key_a"));

    store.claim_account(&requested("bob")).await.unwrap();
    let bob = store.claim_account(&with_key("key_b", requested("bob"))).await.unwrap();
    assert_eq!(bob.public_key.as_deref(), Some("key_b"));

    for claim in [
        requested("bob"),
        with_key("key_b", requested("bob")),
        with_id("acct_new_bob", derived("x")),
    ] {
        assert_eq!(
            store.claim_account(&claim).await.unwrap().public_key.as_deref(),
            Some("key_b")
        );
    }
    assert_eq!(
        store
            .account_by_id("acct_new_bob")
            .await
            .unwrap()
            .unwrap()
            .public_key
            .as_deref(),
        Some("key_b")
    );
}

/// The wrong key neither joins, nor renames, nor changes the profile.
pub async fn a_key_mismatch_changes_nothing(store: Arc<dyn Store>) {
    let alice = store
        .claim_account(&with_key("key_a", with_id("acct_1", requested("alice"))))
        .await
        .unwrap();
    for wrong in [
        requested("alice"),
        derived("alice"),
        with_id("acct_1", requested("mallory")),
    ] {
        let wrong = AccountClaim {
            display_name: "Mallory".into(),
            capabilities: texts(&["steal"]),
            metadata: RawJson::null(),
            at: at(9),
            ..with_key("key_m", wrong)
        };
        assert!(matches!(
            store.claim_account(&wrong).await,
            Err(StoreError::KeyMismatch)
        ));
        assert_eq!(store.account_by_id("acct_1").await.unwrap().as_ref(), Some(&alice));
    }
    assert_eq!(usernames(&*store, &any_account()).await, ["alice"]);
}

/// Another key takes the place of the one that is bound, if that is the one that is named; everything else stays.
pub async fn a_key_is_rotated_by_its_owner_alone(store: Arc<dyn Store>) {
    let claim = AccountClaim {
        signs: SigningScope::ALL,
        ..with_key("key_a", with_id("acct_1", requested("alice")))
    };
    let alice = store.claim_account(&claim).await.unwrap();
    store.claim_account(&with_id("acct_2", requested("bob"))).await.unwrap();
    for (account, old) in [("acct_1", "key_m"), ("acct_1", ""), ("acct_2", "key_a"), ("acct_2", "")] {
        let refused = store.rotate_key(account, old, "key_m", at(9)).await;
        assert!(
            matches!(refused, Err(StoreError::KeyMismatch)),
            "{account} {old}: {refused:?}"
        );
    }
    assert_eq!(store.rotate_key("acct_3", "key_a", "key_m", at(9)).await.unwrap(), None);
    assert_eq!(store.account_by_id("acct_1").await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.account_by_id("acct_2").await.unwrap().unwrap().public_key, None);

    let rotated = store
        .rotate_key("acct_1", "key_a", "key_b", at(5))
        .await
        .unwrap()
        .unwrap();
    let expected = Account {
        public_key: Some("key_b".into()),
        updated_at: at(5),
        ..alice
    };
    assert_eq!(rotated, expected);
    assert_eq!(store.account_by_id("acct_1").await.unwrap(), Some(expected));
    for key in ["key_a", "key_c"] {
        let wrong = with_key(key, requested("alice"));
        assert!(matches!(
            store.claim_account(&wrong).await,
            Err(StoreError::KeyMismatch)
        ));
    }
    assert!(
        store
            .claim_account(&with_key("key_b", requested("alice")))
            .await
            .is_ok()
    );

    // Of many who rotate the same key at once, one does.
    let mut tasks = JoinSet::new();
    for index in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store
                .rotate_key("acct_1", "key_b", &format!("key_{index}"), at(7))
                .await
                .is_ok()
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|done| *done).count(), 1);
}

/// A signed registration says what is signed; an unsigned one leaves it.
pub async fn what_is_signed_goes_with_the_key(store: Arc<dyn Store>) {
    let signing = |signs, claim| AccountClaim {
        signs,
        ..with_key("key_a", claim)
    };
    let receipts = SigningScope {
        receipts: true,
        presence: false,
    };
    for (claim, expected) in [
        (
            AccountClaim {
                signs: SigningScope::ALL,
                ..requested("alice")
            },
            SigningScope::default(),
        ),
        (signing(SigningScope::ALL, requested("alice")), SigningScope::ALL),
        (requested("alice"), SigningScope::ALL),
        (signing(receipts, with_id("acct_new_alice", derived("x"))), receipts),
        (with_id("acct_new_alice", derived("x")), receipts),
        (
            signing(SigningScope::default(), requested("alice")),
            SigningScope::default(),
        ),
        (
            signing(SigningScope::ALL, with_id("acct_1", requested("bob"))),
            SigningScope::ALL,
        ),
        (signing(SigningScope::ALL, generated("agent_x")), SigningScope::ALL),
    ] {
        let account = store.claim_account(&claim).await.unwrap();
        assert_eq!(account.signs, expected);
        assert_eq!(
            store.account_by_id(&account.account_id).await.unwrap().unwrap().signs,
            expected
        );
    }
}
