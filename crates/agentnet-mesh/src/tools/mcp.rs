//! MCP servers: their tools as tools of agents.
//!
//! 1. `supervisor.rs` runs each server: it connects when the first agent wants it, again with a growing pause when it fails, and
//!    keeps the list of its tools current.
//! 2. `connection.rs` is one connection: a child process with its standard input and output, or streamable HTTP.
//! 3. `listing.rs` reads the list of tools, within limits.
//! 4. `state.rs` is what the supervisor tells the tools about the server.
//! 5. `tool.rs` calls a tool; `content.rs` turns its result into JSON for the model.

mod connection;
mod content;
mod listing;
mod state;
mod supervisor;
mod tool;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::ServerAddress;
use self::state::{ServerLink, server_state};
use self::supervisor::Supervisor;
use self::tool::McpTool;
use super::Tool;
use crate::config::McpServer;

/// A handle to a server that is run by a task. Cloning gives another handle.
#[derive(Clone)]
pub(super) struct McpServerHandle {
    link: ServerLink,
}

impl McpServerHandle {
    /// Starts the task; the server itself starts when it is wanted.
    pub(super) fn start(
        name: &str,
        config: &McpServer,
        directory: &Path,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let address = ServerAddress::new(config, directory);
        let (publisher, link) = server_state(name, address.redactor().clone());
        tasks.spawn(Supervisor::new(address, publisher, stop.clone()).run());
        Self { link }
    }

    /// Name in the configuration.
    pub(super) fn name(&self) -> &str {
        self.link.name()
    }

    /// Starts the server if it does not run yet.
    pub(super) fn want(&self) {
        self.link.want();
    }

    /// Waits until the first attempt to connect has succeeded or failed, but not longer than this.
    pub(super) async fn first_attempt(&self, timeout: Duration) {
        self.link.first_attempt(timeout).await;
    }

    /// A number that changes with the list of tools.
    pub(super) fn version(&self) -> u64 {
        self.link.version()
    }

    /// The tools that the server listed last, also while it is down.
    pub(super) fn tools(&self) -> impl Iterator<Item = Arc<dyn Tool>> {
        let link = self.link.clone();
        let tools = link.tools();
        (0..tools.len()).map(move |index| {
            let tool: Arc<dyn Tool> = Arc::new(McpTool::new(link.clone(), Arc::clone(&tools[index])));
            tool
        })
    }
}

#[cfg(test)]
mod tests;
