//! The tools of one agent.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::mcp::McpServerHandle;
use super::name::model_names;
use super::outcome::tool_result;
use super::pattern::ToolPatterns;
use super::schema::{ArgumentSchema, parse_arguments};
use super::{DEFAULT_MAX_RESULT_BYTES, Tool, ToolContext, ToolOutcome};
use crate::model::{ToolCall, ToolResult, ToolSpec};

/// Names in the error for a tool that does not exist.
const MAX_SUGGESTED_NAMES: usize = 40;

/// The tools that one agent may use. Cloning gives another handle to the same set.
///
/// The tools of MCP servers come and go with the servers: [`ToolSet::specs`] has those of now.
#[derive(Clone)]
pub struct ToolSet {
    shared: Arc<Shared>,
}

struct Shared {
    patterns: ToolPatterns,
    /// Tools that do not change, those that the globs do not allow among them.
    fixed: Vec<Arc<dyn Tool>>,
    servers: Vec<McpServerHandle>,
    listing: Mutex<Arc<Listing>>,
}

/// The tools at one time.
struct Listing {
    /// Versions of the tool lists of the servers that this was made from.
    versions: Vec<u64>,
    specs: Arc<[ToolSpec]>,
    /// By the name that models use.
    entries: HashMap<String, Entry>,
    /// Names of the models by those of the configuration.
    model_names: HashMap<String, String>,
    /// Tools that exist, but are not allowed, by both names.
    forbidden: HashSet<String>,
}

struct Entry {
    tool: Arc<dyn Tool>,
    /// Compiled at the first call.
    schema: OnceLock<Result<ArgumentSchema, String>>,
}

impl ToolSet {
    /// A set of these tools alone, all of them allowed.
    #[must_use]
    pub fn of(tools: Vec<Arc<dyn Tool>>) -> Self {
        Self::new(ToolPatterns::new(&["*".to_owned()]), tools, Vec::new())
    }

    pub(super) fn new(patterns: ToolPatterns, fixed: Vec<Arc<dyn Tool>>, servers: Vec<McpServerHandle>) -> Self {
        let listing = Listing::new(&patterns, &fixed, &servers);
        Self {
            shared: Arc::new(Shared {
                patterns,
                fixed,
                servers,
                listing: Mutex::new(Arc::new(listing)),
            }),
        }
    }

    /// The tools as the model sees them, in the order of their names in the configuration.
    #[must_use]
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        Arc::clone(&self.listing().specs)
    }

    /// The name of a tool for models, by its name in the configuration.
    #[must_use]
    pub fn model_name(&self, config_name: &str) -> Option<String> {
        self.listing().model_names.get(config_name).cloned()
    }

    /// The globs of the agent that allow no tool that exists now.
    #[must_use]
    pub fn unmatched_globs(&self) -> Vec<String> {
        let listing = self.listing();
        self.shared
            .patterns
            .unmatched(listing.model_names.keys().map(String::as_str))
    }

    /// Calls a tool, by its name for models or its name in the configuration, and never fails: the result tells the model what went
    /// wrong.
    ///
    /// Codes of failures beside those of the tools: `tool_not_found`, `tool_not_allowed`, `bad_args`, `bad_schema`, `timeout`,
    /// `cancelled`.
    pub async fn call(&self, call: &ToolCall, context: &ToolContext) -> ToolResult {
        let listing = self.listing();
        let name = listing.model_names.get(&call.name).unwrap_or(&call.name);
        let Some(entry) = listing.entries.get(name) else {
            return tool_result(call, &listing.not_found(&call.name), DEFAULT_MAX_RESULT_BYTES);
        };
        let outcome = match entry.checked_arguments(&call.arguments) {
            Ok(arguments) => run(entry.tool.as_ref(), arguments, context).await,
            Err(failure) => failure,
        };
        tool_result(call, &outcome, entry.tool.max_result_bytes())
    }

    /// The tools of now.
    fn listing(&self) -> Arc<Listing> {
        let shared = &self.shared;
        let current = Arc::clone(&shared.listing.lock());
        if versions(&shared.servers).eq(current.versions.iter().copied()) {
            return current;
        }
        let renewed = Arc::new(Listing::new(&shared.patterns, &shared.fixed, &shared.servers));
        *shared.listing.lock() = Arc::clone(&renewed);
        renewed
    }
}

