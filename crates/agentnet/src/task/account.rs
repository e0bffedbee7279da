//! Calls of the registry about tasks (PROTOCOL.md section 22.3).

use std::time::Duration;

use agentnet_protocol::rpc::{
    SignedRequest, TaskCancelRequest, TaskClaimReply, TaskClaimRequest, TaskCreateReply, TaskCreateRequest,
    TaskEventsReply, TaskEventsRequest, TaskFinishReply, TaskFinishRequest, TaskHeartbeatReply, TaskHeartbeatRequest,
    TaskInputRequest, TaskListReply, TaskListRequest, TaskReply, TaskRetryRequest, TaskSnapshot, TaskStatusRequest,
};
use agentnet_protocol::signature::SigningKey;

use crate::error::RegistryError;
use crate::ids;
use crate::node::AgentNode;
use crate::registry::RegistryClient;

/// Requests of the account's owner: signed with this key, where there is one.
macro_rules! signed_calls {
    ($($(#[$doc:meta])* $name:ident($request:ty) -> $reply:ty;)*) => {
        impl RegistryClient {
            $(
                $(#[$doc])*
                ///
                /// Under signed identity (PROTOCOL.md section 13.8) the key is needed that the request's account is bound to.
                ///
                /// # Errors
                /// [`RegistryError`]
                pub async fn $name(
                    &self,
                    request: $request,
                    key: Option<&SigningKey>,
                ) -> Result<$reply, RegistryError> {
                    self.call(&signed(request, key)).await
                }
            )*
        }
    };
}

signed_calls! {
    /// Makes a task. For a task of `delivery` `message` the caller also has to send the account a message `task.assign`, as
    /// [`NewTask::start`](crate::NewTask::start) does.
    task_create(TaskCreateRequest) -> TaskCreateReply;
    /// Cancels a task.
    task_cancel(TaskCancelRequest) -> TaskReply;
    /// Answers a worker that waits.
    task_input(TaskInputRequest) -> TaskReply;
    /// Asks for another attempt of a task that failed.
    task_retry(TaskRetryRequest) -> TaskReply;
    /// Says that a session still works on its tasks.
    task_heartbeat(TaskHeartbeatRequest) -> TaskHeartbeatReply;
    /// Says how an attempt has ended.
    task_finish(TaskFinishRequest) -> TaskFinishReply;
}

impl RegistryClient {
    /// The task with this id.
    ///
    /// # Errors
    /// [`RegistryError`], `not_found` among them.
    pub async fn task_status(&self, task_id: &str) -> Result<TaskReply, RegistryError> {
        let task_id = task_id.to_owned();
        self.call(&TaskStatusRequest { task_id }).await
    }

    /// A page of tasks, the last changed first.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn task_list(&self, request: TaskListRequest) -> Result<TaskListReply, RegistryError> {
        self.call(&request).await
    }

    /// What happened to a task, in order; waits as long as the request says if nothing new did.
    ///
    /// # Errors
    /// [`RegistryError`], `not_found` among them.
    pub async fn task_events(&self, request: TaskEventsRequest) -> Result<TaskEventsReply, RegistryError> {
        self.waiting(request.wait_ms).call(&request).await
    }

    /// Takes tasks for a session; waits as long as the request says if there are none. Under signed identity (PROTOCOL.md
    /// section 13.8) the key is needed that the request's account is bound to.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn task_claim(
        &self,
        request: TaskClaimRequest,
        key: Option<&SigningKey>,
    ) -> Result<TaskClaimReply, RegistryError> {
        self.waiting(request.wait_ms).call(&signed(request, key)).await
    }

    /// For a call whose reply is held for so long, in milliseconds.
    fn waiting(&self, wait_ms: i64) -> Self {
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default());
        self.clone().with_timeout(self.timeout().saturating_add(wait))
    }
}

fn signed<R: SignedRequest>(mut request: R, key: Option<&SigningKey>) -> R {
    if let Some(key) = key {
        request.sign(key, ids::now(), &ids::nonce());
    }
    request
}

impl AgentNode {
    /// One task, of any account.
    ///
    /// # Errors
    /// [`RegistryError`], `not_found` among them.
    pub async fn task_status(&self, task_id: &str) -> Result<TaskSnapshot, RegistryError> {
        let task_id = task_id.to_owned();
        Ok(self.ask(&TaskStatusRequest { task_id }).await?.task)
    }

    /// A page of tasks, of all accounts unless the request names one, the last changed first.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn task_list(&self, request: TaskListRequest) -> Result<TaskListReply, RegistryError> {
        self.ask(&request).await
    }
}
