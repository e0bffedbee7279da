//! Messages about tasks, as agents of the later Python implementation send them (PROTOCOL.md section 22.6).
//!
//! They are applied when they are in the history, and before they leave the stream: after a crash they come again, and change
//! nothing that they have changed already.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::expiry::{self, DEFAULT_CLOCK_SKEW_MS};
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::json::trim;
use agentnet_protocol::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use agentnet_protocol::task::{MAX_RESULT_BYTES, MAX_TEXT_BYTES, TaskMessage, TaskMessageKind};
use agentnet_protocol::{Envelope, Timestamp};
use agentnet_store::model::{Report, Task, TaskChange, TaskChanged, TaskCreated, TaskTarget};
use agentnet_store::{Store, StoreError};

use super::ancestry::say_in_parts;
use super::content::{LEVELS_AROUND_JSON, assigned, cut};
use super::notices::TaskNotices;
use crate::batch_lookup::AccountLoader;
use crate::clock::Now;
use crate::config::RegistryConfig;
use crate::message_signature::{SignatureError, verify};

pub(super) const MILLIS_PER_DAY: i128 = 24 * 60 * 60 * 1000;
/// What every message about a task has in its payload.
const MARK: &str = "task.";

/// A message about a task.
#[derive(Debug, Clone)]
pub(crate) struct CapturedTask {
    message: TaskMessage,
    envelope: Envelope,
    /// When the message was published, as far as this registry knows.
    received_at: Timestamp,
}

impl CapturedTask {
    /// Reads a message; `None` if it is about no task, names no usable accounts, or had expired when it was published: it was sent
    /// again by somebody.
    pub(crate) fn read(envelope: &Envelope, received_at: Timestamp) -> Option<Box<Self>> {
        // Most messages are sorted out without parsing their payloads.
        if &*envelope.kind != kind::DIRECT || !envelope.payload.get().contains(MARK) {
            return None;
        }
        let message = TaskMessage::of(envelope)?;
        let captured = Self {
            message,
            envelope: envelope.clone(),
            received_at,
        };
        let is_usable = !captured.has_expired()
            && valid_account_id(captured.from())
            && valid_account_id(captured.to())
            && captured.message.task_id.len() <= MAX_NAME_BYTES
            && captured.envelope.message_id.len() <= MAX_ID_BYTES;
        is_usable.then(|| Box::new(captured))
    }

    fn has_expired(&self) -> bool {
        let Envelope {
            sent_at,
            ttl_ms,
            expires_at,
            ..
        } = &self.envelope;
        let end = expiry::deadline(sent_at, *ttl_ms, expires_at.as_deref());
        let skew = i128::from(DEFAULT_CLOCK_SKEW_MS);
        end.is_some_and(|end| end.saturating_add_millis(skew) <= self.received_at)
    }

    /// Whether the message is so old that a task of it may have been there, and been forgotten.
    fn is_older_than(&self, days: u32) -> bool {
        let oldest = self
            .received_at
            .saturating_add_millis(-MILLIS_PER_DAY * i128::from(days));
        Timestamp::parse(&self.envelope.sent_at).is_some_and(|sent_at| sent_at < oldest)
    }

    /// Id of the message.
    pub(crate) fn message_id(&self) -> &str {
        &self.envelope.message_id
    }

    fn from(&self) -> &str {
        trim(self.envelope.from_account_id.as_deref().unwrap_or_default())
    }

    fn to(&self) -> &str {
        trim(self.envelope.to_account_id.as_deref().unwrap_or_default())
    }

    fn thread_id(&self) -> String {
        match trim(self.envelope.thread_id.as_deref().unwrap_or_default()) {
            "" => default_thread_id(self.envelope.trace_or_message_id()).to_string(),
            written => written.to_owned(),
        }
    }

    /// The change that the message makes to its task; `None` if its sender has no say in it.
    fn change(&self, task: &Task) -> Option<TaskChange> {
        let from = self.from();
        match self.message.kind {
            TaskMessageKind::Assign => None,
            TaskMessageKind::Cancel => (task.coordinator_account_id == from).then(|| TaskChange::Cancel {
                reason: Some(cut(&self.message.text, MAX_TEXT_BYTES)).filter(|reason| !reason.is_empty()),
                account_id: Some(from.to_owned()),
                request_id: None,
            }),
            _ => {
                // The copy of a result that the registry has already.
                let is_copy = task.finish_id.as_deref() == Some(self.message_id());
                let is_worker = assignee(task) == Some(from) || task.worker_account_id.as_deref() == Some(from);
                (is_worker && !is_copy).then(|| self.report()).flatten()
            }
        }
    }

