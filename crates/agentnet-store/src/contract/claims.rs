//! Claiming an account: the rules of `Accounts::claim_account`.

use std::collections::BTreeSet;
use std::sync::Arc;

use agentnet_protocol::signing_scope::SigningScope;
use tokio::task::JoinSet;

use super::sample::{any_account, at, claim, json, requested, texts, usernames};
use crate::StoreError;
use crate::model::{Account, AccountClaim, DesiredName, MAX_METADATA_BYTES};
use crate::store::Store;

pub(super) fn derived(name: &str) -> AccountClaim {
    claim(DesiredName::Derived(name.to_owned()))
}

pub(super) fn generated(name: &str) -> AccountClaim {
    claim(DesiredName::Generated(name.to_owned()))
}

pub(super) fn with_id(account_id: &str, claim: AccountClaim) -> AccountClaim {
    AccountClaim {
        account_id: Some(account_id.to_owned()),
        ..claim
    }
}

pub(super) fn with_key(key: &str, claim: AccountClaim) -> AccountClaim {
    AccountClaim {
        public_key: Some(key.to_owned()),
        ..claim
    }
}

fn assert_variant(name: &str, of: &str) {
    let suffix = name
        .strip_prefix(of)
        .and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or_else(|| panic!("{name}"));
    assert_eq!(suffix.len(), 6, "{name}");
    assert!(
        suffix.bytes().all(|b| b"0123456789abcdefghjkmnpqrstvwxyz".contains(&b)),
        "{name}"
    );
}

