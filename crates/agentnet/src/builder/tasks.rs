//! What a builder is told of tasks.

use std::sync::Arc;

use super::{Agent, AgentBuilder};
use crate::task::{AnyTaskHandler, ClaimedWork, TaskClosure, TaskContext, TaskFailure, TaskHandler, TaskOutput};

/// The most tasks that one node does at the same time.
const MAX_CONCURRENCY: usize = 10_000;

/// The handler of tasks, and how many run at the same time.
#[derive(Default)]
pub(super) struct TaskSettings {
    pub(super) handler: Option<Arc<dyn AnyTaskHandler>>,
    concurrency: usize,
    pub(super) max_tasks: Option<usize>,
}

impl TaskSettings {
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency.clamp(1, MAX_CONCURRENCY)
    }
}

impl<A: Agent> AgentBuilder<A> {
    /// What is done with tasks (PROTOCOL.md section 22): `|task, context| async move { … Ok(json!({ … })) }`. The agent claims the
    /// tasks for its account and its [`capabilities`](Self::capabilities), and keeps each while the handler runs, however long.
    /// Without it tasks for the account come as messages.
    ///
    /// ```no_run
    /// use agentnet::{AgentNode, TaskFailure, json};
    ///
    /// # async fn build(text: &str) -> Result<u32, String> { Ok(text.len() as u32) }
    /// # async fn run() -> Result<(), agentnet::StartError> {
    /// let node = AgentNode::builder("builder")
    ///     .capabilities(["build"])
    ///     .on_task(|task, context| async move {
    ///         context.progress(0, "building").await?;
    ///         tokio::select! {
    ///             built = build(task.text()) => match built {
    ///                 Ok(files) => Ok(json!({ "files": files })),
    ///                 Err(why) => Err(TaskFailure::retryable("build_failed", why)),
    ///             },
    ///             () = context.cancelled() => Err(TaskFailure::canceled()),
    ///         }
    ///     })
    ///     .start()
    ///     .await?;
    /// # drop(node);
    /// # Ok(()) }
    /// ```
    pub fn on_task<F, Fut, R>(self, handler: F) -> Self
    where
        F: Fn(ClaimedWork, TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, TaskFailure>> + Send + 'static,
        R: Into<TaskOutput> + 'static,
    {
        self.task_handler(TaskClosure(handler))
    }

    /// As [`AgentBuilder::on_task`], for a type that implements [`TaskHandler`].
    pub fn task_handler(mut self, handler: impl TaskHandler) -> Self {
        self.tasks.handler = Some(Arc::new(handler));
        self
    }

    /// How many tasks are done at the same time. Default 1, minimum 1.
    pub fn task_concurrency(mut self, tasks: usize) -> Self {
        self.tasks.concurrency = tasks;
        self
    }

    /// How many tasks the agent claims in all, from its start on; then no more, also while it is online. Attempts count. Default:
    /// any number.
    pub fn max_tasks(mut self, tasks: usize) -> Self {
        self.tasks.max_tasks = Some(tasks);
        self
    }
}