    fn report(&self) -> Option<TaskChange> {
        let message = &self.message;
        let fits = |json: &agentnet_protocol::RawJson| {
            json.get().len() <= MAX_RESULT_BYTES && json.fits_inside(LEVELS_AROUND_JSON)
        };
        Some(TaskChange::Reported {
            account_id: self.from().to_owned(),
            message_id: self.message_id().to_owned(),
            report: Report {
                state: message.kind.state()?,
                text: cut(&message.text, MAX_TEXT_BYTES),
                percent: message.percent,
                phase: message.phase.as_deref().map(|phase| cut(phase, MAX_NAME_BYTES)),
                result: message.result.clone().filter(fits),
            },
        })
    }
}

/// The account that is to do a task.
fn assignee(task: &Task) -> Option<&str> {
    match &task.target {
        TaskTarget::Account(account_id) => Some(account_id),
        TaskTarget::Capability(_) => None,
    }
}

/// Applies messages about tasks.
pub(crate) struct MessageTasks {
    enabled: bool,
    max_open: i64,
    retention_days: u32,
    /// Keys of the senders, under signed identity.
    accounts: Option<AccountLoader>,
    store: Arc<dyn Store>,
    pub(super) notices: Arc<TaskNotices>,
}

impl MessageTasks {
    pub(crate) fn new(config: &RegistryConfig, store: Arc<dyn Store>, notices: Arc<TaskNotices>) -> Self {
        Self {
            enabled: config.tasks,
            max_open: config.task_max_open,
            retention_days: config.task_retention_days,
            accounts: config.dev_auth.then(|| AccountLoader::new(&store)),
            store,
            notices,
        }
    }

    /// Applies messages that are in the history, in their order.
    ///
    /// # Errors
    /// The store's error: some may have been applied, and all of them may be applied again.
    pub(crate) async fn apply(&self, messages: &[&CapturedTask]) -> Result<(), StoreError> {
        if !self.enabled {
            return Ok(());
        }
        let mut authentic = Vec::with_capacity(messages.len());
        for message in messages {
            if self.is_authentic(message).await? {
                authentic.push(*message);
            }
        }
        self.create(&authentic).await?;
        self.change(&authentic).await
    }