/// Rule 4, and the defaults of what a claim does not say.
pub async fn a_new_account_holds_what_was_claimed(store: Arc<dyn Store>) {
    let claimed = store
        .claim_account(&AccountClaim {
            display_name: "Alice".into(),
            capabilities: texts(&["Sum", "chat"]),
            metadata: json(r#"{"b": 1.50, "a": null}"#),
            ..requested("alice")
        })
        .await
        .unwrap();
    let expected = Account {
        account_id: "acct_new_alice".into(),
        username: "alice".into(),
        display_name: "Alice".into(),
        bio: String::new(),
        capabilities: texts(&["Sum", "chat"]),
        metadata: json(r#"{"b": 1.50, "a": null}"#),
        visibility: "public".into(),
        status: "active".into(),
        public_key: None,
        signs: SigningScope::default(),
        created_at: at(0),
        updated_at: at(0),
    };
    assert_eq!(claimed, expected);
    assert_eq!(
        store.account_by_id("acct_new_alice").await.unwrap(),
        Some(expected.clone())
    );
    assert_eq!(store.account_by_username("alice").await.unwrap(), Some(expected));
    assert_eq!(store.account_by_id("acct_new_ALICE").await.unwrap(), None);
    assert_eq!(store.account_by_username("alic").await.unwrap(), None);
}

/// Rule 3, for requested and derived names; the profile is replaced, the rest stays.
pub async fn a_known_name_is_joined(store: Arc<dyn Store>) {
    let first = store.claim_account(&requested("alice")).await.unwrap();
    for (second, seconds) in [(requested("alice"), 5), (derived("alice"), 9)] {
        let joined = store
            .claim_account(&AccountClaim {
                new_account_id: "acct_other".into(),
                display_name: format!("Alice {seconds}"),
                capabilities: vec![],
                metadata: json(r#"{"v":2}"#),
                at: at(seconds),
                ..second
            })
            .await
            .unwrap();
        let expected = Account {
            display_name: format!("Alice {seconds}"),
            capabilities: vec![],
            metadata: json(r#"{"v":2}"#),
            updated_at: at(seconds),
            ..first.clone()
        };
        assert_eq!(joined, expected);
        assert_eq!(store.account_by_id(&first.account_id).await.unwrap(), Some(expected));
    }
    assert_eq!(store.account_by_id("acct_other").await.unwrap(), None);
}

/// Rule 2, whichever way the name came about.
pub async fn an_unknown_id_is_created_under_it(store: Arc<dyn Store>) {
    for (id, name, claim) in [
        ("acct_r", "rita", requested("rita")),
        ("acct_d", "dora", derived("dora")),
        ("acct_g", "agent_x", generated("agent_x")),
    ] {
        let created = store.claim_account(&with_id(id, claim)).await.unwrap();
        assert_eq!((created.account_id.as_str(), created.username.as_str()), (id, name));
        assert_eq!(store.account_by_username(name).await.unwrap().unwrap().account_id, id);
    }
}

/// Rule 2 with a conflict: the name's first 24 characters, `-`, six random ones; the other account is left alone.
pub async fn an_unknown_id_with_a_taken_name_gets_a_variant(store: Arc<dyn Store>) {
    let long = "a2345678901234567890123-5678901x";
    let first = store.claim_account(&requested(long)).await.unwrap();
    let mut names = BTreeSet::new();
    for id in ["acct_1", "acct_2", "acct_3"] {
        let created = store.claim_account(&with_id(id, requested(long))).await.unwrap();
        assert_eq!(created.account_id, id);
        assert_variant(&created.username, &long[..24]);
        names.insert(created.username);
    }
    assert_eq!(names.len(), 3);
    assert_eq!(store.account_by_username(long).await.unwrap(), Some(first));
}

/// Rule 1: no rename to a name that was not requested.
pub async fn a_known_id_keeps_its_name_unless_another_is_requested(store: Arc<dyn Store>) {
    store
        .claim_account(&with_id("acct_1", requested("alice")))
        .await
        .unwrap();
    for claim in [derived("worker"), generated("agent_x"), requested("alice")] {
        let known = store
            .claim_account(&with_id("acct_1", AccountClaim { at: at(3), ..claim }))
            .await
            .unwrap();
        assert_eq!(
            (known.account_id.as_str(), known.username.as_str()),
            ("acct_1", "alice")
        );
        assert_eq!((known.created_at, known.updated_at), (at(0), at(3)));
    }
    assert_eq!(usernames(&*store, &any_account()).await, ["alice"]);
}

/// Rule 1: a rename frees the old name; a taken name is not taken over, and its account is not joined.
pub async fn a_known_id_takes_a_free_name_but_no_taken_one(store: Arc<dyn Store>) {
    store
        .claim_account(&with_id("acct_1", requested("alice")))
        .await
        .unwrap();
    let bob = store.claim_account(&with_id("acct_2", requested("bob"))).await.unwrap();

    let renamed = store
        .claim_account(&with_id("acct_1", requested("carol")))
        .await
        .unwrap();
    assert_eq!(
        (renamed.account_id.as_str(), renamed.username.as_str()),
        ("acct_1", "carol")
    );
    assert_eq!(store.account_by_username("alice").await.unwrap(), None);
    assert_eq!(store.account_by_username("carol").await.unwrap(), Some(renamed));

    let kept = store.claim_account(&with_id("acct_1", requested("bob"))).await.unwrap();
    assert_eq!((kept.account_id.as_str(), kept.username.as_str()), ("acct_1", "carol"));
    assert_eq!(store.account_by_username("bob").await.unwrap(), Some(bob));

    let new = store.claim_account(&requested("alice")).await.unwrap();
    assert_eq!(new.account_id, "acct_new_alice", "the old name is free again");
}

/// Rule 4: two unnamed agents are two accounts.
pub async fn generated_names_never_join(store: Arc<dyn Store>) {
    let first = store.claim_account(&generated("agent_x")).await.unwrap();
    let second = store
        .claim_account(&AccountClaim {
            new_account_id: "acct_2".into(),
            ..generated("agent_x")
        })
        .await
        .unwrap();
    assert_eq!(first.username, "agent_x");
    assert_eq!(second.account_id, "acct_2");
    assert_variant(&second.username, "agent_x");
    assert_eq!(store.account_by_username("agent_x").await.unwrap(), Some(first));
}

async fn fifty_at_once(store: &Arc<dyn Store>, claim: impl Fn(usize) -> AccountClaim) -> Vec<Account> {
    let mut tasks = JoinSet::new();
    for index in 0..50 {
        let (store, claim) = (Arc::clone(store), claim(index));
        tasks.spawn(async move { store.claim_account(&claim).await.unwrap() });
    }
    tasks.join_all().await
}

/// Fifty processes of one agent start at once: one account, no error.
pub async fn concurrent_claims_of_one_name_make_one_account(store: Arc<dyn Store>) {
    let claim = |index| AccountClaim {
        new_account_id: format!("acct_{index}"),
        ..requested("alice")
    };
    let accounts = fifty_at_once(&store, claim).await;
    let ids: BTreeSet<&str> = accounts.iter().map(|account| account.account_id.as_str()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(usernames(&*store, &any_account()).await, ["alice"]);
}

/// Fifty unnamed agents start at once and happen to make up one name: fifty accounts.
pub async fn concurrent_generated_names_make_one_account_each(store: Arc<dyn Store>) {
    let claim = |index| AccountClaim {
        new_account_id: format!("acct_{index}"),
        ..generated("agent_x")
    };
    let accounts = fifty_at_once(&store, claim).await;
    let names: BTreeSet<&str> = accounts.iter().map(|account| account.username.as_str()).collect();
    assert_eq!(names.len(), 50);
    assert_eq!(store.accounts(&any_account()).await.unwrap().items.len(), 50);
}

/// Several claims at once have the outcomes that they have one after the other, each in its place; what is wrong with one
/// does not touch the others.
pub async fn claims_together_are_as_if_one_came_after_the_other(store: Arc<dyn Store>) {
    store
        .claim_account(&with_key("key_a", requested("alice")))
        .await
        .unwrap();
    store.claim_account(&requested("bob")).await.unwrap();
    let too_large = AccountClaim {
        metadata: json(&format!(r#"{{"x":"{}"}}"#, "x".repeat(MAX_METADATA_BYTES))),
        ..requested("large")
    };
    let again = AccountClaim {
        new_account_id: "acct_second".into(),
        display_name: "Second".into(),
        ..requested("dora")
    };
    let claims = [
        requested("dora"),
        with_key("key_b", requested("alice")),
        too_large,
        derived("bob"),
        AccountClaim {
            new_account_id: "acct_made_up".into(),
            ..generated("bob")
        },
        with_id("acct_mine", requested("carol")),
        with_key("key_e", derived("eve")),
        again,
        requested("日本\0"),
    ];
    let outcomes = store.claim_accounts(&claims).await.unwrap();
    assert_eq!(outcomes.len(), claims.len());
    let of = |at: usize| {
        let account = outcomes[at].as_ref().unwrap_or_else(|error| panic!("{at}: {error}"));
        (account.account_id.as_str(), account.username.as_str())
    };
    assert_eq!(of(0), ("acct_new_dora", "dora"));
    assert!(matches!(outcomes[1], Err(StoreError::KeyMismatch)), "{:?}", outcomes[1]);
    assert!(matches!(outcomes[2], Err(StoreError::TooLarge(_))), "{:?}", outcomes[2]);
    assert_eq!(of(3), ("acct_new_bob", "bob"));
    assert_variant(of(4).1, "bob");
    assert_eq!(of(5), ("acct_mine", "carol"));
    assert_eq!(of(6), ("acct_new_eve", "eve"));
    assert_eq!(of(7), ("acct_new_dora", "dora"));
    assert_eq!(of(8), ("acct_new_日本\0", "日本\0"));
    let found = |name: &'static str| async { store.account_by_username(name).await.unwrap() };
    assert_eq!(
        found("dora").await.unwrap().display_name,
        "Second",
        "the later one counts"
    );
    assert_eq!(found("eve").await.unwrap().public_key.as_deref(), Some("key_e"));
    assert_eq!(found("alice").await.unwrap().public_key.as_deref(), Some("key_a"));
    assert_eq!(found("large").await, None);
}
