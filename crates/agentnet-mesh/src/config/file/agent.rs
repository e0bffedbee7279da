//! Agents of `mesh.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tasks::TasksFile;

/// An agent of the network.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Agent")]
pub(crate) struct AgentFile {
    /// Name of the agent in this file, on the command line (`--only`) and in metrics: letters, digits, `_`, `-`, `.`.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) key: String,
    /// Username on the network. Default: `key`.
    pub(crate) username: Option<String>,
    /// Agent id: the role of the process. Default: `key`.
    pub(crate) agent_id: Option<String>,
    /// Name for people. Default: `key`.
    pub(crate) name: Option<String>,
    /// Capabilities that others can find the agent by. They can also send messages to one without `.` and white space.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) capabilities: Vec<String>,
    /// System prompt.
    pub(crate) prompt: PromptFile,
    /// Model, and the models that take over when it is not available.
    pub(crate) model: PrimaryModelFile,
    /// Tools that the agent may use, as patterns: `network.*`, `mcp.files.read_*`, `status_page`. Default: none.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub(crate) tools: Vec<String>,
    /// What the model is shown of a thread.
    #[serde(default)]
    pub(crate) memory: MemoryFile,
    /// Limits on steps, time, tokens and money.
    #[serde(default)]
    pub(crate) limits: LimitsFile,
    /// How the agent replies.
    #[serde(default)]
    pub(crate) reply: ReplyFile,
    /// Whether messages that expect no reply are answered too, by a message. Two such agents can talk to each other for ever.
    #[serde(default)]
    pub(crate) answer_direct: bool,
    /// Tasks that the agent takes: work that outlives a call. `true`, or a mapping. Default: none.
    pub(crate) tasks: Option<TasksFile>,
    /// Time zone of the date and time in the system prompt. Default: `defaults.timezone`.
    pub(crate) timezone: Option<String>,
    /// A debate with other agents before the answer. Default: none.
    pub(crate) orchestrate: Option<OrchestrateFile>,
}

/// A system prompt: `file` or `text`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Prompt")]
pub(crate) struct PromptFile {
    /// File of the prompt, relative to this file. It is watched: a change takes effect with the next message.
    pub(crate) file: Option<String>,
    /// The prompt itself.
    pub(crate) text: Option<String>,
}

/// A model, and those that take over when it is not available.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PrimaryModel")]
pub(crate) struct PrimaryModelFile {
    /// Name of an entry of `providers`.
    pub(crate) provider: String,
    /// Name of the model at the provider.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) name: String,
    /// Sampling temperature. Default: the provider's.
    #[schemars(range(min = 0, max = 2))]
    pub(crate) temperature: Option<f64>,
    /// Tokens of one answer.
    #[serde(default = "max_tokens")]
    #[schemars(range(min = 1, max = 1000000))]
    pub(crate) max_tokens: u32,
    /// Tokens for thinking, less than `max_tokens`; 0 for none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000000))]
    pub(crate) thinking: u32,
    /// Models that take over, in this order.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub(crate) fallback: Vec<ModelFile>,
}

/// A model of a provider.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Model")]
pub(crate) struct ModelFile {
    /// Name of an entry of `providers`.
    pub(crate) provider: String,
    /// Name of the model at the provider.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) name: String,
    /// Sampling temperature. Default: the provider's.
    #[schemars(range(min = 0, max = 2))]
    pub(crate) temperature: Option<f64>,
    /// Tokens of one answer.
    #[serde(default = "max_tokens")]
    #[schemars(range(min = 1, max = 1000000))]
    pub(crate) max_tokens: u32,
    /// Tokens for thinking, less than `max_tokens`; 0 for none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000000))]
    pub(crate) thinking: u32,
}

fn max_tokens() -> u32 {
    4096
}

/// What the model is shown of a thread.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Memory")]
pub(crate) struct MemoryFile {
    /// `thread`: earlier messages of the thread, read from the registry. `none`: the current message alone.
    pub(crate) source: SourceFile,
    /// Newest messages that are shown. Default: `defaults.max_history_messages`.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_messages: Option<usize>,
    /// Tokens of these messages, estimated.
    #[schemars(range(min = 100, max = 10000000))]
    pub(crate) max_tokens: u64,
    /// Newest messages that a summary leaves as they are, at most `max_messages`. Default: 24, or `max_messages` if that is less.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) keep_tail: Option<usize>,
    /// Summaries of long threads.
    pub(crate) compaction: CompactionFile,
}

impl Default for MemoryFile {
    fn default() -> Self {
        Self {
            source: SourceFile::Thread,
            max_messages: None,
            max_tokens: 12_000,
            keep_tail: None,
            compaction: CompactionFile::default(),
        }
    }
}

