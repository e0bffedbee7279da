//! Tools that a model may call: the network, MCP servers, HTTP, commands.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, Message};
use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::ToolSpec;

/// A tool.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Name in the configuration, as globs see it: `network.ask`, `mcp.files.read_file`, `disk`.
    fn config_name(&self) -> &str;

    /// The tool as models see it.
    fn spec(&self) -> &ToolSpec;

    /// How long a call may take, unless the message has less time left.
    fn timeout(&self) -> Duration;

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
    /// Agents between the first asker and this one, 0 for the first.
    pub hops: u32,
    /// Most of them.
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
    /// A result.
    Ok(Value),
    /// A failure that the model is told.
    Failed {
        /// Code, such as `bad_args`, `timeout`, `recipient_offline`.
        code: String,
        /// What happened and what to do.
        detail: String,
    },
}
