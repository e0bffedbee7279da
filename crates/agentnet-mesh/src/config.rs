//! The configuration of a mesh: `mesh.yaml`, checked and with its variables filled in.
//!
//! 1. `node.rs` parses YAML into values that know their line and column; `overrides.rs` puts `--set` into them.
//! 2. `shape.rs` checks them against the JSON Schema of the format (`file.rs` for version 1, `legacy.rs` for the format of the
//!    Python implementation) and fills in `${VARIABLES}`.
//! 3. `assemble.rs` resolves names and files, checks what a schema cannot, and makes the records of this file.
//!
//! Every step adds to one list of problems, so that all are reported at once: where a value is wrong, another one stands in
//! for it. The rest of the crate works with the records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

mod assemble;
mod file;
mod key_path;
mod legacy;
mod node;
mod overrides;
mod problem;
mod quote;
mod read;
mod reference;
mod schema;
mod secret;
mod shape;
mod similar;
mod template;
mod text_file;
mod variables;

pub use problem::{ConfigError, Position, Problem};
pub use reference::reference_markdown;
pub use schema::json_schema;
pub use secret::Secret;
pub use template::{TEMPLATES, TemplateFiles, template};

/// Where the values of variables come from: `&|name: &str| std::env::var(name).ok()`.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Reads and checks a configuration file.
///
/// `overrides` are paths and values as `--set` takes them, such as (`agents.planner.limits.max_steps`, `3`). Relative paths in
/// the file are relative to its directory.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong. A missing variable of an API key, or of a header of an HTTP tool, is no error:
/// calls that need it fail.
pub fn load(path: &Path, environment: &Environment, overrides: &[(String, String)]) -> Result<Mesh, ConfigError> {
    load_with_warnings(path, environment, overrides).map(|(mesh, _)| mesh)
}

/// As [`load`], with warnings about values that are valid and not taken as they are written: usernames that become others.
///
/// # Errors
/// As [`load`].
pub fn load_with_warnings(
    path: &Path,
    environment: &Environment,
    overrides: &[(String, String)],
) -> Result<(Mesh, Vec<Problem>), ConfigError> {
    read::mesh(&read::text(path)?, path, environment, overrides)
}

/// Checks the text of a configuration file that is at `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: &str,
    path: &Path,
    environment: &Environment,
    overrides: &[(String, String)],
) -> Result<Mesh, ConfigError> {
    read::mesh(text, path, environment, overrides).map(|(mesh, _)| mesh)
}

/// A mesh: agents and what they share.
#[derive(Debug, Clone)]
pub struct Mesh {
    /// The file that was read.
    pub path: PathBuf,
    /// Address of NATS that the file names by `nats_url_env`, if that variable is set.
    pub nats_url: Option<String>,
    /// Providers by name.
    pub providers: BTreeMap<String, Provider>,
    /// Prices in dollars per million tokens, by model.
    pub prices: BTreeMap<String, Price>,
    /// MCP servers by name.
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// HTTP and command tools by name.
    pub tools: BTreeMap<String, ToolConfig>,
    /// The agents, in the order of the file.
    pub agents: Vec<AgentConfig>,
}

/// An API of language models.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// API that it speaks.
    pub api: Api,
    /// Base URL, as in the file.
    pub base_url: String,
    /// Key; `Err` is the name of the variable that is not set: calls fail with `config_error`.
    pub api_key: Result<Secret, String>,
    /// Wait for the first byte of an answer, and between two pieces. Default 45 s.
    pub timeout: Duration,
    /// Retries of a failed call. Default 4.
    pub max_retries: u32,
    /// Further headers; values are secret.
    pub headers: BTreeMap<String, Secret>,
    /// Request members that this provider refuses (`temperature`), left out of requests.
    pub params_drop: Vec<String>,
}

/// APIs of language models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `POST …/chat/completions`.
    OpenAiChat,
    /// `POST …/responses`.
    OpenAiResponses,
    /// `POST …/v1/messages`.
    AnthropicMessages,
}

/// Dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens written.
    pub output: f64,
    /// Tokens read from a cache; those cost as `input` where it is absent.
    pub cached_input: Option<f64>,
}

/// A server of the Model Context Protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum McpServer {
    /// A program, by its standard input and output.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Working directory.
        cwd: Option<PathBuf>,
        /// Environment: nothing else is passed on but `PATH` and `HOME`.
        env: BTreeMap<String, Secret>,
    },
    /// Streamable HTTP.
    Http {
        /// Address of its endpoint.
        url: String,
        /// Headers of each request.
        headers: BTreeMap<String, Secret>,
    },
}

/// A tool of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolConfig {
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments; an object without members by default.
    pub parameters: Value,
    /// Default 10 s.
    pub timeout: Duration,
    /// Bytes of the result that the model sees at most. Default 16,384.
    pub max_result_bytes: usize,
    /// What it does.
    pub action: ToolAction,
}

/// What a tool of the file does.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolAction {
    /// An HTTP request.
    Http(HttpTool),
    /// A command without a shell.
    Command(CommandTool),
}

/// An HTTP request, with `{param}` where an argument goes.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTool {
    /// `GET`, `POST`, ….
    pub method: String,
    /// URL; arguments are percent-encoded, and never part of scheme, host or port.
    pub url: String,
    /// Query parameters; a parameter whose argument is absent is left out.
    pub query: BTreeMap<String, String>,
    /// Headers; values are secret. `Err` is the name of the variable that is not set: the call fails and names it.
    pub headers: BTreeMap<String, Result<Secret, String>>,
    /// Secret query parameters, as `headers`.
    pub secret_query: BTreeMap<String, Result<Secret, String>>,
    /// JSON body; texts in it are templates.
    pub body: Option<Value>,
    /// Hosts that may be asked, also by redirects: a name, or `*.name`. Default: the host of `url`.
    pub allow_hosts: Vec<String>,
    /// Whether loopback, private and link-local addresses may be asked. Default false.
    pub allow_private: bool,
}