/// Where earlier messages come from.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Source")]
pub(crate) enum SourceFile {
    Thread,
    None,
}

/// Summaries of long threads: checkpoint messages, which all agents of the thread use.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Compaction")]
pub(crate) struct CompactionFile {
    /// Whether this agent writes summaries.
    pub(crate) enabled: bool,
    /// Tokens after the last summary, estimated, at which the next one is written.
    #[schemars(range(min = 100, max = 10000000))]
    pub(crate) at_tokens: u64,
    /// Model of the summary. Default: the agent's.
    pub(crate) model: Option<ModelFile>,
    /// Messages that are read for one summary.
    #[schemars(range(min = 50, max = 10000))]
    pub(crate) max_messages: usize,
}

impl Default for CompactionFile {
    fn default() -> Self {
        Self {
            enabled: true,
            at_tokens: 16_000,
            model: None,
            max_messages: 400,
        }
    }
}

/// Limits of an agent.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(crate) struct LimitsFile {
    /// Calls of the model per message. After the last one, the model must answer without tools.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) max_steps: u32,
    /// Calls of tools per message.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) max_tool_calls: u32,
    /// Seconds per message.
    #[schemars(range(min = 1, max = 86400))]
    pub(crate) max_seconds: f64,
    /// Tokens per message, read and written. Default: no limit.
    #[schemars(range(min = 1))]
    pub(crate) tokens_per_request: Option<u64>,
    /// Tokens per day (UTC). Default: no limit.
    #[schemars(range(min = 1))]
    pub(crate) tokens_per_day: Option<u64>,
    /// Dollars per day (UTC); all models of the agent need `prices`. Default: no limit.
    #[schemars(range(min = 0, max = 1000000))]
    pub(crate) usd_per_day: Option<f64>,
    /// Messages that are answered at the same time; further ones wait.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) concurrency: usize,
    /// Agents that may ask one another in a chain.
    #[schemars(range(min = 1, max = 32))]
    pub(crate) max_hops: u32,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            max_steps: 8,
            max_tool_calls: 24,
            max_seconds: 240.0,
            tokens_per_request: None,
            tokens_per_day: None,
            usd_per_day: None,
            concurrency: 4,
            max_hops: 6,
        }
    }
}

/// How an agent replies.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Reply")]
pub(crate) struct ReplyFile {
    /// `auto`: a reply is streamed to those who ask for a stream.
    #[serde(rename = "stream")]
    pub(crate) _stream: StreamFile,
    /// Milliseconds for which a reply is valid.
    #[schemars(range(min = 1000, max = 86400000))]
    pub(crate) ttl_ms: i64,
    /// Whether a reply has the results of the tools.
    pub(crate) include_tool_results: bool,
    /// Whether a streamed reply tells which tools run.
    pub(crate) events: bool,
}

impl Default for ReplyFile {
    fn default() -> Self {
        Self {
            _stream: StreamFile::Auto,
            ttl_ms: 30_000,
            include_tool_results: false,
            events: false,
        }
    }
}

/// When replies are streamed.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Stream")]
pub(crate) enum StreamFile {
    Auto,
}

/// A debate: the peers answer, see one another's answers, and the agent draws the conclusion.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Orchestrate")]
pub(crate) struct OrchestrateFile {
    /// Usernames of the agents that are asked.
    #[schemars(length(min = 1, max = 16))]
    pub(crate) peers: Vec<String>,
    /// Rounds of the debate.
    #[serde(default = "rounds")]
    #[schemars(range(min = 1, max = 10))]
    pub(crate) rounds: u32,
    /// Seconds to wait for a peer.
    #[serde(default = "peer_timeout_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) peer_timeout_seconds: f64,
    /// Retries of a peer that does not answer.
    #[serde(default = "peer_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub(crate) peer_retries: u32,
    /// System prompt of the conclusion. Default: the agent's own.
    pub(crate) synthesis_prompt: Option<String>,
    /// Tools that run before the debate; its agents see the results.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub(crate) kickoff_tools: Vec<KickoffFile>,
}

fn rounds() -> u32 {
    2
}

fn peer_timeout_seconds() -> f64 {
    45.0
}

fn peer_retries() -> u32 {
    1
}

/// A call of a tool before a debate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KickoffTool")]
pub(crate) struct KickoffFile {
    /// Name of a tool that the agent may use, such as `network.list_online`.
    pub(crate) tool: String,
    /// Arguments of the call. Default: none.
    pub(crate) arguments: Option<Value>,
}
