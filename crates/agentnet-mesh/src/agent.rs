//! An agent: what it does with a message.
//!
//! 1. A message is sorted: a question, a wish that a thread be compacted, or nothing to do (`incoming`).
//! 2. The thread is read from the registry, and made into a conversation for the model ([`crate::memory`]).
//! 3. If the agent is to have a debate, its peers answer first (`debate`).
//! 4. The model answers, or calls tools until it does (`turns`, `tool_calls`, `model_call`).
//! 5. The answer goes back as one reply or as a stream (`reply`, `reply_sink`), or as an error reply with a code (`failure`).
//! 6. A thread that has become long is compacted (`compaction`).
//!
//! A task is a question too (`tasks`): the loop of 2 to 4 (`answering`) is the same, the answer is its result.
//!
//! All of it happens in the handler's own future: where the requester cancels, the time is over, or the host stops,
//! dropping that future ends the HTTP request and the tools.

mod activity;
mod answering;
mod compaction;
mod debate;
mod failure;
mod incoming;
mod model_call;
mod prompt;
mod reply;
mod reply_sink;
mod respond;
mod spans;
mod tasks;
mod tool_calls;
mod turns;
mod work;

use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::compaction::CompactionRequired;
use agentnet::{AgentNode, ClaimedWork, Context, HandlerResult, Message, TaskContext, TaskHandlerResult};
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::compaction::{Compactor, Job, Trigger};
use self::incoming::Incoming;
pub(crate) use self::tasks::message_of as task_message;
use self::work::Deadlines;
use crate::config::AgentConfig;
use crate::memory::Memory;
use crate::model::ModelChain;
use crate::tools::ToolSet;
use crate::usage::ledger::Ledger;
use crate::usage::metrics::MeshMetrics;

/// What an agent is made of. A reload of the configuration makes new ones.
#[derive(Clone)]
pub struct AgentParts {
    /// Configuration of the agent.
    pub config: Arc<AgentConfig>,
    /// Models that answer.
    pub models: ModelChain,
    /// Models of its summaries.
    pub compaction_models: ModelChain,
    /// Tools that the models may call.
    pub tools: ToolSet,
    /// Tokens and money of the host.
    pub ledger: Arc<Ledger>,
    /// Counters of the host.
    pub metrics: Arc<MeshMetrics>,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome<'a> {
    /// It has its answer, of this text.
    Answered(&'a str),
    /// It has an error reply, if it asked for a reply.
    Failed {
        /// Code of the failure.
        code: &'a str,
        /// What happened, for people.
        detail: &'a str,
    },
}

/// Is told how each question ended, and how long that took.
type Observer = Box<dyn Fn(&Message, AnswerOutcome<'_>, Duration) + Send + Sync>;

/// Answers the messages of one agent.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use agentnet::AgentNode;
/// # use agentnet_mesh::agent::{AgentParts, Responder};
/// # async fn start(parts: AgentParts) -> Result<AgentNode, agentnet::StartError> {
/// let responder = Arc::new(Responder::new(parts));
/// AgentNode::builder("planner")
///     .on_message(move |message, context| {
///         let responder = responder.clone();
///         async move { responder.handle(message, context).await }
///     })
///     .start()
///     .await
/// # }
/// ```
pub struct Responder {
    parts: RwLock<Arc<AgentParts>>,
    memory: Memory,
    compactor: Compactor,
    observer: Option<Observer>,
    /// Is cancelled when answers must end.
    stopping: CancellationToken,
}

impl Responder {
    /// An agent of these parts.
    #[must_use]
    pub fn new(parts: AgentParts) -> Self {
        Self {
            parts: RwLock::new(Arc::new(parts)),
            memory: Memory::default(),
            compactor: Compactor::default(),
            observer: None,
            stopping: CancellationToken::new(),
        }
    }

    /// Tells an observer how each question ended, and how long that took.
    #[must_use]
    pub fn observed_by(
        mut self,
        observer: impl Fn(&Message, AnswerOutcome<'_>, Duration) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Ends answers when the token is cancelled: their requesters get the error `shutting_down`, also those of streams that have
    /// begun.
    #[must_use]
    pub fn stopped_by(mut self, stopping: CancellationToken) -> Self {
        self.stopping = stopping;
        self
    }

    /// Changes the parts. Messages that are being answered keep the old ones.
    pub fn replace(&self, parts: AgentParts) {
        *self.parts.write() = Arc::new(parts);
    }

    /// The parts for the next message.
    #[must_use]
    pub fn parts(&self) -> Arc<AgentParts> {
        self.parts.read().clone()
    }

    /// Handles a message. A question that gets no answer gets an error reply, whose code says why: `model_unavailable`,
    /// `model_refused`, `budget_exceeded`, `limit_reached`, `hop_limit`, `wait_cycle`, `config_error`, `expired` or
    /// `shutting_down`.
    ///
    /// # Errors
    /// The reply could not be sent.
    pub async fn handle(&self, message: Message, context: Context) -> HandlerResult {
        let parts = self.parts();
        match Incoming::of(&message, parts.config.answer_direct) {
            Incoming::Ignored => Ok(()),
            Incoming::Compaction(event) => {
                self.compact_on_event(&parts, &event, context.node()).await;
                Ok(())
            }
            // A large future, which most messages of a busy inbox do not need.
            Incoming::Question(question) => {
                Box::pin(respond::respond(self, &parts, &message, &context, question)).await
            }
        }
    }

    /// Works at a task until its end. Its end is `failed` with the code that the error reply to a message would have; a model
    /// that is down for now, is overloaded or breaks off makes it retryable. A host that stops gives the task back.
    ///
    /// # Errors
    /// What becomes of a task without a result.
    pub async fn work(&self, claimed: ClaimedWork, context: TaskContext) -> TaskHandlerResult {
        let parts = self.parts();
        Box::pin(tasks::work_at(self, &parts, &claimed, &context)).await
    }

    fn observe(&self, message: &Message, outcome: AnswerOutcome<'_>, time: Duration) {
        if let Some(observer) = &self.observer {
            observer(message, outcome, time);
        }
    }

    async fn compact_on_event(&self, parts: &AgentParts, event: &CompactionRequired, node: &AgentNode) {
        let job = Job {
            parts,
            node,
            names: &self.memory.names,
            thread_id: &event.thread_id,
            trigger: Trigger::Event,
            current: None,
            deadline: Deadlines::new(Instant::now(), parts.config.limits.max_time).answer,
        };
        self.compact(job).await;
    }

    /// Compacts a thread, if it is due, before the deadline; whether a checkpoint was written.
    async fn compact(&self, job: Job<'_>) -> bool {
        let thread_id = job.thread_id;
        let compacting = tokio::time::timeout_at(job.deadline, self.compactor.compact(job));
        let Some(compacted) = self.stopping.run_until_cancelled(compacting).await else {
            return false;
        };
        match compacted {
            Ok(Ok(outcome)) => outcome == compaction::Compacted::Written,
            Ok(Err(problem)) => {
                tracing::warn!(thread_id, problem, "the thread cannot be compacted");
                false
            }
            Err(_) => {
                tracing::warn!(thread_id, "no time is left to compact the thread");
                false
            }
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Responder")
            .field("agent", &self.parts().config.key)
            .finish_non_exhaustive()
    }
}
