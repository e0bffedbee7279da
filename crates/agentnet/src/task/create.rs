//! Asking for work.

use std::time::Duration;

use agentnet_protocol::json::Kind;
use agentnet_protocol::rpc::TaskCreateRequest;
use agentnet_protocol::target::Target;
use agentnet_protocol::{RawJson, ids};

use super::caller::TaskCaller;
use super::context::TaskContext;
use super::error::TaskError;
use super::handle::TaskHandle;
use super::messages;
use crate::ids::now;
use crate::message_options::IntoPayload;
use crate::node::AgentNode;
use crate::sdk::AgentSdk;
use crate::send::error::SendError;
use crate::session::Session;

impl AgentNode {
    /// Asks for work that may take long, or begin later (PROTOCOL.md section 22): for an account (`@name`,
    /// `name`, `acct_…` or `account:<id>`), or for any agent with a capability (`capability:<name>`).
    ///
    /// ```no_run
    /// # use agentnet::{AgentNode, TaskError, json};
    /// # async fn run(node: AgentNode) -> Result<(), TaskError> {
    /// let task = node.task("capability:build").title("nightly").text("build main").retries(2).key("nightly-12").start().await?;
    /// let outcome = task.result().await?;
    /// println!("{}: {:?}", outcome.state, outcome.result);
    /// # Ok(()) }
    /// ```
    pub fn task(&self, to: impl Into<String>) -> NewTask {
        NewTask {
            node: self.clone(),
            to: to.into(),
            request: Box::new(TaskCreateRequest::new("", "", "")),
            payload: None,
            deadline: None,
            delay: None,
        }
    }

    /// A task that exists, by its id.
    pub fn task_handle(&self, task_id: impl Into<String>) -> TaskHandle {
        TaskHandle::of(self.clone(), task_id.into())
    }
}

impl AgentSdk {
    /// Asks for work, see [`AgentNode::task`].
    pub fn task(&self, to: impl Into<String>) -> NewTask {
        self.node().task(to)
    }

    /// A task that exists, by its id.
    pub fn task_handle(&self, task_id: impl Into<String>) -> TaskHandle {
        self.node().task_handle(task_id)
    }
}

/// The task that another one is a part of: its id, its [`TaskHandle`], or the [`TaskContext`] of its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentTask(String);

impl From<&str> for ParentTask {
    fn from(task_id: &str) -> Self {
        Self(task_id.to_owned())
    }
}

impl From<String> for ParentTask {
    fn from(task_id: String) -> Self {
        Self(task_id)
    }
}

impl From<&String> for ParentTask {
    fn from(task_id: &String) -> Self {
        Self(task_id.clone())
    }
}

impl From<&TaskHandle> for ParentTask {
    fn from(task: &TaskHandle) -> Self {
        Self(task.id().to_owned())
    }
}

impl From<&TaskContext> for ParentTask {
    fn from(context: &TaskContext) -> Self {
        Self(context.task_id().to_owned())
    }
}

/// A task to be made, see [`AgentNode::task`]; [`start`](Self::start) makes it.
#[derive(Debug)]
#[must_use = "call `start` to make the task"]
pub struct NewTask {
    node: AgentNode,
    to: String,
    request: Box<TaskCreateRequest>,
    payload: Option<Result<RawJson, SendError>>,
    deadline: Option<Duration>,
    delay: Option<Duration>,
}

