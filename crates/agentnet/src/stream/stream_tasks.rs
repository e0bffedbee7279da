//! What the streams of a session share: how they publish, and the tasks that publish their last frames before the session ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::composer::Composer;
use crate::publisher::Publisher;

/// How long the last frames and cancellations may take at close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the streams of a session share.
#[derive(Debug)]
pub(crate) struct StreamTasks {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) composer: Arc<Composer>,
    /// A stream can be dropped where there is no runtime.
    runtime: Handle,
    tasks: TaskTracker,
    /// The node is closing, or was dropped.
    pub(crate) ended: CancellationToken,
}

impl StreamTasks {
    /// Must be called within a runtime.
    pub(crate) fn new(publisher: Arc<Publisher>, composer: Arc<Composer>, session_ended: &CancellationToken) -> Self {
        Self {
            publisher,
            composer,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            ended: session_ended.child_token(),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Ends the streams that are being sent, and waits until their last frames are published.
    pub(crate) async fn close(&self) {
        self.ended.cancel();
        self.tasks.close();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some streams end without a last frame");
        }
    }
}
