//! Language models behind one interface: what is asked, what comes back piece by piece, and how a call fails.
//!
//! The path of a call, from the outside to the wire:
//!
//! 1. [`ModelChain`] fills in the model, retries, and goes on to the next model of the agent.
//! 2. `provider` makes one HTTP request and turns its failures into [`ModelError`].
//! 3. `openai_chat`, `openai_responses` and `anthropic` write the body of the request (`conversation` puts the messages in the
//!    order that all of them take) and read the events of the answer, which `sse` cuts out of its bytes.
//! 4. [`TurnBuilder`] puts the pieces together again.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::Value;

mod anthropic;
mod calls;
pub mod chain;
pub mod client;
mod conversation;
mod dialect;
mod endpoint;
mod openai_chat;
mod openai_responses;
pub mod ping;
mod provider;
mod provider_error;
mod refused_params;
mod retry;
mod sse;
#[cfg(test)]
mod tests;
pub mod turn;

pub use self::chain::{ChainAnswer, ChainModel, ModelChain};
pub use self::client::{ClientError, HttpClient};
pub use self::ping::ping;
pub use self::turn::{TurnBuilder, collect};

/// One call of a model.
#[derive(Debug, Clone, Default)]
pub struct ChatRequest {
    /// Name of the model at its provider.
    pub model: String,
    /// System prompt; empty for none.
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Tools that the model may call.
    pub tools: std::sync::Arc<[ToolSpec]>,
    /// Whether it may call them.
    pub tool_choice: ToolChoice,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Tokens for thinking; 0 for none.
    pub thinking: u32,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// It answers in text.
    None,
}

/// A tool as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Name of at most 64 characters of `[a-zA-Z0-9_-]`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
}

/// A message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatMessage {
    /// What somebody else said.
    User(String),
    /// What the model said.
    Assistant(AssistantTurn),
    /// What the tools of the turn before returned: one for each call.
    ToolResults(Vec<ToolResult>),
}

/// One answer of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AssistantTurn {
    /// Text that the model wrote.
    pub text: String,
    /// Tools that it calls.
    pub tool_calls: Vec<ToolCall>,
    /// Blocks that the same provider must get back unchanged, in their order (thinking with its signature).
    pub blocks: Vec<Value>,
}

/// A call of a tool by the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Id of the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments, JSON text as the model wrote it; may be empty or no JSON.
    pub arguments: String,
}

/// The result of a tool call for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// Id of the call.
    pub call_id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text.
    pub content: String,
    /// Whether the call failed.
    pub is_error: bool,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// The provider has begun to answer.
    Started {
        /// The provider's id of the answer.
        id: String,
        /// The model as the provider names it.
        model: String,
    },
    /// More of the text of the answer.
    Text(String),
    /// Text of thinking, for people only.
    Reasoning(String),
    /// A tool call begins.
    ToolCallStart {
        /// Which call of this answer.
        index: usize,
        /// Id of the call.
        id: String,
        /// Name of the tool.
        name: String,
    },
    /// More of the arguments of a tool call.
    ToolCallArguments {
        /// Which call of this answer.
        index: usize,
        /// JSON text, cut anywhere.
        fragment: String,
    },
    /// A finished block of [`AssistantTurn::blocks`].
    Block(Value),
    /// Tokens so far; the last one counts.
    Usage(TokenUsage),
    /// The answer is complete.
    Stop(StopReason),
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens that the model read, those from a cache included.
    pub input: u64,
    /// Tokens that it wrote.
    pub output: u64,
    /// Part of `input` that came from a cache.
    pub cached_input: u64,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// It is complete.
    End,
    /// Its limit of tokens is reached.
    MaxTokens,
    /// It waits for the results of tools.
    ToolCalls,
    /// The provider refused to go on.
    Refused,
    /// The provider wants to be asked to go on, with the same messages.
    Paused,
}

/// The answer of a model as it comes.
pub type ChatStream = BoxStream<'static, Result<ChatEvent, ModelError>>;

/// A language model. Dropping the future or the stream ends the HTTP request.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Asks the model.
    ///
    /// # Errors
    /// [`ModelError`] when the provider refuses or is not reached; later failures come in the stream.
    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError>;
}

/// Why a call of a model failed. Its text holds no secrets.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// Kind of the failure.
    pub kind: ModelErrorKind,
    /// HTTP status, where there was one.
    pub status: Option<u16>,
    /// What happened, for people, at most 1,000 characters of the provider's own text.
    pub message: String,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Kinds of failures, by what can be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelErrorKind {
    /// The provider is not reached, or the connection broke.
    Connect,
    /// No answer, or none for too long.
    Timeout,
    /// Status 429: too many requests, or too many tokens.
    RateLimited,
    /// 408, 409, 425, 5xx, an error event of the stream.
    Server,
    /// The answer is not what the API says.
    Malformed,
    /// 401, 403.
    Auth,
    /// 400, 404, 413, 422.
    InvalidRequest,
    /// The conversation is longer than the model reads.
    ContextOverflow,
    /// A content filter refused.
    Refused,
}

impl ModelErrorKind {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::Timeout | Self::RateLimited | Self::Server | Self::Malformed
        )
    }
}

impl ModelError {
    /// An error without a status.
    #[must_use]
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Whether no request was made because the configuration lacks something, as a rule the variable of a key: the reply
    /// code is `config_error` then.
    #[must_use]
    pub fn is_config_error(&self) -> bool {
        self.kind == ModelErrorKind::Auth && self.status.is_none()
    }
}
