//! A message about a task: what it says, and the change that it makes.

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::expiry::{self, DEFAULT_CLOCK_SKEW_MS};
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::json::trim;
use agentnet_protocol::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use agentnet_protocol::task::{MAX_RESULT_BYTES, MAX_TEXT_BYTES, TaskMessage, TaskMessageKind};
use agentnet_protocol::{Envelope, Timestamp};
use agentnet_store::model::{Report, Task, TaskChange, TaskTarget};

use crate::task_ledger::content::{LEVELS_AROUND_JSON, cut};

pub(in crate::task_ledger) const MILLIS_PER_DAY: i128 = 24 * 60 * 60 * 1000;
/// What every message about a task has in its payload.
const MARK: &str = "task.";
/// How long after its publication a report may be ahead of its assignment. What a registry had when it ended, the stream offers
/// again after ten seconds, so twice in this time.
const EARLY_MILLIS: i128 = 25_000;

/// A message about a task.
#[derive(Debug, Clone)]
pub(crate) struct CapturedTask {
    pub(super) message: TaskMessage,
    pub(super) envelope: Envelope,
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

    /// Whether the assignment of the task may still come.
    pub(super) fn may_be_early(&self, now: Timestamp) -> bool {
        self.received_at.saturating_add_millis(EARLY_MILLIS) > now
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
    pub(super) fn is_older_than(&self, days: u32) -> bool {
        let oldest = self
            .received_at
            .saturating_add_millis(-MILLIS_PER_DAY * i128::from(days));
        Timestamp::parse(&self.envelope.sent_at).is_some_and(|sent_at| sent_at < oldest)
    }

    /// Id of the message.
    pub(crate) fn message_id(&self) -> &str {
        &self.envelope.message_id
    }

    pub(super) fn from(&self) -> &str {
        trim(self.envelope.from_account_id.as_deref().unwrap_or_default())
    }

    pub(super) fn to(&self) -> &str {
        trim(self.envelope.to_account_id.as_deref().unwrap_or_default())
    }

    pub(super) fn thread_id(&self) -> String {
        match trim(self.envelope.thread_id.as_deref().unwrap_or_default()) {
            "" => default_thread_id(self.envelope.trace_or_message_id()).to_string(),
            written => written.to_owned(),
        }
    }

    /// The change that the message makes to its task; `None` if its sender has no say in it.
    pub(super) fn change(&self, task: &Task) -> Option<TaskChange> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::task_ledger::content::assigned;

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
    fn reports_are_early_for_a_while() {
        let progress = captured(r#""payload":{"type":"task.progress","task_id":"t1","text":"x"}"#).unwrap();
        for (age, may_be) in [(0, true), (24_999, true), (25_000, false)] {
            assert_eq!(
                progress.may_be_early(RECEIVED.saturating_add_millis(age)),
                may_be,
                "{age}"
            );
        }
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
