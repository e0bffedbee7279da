//! The streams of a session: what is said when they end, and that it is said before the session ends.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the last words may take at close.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the streams of a session share.
#[derive(Debug)]
pub(crate) struct Streams {
    /// A stream can be dropped where there is no runtime.
    runtime: Handle,
    tasks: TaskTracker,
    /// The node is closing, or was dropped.
    pub(crate) ended: CancellationToken,
}

impl Streams {
    /// Must be called within a runtime.
    pub(crate) fn new(session_ended: &CancellationToken) -> Self {
        Self {
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            ended: session_ended.child_token(),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Ends the streams that are being sent, and waits until everything is said.
    pub(crate) async fn close(&self) {
        self.ended.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST_WORDS, self.tasks.wait()).await.is_err() {
            tracing::warn!("some streams end without a word to the other side");
        }
    }
}
