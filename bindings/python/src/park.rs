//! How often a thread sleeps in one wait of [`crate::selector_host`].
//!
//! A signal interrupts the sleep of a thread, but completes no future. So a thread that has slept and finds nothing to do asks
//! Python whether a signal arrived.

use std::cell::RefCell;
use std::task::Waker;

/// The wait of this thread.
struct Wait {
    waker: Waker,
    /// How often the thread went to sleep in it.
    parks: u32,
}

thread_local! {
    static WAIT: RefCell<Option<Wait>> = const { RefCell::new(None) };
}

/// Begins a wait of this thread, or continues it. True if the thread has slept in it before, and is about to sleep again.
pub(crate) fn has_slept(waker: &Waker) -> bool {
    WAIT.with_borrow_mut(|wait| {
        let wait = wait.get_or_insert_with(|| Wait {
            waker: waker.clone(),
            parks: 0,
        });
        // The waker changes when the thread takes over the runtime from another thread.
        wait.waker.clone_from(waker);
        wait.parks > 1
    })
}

pub(crate) fn end_wait() {
    WAIT.set(None);
}

/// The runtime calls this when it has nothing to do on this thread.
pub(crate) fn about_to_park() {
    WAIT.with_borrow_mut(|wait| {
        if let Some(wait) = wait {
            wait.parks += 1;
            if wait.parks > 1 {
                wait.waker.wake_by_ref();
            }
        }
    });
}
