//! The format of the Python implementation, `agents/config/mesh_agents.yaml`, with its environment variables.
//!
//! Such a file has no `version`. Keys that it does not know are ignored, as they were. `tools` and `mcp_servers` are taken
//! as in version 1: the Python implementation had its tools in its code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::assemble::{self, Assembly};
use super::file::{McpServerFile, ToolFile};
use super::key_path::KeyPath;
use super::quote::quote;
use super::{
    AgentConfig, CompactionConfig, Environment, LimitsConfig, MemoryConfig, Mesh, ModelConfig, OrchestrateConfig,
    ReplyConfig,
};

mod provider;
mod settings;

pub(crate) use settings::Settings;

/// The agent that `MESH_AGENT1_*` are for.
const FIRST_AGENT: &str = "agent_1";
/// Peers of a debate.
const MAX_PEERS: usize = 2;
/// Tokens of an answer that neither the file nor the environment limits.
const MAX_TOKENS: u32 = 1200;

static SCHEMA: LazyLock<Value> = LazyLock::new(super::schema::of::<LegacyFile>);

/// The schema of the format.
pub(crate) fn schema() -> &'static Value {
    &SCHEMA
}

/// A file of the Python implementation.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct LegacyFile {
    #[serde(default)]
    defaults: Defaults,
    #[schemars(length(min = 1, max = 1000))]
    agents: Vec<Agent>,
    #[serde(default)]
    tools: BTreeMap<String, ToolFile>,
    #[serde(default)]
    mcp_servers: BTreeMap<String, McpServerFile>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Defaults {
    #[schemars(length(min = 1))]
    nats_url_env: String,
    #[schemars(range(min = 1, max = 1000))]
    max_history_messages: usize,
    context_timezone: String,
    #[serde(rename = "request_timeout_seconds")]
    #[schemars(range(min = 1))]
    _request_timeout_seconds: f64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            nats_url_env: "NATS_URL".to_owned(),
            max_history_messages: 24,
            context_timezone: "America/Chicago".to_owned(),
            _request_timeout_seconds: 60.0,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
struct Agent {
    #[schemars(length(min = 1))]
    key: String,
    #[schemars(length(min = 1))]
    agent_id: String,
    #[schemars(length(min = 1))]
    username: String,
    #[schemars(length(min = 1))]
    name: String,
    #[schemars(length(min = 1))]
    system_prompt_path: String,
    #[serde(default)]
    allowed_tools: Vec<String>,
    model_config: Model,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "LegacyModel")]
struct Model {
    provider: provider::Kind,
    #[schemars(length(min = 1))]
    model: String,
    #[schemars(length(min = 1))]
    api_key_env: String,
    #[schemars(length(min = 1))]
    base_url_env: String,
    #[serde(default = "temperature")]
    #[schemars(range(min = 0, max = 2))]
    temperature: f64,
    #[schemars(range(min = 1, max = 1000000))]
    max_tokens: Option<u32>,
}

fn temperature() -> f64 {
    0.2
}

/// What the agents of a file share.
struct Shared<'a> {
    settings: &'a Settings,
    timezone: String,
    max_messages: usize,
    /// Patterns of the tools that the file has.
    own_tools: Vec<String>,
    /// Directory that prompts are relative to.
    prompts: PathBuf,
}

/// Makes the mesh. Problems are added to the assembly's; the mesh is only good without any.
pub(crate) fn mesh(
    assembly: &mut Assembly<'_>,
    path: &Path,
    file: LegacyFile,
    settings: &Settings,
    environment: &Environment,
) -> Mesh {
    let tools = assemble::tools(assembly, file.tools);
    let mcp_servers = assemble::mcp_servers(assembly, file.mcp_servers);
    let mut own_tools: Vec<String> = tools.keys().cloned().collect();
    if !mcp_servers.is_empty() {
        own_tools.push("mcp.*".to_owned());
    }
    let mut providers = provider::Providers::new(environment, settings);
    let shared = Shared {
        settings,
        timezone: zone(&file.defaults.context_timezone),
        max_messages: file.defaults.max_history_messages,
        own_tools,
        prompts: prompts_directory(path),
    };
    let list = KeyPath::of(["agents"]);
    let agents = file.agents.into_iter().enumerate();
    let agents: Vec<AgentConfig> = agents
        .map(|(index, file)| agent(assembly, file, &mut providers, &shared, &list.index(index)))
        .collect();
    assemble::duplicates(assembly, &agents);
    Mesh {
        path: path.to_owned(),
        nats_url: environment(&file.defaults.nats_url_env).filter(|url| !url.trim().is_empty()),
        providers: providers.into_map(),
        prices: BTreeMap::new(),
        mcp_servers,
        tools,
        agents,
    }
}