impl std::fmt::Debug for ToolSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listing = self.listing();
        formatter
            .debug_list()
            .entries(listing.specs.iter().map(|spec| &spec.name))
            .finish()
    }
}

fn versions(servers: &[McpServerHandle]) -> impl Iterator<Item = u64> {
    servers.iter().map(McpServerHandle::version)
}

impl Listing {
    fn new(patterns: &ToolPatterns, fixed: &[Arc<dyn Tool>], servers: &[McpServerHandle]) -> Self {
        // Before the tools: a list that changes meanwhile is read again.
        let versions = versions(servers).collect();
        let mut tools: Vec<Arc<dyn Tool>> = fixed.to_vec();
        for server in servers {
            tools.extend(server.tools());
        }
        let mut seen = HashSet::new();
        tools.retain(|tool| seen.insert(tool.config_name().to_owned()));
        tools.sort_by(|one, other| one.config_name().cmp(other.config_name()));

        let config_names: Vec<&str> = tools.iter().map(|tool| tool.config_name()).collect();
        let names = model_names(&config_names);
        let mut listing = Self {
            versions,
            specs: Arc::new([]),
            entries: HashMap::new(),
            model_names: HashMap::new(),
            forbidden: HashSet::new(),
        };
        let mut specs = Vec::new();
        for (tool, name) in tools.iter().zip(names) {
            let config_name = tool.config_name();
            if !patterns.allows(config_name) {
                listing.forbidden.extend([name, config_name.to_owned()]);
                continue;
            }
            specs.push(ToolSpec {
                name: name.clone(),
                ..tool.spec().clone()
            });
            listing.model_names.insert(config_name.to_owned(), name.clone());
            let entry = Entry {
                tool: Arc::clone(tool),
                schema: OnceLock::new(),
            };
            listing.entries.insert(name, entry);
        }
        listing.specs = specs.into();
        listing
    }

    fn not_found(&self, name: &str) -> ToolOutcome {
        if self.forbidden.contains(name) {
            return ToolOutcome::failed("tool_not_allowed", "this agent may not use the tool");
        }
        if self.specs.is_empty() {
            return ToolOutcome::failed("tool_not_found", "there are no tools");
        }
        let mut names: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
        let more = if names.len() > MAX_SUGGESTED_NAMES { ", …" } else { "" };
        names.truncate(MAX_SUGGESTED_NAMES);
        ToolOutcome::failed("tool_not_found", format!("the tools are: {}{more}", names.join(", ")))
    }
}

impl Entry {
    fn checked_arguments(&self, text: &str) -> Result<Value, ToolOutcome> {
        let arguments = parse_arguments(text).map_err(|problem| ToolOutcome::failed("bad_args", problem))?;
        let schema = self
            .schema
            .get_or_init(|| ArgumentSchema::compile(&self.tool.spec().parameters))
            .as_ref()
            .map_err(|problem| {
                ToolOutcome::failed("bad_schema", format!("the tool's own schema is wrong: {problem}"))
            })?;
        schema
            .check(&arguments)
            .map_err(|problem| ToolOutcome::failed("bad_args", problem))?;
        Ok(arguments)
    }
}

/// Runs a tool until it is done, its time is over, or nobody waits any more. Dropping its future ends what it began.
async fn run(tool: &dyn Tool, arguments: Value, context: &ToolContext) -> ToolOutcome {
    let allowed = tool.timeout();
    let own_deadline = Instant::now().checked_add(allowed).unwrap_or(context.deadline);
    tokio::select! {
        biased;
        () = context.cancelled.cancelled() => ToolOutcome::failed("cancelled", "the request was cancelled"),
        () = tokio::time::sleep_until(own_deadline.min(context.deadline)) => {
            let detail = if own_deadline <= context.deadline {
                format!("no result after {} s", allowed.as_secs_f64())
            } else {
                "the time for the whole answer is over".to_owned()
            };
            ToolOutcome::failed("timeout", detail)
        }
        outcome = tool.call(arguments, context) => outcome,
    }
}

#[cfg(test)]
mod tests;
