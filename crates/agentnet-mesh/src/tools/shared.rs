//! What the agents of a mesh share: the tools of the file, and the connections to MCP servers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::Tool;
use super::command::CommandTemplate;
use super::http::{HttpClients, HttpRequestTool};
use super::mcp::{McpServerHandle, McpServerTask, ServerTasks};
use super::name::model_name;
use super::pattern::ToolPatterns;
use super::schema::{ArgumentSchema, object_schema};
use super::set::ToolSet;
use crate::config::{Mesh, ToolAction, ToolConfig};
use crate::model::ToolSpec;

/// Wait for the first connection to MCP servers, so that the first message finds their tools.
const FIRST_CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Wait for MCP servers to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same, when they are killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// The tools that all agents of a mesh share. An MCP server is started when a set of tools needs it, and again when it ends.
///
/// Dropping it ends the servers; [`SharedTools::close`] waits for their end.
pub struct SharedTools {
    tools: Vec<Arc<dyn Tool>>,
    servers: Vec<McpServerTask>,
    server_tasks: ServerTasks,
}

/// MCP servers that a configuration does not have any more. Dropping it ends them.
#[must_use = "messages at hand may still use them"]
pub struct RetiredServers(Vec<McpServerTask>);

impl SharedTools {
    /// Prepares the tools of a mesh, within a tokio runtime. A tool that [`check`] refuses is left out with a line in the log.
    #[must_use]
    pub fn start(mesh: &Mesh) -> Self {
        let mut tools = Self {
            tools: Vec::new(),
            servers: Vec::new(),
            server_tasks: ServerTasks::default(),
        };
        // There is nothing to retire.
        let _ = tools.renew(mesh);
        tools
    }

    /// Takes the tools of another configuration. MCP servers that it has with the same settings run on. Returns the others.
    pub fn renew(&mut self, mesh: &Mesh) -> RetiredServers {
        let parent = mesh.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        self.tools = compile_all(mesh, directory);
        let mut earlier = std::mem::take(&mut self.servers);
        for (name, config) in &mesh.mcp_servers {
            let same = earlier.iter().position(|server| server.runs(name, config, directory));
            let server = match same {
                Some(index) => earlier.swap_remove(index),
                None => McpServerTask::start(name, config, directory, &self.server_tasks),
            };
            self.servers.push(server);
        }
        RetiredServers(earlier)
    }

    /// The tools that an agent may use: those of the mesh and `more`, by globs. Starts the MCP servers that the globs name, and waits
    /// some seconds for their first answer; one that is later adds its tools to the set when it is there.
    pub async fn select(&self, globs: &[String], more: Vec<Arc<dyn Tool>>) -> ToolSet {
        let patterns = ToolPatterns::new(globs);
        let servers: Vec<McpServerHandle> = self
            .servers
            .iter()
            .map(McpServerTask::handle)
            .filter(|server| patterns.may_allow_below(&format!("mcp.{}.", server.name())))
            .cloned()
            .collect();
        for server in &servers {
            server.want();
        }
        join_all(
            servers
                .iter()
                .map(|server| server.first_attempt(FIRST_CONNECTION_TIMEOUT)),
        )
        .await;
        let mut fixed = self.tools.clone();
        fixed.extend(more);
        ToolSet::new(patterns, fixed, servers)
    }

    /// Ends the MCP servers: closes their input, then asks the rest to end, then kills it.
    pub async fn close(&self) {
        close_all(&self.servers).await;
    }

    /// Kills the MCP servers at once, also those that are retired; waits a second for this at most.
    pub async fn kill(&self) {
        if tokio::time::timeout(KILL_TIMEOUT, self.server_tasks.kill())
            .await
            .is_err()
        {
            tracing::warn!("some MCP servers may still run");
        }
    }
}

impl RetiredServers {
    /// Ends the servers, as [`SharedTools::close`].
    pub async fn close(self) {
        close_all(&self.0).await;
    }
}

async fn close_all(servers: &[McpServerTask]) {
    let closing = join_all(servers.iter().map(McpServerTask::close));
    if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
        tracing::warn!("some MCP servers did not end in time");
    }
}

/// The tools of the file. One whose configuration is wrong is left out.
fn compile_all(mesh: &Mesh, directory: &Path) -> Vec<Arc<dyn Tool>> {
    let clients = Arc::new(HttpClients::new());
    let tools = mesh
        .tools
        .iter()
        .filter_map(|(name, config)| match compile(name, config, directory, &clients) {
            Ok(compiled) => Some(compiled.tool),
            Err(problem) => {
                tracing::error!(
                    tool = name.as_str(),
                    problem,
                    "left out a tool: its configuration is wrong"
                );
                None
            }
        });
    tools.collect()
}

/// Checks the configuration of a tool: its schema, and that every `{parameter}` is in it.
///
/// # Errors
/// A text that says what is wrong, and in which member.
pub fn check(name: &str, config: &ToolConfig) -> Result<(), String> {
    let clients = Arc::new(HttpClients::new());
    let compiled = compile(name, config, Path::new("."), &clients)?;
    ArgumentSchema::compile(&config_schema(config)?).map_err(|problem| format!("parameters: {problem}"))?;
    compiled.check_parameters(&config.parameters)
}

/// A tool of the file, and the `{parameters}` that its configuration names.
struct CompiledTool {
    tool: Arc<dyn Tool>,
    parameters: Vec<String>,
}

fn compile(
    name: &str,
    config: &ToolConfig,
    directory: &Path,
    clients: &Arc<HttpClients>,
) -> Result<CompiledTool, String> {
    let spec = ToolSpec {
        name: model_name(name),
        description: config.description.clone(),
        parameters: config_schema(config)?,
    };
    let limits = (config.timeout, config.max_result_bytes);
    match &config.action {
        ToolAction::Http(http) => {
            let tool = HttpRequestTool::compile(spec, name, limits, http, Arc::clone(clients))?;
            let parameters = tool.parameters().into_iter().map(str::to_owned).collect();
            let tool = Arc::new(tool);
            Ok(CompiledTool { tool, parameters })
        }
        ToolAction::Command(command) => {
            let tool = CommandTemplate::compile(spec, name, limits, command, directory)?;
            let parameters = tool.parameters().map(str::to_owned).collect();
            let tool = Arc::new(tool);
            Ok(CompiledTool { tool, parameters })
        }
    }
}

fn config_schema(config: &ToolConfig) -> Result<Value, String> {
    object_schema(&config.parameters).map_err(|problem| format!("parameters: {problem}"))
}

impl CompiledTool {
    /// Refuses parameters that the schema does not have: no model could ever give them.
    fn check_parameters(&self, schema: &Value) -> Result<(), String> {
        let known = schema.get("properties").and_then(Value::as_object);
        let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
        match self.parameters.iter().find(|name| !is_known(name)) {
            Some(name) => Err(format!("{{{name}}} is not in parameters.properties")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
