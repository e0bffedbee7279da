//! What a session that claims tasks knows of its worker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_protocol::Text;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::task::{TaskMessage, TaskMessageKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::message::Message;

/// How long after the goodbye a registry may give a task that it had taken for this session before.
const LATE_CLAIM_TIME: Duration = Duration::from_millis(50);

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

    /// Whether a message only says that this account has a task: then it is claimed, and not handled as a message.
    pub(crate) fn takes(&self, own_account: &Text, message: &Message) -> bool {
        let may_be = self.is_supported()
            && !message.wants_reply()
            && *message.kind == *kind::DIRECT
            && message.to_account_id.as_ref() == Some(own_account);
        let is_assignment = || TaskMessage::of(message).is_some_and(|told| told.kind == TaskMessageKind::Assign);
        if !may_be || !is_assignment() {
            return false;
        }
        self.told.notify_one();
        true
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
