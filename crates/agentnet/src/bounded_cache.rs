//! A cache with a fixed number of entries: what is used least goes first, and adding an entry takes constant time.

use ahash::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

pub(crate) type BoundedCache<K, V> = Cache<K, V, UnitWeighter, RandomState>;

/// An empty cache of at most this many entries. Memory is allocated as entries come.
pub(crate) fn bounded_cache<K: Eq + std::hash::Hash, V>(max_entries: usize) -> BoundedCache<K, V> {
    Cache::with(
        max_entries,
        max_entries as u64,
        UnitWeighter,
        RandomState::new(),
        DefaultLifecycle::default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_no_more_than_its_entries_and_keeps_what_is_used() {
        let mut cache = bounded_cache(100);
        cache.insert(0, "used");
        for number in 1..10_000 {
            cache.insert(number, "unused");
            assert!(cache.len() <= 100);
            assert!(cache.get(&0).is_some(), "after {number}");
        }
    }
}
