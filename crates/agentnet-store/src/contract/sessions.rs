//! Sessions.

use std::sync::Arc;

use agentnet_protocol::signing_scope::SigningScope;

use super::sample::{at, json, metadata_of, session, texts};
use crate::StoreError;
use crate::model::{MAX_METADATA_BYTES, Session};
use crate::store::Store;

/// Every field, set and unset.
pub async fn a_session_comes_back_as_it_was(store: Arc<dyn Store>) {
    let full = Session {
        disconnected_at: Some(at(11)),
        online: false,
        capabilities: texts(&["a", "a", "b\0"]),
        metadata: json(r#"{"n": 12345678901234567890123}"#),
        ..session("tag_full")
    };
    let bare = Session {
        account_id: None,
        username: None,
        capabilities: vec![],
        ..session("tag_bare")
    };
    store.upsert_sessions(&[full.clone(), bare.clone()]).await.unwrap();
    assert_eq!(store.session("tag_full").await.unwrap(), Some(full));
    assert_eq!(store.session("tag_bare").await.unwrap(), Some(bare));
    assert_eq!(store.session("TAG_FULL").await.unwrap(), None);
}

/// All is replaced, `connected_at` is not; also within one batch.
pub async fn a_known_session_is_replaced_but_keeps_its_beginning(store: Arc<dyn Store>) {
    store.upsert_sessions(&[session("s")]).await.unwrap();
    store.end_sessions(&[("s".into(), at(20))]).await.unwrap();
    let back = Session {
        agent_id: "other".into(),
        account_id: Some("acct_2".into()),
        username: None,
        server_id: "registry_2".into(),
        connected_at: at(30),
        last_seen: at(30),
        name: "Other".into(),
        capabilities: texts(&["x"]),
        metadata: json("{}"),
        ..session("s")
    };
    let later = Session {
        last_seen: at(31),
        connected_at: at(31),
        ..back.clone()
    };
    store.upsert_sessions(&[back, later.clone()]).await.unwrap();
    assert_eq!(
        store.session("s").await.unwrap(),
        Some(Session {
            connected_at: at(0),
            ..later
        })
    );
}

/// Late and repeated heartbeats change nothing.
pub async fn last_seen_only_moves_forward(store: Arc<dyn Store>) {
    store.upsert_sessions(&[session("a"), session("b")]).await.unwrap();
    let seen = [("a", 20), ("a", 15), ("unknown", 50), ("b", 5)].map(|(tag, seconds)| (tag.to_owned(), at(seconds)));
    store.touch_sessions(&seen).await.unwrap();
    assert_eq!(
        store.session("a").await.unwrap(),
        Some(Session {
            last_seen: at(20),
            ..session("a")
        })
    );
    assert_eq!(store.session("b").await.unwrap(), Some(session("b")));
    assert_eq!(store.session("unknown").await.unwrap(), None);
}

/// The first end counts; `last_seen` never goes back.
pub async fn a_session_ends_once(store: Arc<dyn Store>) {
    store.upsert_sessions(&[session("a"), session("b")]).await.unwrap();
    let ended = [("a", 20), ("b", 4), ("unknown", 20)].map(|(tag, seconds)| (tag.to_owned(), at(seconds)));
    store.end_sessions(&ended).await.unwrap();
    store.end_sessions(&[("a".into(), at(40))]).await.unwrap();
    let a = store.session("a").await.unwrap().unwrap();
    assert!(!a.online);
    assert_eq!(a.disconnected_at, Some(at(20)));
    let b = store.session("b").await.unwrap().unwrap();
    assert_eq!((b.online, b.disconnected_at, b.last_seen), (false, Some(at(4)), at(10)));
    assert_eq!(store.session("unknown").await.unwrap(), None);
}

/// Those that are online, all of them, sorted.
pub async fn online_sessions_come_by_tag(store: Arc<dyn Store>) {
    let all: Vec<Session> = (0..300)
        .rev()
        .map(|index| session(&format!("tag_{index:03}")))
        .collect();
    store.upsert_sessions(&all).await.unwrap();
    store
        .end_sessions(&[("tag_000".into(), at(20)), ("tag_150".into(), at(20))])
        .await
        .unwrap();
    let online = store.online_sessions().await.unwrap();
    let expected: Vec<Session> = all
        .into_iter()
        .rev()
        .filter(|s| !["tag_000", "tag_150"].contains(&&*s.session_tag))
        .collect();
    assert_eq!(online, expected);
}

/// Nothing of the call is stored then.
pub async fn session_metadata_beyond_the_limit_is_refused(store: Arc<dyn Store>) {
    let large = Session {
        metadata: metadata_of(MAX_METADATA_BYTES),
        ..session("large")
    };
    store.upsert_sessions(&[large]).await.unwrap();
    let larger = Session {
        metadata: metadata_of(MAX_METADATA_BYTES + 1),
        ..session("larger")
    };
    let refused = store.upsert_sessions(&[session("small"), larger]).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge(_)));
    assert!(store.session("large").await.unwrap().is_some());
    assert_eq!(store.session("small").await.unwrap(), None);
}

/// What a session signs is what its last upsert said; a sign of life and its end leave it.
pub async fn what_a_session_signs_is_kept(store: Arc<dyn Store>) {
    let plain = session("s1");
    let signing = Session {
        signs: SigningScope::ALL,
        ..session("s2")
    };
    store.upsert_sessions(&[plain, signing]).await.unwrap();
    store.touch_sessions(&[("s2".into(), at(20))]).await.unwrap();
    let online = store.online_sessions().await.unwrap();
    assert_eq!(
        online.iter().map(|s| s.signs).collect::<Vec<_>>(),
        [SigningScope::default(), SigningScope::ALL]
    );
    store.end_sessions(&[("s2".into(), at(30))]).await.unwrap();
    assert_eq!(store.session("s2").await.unwrap().unwrap().signs, SigningScope::ALL);
}
