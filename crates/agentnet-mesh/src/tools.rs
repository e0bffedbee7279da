//! Tools that a model may call: the network, MCP servers, HTTP, commands.
//!
//! [`SharedTools`] holds what all agents of a mesh share: the HTTP and command tools of the file, and the connections to MCP
//! servers. [`SharedTools::select`] makes the [`ToolSet`] of one agent from its globs. [`ToolSet::call`] does the rest in one
//! place, for every tool: it finds the tool, checks the arguments against their JSON Schema, limits time and size, and writes the
//! result as JSON text for the model.

mod clip;
mod command;
mod http;
mod mcp;
mod name;
mod outcome;
mod pattern;
mod process;
mod schema;
mod set;
mod shared;
mod template;
#[cfg(test)]
pub(crate) mod test_context;

pub mod network;

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, Message};
use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::network::allowance::TaskAllowance;
use crate::model::ToolSpec;

pub use self::set::ToolSet;
pub use self::shared::{RetiredServers, SharedTools, check};

/// Bytes of a result that the model sees at most, unless a tool says otherwise.
pub const DEFAULT_MAX_RESULT_BYTES: usize = 16_384;

/// A tool that a model may call.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Name in the configuration, as globs see it: `network.ask`, `mcp.files.read_file`, `disk`.
    fn config_name(&self) -> &str;

    /// The tool as models see it.
    fn spec(&self) -> &ToolSpec;

    /// How long a call may take, unless the message has less time left.
    fn timeout(&self) -> Duration;

    /// Bytes of the result, as JSON text, that the model sees at most.
    fn max_result_bytes(&self) -> usize {
        DEFAULT_MAX_RESULT_BYTES
    }

    /// Runs it on arguments that were checked against the schema. Dropping the future ends everything that it began.
    async fn call(&self, arguments: Value, context: &ToolContext) -> ToolOutcome;
}

/// What a tool knows about the message that is being answered.
#[derive(Clone)]
pub struct ToolContext {
    /// The agent that answers.
    pub node: Arc<AgentNode>,
    /// The message that is answered.
    pub message: Message,
    /// The task that is worked at; `message` stands for it then.
    pub task_id: Option<Arc<str>>,
    /// Tasks that may still come of the message or task.
    pub task_allowance: TaskAllowance,
    /// The tools of the agent.
    pub tools: ToolSet,
    /// Agents between the first asker and this one, 0 for the first.
    pub hops: u32,
    /// Limit of `hops`.
    pub max_hops: u32,
    /// Account ids of the agents that wait for this answer, the first asker first.
    pub chain: Arc<[String]>,
    /// When the answer must be there.
    pub deadline: Instant,
    /// Is cancelled when nobody waits for the answer any more.
    pub cancelled: CancellationToken,
}

/// What a call of a tool returned.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutcome {
    /// The tool has a result.
    Ok(Value),
    /// A failure, reported to the model.
    Failed {
        /// Code, such as `bad_args`, `timeout`, `recipient_offline`.
        code: String,
        /// What happened and what to do.
        detail: String,
    },
}

impl ToolOutcome {
    /// A failure, reported to the model.
    #[must_use]
    pub fn failed(code: &str, detail: impl Into<String>) -> Self {
        Self::Failed {
            code: code.to_owned(),
            detail: detail.into(),
        }
    }
}