fn agent(
    assembly: &mut Assembly<'_>,
    file: Agent,
    providers: &mut provider::Providers<'_>,
    shared: &Shared<'_>,
    path: &KeyPath,
) -> AgentConfig {
    let settings = shared.settings;
    let model = file.model_config;
    let model_path = path.key("model_config");
    let provider = providers.name(
        assembly,
        model.provider,
        &model.api_key_env,
        &model.base_url_env,
        &model_path,
    );
    let model = ModelConfig {
        provider,
        name: model.model,
        temperature: Some(model.temperature),
        max_tokens: settings.max_tokens.or(model.max_tokens).unwrap_or(MAX_TOKENS),
        thinking: 0,
    };
    let prompt_path = shared.prompts.join(&file.system_prompt_path);
    let prompt = prompt(assembly, &prompt_path, &path.key("system_prompt_path"));
    if !assemble::is_key(&file.key) {
        assembly.problem(&path.key("key"), "has letters, digits, `_`, `-` and `.` only");
    }
    let username = assemble::own_username(assembly, &file.username, &path.key("username"));
    let allowed = file.allowed_tools.into_iter().enumerate();
    let allowed = allowed.filter(|(index, _)| !assembly.is_broken(&path.key("allowed_tools").index(*index)));
    let allowed: Vec<String> = allowed.map(|(_, name)| name).collect();
    AgentConfig {
        orchestrate: orchestrate(&file.key, &username, settings),
        key: file.key,
        agent_id: file.agent_id,
        username,
        name: file.name,
        capabilities: Vec::new(),
        prompt,
        prompt_path: Some(prompt_path),
        timezone: shared.timezone.clone(),
        models: vec![model],
        tools: allowed_tools(allowed, &shared.own_tools),
        memory: memory(shared.max_messages, settings),
        limits: limits(settings),
        // The Python implementation's replies have the results of tools.
        reply: ReplyConfig {
            ttl_ms: 30_000,
            include_tool_results: true,
            events: false,
        },
        answer_direct: false,
        tasks: None,
    }
}

/// The directory that prompts are relative to: the parent of the file's directory.
fn prompts_directory(path: &Path) -> PathBuf {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let whole = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    whole.parent().map_or_else(|| directory.join(".."), Path::to_owned)
}

fn prompt(assembly: &mut Assembly<'_>, prompt_path: &Path, path: &KeyPath) -> Arc<str> {
    let text = assemble::read_prompt(prompt_path).unwrap_or_else(|message| {
        let quoted = assembly.quoted(path);
        assembly.problem(path, format!("{quoted} {message}"));
        String::new()
    });
    text.into()
}

/// The zone, or UTC where there is none of this name.
fn zone(name: &str) -> String {
    if jiff::tz::TimeZone::get(name).is_ok() {
        return name.to_owned();
    }
    tracing::warn!(zone = quote(name), "unknown time zone; UTC is used");
    "UTC".to_owned()
}

/// `*` is all that the file has; of names without a tool, the agent starts without.
fn allowed_tools(names: Vec<String>, own: &[String]) -> Vec<String> {
    if names.iter().any(|name| name == "*") {
        return own.to_vec();
    }
    for name in names.iter().filter(|name| !own.contains(name)) {
        tracing::warn!(
            tool = quote(name),
            "an allowed tool is not under `tools`; the agent works without it"
        );
    }
    names
}

fn memory(max_messages: usize, settings: &Settings) -> MemoryConfig {
    let compaction = CompactionConfig {
        at_tokens: 16_000,
        model: None,
        max_messages: settings.compaction_messages,
    };
    MemoryConfig {
        uses_thread: true,
        max_messages,
        max_tokens: 12_000,
        keep_tail: settings.keep_tail,
        compaction: settings.has_compaction.then_some(compaction),
    }
}

fn limits(settings: &Settings) -> LimitsConfig {
    LimitsConfig {
        max_steps: settings.max_steps,
        max_tool_calls: 24,
        max_time: Duration::from_secs_f64(settings.work_timeout_seconds),
        tokens_per_request: None,
        tokens_per_day: None,
        usd_per_day: None,
        concurrency: 4,
        max_hops: 6,
    }
}

/// The debate of the first agent: with at least two others, or none.
fn orchestrate(key: &str, username: &str, settings: &Settings) -> Option<OrchestrateConfig> {
    if !settings.is_orchestrated || key != FIRST_AGENT {
        return None;
    }
    let others = settings.peers.iter().filter(|peer| *peer != username);
    let peers: Vec<String> = others.take(MAX_PEERS).cloned().collect();
    if peers.len() < MAX_PEERS {
        tracing::warn!("MESH_AGENT1_PEERS names fewer than two others; there is no debate");
        return None;
    }
    Some(OrchestrateConfig {
        peers,
        rounds: settings.rounds,
        peer_timeout: Duration::from_secs_f64(settings.peer_timeout_seconds),
        peer_retries: settings.peer_retries,
        synthesis_prompt: None,
        kickoff_tools: settings
            .kickoff_tools
            .iter()
            .map(|name| (name.clone(), json!({})))
            .collect(),
    })
}

#[cfg(test)]
mod tests;
