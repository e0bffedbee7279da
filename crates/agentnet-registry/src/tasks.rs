//! The tasks of a running registry. Each belongs to a [`Phase`]; a shutdown stops the phases in order, and dropping the
//! registry ends every task at once.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::future::FutureExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// When a task stops, in the order of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The router, health questions, and every request and lookup that they started.
    Requests,
    /// The sweep, and the HTTP page of metrics.
    Upkeep,
    /// The heartbeat to other registries, and this registry's row in the database.
    Peers,
    /// The subscriptions and the pull consumer that capture messages.
    Capture,
    /// The second pair of subscriptions on a NATS cluster.
    Standby,
    /// The writer of captured messages.
    MessageWriter,
    /// The writer of presence.
    PresenceWriter,
    /// Tasks that may run until the end: a shutdown does not wait for them.
    Background,
}

const PHASES: usize = Phase::Background as usize + 1;

/// All tasks of one registry.
#[derive(Debug, Clone)]
pub(crate) struct TaskSet {
    groups: Arc<[Group; PHASES]>,
    kill: CancellationToken,
}

#[derive(Debug)]
struct Group {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl TaskSet {
    pub(crate) fn new() -> Self {
        let kill = CancellationToken::new();
        let group = |_| Group {
            tracker: TaskTracker::new(),
            stop: kill.child_token(),
        };
        Self {
            groups: Arc::new(std::array::from_fn(group)),
            kill,
        }
    }

    /// Ends every task at once when the guard is dropped.
    pub(crate) fn kill_on_drop(&self) -> DropGuard {
        self.kill.clone().drop_guard()
    }

    /// A token that is cancelled when every task is to end at once.
    pub(crate) fn kill_token(&self) -> CancellationToken {
        self.kill.child_token()
    }

    /// A token that is cancelled when the phase stops.
    pub(crate) fn stop_token(&self, phase: Phase) -> CancellationToken {
        self.group(phase).stop.clone()
    }

    /// Runs a task until it is done or the set is killed.
    pub(crate) fn spawn(&self, phase: Phase, task: impl Future<Output = ()> + Send + 'static) {
        // No async block or function around the task: that would reserve memory for it twice.
        let task = task.with_cancellation_token_owned(self.kill.clone()).map(drop);
        self.group(phase).tracker.spawn(task);
    }

    /// Tells the tasks of a phase to stop.
    pub(crate) fn stop(&self, phase: Phase) {
        self.group(phase).stop.cancel();
    }

    /// Stops a phase and waits for its tasks; `false` if they take longer than `limit`.
    pub(crate) async fn finish(&self, phase: Phase, limit: Duration) -> bool {
        let group = self.group(phase);
        group.stop.cancel();
        group.tracker.close();
        tokio::time::timeout(limit, group.tracker.wait()).await.is_ok()
    }

    fn group(&self, phase: Phase) -> &Group {
        &self.groups[phase as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_stops_alone_and_a_drop_ends_all() {
        let tasks = TaskSet::new();
        let guard = tasks.kill_on_drop();
        for phase in [Phase::Requests, Phase::PresenceWriter] {
            tasks.spawn(phase, tasks.stop_token(phase).cancelled_owned());
        }
        tasks.spawn(Phase::Background, std::future::pending());
        let second = Duration::from_secs(1);
        assert!(tasks.finish(Phase::Requests, second).await);
        assert!(!tasks.stop_token(Phase::PresenceWriter).is_cancelled());
        assert!(!tasks.finish(Phase::Background, Duration::from_millis(1)).await);
        drop(guard);
        assert!(tasks.finish(Phase::Background, second).await);
        assert!(tasks.finish(Phase::PresenceWriter, second).await);
    }
}
