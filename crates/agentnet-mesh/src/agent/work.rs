//! What is known about the message that is being answered.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, Message};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::AgentParts;
use super::model_call::{ModelCaller, Spent};
use crate::tools::ToolContext;
use crate::tools::network::allowance::TaskAllowance;
use crate::tools::network::chain::CallChain;

/// Part of the time that is kept for the last call of the model, at most.
const MAX_RESERVE: Duration = Duration::from_secs(30);
/// Time that is kept for the reply itself, at most.
const MAX_MARGIN: Duration = Duration::from_secs(1);

/// When the work for a message must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// No tool runs after this.
    pub(super) tools: Instant,
    /// The answer must be there.
    pub(super) answer: Instant,
}

impl Deadlines {
    /// The deadlines of a message that may take so long.
    pub(super) fn new(start: Instant, max_time: Duration) -> Self {
        let answer = start + max_time.saturating_sub((max_time / 20).min(MAX_MARGIN));
        let reserve = (max_time / 5).min(MAX_RESERVE);
        Self {
            tools: answer - reserve,
            answer,
        }
    }
}

/// The message that is being answered, and the agent that answers.
pub(super) struct Work<'a> {
    pub(super) parts: &'a AgentParts,
    pub(super) node: &'a AgentNode,
    /// The message; for a task, one that stands for it.
    pub(super) message: &'a Message,
    /// The task that is worked at, in the place of a message.
    pub(super) task_id: Option<Arc<str>>,
    pub(super) task_allowance: TaskAllowance,
    pub(super) thread_id: String,
    /// Account of the agent.
    pub(super) own: String,
    pub(super) chain: CallChain,
    pub(super) deadlines: Deadlines,
    /// Is cancelled when the work ends, however it does.
    pub(super) cancelled: CancellationToken,
}

impl Work<'_> {
    /// The context of tool calls.
    pub(super) fn tool_context(&self) -> ToolContext {
        ToolContext {
            node: Arc::new(self.node.clone()),
            message: self.message.clone(),
            task_id: self.task_id.clone(),
            task_allowance: self.task_allowance.clone(),
            tools: self.parts.tools.clone(),
            hops: self.chain.hops,
            max_hops: self.parts.config.limits.max_hops,
            chain: self.chain.waiting.clone(),
            deadline: self.deadlines.tools,
            cancelled: self.cancelled.clone(),
        }
    }

    /// Whether somebody expects an answer.
    pub(super) fn expects_answer(&self) -> bool {
        self.task_id.is_some() || self.message.wants_reply()
    }

    /// Calls the agent's models.
    pub(super) fn caller(&self) -> ModelCaller<'_> {
        ModelCaller {
            parts: self.parts,
            models: &self.parts.models,
            thread_id: &self.thread_id,
            deadline: self.deadlines.answer,
        }
    }
}

/// How far the work has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Tokens and dollars of all calls.
    pub(super) spent: Spent,
    /// Calls of the model.
    pub(super) steps: u32,
    /// Calls of tools.
    pub(super) tool_calls: u32,
    /// Their results, if the reply has them.
    pub(super) tool_results: Vec<Value>,
}

/// The answer to a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answer {
    /// Text of the answer.
    pub(super) text: String,
    /// The model that wrote it.
    pub(super) model: String,
    /// The limit that ended the work early.
    pub(super) limit: Option<&'static str>,
    /// Whether the model stopped at its limit of tokens.
    pub(super) is_truncated: bool,
    /// How a debate went.
    pub(super) debate: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_kept_for_the_last_call_and_the_reply() {
        let start = Instant::now();
        for (max_time, tools, answer) in [(240, 209_000, 239_000), (10, 7_500, 9_500), (1, 750, 950)] {
            let deadlines = Deadlines::new(start, Duration::from_secs(max_time));
            assert_eq!(deadlines.tools, start + Duration::from_millis(tools), "{max_time}");
            assert_eq!(deadlines.answer, start + Duration::from_millis(answer), "{max_time}");
        }
    }
}
