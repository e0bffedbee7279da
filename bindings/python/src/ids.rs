//! Numbers for handlers, calls, operations and event loops.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that is used once in the process, never 0.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
