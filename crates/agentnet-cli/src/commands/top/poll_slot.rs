//! One request at a time of each kind.

use std::time::Duration;

use tokio::task::JoinHandle;

/// One running request of a kind.
pub(super) struct PollSlot<Q> {
    asked: Option<(Q, Duration)>,
    task: Option<JoinHandle<()>>,
}

impl<Q> Default for PollSlot<Q> {
    fn default() -> Self {
        Self {
            asked: None,
            task: None,
        }
    }
}

impl<Q: PartialEq> PollSlot<Q> {
    /// Whether to send the request now: at once if it differs from the last one, else after the interval and when the last
    /// one is answered.
    pub(super) fn is_due(&self, question: &Q, every: Duration, now: Duration) -> bool {
        match &self.asked {
            Some((asked, at)) if asked == question => {
                now.saturating_sub(*at) >= every && self.task.as_ref().is_none_or(JoinHandle::is_finished)
            }
            _ => true,
        }
    }

    /// Sends a request in place of the running one.
    pub(super) fn ask(&mut self, question: Q, now: Duration, work: impl Future<Output = ()> + Send + 'static) {
        self.stop();
        self.asked = Some((question, now));
        self.task = Some(tokio::spawn(work));
    }

    /// Cancels the request.
    pub(super) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.asked = None;
    }
}
