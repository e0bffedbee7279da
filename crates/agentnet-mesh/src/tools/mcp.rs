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

use std::path::{Path, PathBuf};
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

/// The tasks of all servers of a mesh, also of those that its configuration does not have any more.
#[derive(Default)]
pub(super) struct ServerTasks {
    tasks: TaskTracker,
    kill: CancellationToken,
}

impl ServerTasks {
    /// Kills the servers at once, and waits until their tasks have ended. No server starts any more.
    pub(super) async fn kill(&self) {
        self.kill.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A server of the configuration with the task that runs it. Dropping it ends the task; [`McpServerTask::close`] waits for the end.
pub(super) struct McpServerTask {
    handle: McpServerHandle,
    config: McpServer,
    directory: PathBuf,
    task: TaskTracker,
    stop: CancellationToken,
}

impl McpServerTask {
    /// Starts the task, as one of `all`; the server itself starts when it is wanted.
    pub(super) fn start(name: &str, config: &McpServer, directory: &Path, all: &ServerTasks) -> Self {
        let address = ServerAddress::new(config, directory);
        let (publisher, link) = server_state(name, address.redactor().clone());
        let (task, stop) = (TaskTracker::new(), CancellationToken::new());
        let supervisor = Supervisor::new(address, publisher, stop.clone(), all.kill.clone());
        task.spawn(all.tasks.track_future(supervisor.run()));
        task.close();
        Self {
            handle: McpServerHandle { link },
            config: config.clone(),
            directory: directory.to_owned(),
            task,
            stop,
        }
    }

    /// Whether it runs the server that a configuration describes.
    pub(super) fn runs(&self, name: &str, config: &McpServer, directory: &Path) -> bool {
        self.handle.name() == name && self.config == *config && self.directory == directory
    }

    pub(super) fn handle(&self) -> &McpServerHandle {
        &self.handle
    }

    /// Ends the server: closes its input, then asks it to end, then kills it.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

impl Drop for McpServerTask {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A handle to a server that is run by a task. Cloning gives another handle.
#[derive(Clone)]
pub(super) struct McpServerHandle {
    link: ServerLink,
}

impl McpServerHandle {
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
