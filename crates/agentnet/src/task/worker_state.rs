//! What a session that claims tasks knows of its worker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::rpc::TaskSnapshot;
use agentnet_protocol::task::{TaskMessage, TaskMessageKind, error};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::code_and_detail;
use crate::message::Message;
use crate::registry::error::RegistryError;
use crate::session::Session;

/// How long after the goodbye a registry may give a task that it had taken for this session before.
const LATE_CLAIM_TIME: Duration = Duration::from_millis(50);
/// How often the registry is asked whether it has made a task of a message, and the pauses between: it reads the message itself.
const MAX_LOOKUPS: u32 = 6;
const LOOKUP_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(3_200));
/// The code of a status that the store could not give.
const STATUS_FAILED: &str = "task_status_failed";

/// What a session that claims tasks knows of its worker: whether the registry still takes tasks for it.
#[derive(Debug)]
pub(crate) struct WorkerState {
    /// Takes tasks until the goodbye, and gives back what comes once the session leaves.
    pub(super) claiming: TaskTracker,
    said_goodbye: CancellationToken,
    /// A message says that there is a task.
    told: Notify,
    /// Whether the registry knows tasks, as far as it is known.
    is_supported: AtomicBool,
}

impl WorkerState {
    pub(crate) fn new() -> Self {
        Self {
            claiming: TaskTracker::new(),
            said_goodbye: CancellationToken::new(),
            told: Notify::new(),
            is_supported: AtomicBool::new(true),
        }
    }

    /// Whether a message only says what the registry says of a task of this account, that it is assigned or cancelled: then the
    /// task is claimed, and the message is not handled. A message of which the registry has made no task is.
    pub(crate) async fn takes(&self, session: &Session, message: &Message) -> bool {
        let may_be = self.is_supported()
            && !message.wants_reply()
            && *message.kind == *kind::DIRECT
            && message.to_account_id.as_ref() == Some(session.account_id());
        if !may_be {
            return false;
        }
        let told = TaskMessage::of(message)
            .filter(|told| matches!(told.kind, TaskMessageKind::Assign | TaskMessageKind::Cancel));
        let Some(told) = told else { return false };
        let is_known = Box::pin(is_task_of(session, &told.task_id)).await;
        if is_known {
            self.told.notify_one();
        }
        is_known
    }

    /// Returns when a message says that there is a task.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    pub(super) fn is_supported(&self) -> bool {
        self.is_supported.load(Ordering::Relaxed)
    }

    pub(super) fn set_supported(&self, is_supported: bool) {
        self.is_supported.store(is_supported, Ordering::Relaxed);
    }

    /// Returns when the registry does not take tasks for this session any more.
    pub(super) async fn until_late(&self) {
        self.said_goodbye.cancelled().await;
        tokio::time::sleep(LATE_CLAIM_TIME).await;
    }

    /// The session has said goodbye: waits until a task that came too late is given back.
    pub(crate) async fn after_goodbye(&self) {
        self.said_goodbye.cancel();
        self.claiming.close();
        self.claiming.wait().await;
    }
}

/// Whether the registry has, or will soon have, this task for the account of the session.
async fn is_task_of(session: &Session, task_id: &str) -> bool {
    let registry = session.registry.clone().fail_fast();
    let is_own = |task: &TaskSnapshot| {
        let own = Some(&**session.account_id());
        task.assignee_account_id.as_deref() == own || task.worker_account_id.as_deref() == own
    };
    let mut backoff = LOOKUP_BACKOFF;
    for _ in 0..MAX_LOOKUPS {
        match registry.task_status(task_id).await {
            Ok(reply) => return is_own(&reply.task),
            Err(RegistryError::Refused(text)) => match code_and_detail(&text).0 {
                "not_found" => {}
                // The store: it makes the task later.
                error::FAILED | STATUS_FAILED => return true,
                // It keeps none, or none of such an id.
                _ => return false,
            },
            // It has made the task, or will when it reads the message.
            Err(_) => return true,
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
    tracing::debug!(
        task_id,
        "the registry has made no task of a message, which is handled as one"
    );
    false
}
