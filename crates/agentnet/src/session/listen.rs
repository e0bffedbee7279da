//! What a session listens to besides its inbox: receipts from its start on (PROTOCOL.md section 14), replies from its first
//! request on, because many an agent only answers.

use std::sync::Arc;

use agentnet_protocol::subject;
use futures::FutureExt as _;
use tokio::sync::OnceCell;
use tokio_util::future::FutureExt as _;
use tokio_util::task::TaskTracker;

use crate::error::{SendError, StartError};
use crate::session::Live;
use crate::{deliver, replies};

/// The tasks that serve a session until it ends.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) tasks: TaskTracker,
    hears_replies: OnceCell<()>,
}

impl Service {
    /// Waits until all of them have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Live {
    /// Runs a task until the session ends.
    pub(crate) fn serve(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(&self.service.tasks, task);
    }

    /// Runs a task until the session ends, at the latest.
    pub(crate) fn spawn(&self, tracker: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
        // No async block or function around it: that would keep room for the task twice.
        tracker.spawn(task.with_cancellation_token_owned(self.ended.clone()).map(drop));
    }

    /// Listens to receipts.
    pub(crate) async fn hear_receipts(self: &Arc<Self>) -> Result<(), StartError> {
        let receipts = self.subscribe(subject::receipts(&self.sender.account_id)).await?;
        self.serve(deliver::listen(self.clone(), receipts));
        Ok(())
    }

    /// Listens to replies. What is published afterwards goes the same way to the server, so that no reply comes too early.
    pub(crate) async fn hear_replies(self: &Arc<Self>) -> Result<(), SendError> {
        let heard = &self.service.hears_replies;
        if heard.initialized() {
            return Ok(());
        }
        let begin = async || {
            let replies = self.subscribe(self.replies.wildcard()).await?;
            self.serve(replies::listen(self.clone(), replies));
            Ok::<_, StartError>(())
        };
        let begun = Box::pin(heard.get_or_try_init(begin)).await;
        begun.copied().map_err(|error| SendError::Connection(error.to_string()))
    }
}
