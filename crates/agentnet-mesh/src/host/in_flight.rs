//! Counts the messages that are being answered, in generations: those that began before a reload, and those after it.

use parking_lot::RwLock;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Messages that are being answered.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    current: RwLock<TaskTracker>,
}

impl InFlight {
    /// A message is being answered until the token is dropped.
    pub(super) fn enter(&self) -> TaskTrackerToken {
        self.current.read().token()
    }

    /// Begins a generation. Returns the one before, to wait for its end.
    pub(super) fn begin_generation(&self) -> TaskTracker {
        let earlier = std::mem::replace(&mut *self.current.write(), TaskTracker::new());
        earlier.close();
        earlier
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_generation_ends_with_its_own_messages() {
        let in_flight = InFlight::default();
        let before = in_flight.enter();
        let earlier = in_flight.begin_generation();
        let after = in_flight.enter();
        assert!(earlier.wait().now_or_never().is_none());
        drop(before);
        assert!(earlier.wait().now_or_never().is_some());
        drop(after);
    }
}