/// A command without a shell.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandTool {
    /// Program and arguments, with `{param}` as a whole or part of one argument, never in the first.
    pub argv: Vec<String>,
    /// Working directory. Default: that of the file.
    pub cwd: Option<PathBuf>,
    /// Names of variables that are passed on.
    pub env: Vec<String>,
}

/// An agent of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// Key in the file.
    pub key: String,
    /// Agent id. Default: the key.
    pub agent_id: String,
    /// Username. Default: the key.
    pub username: String,
    /// Display name. Default: the key.
    pub name: String,
    /// Capabilities that others find it by.
    pub capabilities: Vec<String>,
    /// System prompt, read from its file.
    pub prompt: Arc<str>,
    /// File of the prompt, for hot reload.
    pub prompt_path: Option<PathBuf>,
    /// Zone of the time block of the prompt, an IANA name.
    pub timezone: String,
    /// Model, then those that take over when it is not available.
    pub models: Vec<ModelConfig>,
    /// Globs of tools that the agent may use; none by default.
    pub tools: Vec<String>,
    /// What it remembers.
    pub memory: MemoryConfig,
    /// Limits on steps, time, tokens and money.
    pub limits: LimitsConfig,
    /// How it replies.
    pub reply: ReplyConfig,
    /// Whether messages without a reply subject get an answer, as a message. Default false.
    pub answer_direct: bool,
    /// Tasks that it takes; none by default.
    pub tasks: Option<TasksConfig>,
    /// A debate with other agents before the answer.
    pub orchestrate: Option<OrchestrateConfig>,
}

/// A model of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Name of the provider.
    pub provider: String,
    /// Name of the model at the provider.
    pub name: String,
    /// Temperature; the provider's default where absent.
    pub temperature: Option<f64>,
    /// Tokens of an answer. Default 4,096.
    pub max_tokens: u32,
    /// Tokens for thinking. Default 0.
    pub thinking: u32,
}

/// What an agent remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryConfig {
    /// Whether earlier messages of the thread are shown to the model. Default true.
    pub uses_thread: bool,
    /// Newest messages of the thread that are read at most. Default 40.
    pub max_messages: usize,
    /// Tokens of them, estimated. Default 12,000.
    pub max_tokens: u64,
    /// Newest messages that a checkpoint leaves as they are. Default 24.
    pub keep_tail: u64,
    /// When a checkpoint is written; `None` for never.
    pub compaction: Option<CompactionConfig>,
}

/// When a thread is compacted, and by which model.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionConfig {
    /// Estimated tokens of the messages after the last checkpoint. Default 16,000.
    pub at_tokens: u64,
    /// Model of the summary. Default: the agent's first.
    pub model: Option<ModelConfig>,
    /// Messages that are read for one summary. Default 400.
    pub max_messages: usize,
}

/// Limits of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Calls of the model per message. Default 8.
    pub max_steps: u32,
    /// Calls of tools per message. Default 24.
    pub max_tool_calls: u32,
    /// Time per message. Default 240 s.
    pub max_time: Duration,
    /// Tokens per message. Default none.
    pub tokens_per_request: Option<u64>,
    /// Tokens per UTC day. Default none.
    pub tokens_per_day: Option<u64>,
    /// Dollars per UTC day. Default none.
    pub usd_per_day: Option<f64>,
    /// Messages that are answered at the same time. Default 4.
    pub concurrency: usize,
    /// Agents that may ask one another in a chain. Default 6.
    pub max_hops: u32,
}

/// Tasks that an agent takes.
#[derive(Debug, Clone, PartialEq)]
pub struct TasksConfig {
    /// Tasks at the same time. Default 1.
    pub concurrency: usize,
    /// Calls of the model per task. Default: as per message.
    pub max_steps: u32,
    /// Calls of tools per task. Default: as per message.
    pub max_tool_calls: u32,
    /// Time per task. Default: as per message.
    pub max_time: Duration,
}

impl TasksConfig {
    /// The limits of a task, of an agent with these limits.
    #[must_use]
    pub fn limits(&self, agent: &LimitsConfig) -> LimitsConfig {
        LimitsConfig {
            max_steps: self.max_steps,
            max_tool_calls: self.max_tool_calls,
            max_time: self.max_time,
            ..agent.clone()
        }
    }
}

/// How an agent replies.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyConfig {
    /// Default 30,000.
    pub ttl_ms: i64,
    /// Whether the reply has the results of tools. Default false.
    pub include_tool_results: bool,
    /// Whether streamed replies tell of tools. Default false.
    pub events: bool,
}

/// A debate: peers answer, see one another's answers, and the agent draws the conclusion.
#[derive(Debug, Clone, PartialEq)]
pub struct OrchestrateConfig {
    /// Usernames of the agents that are asked.
    pub peers: Vec<String>,
    /// Rounds. Default 2.
    pub rounds: u32,
    /// Wait for a peer. Default 45 s.
    pub peer_timeout: Duration,
    /// Retries of a peer. Default 1.
    pub peer_retries: u32,
    /// System prompt of the conclusion; the agent's own where absent.
    pub synthesis_prompt: Option<Arc<str>>,
    /// Tools that run before the debate, with their arguments.
    pub kickoff_tools: Vec<(String, Value)>,
}
