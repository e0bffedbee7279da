//! Looking accounts up.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentnet_protocol::limits::{MAX_CAPABILITIES, MAX_CAPABILITY_BYTES, MAX_NAME_BYTES};

use super::sample::{any_account, json, metadata_of, requested, texts, usernames};
use crate::StoreError;
use crate::model::{AccountClaim, AccountQuery, KnownAccount, MAX_METADATA_BYTES};
use crate::store::Store;

async fn add(store: &dyn Store, username: &str, display_name: &str, capabilities: &[&str]) {
    let claim = AccountClaim {
        display_name: display_name.into(),
        capabilities: texts(capabilities),
        ..requested(username)
    };
    store.claim_account(&claim).await.unwrap();
}

fn text(text: &str) -> AccountQuery {
    AccountQuery {
        text: text.into(),
        ..any_account()
    }
}

fn capability(capability: &str) -> AccountQuery {
    AccountQuery {
        capability: Some(capability.into()),
        ..any_account()
    }
}

/// No character of a query is a wildcard or an escape.
pub async fn search_text_is_literal(store: Arc<dyn Store>) {
    let names = [
        ("a", "100% sure"),
        ("b", "snake_case"),
        ("c", r"back\slash"),
        ("d", "it's \"quoted\""),
        ("e", "plain*?[x]"),
    ];
    for (username, display_name) in names {
        add(&*store, username, display_name, &[]).await;
    }
    for (query, expected) in [
        ("%", "a"),
        ("_", "b"),
        (r"\", "c"),
        ("'", "d"),
        ("\"", "d"),
        ("*?[", "e"),
        ("0% S", "a"),
    ] {
        assert_eq!(usernames(&*store, &text(query)).await, [expected], "{query}");
    }
    for query in ["%s%", "s_ake", "p%", "''", ".*"] {
        assert!(usernames(&*store, &text(query)).await.is_empty(), "{query}");
    }
}

/// Case is ignored in every script, on both sides.
pub async fn search_ignores_case_beyond_ascii(store: Arc<dyn Store>) {
    for (username, display_name) in [("a", "Ärger GmbH"), ("b", "ЖУРНАЛ"), ("c", "ΟΔΟΣ"), ("d", "日本語")]
    {
        add(&*store, username, display_name, &[]).await;
    }
    for (query, expected) in [
        ("ÄRG", "a"),
        ("ärg", "a"),
        ("журнал", "b"),
        ("οδος", "c"),
        ("ΔΟΣ", "c"),
        ("本", "d"),
    ] {
        assert_eq!(usernames(&*store, &text(query)).await, [expected], "{query}");
    }
    assert!(usernames(&*store, &text("arg")).await.is_empty(), "an umlaut is no a");
}

/// Username or display name, never a mixture of both; an empty text matches all.
pub async fn search_looks_at_both_names(store: Arc<dyn Store>) {
    add(&*store, "alice", "Wonder", &[]).await;
    add(&*store, "bob", "Alice's friend", &[]).await;
    add(&*store, "carol", "Carol", &[]).await;
    assert_eq!(usernames(&*store, &text("ALICE")).await, ["alice", "bob"]);
    assert_eq!(usernames(&*store, &text("wonder")).await, ["alice"]);
    assert!(usernames(&*store, &text("alicewonder")).await.is_empty());
    assert_eq!(usernames(&*store, &text("")).await, ["alice", "bob", "carol"]);
}

/// A whole capability, whatever its case; the filter knows the profile of the last claim and the current name.
pub async fn capability_filter_ignores_case_and_follows_the_profile(store: Arc<dyn Store>) {
    add(&*store, "alice", "A", &["Sum", "sum", "SUM", "übersetzen"]).await;
    add(&*store, "bob", "B", &["sum", "50%_\\"]).await;
    add(&*store, "carol", "C", &[]).await;
    for (filter, expected) in [
        ("SUM", &["alice", "bob"][..]),
        ("ÜBERSETZEN", &["alice"]),
        ("50%_\\", &["bob"]),
        ("su", &[]),
        ("%", &[]),
        ("", &[]),
        (" sum", &[]),
    ] {
        assert_eq!(usernames(&*store, &capability(filter)).await, expected, "{filter}");
    }
    let both = AccountQuery {
        text: "B".into(),
        ..capability("sum")
    };
    assert_eq!(usernames(&*store, &both).await, ["bob"]);

    add(&*store, "bob", "B", &["multiply"]).await;
    let renamed = AccountClaim {
        account_id: Some("acct_new_alice".into()),
        capabilities: texts(&["Sum"]),
        ..requested("zoe")
    };
    store.claim_account(&renamed).await.unwrap();
    assert_eq!(usernames(&*store, &capability("sum")).await, ["zoe"]);
    assert_eq!(usernames(&*store, &capability("multiply")).await, ["bob"]);
    assert!(usernames(&*store, &capability("übersetzen")).await.is_empty());
}

/// Code point order, no account twice, `more` only if there are more; with a filter too.
pub async fn accounts_are_paged_by_username(store: Arc<dyn Store>) {
    let mut expected = texts(&["0", "10", "9", "a", "a-b", "a.b", "a_b", "aa", "b", "z"]);
    for name in expected.iter().rev() {
        add(&*store, name, "Same", &["chat"]).await;
    }
    expected.sort();
    for query in [any_account(), capability("CHAT"), text("same")] {
        for limit in [1, 3, 5, 10, 11] {
            let mut query = AccountQuery { limit, ..query.clone() };
            let mut walked = Vec::new();
            loop {
                let page = store.accounts(&query).await.unwrap();
                walked.extend(page.items.into_iter().map(|account| account.username));
                if !page.more {
                    break;
                }
                assert_eq!(walked.len() % limit, 0, "a page with more behind it is full");
                query.after_username = walked.last().cloned();
            }
            assert_eq!(walked, expected, "{query:?}");
        }
    }
}

/// NUL characters, quotes, any script, JSON text as it was written.
pub async fn account_texts_are_kept_exactly(store: Arc<dyn Store>) {
    let odd = AccountClaim {
        display_name: "a\0b' \"\\ \u{1f600}\u{202e}".into(),
        capabilities: texts(&["", "a\0b", "\"quoted\\", "日本語"]),
        metadata: json(r#"{ "n": 123456789012345678901234567890, "e": "\u00e9\u0000\ud800", "n": 1e2 }"#),
        agent_id: "x\0y".into(),
        public_key: Some("k\0".into()),
        ..requested("odd\0name")
    };
    store.claim_account(&odd).await.unwrap();
    let found = store.account_by_username("odd\0name").await.unwrap().unwrap();
    assert_eq!(found.display_name, odd.display_name);
    assert_eq!(found.capabilities, odd.capabilities);
    assert_eq!(found.metadata.get(), odd.metadata.get());
    assert_eq!(found.public_key, odd.public_key);
    assert_eq!(store.account_by_username("odd").await.unwrap(), None);
    assert_eq!(usernames(&*store, &text("A\0B")).await, ["odd\0name"]);
    assert_eq!(usernames(&*store, &capability("A\0b")).await, ["odd\0name"]);
    assert!(usernames(&*store, &capability("a")).await.is_empty());
}

/// The largest metadata is kept, anything beyond it changes nothing; ten megabytes among it.
pub async fn metadata_beyond_the_limit_is_refused(store: Arc<dyn Store>) {
    let with = |bytes: usize| AccountClaim {
        metadata: metadata_of(bytes),
        ..requested("alice")
    };
    let alice = store.claim_account(&with(MAX_METADATA_BYTES)).await.unwrap();
    assert_eq!(alice.metadata.get().len(), MAX_METADATA_BYTES);
    for bytes in [MAX_METADATA_BYTES + 1, 10_000_000] {
        let refused = store.claim_account(&with(bytes)).await.unwrap_err();
        assert!(matches!(&refused, StoreError::TooLarge(told) if told.size == bytes));
        assert_eq!(
            refused.to_string(),
            format!("metadata has {bytes} bytes; at most 1048576 are allowed")
        );
    }
    assert_eq!(store.account_by_username("alice").await.unwrap(), Some(alice));
}

/// Metadata that was stored under a larger bound is found, whatever white space it has.
pub async fn accounts_above_a_bound_are_found(store: Arc<dyn Store>) {
    for (username, metadata) in [("c", "{}"), ("b", r#"{"a":[1,2,3]}"#), ("a", r#"{"a": [1, 2, 3, 4]}"#)] {
        let claim = AccountClaim {
            metadata: json(metadata),
            ..requested(username)
        };
        store.claim_account(&claim).await.unwrap();
    }
    let found = async |max, limit| {
        let found = store.oversized_accounts(max, limit).await.unwrap();
        found
            .into_iter()
            .map(|one| format!("{}: {}", one.username, one.exceeded))
            .collect::<Vec<_>>()
    };
    let a = "a: metadata has 19 bytes; at most 13 are allowed";
    assert_eq!(found(13, 9).await, [a]);
    assert_eq!(found(2, 1).await.len(), 1);
    assert_eq!(found(2, 9).await.len(), 2);
    assert_eq!(found(19, 9).await.len(), 0);
}

/// Names and capabilities have bounds, and the most capabilities are found by each of them.
pub async fn names_and_capabilities_beyond_their_bounds_are_refused(store: Arc<dyn Store>) {
    let many: Vec<String> = (0..MAX_CAPABILITIES).map(|number| format!("Can{number}")).collect();
    let most = AccountClaim {
        capabilities: many.clone(),
        display_name: "n".repeat(MAX_NAME_BYTES),
        ..requested("alice")
    };
    let alice = store.claim_account(&most).await.unwrap();
    assert_eq!(usernames(&*store, &capability("can63")).await, ["alice"]);
    let above = [
        AccountClaim {
            capabilities: [many, vec!["more".into()]].concat(),
            ..most.clone()
        },
        AccountClaim {
            capabilities: vec!["c".repeat(MAX_CAPABILITY_BYTES + 1)],
            ..most.clone()
        },
        AccountClaim {
            display_name: "n".repeat(MAX_NAME_BYTES + 1),
            ..most.clone()
        },
        AccountClaim {
            agent_id: "n".repeat(MAX_NAME_BYTES + 1),
            ..most.clone()
        },
    ];
    for claim in above {
        let refused = store.claim_account(&claim).await.unwrap_err();
        assert!(matches!(&refused, StoreError::TooLarge(_)), "{refused}");
    }
    assert_eq!(store.account_by_username("alice").await.unwrap(), Some(alice));
}

/// Many at once, known and unknown, one of them twice.
pub async fn accounts_of_many_usernames(store: Arc<dyn Store>) {
    for number in 0..150 {
        add(&*store, &format!("user_{number}"), "", &[]).await;
    }
    let mut usernames: Vec<String> = (0..300).map(|number| format!("user_{number}")).collect();
    usernames.extend(["user_7".to_owned(), "USER_8".to_owned(), "user".to_owned()]);
    let found: BTreeMap<String, String> = store.account_ids(&usernames).await.unwrap().into_iter().collect();
    assert_eq!(found.len(), 150);
    for (username, account_id) in found {
        let account = store.account_by_username(&username).await.unwrap().unwrap();
        assert_eq!(account.account_id, account_id);
    }
    assert_eq!(store.account_ids(&[]).await.unwrap(), []);
    assert_eq!(store.account_ids(&["nobody".to_owned()]).await.unwrap(), []);
}

/// Many at once, known and unknown, one of them twice; with what the single lookup says.
pub async fn accounts_of_many_ids(store: Arc<dyn Store>) {
    let mut ids = vec!["acct_none".to_owned(), "odd\0id".to_owned()];
    for number in 0..150 {
        let claim = AccountClaim {
            public_key: (number % 2 == 0).then(|| format!("key{number}")),
            ..requested(&format!("user_{number}"))
        };
        ids.push(store.claim_account(&claim).await.unwrap().account_id);
    }
    let odd = AccountClaim {
        account_id: Some("odd\0id".into()),
        ..requested("odd")
    };
    store.claim_account(&odd).await.unwrap();
    ids.push(ids[7].clone());
    let found = store.known_accounts(&ids).await.unwrap();
    let found: BTreeMap<String, KnownAccount> = found.into_iter().map(|one| (one.account_id.clone(), one)).collect();
    assert_eq!(found.len(), 151);
    for (account_id, known) in found {
        let account = store.account_by_id(&account_id).await.unwrap().unwrap();
        let expected = KnownAccount {
            account_id,
            username: account.username,
            public_key: account.public_key,
            updated_at: account.updated_at,
        };
        assert_eq!(known, expected);
    }
    assert_eq!(store.known_accounts(&[]).await.unwrap(), []);
    assert_eq!(store.known_accounts(&["acct_none".to_owned()]).await.unwrap(), []);
}
