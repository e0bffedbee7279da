//! Agents.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::json::trim;
use agentnet_protocol::username as rule;
use serde_json::{Value, json};

use super::model::{model, models};
use super::tool_glob::{KnownTools, any_matches};
use super::{Assembly, prompt, zone};
use crate::config::file::{AgentFile, LimitsFile, MemoryFile, OrchestrateFile, PromptFile, SourceFile, TasksFile};
use crate::config::key_path::KeyPath;
use crate::config::{
    AgentConfig, CompactionConfig, LimitsConfig, MemoryConfig, ModelConfig, OrchestrateConfig, Price, Provider,
    ReplyConfig, TasksConfig,
};

/// Newest messages that a summary leaves as they are.
const KEEP_TAIL: usize = 24;
/// Characters of an agent id, a name or a capability.
const MAX_NAME: usize = 200;

/// What agents refer to.
pub(super) struct Shared<'a> {
    pub(super) providers: &'a BTreeMap<String, Provider>,
    pub(super) prices: &'a BTreeMap<String, Price>,
    pub(super) tools: KnownTools,
    pub(super) timezone: &'a str,
    pub(super) max_messages: usize,
}

/// Checks the agents.
pub(super) fn agents(assembly: &mut Assembly<'_>, files: Vec<AgentFile>, shared: &Shared<'_>) -> Vec<AgentConfig> {
    let list = KeyPath::of(["agents"]);
    let agents: Vec<AgentConfig> = files
        .into_iter()
        .enumerate()
        .map(|(index, file)| agent(assembly, file, shared, &list.index(index)))
        .collect();
    duplicates(assembly, &agents);
    agents
}

fn agent(assembly: &mut Assembly<'_>, file: AgentFile, shared: &Shared<'_>, path: &KeyPath) -> AgentConfig {
    if !is_key(&file.key) {
        assembly.problem(&path.key("key"), "has letters, digits, `_`, `-` and `.` only");
    }
    let wanted = file.username.as_deref().unwrap_or(&file.key);
    let name_path = path.key(if file.username.is_some() { "username" } else { "key" });
    let username = own_username(assembly, wanted, &name_path);
    let agent_id = file.agent_id.unwrap_or_else(|| file.key.clone());
    let name = file.name.unwrap_or_else(|| file.key.clone());
    for (member, text) in [("agent_id", &agent_id), ("name", &name)] {
        check_name(assembly, text, &path.key(member));
    }
    for (index, capability) in file.capabilities.iter().enumerate() {
        check_name(assembly, capability, &path.key("capabilities").index(index));
    }
    check_patterns(assembly, &file.tools, &shared.tools, &path.key("tools"));
    let timezone = file.timezone.unwrap_or_else(|| shared.timezone.to_owned());
    if assembly.has(&path.key("timezone")) {
        zone(assembly, &timezone, &path.key("timezone"));
    }
    let (prompt, prompt_path) = prompt(assembly, file.prompt, &path.key("prompt"));
    let models = models(assembly, file.model, shared.providers, &path.key("model"));
    let memory = memory(assembly, file.memory, shared, &path.key("memory"));
    check_prices(assembly, &file.limits, &models, &memory, shared.prices, path);
    let limits = limits(file.limits);
    let tasks = file.tasks.map(|tasks| tasks_of(&tasks, &limits));
    let orchestrate = file
        .orchestrate
        .map(|debate| orchestrate(assembly, debate, &username, &file.tools, path));
    AgentConfig {
        key: file.key,
        agent_id,
        username,
        name,
        capabilities: file.capabilities,
        prompt,
        prompt_path,
        timezone,
        models,
        tools: file.tools,
        memory,
        limits,
        reply: ReplyConfig {
            ttl_ms: file.reply.ttl_ms,
            include_tool_results: file.reply.include_tool_results,
            events: file.reply.events,
        },
        answer_direct: file.answer_direct,
        tasks,
        orchestrate,
    }
}

/// Whether a text can be the key of an agent.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// The form of a username that the registry keeps.
fn username(assembly: &mut Assembly<'_>, wanted: &str, path: &KeyPath) -> String {
    rule::usable(wanted).unwrap_or_else(|_| {
        let quoted = assembly.quoted(path);
        let message = format!("{quoted} cannot be a username: it consists of a-z 0-9 . _ -");
        assembly.problem(path, message);
        wanted.to_owned()
    })
}

