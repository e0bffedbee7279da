//! Registries that run on a database: what `Registries` says.

use std::sync::Arc;

use super::sample::at;
use crate::model::Registry;
use crate::store::Store;

fn registry(number: u64, server_id: &str, beat_at: i64) -> Registry {
    Registry {
        number,
        server_id: server_id.to_owned(),
        announce_key: format!("key of {number}"),
        nkey: None,
        beat_at: at(beat_at),
    }
}

/// Every database has an id, and keeps it.
pub async fn a_database_keeps_its_id(store: Arc<dyn Store>) {
    let id = store.database_id().await.unwrap();
    assert_eq!(id.len(), 32, "{id}");
    assert_eq!(store.database_id().await.unwrap(), id);
}

/// Rows are replaced by number, and go when the registry stops or has not said for long that it runs.
pub async fn a_registry_is_there_until_it_stops_or_falls_silent(store: Arc<dyn Store>) {
    for registry in [
        registry(7, "a", 1),
        registry(u64::MAX, "a", 2),
        registry(0, "b\u{0}", 3),
    ] {
        store.put_registry(&registry).await.unwrap();
    }
    let all = [
        registry(0, "b\u{0}", 3),
        registry(7, "a", 1),
        registry(u64::MAX, "a", 2),
    ];
    assert_eq!(store.registries(at(1)).await.unwrap(), all);
    store.put_registry(&registry(7, "a", 9)).await.unwrap();
    store.remove_registry(0).await.unwrap();
    store.remove_registry(1).await.unwrap();
    assert_eq!(store.registries(at(3)).await.unwrap(), [registry(7, "a", 9)]);
    assert_eq!(store.registries(at(0)).await.unwrap(), [registry(7, "a", 9)]);
}

/// Of registries in secure mode, name and nkey can be read; several runs of one are one.
pub async fn the_keys_of_registries_are_known(store: Arc<dyn Store>) {
    let secure = |number, server_id: &str, nkey: &str, beat_at| Registry {
        nkey: Some(nkey.to_owned()),
        ..registry(number, server_id, beat_at)
    };
    for row in [
        registry(1, "a", 9),
        secure(2, "b", "UB", 5),
        secure(3, "b", "UB", 9),
        secure(4, "b", "UA", 9),
        secure(5, "a", "UC", 4),
    ] {
        store.put_registry(&row).await.unwrap();
    }
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(id, nkey)| ((*id).to_owned(), (*nkey).to_owned()))
            .collect()
    };
    assert_eq!(
        store.registry_nkeys(at(4)).await.unwrap(),
        pairs(&[("a", "UC"), ("b", "UA"), ("b", "UB")])
    );
    assert_eq!(
        store.registry_nkeys(at(9)).await.unwrap(),
        pairs(&[("b", "UA"), ("b", "UB")])
    );
    assert_eq!(store.registries(at(0)).await.unwrap()[1], secure(2, "b", "UB", 5));
}
