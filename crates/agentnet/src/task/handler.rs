//! The user's handler of tasks.

use futures::future::BoxFuture;

use super::context::TaskContext;
use super::work::{ClaimedWork, TaskFailure, TaskOutput};

/// What a handler of tasks returns.
pub type TaskHandlerResult = Result<TaskOutput, TaskFailure>;

/// Does tasks; for handlers that are more than a closure.
///
/// Handlers run concurrently, up to [`task_concurrency`](crate::AgentBuilder::task_concurrency). They have no time limit but the
/// deadline of their task. The node keeps the lease while a handler runs; it says by
/// [`TaskContext::cancelled`] when the work is to stop. A handler that panics has failed, and another attempt is
/// made while the task has some left.
///
/// A task may be done more than once: where a worker is lost, another one does it again. What came of it counts once.
pub trait TaskHandler: Send + Sync + 'static {
    /// Does one task.
    fn handle(&self, task: ClaimedWork, context: TaskContext) -> impl Future<Output = TaskHandlerResult> + Send;
}

/// An async closure as a handler.
pub(crate) struct TaskClosure<F>(pub(crate) F);

impl<F, Fut, R> TaskHandler for TaskClosure<F>
where
    F: Fn(ClaimedWork, TaskContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, TaskFailure>> + Send,
    R: Into<TaskOutput>,
{
    async fn handle(&self, task: ClaimedWork, context: TaskContext) -> TaskHandlerResult {
        let handling = self.0(task, context);
        handling.await.map(Into::into)
    }
}

/// [`TaskHandler`] behind a pointer.
pub(crate) trait AnyTaskHandler: Send + Sync {
    fn handle(&self, task: ClaimedWork, context: TaskContext) -> BoxFuture<'_, TaskHandlerResult>;
}

impl<H: TaskHandler> AnyTaskHandler for H {
    fn handle(&self, task: ClaimedWork, context: TaskContext) -> BoxFuture<'_, TaskHandlerResult> {
        Box::pin(TaskHandler::handle(self, task, context))
    }
}