/// As [`username`], of an agent of the file. One that becomes another is a warning.
pub(crate) fn own_username(assembly: &mut Assembly<'_>, wanted: &str, path: &KeyPath) -> String {
    let username = username(assembly, wanted, path);
    if username != trim(wanted).trim_start_matches('@') {
        let quoted = assembly.quoted(path);
        // Values of variables are not shown.
        let becomes = match assembly.has_variables(path) {
            true => "another".to_owned(),
            false => format!("@{username}"),
        };
        let message = format!(
            "{quoted} joins as {becomes}: usernames consist of a-z 0-9 . _ -, at most {}",
            rule::MAX_LENGTH
        );
        assembly.warn(path, message);
    }
    username
}

/// Checks that each pattern can match a tool.
fn check_patterns(assembly: &mut Assembly<'_>, patterns: &[String], tools: &KnownTools, path: &KeyPath) {
    if assembly.is_broken(&KeyPath::of(["tools"])) || assembly.is_broken(&KeyPath::of(["mcp_servers"])) {
        return;
    }
    for (index, pattern) in patterns.iter().enumerate() {
        if let Err(message) = tools.check(pattern) {
            let path = path.index(index);
            let message = if assembly.has_variables(&path) {
                "matches no tool".to_owned()
            } else {
                message
            };
            assembly.problem(&path, message);
        }
    }
}

fn check_name(assembly: &mut Assembly<'_>, text: &str, path: &KeyPath) {
    if text.trim().is_empty() {
        assembly.problem(path, "must not be empty");
    } else if text.chars().count() > MAX_NAME || text.chars().any(char::is_control) {
        assembly.problem(path, format!("has at most {MAX_NAME} characters, on one line"));
    }
}

/// Reports keys, usernames and agent ids that several agents have.
pub(crate) fn duplicates(assembly: &mut Assembly<'_>, agents: &[AgentConfig]) {
    let list = KeyPath::of(["agents"]);
    for (index, agent) in agents.iter().enumerate() {
        let earlier = &agents[..index];
        let path = list.index(index);
        if earlier.iter().any(|other| other.key == agent.key) {
            assembly.problem(&path.key("key"), "another agent has the same key");
            continue;
        }
        if let Some(other) = earlier.iter().position(|other| other.username == agent.username) {
            let other = assembly.quoted(&list.index(other).key("key"));
            assembly.problem(
                &path.key("username"),
                format!("the agent {other} has the same username"),
            );
        }
        if let Some(other) = earlier.iter().position(|other| other.agent_id == agent.agent_id) {
            let other = assembly.quoted(&list.index(other).key("key"));
            assembly.problem(
                &path.key("agent_id"),
                format!("the agent {other} has the same agent id"),
            );
        }
    }
}

/// The prompt, and its file.
fn prompt(assembly: &mut Assembly<'_>, file: PromptFile, path: &KeyPath) -> (Arc<str>, Option<PathBuf>) {
    match (file.file, file.text) {
        (Some(name), None) => {
            let prompt_path = assembly.file_path(&name);
            let text = prompt::read(&prompt_path).unwrap_or_else(|message| {
                let path = path.key("file");
                let quoted = assembly.quoted(&path);
                assembly.problem(&path, format!("{quoted} {message}"));
                String::new()
            });
            (text.into(), Some(prompt_path))
        }
        (None, Some(text)) => {
            if text.trim().is_empty() {
                assembly.problem(&path.key("text"), "must not be empty");
            }
            (text.trim().into(), None)
        }
        _ => {
            assembly.needs_one_of(["file", "text"], path);
            (Arc::default(), None)
        }
    }
}

