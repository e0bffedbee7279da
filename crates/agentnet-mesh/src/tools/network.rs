//! Tools of the network itself: find agents, ask them, send messages, read threads.
//!
//! A question that an agent asks stays in the thread of the message that it answers, and follows it. So does a task that it
//! gives to another agent; one that it gives while it works at a task is a part of that one.
//! [`chain::CallChain`] keeps agents from asking one another in a circle.

pub mod allowance;
pub mod chain;

mod agents;
mod history;
mod messages;
mod specs;
mod task_specs;
mod task_views;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use agentnet::{Message, RegistryError, RegistryRefusal};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Tool, ToolContext, ToolOutcome};
use crate::memory::names::AccountNames;
use crate::model::ToolSpec;

/// Characters of one text in a result.
const MAX_TEXT_CHARS: usize = 16_000;
/// Wait for the registry, all its retries together.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// All tools of the network, for [`SharedTools::select`](super::SharedTools::select).
#[must_use]
pub fn network_tools() -> Vec<Arc<dyn Tool>> {
    let names = Arc::new(AccountNames::default());
    let tool = |(config_name, action, timeout, spec)| -> Arc<dyn Tool> {
        Arc::new(NetworkTool {
            config_name,
            action,
            timeout,
            spec,
            names: names.clone(),
        })
    };
    specs::all().into_iter().chain(task_specs::all()).map(tool).collect()
}

/// Why a tool of the network failed, for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFailure {
    /// Code for the model.
    pub code: String,
    /// What happened, and what to do.
    pub detail: String,
}

impl ToolFailure {
    fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
        }
    }
}

/// What a tool of the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    ListOnline,
    GetProfile,
    Ask,
    Send,
    Note,
    Thread,
    Search,
    TaskAssign,
    TaskStatus,
    TaskList,
    TaskCancel,
}

struct NetworkTool {
    config_name: &'static str,
    action: Action,
    timeout: Duration,
    spec: ToolSpec,
    names: Arc<AccountNames>,
}

#[async_trait]
impl Tool for NetworkTool {
    fn config_name(&self) -> &str {
        self.config_name
    }

    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn call(&self, arguments: Value, context: &ToolContext) -> ToolOutcome {
        let names = &*self.names;
        let outcome = match self.action {
            Action::ListOnline => agents::list_online(arguments, context).await,
            Action::GetProfile => agents::get_profile(arguments, context).await,
            Action::Ask => messages::ask(arguments, context).await,
            Action::Send => messages::send(arguments, context).await,
            Action::Note => messages::note(arguments, context).await,
            Action::Thread => history::thread(arguments, context, names).await,
            Action::Search => history::search(arguments, context, names).await,
            // The largest future of all.
            Action::TaskAssign => Box::pin(tasks::assign(arguments, context)).await,
            Action::TaskStatus => task_views::status(arguments, context, names).await,
            Action::TaskList => task_views::list(arguments, context, names).await,
            Action::TaskCancel => task_views::cancel(arguments, context).await,
        };
        match outcome {
            Ok(result) => ToolOutcome::Ok(result),
            Err(ToolFailure { code, detail }) => ToolOutcome::Failed { code, detail },
        }
    }
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, ToolFailure> {
    serde_json::from_value(arguments).map_err(|error| ToolFailure::new("bad_args", error.to_string()))
}

fn own_account(context: &ToolContext) -> Result<String, ToolFailure> {
    let account_id = context.node.account_id();
    account_id.ok_or_else(|| ToolFailure::new("shutting_down", "this agent is leaving the network"))
}

/// Puts a message into the thread of the message or task that an agent is at, and says what it follows.
macro_rules! following {
    ($sent:expr, $message:expr, $task_id:expr) => {{
        let sent = $sent.thread($crate::tools::network::thread_of(&$message));
        match &$task_id {
            // A task is no message that another one could follow.
            Some(task_id) => sent.trace(&**task_id),
            None => sent.parent(&*$message.message_id),
        }
    }};
}
pub(crate) use following;

/// The id of the thread that a message belongs to.
#[must_use]
pub fn thread_of(message: &Message) -> String {
    match message.thread_id.as_deref() {
        Some(thread_id) => thread_id.to_owned(),
        None => agentnet_protocol::compose::default_thread_id(message.trace_or_message_id()).to_string(),
    }
}

fn registry_failure(error: &RegistryError, missing: impl FnOnce() -> String) -> ToolFailure {
    match error.refusal() {
        Some(RegistryRefusal::NotFound) => ToolFailure::new("not_found", missing()),
        Some(_) => ToolFailure::new("registry_refused", cut(&error.to_string(), 300)),
        None => ToolFailure::new("registry_unavailable", cut(&error.to_string(), 300)),
    }
}

/// A text of at most so many characters; one that is cut ends in `…`.
fn cut(text: &str, max_chars: usize) -> String {
    crate::memory::estimate::cut(text, max_chars)
}

#[cfg(test)]
mod tests;