impl NewTask {
    /// A few words, at most 1,024 bytes.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.request.title = Some(title.into());
        self
    }

    /// What is to be done, at most 64 KiB.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.request.text = text.into();
        self
    }

    /// What is to be done, for programs: any JSON of at most 256 KiB. Larger content goes into a blob.
    pub fn payload(mut self, payload: impl IntoPayload) -> Self {
        self.payload = Some(payload.into_payload());
        self
    }

    /// The task that this one is a part of: cancelling that cancels this.
    pub fn parent(mut self, parent: impl Into<ParentTask>) -> Self {
        self.request.parent_task_id = Some(parent.into().0);
        self
    }

    /// When it is given up, counted from the start, all attempts together. Default: never.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long no worker may begin with it. Default: not at all.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// How often it is tried again where a worker is lost, or says that another attempt may help: at most 19 times. Default 0.
    pub fn retries(mut self, retries: u32) -> Self {
        self.request.max_attempts = i64::from(retries).saturating_add(1);
        self
    }

    /// The delay before the second attempt, which doubles with each further one. Default 1 s, at most an hour.
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.request.backoff_ms = millis(backoff);
        self
    }

    /// How long its worker may be silent before it counts as lost: 1 s to an hour. Default 30 s.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.request.heartbeat_ms = millis(heartbeat);
        self
    }

    /// Of several tasks that wait, the ones with the highest priority come first: -100 to 100. Default 0.
    pub fn priority(mut self, priority: i64) -> Self {
        self.request.priority = priority;
        self
    }

    /// This account's own name for the work: a second task under the same key is not made, and the first one is given.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.request.idempotency_key = Some(key.into());
        self
    }

    /// A JSON object that stays with it. Default `{}`.
    pub fn metadata(mut self, metadata: impl Into<RawJson>) -> Self {
        self.request.metadata = metadata.into();
        self
    }

    /// Its thread. Default: one of its own.
    pub fn thread(mut self, thread_id: impl Into<String>) -> Self {
        self.request.thread_id = Some(thread_id.into());
        self
    }

    /// Its id. Default: a new one, `task_<ulid>`.
    pub fn id(mut self, task_id: impl Into<String>) -> Self {
        self.request.task_id = Some(task_id.into());
        self
    }

    /// The name that this account calls itself in it. Default: its username.
    pub fn coordinator(mut self, name: impl Into<String>) -> Self {
        self.request.coordinator = Some(name.into());
        self
    }

    /// Makes the task. When this returns, it is stored safely. Repeating it with the same [`id`](Self::id) or
    /// [`key`](Self::key) gives the same task.
    ///
    /// If no session of the account claims tasks, the account gets a message, which waits in its mailbox where need be. If that
    /// fails, the task is still stored, and [`TaskHandle::not_told`] says why.
    ///
    /// # Errors
    /// [`TaskError`]: `task_conflict` for another task under the same id or key.
    pub async fn start(self) -> Result<TaskHandle, TaskError> {
        let Self {
            node,
            to,
            mut request,
            payload,
            deadline,
            delay,
        } = self;
        let session = node.session()?;
        if request.metadata.view().kind() != Kind::Object {
            return Err(TaskError::Invalid(
                "the metadata of a task must be a JSON object".to_owned(),
            ));
        }
        request.payload = payload.transpose()?;
        let username = resolve(&session, &to, &mut request).await?;
        let now = now();
        let later = |time: Duration| now.saturating_add_millis(i128::from(millis(time))).to_string();
        request.deadline_at = deadline.map(later);
        request.not_before = delay.map(later);
        // Chosen here, so that a request that is made again is known.
        let new_id = || ids::prefixed("task", now.as_unix_millis(), rand::random());
        request.task_id.get_or_insert_with(new_id);
        let own_name = || session.username.to_string();
        request.coordinator.get_or_insert_with(own_name);
        let assignment = messages::Assignment {
            heartbeat_ms: request.heartbeat_ms,
            payload: request.payload.clone(),
        };
        let caller = TaskCaller::of(&session);
        request.account_id.clone_from(&caller.account_id);
        request.session_tag.clone_from(&caller.session_tag);
        let reply = match caller.call_repeatedly(*request).await {
            Ok(reply) => reply,
            Err(error) => {
                if let Some(username) = username {
                    session.usernames.forget(&username);
                }
                return Err(error.into());
            }
        };
        let not_told = match messages::needs_assignment(&reply) {
            true => Box::pin(assignment.tell(&node, &reply.task)).await.err(),
            false => None,
        };
        if let Some(error) = &not_told {
            tracing::warn!(task_id = reply.task.task_id, %error, "the task is stored, but its worker could not be notified");
        }
        Ok(TaskHandle::started(node, reply, assignment, not_told))
    }
}

/// Sets who is to do the task. Returns the username that was resolved.
async fn resolve(session: &Session, to: &str, request: &mut TaskCreateRequest) -> Result<Option<String>, TaskError> {
    let target = Target::parse(to).map_err(SendError::from)?;
    let (to, username) = match target {
        Target::Capability(name) => (format!("capability:{name}"), None),
        Target::Account(account_id) => (account_id, None),
        Target::Username(name) => {
            let account_id = session.usernames.resolve(&name).await?;
            (account_id.to_string(), Some(name))
        }
    };
    request.to = to;
    Ok(username)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