    /// Whether a message is signed by the account that it names as its sender; without signed identity every one is believed.
    async fn is_authentic(&self, message: &CapturedTask) -> Result<bool, StoreError> {
        let Some(accounts) = &self.accounts else {
            return Ok(true);
        };
        match verify(accounts, &message.envelope).await {
            Ok(()) => Ok(true),
            Err(SignatureError::Invalid(error)) => {
                tracing::debug!(
                    code = error.code(),
                    "ignored a message about a task: it is not signed by its sender"
                );
                Ok(false)
            }
            Err(SignatureError::Store(error)) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    /// Makes tasks of assignments whose ids are unknown.
    async fn create(&self, messages: &[&CapturedTask]) -> Result<(), StoreError> {
        let now = Now::read().time;
        let mut tasks: Vec<Task> = Vec::new();
        for captured in messages {
            if captured.message.kind != TaskMessageKind::Assign {
                continue;
            }
            if captured.is_older_than(self.retention_days) {
                tracing::debug!("ignored an assignment: it is older than tasks are kept");
                continue;
            }
            let (from, to, thread_id) = (captured.from(), captured.to(), captured.thread_id());
            let mut task = assigned(&captured.message, from, to, captured.message_id(), &thread_id, now);
            if !self.may_add_part(&task).await? {
                task.parent_task_id = None;
            }
            tasks.push(task);
        }
        while !tasks.is_empty() {
            let outcomes = self.store.create_tasks(&tasks, self.max_open).await?;
            let mut again = Vec::new();
            for (task, outcome) in tasks.into_iter().zip(outcomes) {
                match outcome {
                    TaskCreated::New(task, events) => self.notices.changed(&task, &events).await,
                    TaskCreated::Known(_) | TaskCreated::Conflict => {}
                    // It is a task all the same.
                    TaskCreated::NoParent | TaskCreated::ParentCanceled if task.parent_task_id.is_some() => {
                        again.push(Task {
                            parent_task_id: None,
                            ..task
                        })
                    }
                    TaskCreated::NoParent
                    | TaskCreated::ParentCanceled
                    | TaskCreated::TooMany
                    | TaskCreated::Refused => {
                        tracing::debug!(coordinator = %task.coordinator_account_id, "a message made no task");
                    }
                }
            }
            tasks = again;
        }
        Ok(())
    }

    /// Whether the coordinator of a task may make it a part of the parent that it names. An unknown one is the store's business.
    async fn may_add_part(&self, task: &Task) -> Result<bool, StoreError> {
        let Some(parent) = &task.parent_task_id else {
            return Ok(true);
        };
        let Some(parent) = self.store.task(parent).await? else {
            return Ok(true);
        };
        let say = say_in_parts(self.store.as_ref(), &task.coordinator_account_id, &parent).await?;
        Ok(say.has_say && !say.is_canceled)
    }

    /// Applies reports and cancellations.
    async fn change(&self, messages: &[&CapturedTask]) -> Result<(), StoreError> {
        let ids: HashSet<&str> = messages
            .iter()
            .filter(|captured| captured.message.kind != TaskMessageKind::Assign)
            .map(|captured| captured.message.task_id.as_str())
            .collect();
        let mut tasks: HashMap<&str, Task> = HashMap::with_capacity(ids.len());
        for task_id in ids {
            if let Some(task) = self.store.task(task_id).await? {
                tasks.insert(task_id, task);
            }
        }
        let changes: Vec<(String, TaskChange)> = messages
            .iter()
            .filter_map(|captured| {
                let task = tasks.get(captured.message.task_id.as_str())?;
                Some((task.task_id.clone(), captured.change(task)?))
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let outcomes = self.store.change_tasks(&changes, Now::read().time).await?;
        for outcome in outcomes {
            if let TaskChanged::Changed(task, events) = outcome {
                self.notices.changed(&task, &events).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: Timestamp = Timestamp::from_micros(1_771_660_800_000_000);

    fn captured(members: &str) -> Option<Box<CapturedTask>> {
        let body = format!(r#"{{"message_id":"m1","from_account_id":" acct_b ","to_account_id":"acct_a",{members}}}"#);
        CapturedTask::read(&Envelope::decode(body).unwrap(), RECEIVED)
    }

    fn task() -> Task {
        let assign = captured(r#""payload":{"type":"task.assign","task_id":"t1","text":"x"}"#).unwrap();
        let now = Now::read().time;
        assigned(&assign.message, "acct_a", "acct_b", "m0", "thread", now)
    }

    #[test]
    fn only_direct_messages_about_tasks_count() {
        assert!(captured(r#""payload":{"type":"task.progress","task_id":"t1","text":"x"}"#).is_some());
        for members in [
            r#""payload":{"type":"task.progress","text":"x"}"#,
            r#""payload":"task.progress""#,
            r#""kind":"request","payload":{"type":"task.progress","task_id":"t1","text":"x"}"#,
            r#""to_account_id":"a b","payload":{"type":"task.progress","task_id":"t1","text":"x"}"#,
        ] {
            assert!(captured(members).is_none(), "{members}");
        }
    }

    #[test]
    fn a_message_that_had_expired_does_not_count() {
        let sent = |members: &str| {
            let payload = r#""payload":{"type":"task.assign","task_id":"t1","text":"x"}"#;
            captured(&format!("{members},{payload}"))
        };
        for (members, counts) in [
            (r#""sent_at":"2026-02-21T07:59:00Z""#, true),
            (r#""sent_at":"2026-02-21T07:59:00Z","ttl_ms":59000"#, true),
            (r#""sent_at":"2026-02-21T07:59:00Z","ttl_ms":58000"#, false),
            (
                r#""sent_at":"2026-02-21T07:59:00Z","expires_at":"2026-02-21T07:59:30Z""#,
                false,
            ),
            (r#""expires_at":"2026-02-21T08:00:00Z""#, true),
            (r#""sent_at":"now","ttl_ms":1"#, true),
        ] {
            assert_eq!(sent(members).is_some(), counts, "{members}");
        }
        let old = sent(r#""sent_at":"2026-02-11T07:59:00Z""#).unwrap();
        assert!(old.is_older_than(10) && !old.is_older_than(11));
        assert!(!sent(r#""sent_at":"now""#).unwrap().is_older_than(1));
    }

    #[test]
    fn reports_count_from_the_worker_and_cancellations_from_the_coordinator() {
        let progress = captured(r#""payload":{"type":"task.progress","task_id":"t1","text":"x"}"#).unwrap();
        let cancel = captured(r#""payload":{"type":"task.cancel","task_id":"t1","text":""}"#).unwrap();
        let mut task = task();
        assert!(matches!(
            progress.change(&task),
            Some(TaskChange::Reported { account_id, .. }) if account_id == "acct_b"
        ));
        assert_eq!(cancel.change(&task), None, "its sender is the worker");
        task.coordinator_account_id = "acct_b".into();
        assert!(matches!(
            cancel.change(&task),
            Some(TaskChange::Cancel { reason: None, .. })
        ));
        task.target = TaskTarget::Account("acct_c".into());
        assert_eq!(progress.change(&task), None, "its sender does something else");
        task.target = TaskTarget::Capability("build".into());
        task.worker_account_id = Some("acct_b".into());
        assert!(progress.change(&task).is_some());
        task.finish_id = Some("m1".into());
        assert_eq!(
            progress.change(&task),
            None,
            "the copy of what the worker has reported itself"
        );
    }
}
