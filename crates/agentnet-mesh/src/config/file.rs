//! The shape of `mesh.yaml`, version 1. The comments of the members are their descriptions in the JSON Schema and in
//! docs/MESH.md.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::secret::Secret;

mod agent;
mod tasks;
mod tool;

pub(crate) use agent::{
    AgentFile, LimitsFile, MemoryFile, ModelFile, OrchestrateFile, PrimaryModelFile, PromptFile, SourceFile,
};
pub(crate) use tasks::TasksFile;
pub(crate) use tool::{HttpFile, McpServerFile, MethodFile, ShellFile, ToolFile};

/// Marks a secret in the schema whose variable may be missing until it is used.
pub(crate) const LATE: &str = "x-late";
/// Marks a mapping in the schema in whose place `true` means one without keys, and `false` none.
pub(crate) const SWITCH: &str = "x-switch";

/// Agents, and the models and tools that they share.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mesh.yaml")]
pub(crate) struct MeshFile {
    /// Version of the format. A file without it is read in the format of the Python implementation.
    #[serde(rename = "version")]
    #[schemars(range(min = 1, max = 1))]
    pub(crate) _version: u32,
    /// Values for all agents and providers that give none.
    #[serde(default)]
    pub(crate) defaults: DefaultsFile,
    /// APIs of language models, by a name of your choice.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, ProviderFile>,
    /// Prices of models, by the name that the provider gives them. Without a price, tokens are counted and dollars are not.
    #[serde(default)]
    pub(crate) prices: BTreeMap<String, PriceFile>,
    /// Servers of the Model Context Protocol, by a name of your choice. Agents know their tools as `mcp.SERVER.TOOL`.
    #[serde(default)]
    pub(crate) mcp_servers: BTreeMap<String, McpServerFile>,
    /// HTTP requests and commands that agents may use, by the name that models know them by.
    #[serde(default)]
    pub(crate) tools: BTreeMap<String, ToolFile>,
    /// The agents that run.
    #[schemars(length(min = 1, max = 1000))]
    pub(crate) agents: Vec<AgentFile>,
}

/// Values for all agents and providers that give none.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Defaults")]
pub(crate) struct DefaultsFile {
    /// Name of the variable with the address of NATS.
    pub(crate) nats_url_env: String,
    /// Time zone of the date and time in system prompts, an IANA name such as `Europe/Berlin`.
    pub(crate) timezone: String,
    /// Newest messages of a thread that a model is shown, as `agents[].memory.max_messages`.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_history_messages: usize,
    /// Seconds to wait for a provider, as `providers.*.timeout_seconds`.
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) request_timeout_seconds: f64,
}

impl Default for DefaultsFile {
    fn default() -> Self {
        Self {
            nats_url_env: "NATS_URL".to_owned(),
            timezone: "UTC".to_owned(),
            max_history_messages: 40,
            request_timeout_seconds: 45.0,
        }
    }
}

/// An API of language models.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Provider")]
pub(crate) struct ProviderFile {
    /// API that the provider speaks.
    pub(crate) api: ApiFile,
    /// Base URL, with or without `/v1`; the path of the API is added. Default: `https://api.openai.com/v1`, and
    /// `https://api.anthropic.com` for `anthropic-messages`.
    #[schemars(length(min = 1))]
    pub(crate) base_url: Option<String>,
    /// API key. If its variable is not set, the agents start, and answer with the error `config_error`. Without `api_key`,
    /// no key is sent.
    pub(crate) api_key: Option<SecretText>,
    /// Seconds to wait for the first byte of an answer, and between two pieces of it. Default:
    /// `defaults.request_timeout_seconds`.
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) timeout_seconds: Option<f64>,
    /// Retries of a call that failed for a reason that may pass: no connection, 429, 5xx.
    #[serde(default = "max_retries")]
    #[schemars(range(min = 0, max = 20))]
    pub(crate) max_retries: u32,
    /// Further headers of each request.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub(crate) headers: BTreeMap<String, String>,
    /// Members of requests that this provider refuses, such as `temperature`; they are left out.
    #[serde(default)]
    pub(crate) params_drop: Vec<String>,
}

fn max_retries() -> u32 {
    4
}

/// API of a provider: `openai-chat` (chat completions; also llama.cpp, Ollama, vLLM and others), `openai-responses` or
/// `anthropic-messages`.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Api")]
pub(crate) enum ApiFile {
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    AnthropicMessages,
}

/// Dollars per million tokens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Price")]
pub(crate) struct PriceFile {
    /// Tokens that the model reads.
    #[schemars(range(min = 0, max = 1000000))]
    pub(crate) input: f64,
    /// Tokens that it writes.
    #[schemars(range(min = 0, max = 1000000))]
    pub(crate) output: f64,
    /// Tokens that it reads from a cache. Default: `input`.
    #[schemars(range(min = 0, max = 1000000))]
    pub(crate) cached_input: Option<f64>,
}

/// A secret whose variable may be missing until it is used, as the check of the file gives it.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SecretText {
    /// The secret itself.
    Set(String),
    /// Names of the variables that are not set.
    Unset(String),
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, LATE: true })
    }
}

impl SecretText {
    /// The secret, or the names of the variables that are not set.
    pub(crate) fn into_result(self) -> Result<Secret, String> {
        match self {
            Self::Set(text) => Ok(Secret::new(text)),
            Self::Unset(names) => Err(names),
        }
    }
}