fn memory(assembly: &mut Assembly<'_>, file: MemoryFile, shared: &Shared<'_>, path: &KeyPath) -> MemoryConfig {
    let max_messages = file.max_messages.unwrap_or(shared.max_messages);
    let keep_tail = file.keep_tail.unwrap_or_else(|| KEEP_TAIL.min(max_messages));
    let limit = match assembly.has(&path.key("max_messages")) {
        true => path.key("max_messages"),
        false => KeyPath::of(["defaults", "max_history_messages"]),
    };
    if keep_tail > max_messages && !assembly.is_broken(&limit) {
        let message =
            format!("must be at most `max_messages`, which is {max_messages}: messages between are never shown");
        assembly.problem(&path.key("keep_tail"), message);
    }
    let path = path.key("compaction");
    let compaction = CompactionConfig {
        at_tokens: file.compaction.at_tokens,
        model: file
            .compaction
            .model
            .map(|summary| model(assembly, summary, shared.providers, &path.key("model"))),
        max_messages: file.compaction.max_messages,
    };
    MemoryConfig {
        uses_thread: file.source == SourceFile::Thread,
        max_messages,
        max_tokens: file.max_tokens,
        keep_tail: u64::try_from(keep_tail).unwrap_or(u64::MAX),
        compaction: file.compaction.enabled.then_some(compaction),
    }
}

fn limits(file: LimitsFile) -> LimitsConfig {
    LimitsConfig {
        max_steps: file.max_steps,
        max_tool_calls: file.max_tool_calls,
        max_time: Duration::from_secs_f64(file.max_seconds),
        tokens_per_request: file.tokens_per_request,
        tokens_per_day: file.tokens_per_day,
        usd_per_day: file.usd_per_day,
        concurrency: file.concurrency,
        max_hops: file.max_hops,
    }
}

fn tasks_of(file: &TasksFile, limits: &LimitsConfig) -> TasksConfig {
    TasksConfig {
        concurrency: file.concurrency,
        max_steps: file.max_steps.unwrap_or(limits.max_steps),
        max_tool_calls: file.max_tool_calls.unwrap_or(limits.max_tool_calls),
        max_time: file.max_seconds.map_or(limits.max_time, Duration::from_secs_f64),
    }
}

/// A limit of dollars needs the prices of all models of the agent.
fn check_prices(
    assembly: &mut Assembly<'_>,
    limits: &LimitsFile,
    models: &[ModelConfig],
    memory: &MemoryConfig,
    prices: &BTreeMap<String, Price>,
    path: &KeyPath,
) {
    if limits.usd_per_day.is_none() {
        return;
    }
    let summary = memory
        .compaction
        .as_ref()
        .and_then(|compaction| compaction.model.as_ref());
    let unpriced = models
        .iter()
        .chain(summary)
        .any(|model| !prices.contains_key(&model.name));
    let summary_path = path.key("memory").key("compaction");
    let is_broken = [path.key("model"), summary_path, KeyPath::of(["prices"])]
        .iter()
        .any(|path| assembly.is_broken_within(path));
    if unpriced && !is_broken {
        let message = "needs `prices` of all models of the agent, those of `fallback` and `compaction` included";
        assembly.problem(&path.key("limits").key("usd_per_day"), message);
    }
}

fn orchestrate(
    assembly: &mut Assembly<'_>,
    file: OrchestrateFile,
    own: &str,
    tools: &[String],
    agent: &KeyPath,
) -> OrchestrateConfig {
    let path = agent.key("orchestrate");
    let has_all_tools = !assembly.is_broken_within(&agent.key("tools"));
    let mut peers: Vec<String> = Vec::new();
    for (index, peer) in file.peers.iter().enumerate() {
        let path = path.key("peers").index(index);
        let peer = username(assembly, peer, &path);
        if peer == own {
            assembly.problem(&path, "is the agent itself");
        } else if peers.contains(&peer) {
            assembly.problem(&path, "is given twice");
        }
        peers.push(peer);
    }
    let kickoff_tools = file.kickoff_tools.into_iter().enumerate().map(|(index, call)| {
        let path = path.key("kickoff_tools").index(index);
        if has_all_tools && !any_matches(tools, &call.tool) {
            assembly.problem(&path.key("tool"), "is not among the `tools` of the agent");
        }
        let arguments = call.arguments.unwrap_or_else(|| json!({}));
        if !matches!(arguments, Value::Object(_)) {
            assembly.problem(&path.key("arguments"), "must be a mapping");
        }
        (call.tool, arguments)
    });
    OrchestrateConfig {
        kickoff_tools: kickoff_tools.collect(),
        peers,
        rounds: file.rounds,
        peer_timeout: Duration::from_secs_f64(file.peer_timeout_seconds),
        peer_retries: file.peer_retries,
        synthesis_prompt: file.synthesis_prompt.map(|text| text.trim().into()),
    }
}
