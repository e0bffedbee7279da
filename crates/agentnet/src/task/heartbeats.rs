//! The heartbeats of all tasks that a node is at, together in one request where they can be.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::json::ascii;
use agentnet_protocol::rpc::{
    RequestAuth, TaskHeartbeat, TaskHeartbeatReply, TaskHeartbeatRequest, TaskHeartbeatResult,
};
use agentnet_protocol::subject;
use agentnet_protocol::task::{MAX_HEARTBEATS, MAX_REQUEST_BYTES, error};
use futures::StreamExt as _;
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::attempt::{Attempt, SentHeartbeat};
use super::caller::TaskCaller;
use super::error::{TaskError, code_and_detail};
use crate::registry::error::RegistryError;
use crate::session::Session;
use agentnet_protocol::rpc::TaskEvent;

/// The shortest and the longest time that a registry has to answer.
const MIN_CALL_TIMEOUT: Duration = Duration::from_millis(300);
const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of the reports of one request; the rest is for its other members.
const MAX_REPORT_BYTES: usize = MAX_REQUEST_BYTES * 3 / 4;
/// Bytes that a byte of text may have in JSON.
const MAX_ESCAPED_BYTES: usize = 6;
/// Bytes of a heartbeat besides its reports.
const HEARTBEAT_BYTES: usize = 2048;
/// What a refused report without a sentence of the registry means.
const REFUSED_REPORT: &str = "the registry does not take this progress or checkpoint; the task goes on";

/// The attempts that a node is at.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    caller: TaskCaller,
    attempts: Mutex<Vec<Arc<Attempt>>>,
    changed: Notify,
}

type Sent = (Arc<Attempt>, SentHeartbeat);

impl Heartbeats {
    pub(crate) fn new(caller: TaskCaller) -> Self {
        Self {
            caller,
            attempts: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Keeps the lease of an attempt until it is removed.
    pub(crate) fn add(&self, attempt: &Arc<Attempt>) {
        self.attempts.lock().push(attempt.clone());
        self.changed.notify_one();
    }

    /// The attempt has ended.
    pub(crate) fn remove(&self, attempt: &Arc<Attempt>) {
        self.attempts.lock().retain(|other| !Arc::ptr_eq(other, attempt));
        attempt.end();
    }

    /// The next heartbeat of an attempt is due earlier than before.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Sends heartbeats when they are due. Does not return.
    pub(crate) async fn send(&self) {
        loop {
            let due = self.take_due(Instant::now());
            if due.is_empty() {
                let next = self.next_due();
                let sleep = async {
                    match next {
                        Some(next) => tokio::time::sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = sleep => {}
                    () = self.changed.notified() => {}
                }
                continue;
            }
            join_all(chunks(due).into_iter().map(|chunk| self.send_chunk(chunk))).await;
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.attempts
            .lock()
            .iter()
            .filter(|attempt| is_kept(attempt))
            .map(|attempt| attempt.due())
            .min()
    }

    /// The heartbeats that are due; where there are some, also those that are due soon.
    fn take_due(&self, now: Instant) -> Vec<Sent> {
        let attempts = self.attempts.lock();
        let kept = || attempts.iter().filter(|attempt| is_kept(attempt));
        if !kept().any(|attempt| attempt.due() <= now) {
            return Vec::new();
        }
        let is_near = |attempt: &Attempt| attempt.due() <= now + attempt.interval() / 2;
        kept()
            .filter(|attempt| is_near(attempt))
            .map(|attempt| (attempt.clone(), attempt.take(now)))
            .collect()
    }

    /// Sends heartbeats in one request. A registry that refuses the whole of it gets those without reports again, and each with
    /// reports alone: one bad report must not end other leases.
    async fn send_chunk(&self, chunk: Vec<Sent>) {
        let mut chunks = vec![chunk];
        while let Some(chunk) = chunks.pop() {
            match self.request(&chunk).await {
                Ok(reply) => settle(chunk, reply.items),
                Err(RegistryError::Refused(text)) if is_about_reports(&text, &chunk) => {
                    match <[Sent; 1]>::try_from(chunk) {
                        Ok([(attempt, sent)]) => refuse_report(&attempt, &sent, RegistryError::Refused(text).into()),
                        Err(chunk) => chunks.extend(apart(chunk)),
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "heartbeats of tasks are sent again");
                    chunks.push(chunk);
                    for (attempt, sent) in chunks.drain(..).flatten() {
                        attempt.unanswered(sent);
                    }
                }
            }
        }
    }

    async fn request(&self, chunk: &[Sent]) -> Result<TaskHeartbeatReply, RegistryError> {
        let shortest = chunk.iter().map(|(attempt, _)| attempt.interval()).min();
        let timeout = shortest.unwrap_or_default().clamp(MIN_CALL_TIMEOUT, MAX_CALL_TIMEOUT);
        let request = TaskHeartbeatRequest {
            account_id: self.caller.account_id.clone(),
            session_tag: self.caller.session_tag.clone(),
            items: chunk.iter().map(|(_, sent)| sent.item.clone()).collect(),
            auth: RequestAuth::default(),
        };
        self.caller.clone().with_timeout(timeout).call(request).await
    }

    /// Asks about a task at once when an event says that it was cancelled or has ended. Does not return.
    pub(crate) async fn watch_events(&self, session: &Session) {
        let events = session
            .publisher
            .subscribe(subject::task_events(session.account_id()))
            .await;
        let Ok(mut events) = events else {
            tracing::debug!("no events of tasks: cancellations are noticed at the next heartbeat");
            return;
        };
        while let Some(message) = events.next().await {
            if self.attempts.lock().is_empty() {
                continue;
            }
            let Ok(event) = TaskEvent::decode(&message.payload) else {
                continue;
            };
            if !matches!(event.r#type.as_str(), "cancel_requested" | "finished" | "lost") {
                continue;
            }
            let attempts = self.attempts.lock();
            for attempt in attempts.iter() {
                if event.task_id.as_deref() == Some(attempt.task_id.as_str()) {
                    attempt.ask_soon();
                }
            }
            drop(attempts);
            self.changed.notify_one();
        }
    }
}

fn is_kept(attempt: &Attempt) -> bool {
    !attempt.lost.is_cancelled()
}

/// What the registry says of each heartbeat of a request.
fn settle(chunk: Vec<Sent>, results: Vec<TaskHeartbeatResult>) {
    let mut results = results.into_iter();
    for (attempt, sent) in chunk {
        let result = results.next().filter(|result| result.task_id == attempt.task_id);
        match result {
            Some(result) if result.ok => attempt.confirmed(&sent, result.cancel_requested),
            Some(result) => match result.code.as_deref() {
                Some(code) if is_lost(code) => lose(&attempt),
                Some(code) if code != error::FAILED && sent.has_report() => {
                    let (code, detail) = (code.to_owned(), REFUSED_REPORT.to_owned());
                    refuse_report(&attempt, &sent, TaskError::Refused { code, detail });
                }
                _ => attempt.unanswered(sent),
            },
            None => attempt.unanswered(sent),
        }
    }
}

/// Whether a heartbeat was refused because the lease is over.
fn is_lost(code: &str) -> bool {
    matches!(code, error::LEASE_LOST | "not_found")
}

fn lose(attempt: &Attempt) {
    if attempt.is_finishing() {
        // The registry may have noted the end: its answer to that report says so.
        attempt.end();
        return;
    }
    tracing::warn!(
        task_id = attempt.task_id,
        attempt = attempt.number,
        "the lease of a task is over: what this attempt does does not count any more"
    );
    attempt.refused();
}

fn refuse_report(attempt: &Attempt, sent: &SentHeartbeat, error: TaskError) {
    tracing::warn!(
        task_id = attempt.task_id,
        %error,
        "the registry refuses a progress or a checkpoint: the lease goes on without it"
    );
    attempt.report_refused(sent, error);
}

/// Whether a request may have been refused because of what handlers have reported.
fn is_about_reports(text: &str, chunk: &[Sent]) -> bool {
    let code = code_and_detail(text).0;
    let is_passing = code.starts_with("auth_") || code.ends_with("_failed");
    !is_passing
        && !matches!(code, error::SESSION_UNKNOWN | error::DISABLED)
        && chunk.iter().any(|(_, sent)| sent.has_report())
}

/// Each heartbeat with reports for a request of its own; those without, which go first, stay together.
fn apart(chunk: Vec<Sent>) -> impl Iterator<Item = Vec<Sent>> {
    let (reports, bare): (Vec<Sent>, Vec<Sent>) = chunk.into_iter().partition(|(_, sent)| sent.has_report());
    // The last one is sent first.
    reports
        .into_iter()
        .map(|sent| vec![sent])
        .chain((!bare.is_empty()).then_some(bare))
}

/// Heartbeats for one request each.
fn chunks(due: Vec<Sent>) -> Vec<Vec<Sent>> {
    let mut chunks: Vec<Vec<Sent>> = Vec::new();
    let mut bytes = 0;
    for sent in due {
        let size = size_of_item(&sent.1.item);
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < MAX_HEARTBEATS && bytes + size <= MAX_REPORT_BYTES => {
                bytes += size;
                chunk.push(sent);
            }
            _ => {
                bytes = size;
                chunks.push(vec![sent]);
            }
        }
    }
    chunks
}

/// Bytes of a heartbeat in a request, at most.
fn size_of_item(item: &TaskHeartbeat) -> usize {
    let text = item.progress.as_ref().and_then(|progress| progress.text.as_ref());
    let checkpoint = item.checkpoint.as_ref();
    HEARTBEAT_BYTES
        + text.map_or(0, String::len) * MAX_ESCAPED_BYTES
        + checkpoint.map_or(0, |checkpoint| ascii(checkpoint.get()).len())
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::RawJson;
    use agentnet_protocol::rpc::{ClaimedTask, TaskProgress};
    use agentnet_protocol::task::{MAX_CHECKPOINT_BYTES, MAX_TEXT_BYTES};

    use super::*;

    fn sent(progress: Option<TaskProgress>, checkpoint: Option<RawJson>) -> Sent {
        let attempt = Arc::new(Attempt::new(&ClaimedTask::default(), ""));
        let _reported = attempt.report(progress, checkpoint);
        let sent = attempt.take(Instant::now());
        (attempt, sent)
    }

    #[tokio::test]
    async fn requests_have_no_more_heartbeats_and_bytes_than_a_registry_takes() {
        let few: Vec<_> = (0..250).map(|_| sent(None, None)).collect();
        let sizes: Vec<usize> = chunks(few).iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 100, 50]);
        let largest = || {
            let text = Some("\u{1}".repeat(MAX_TEXT_BYTES));
            let progress = TaskProgress {
                text,
                ..TaskProgress::default()
            };
            let checkpoint = RawJson::from(serde_json::json!("x".repeat(MAX_CHECKPOINT_BYTES - 2)));
            sent(Some(progress), Some(checkpoint))
        };
        for chunk in chunks((0..3).map(|_| largest()).collect()) {
            use agentnet_protocol::rpc::Request as _;
            let request = TaskHeartbeatRequest {
                items: chunk.into_iter().map(|(_, sent)| sent.item).collect(),
                ..TaskHeartbeatRequest::default()
            };
            let size = request.encode().len();
            assert!(size <= MAX_REQUEST_BYTES, "{size}");
        }
    }

    fn checkpoint() -> Option<RawJson> {
        Some(RawJson::null())
    }

    #[tokio::test]
    async fn only_two_codes_end_a_lease() {
        for (code, is_lost) in [
            (Some(error::LEASE_LOST), true),
            (Some("not_found"), true),
            (Some(error::TOO_LARGE), false),
            (Some("task_of_a_later_version"), false),
            (Some(error::FAILED), false),
            (None, false),
        ] {
            for checkpoint in [None, checkpoint()] {
                let (attempt, sent) = sent(None, checkpoint);
                let result = TaskHeartbeatResult {
                    code: code.map(str::to_owned),
                    ..TaskHeartbeatResult::default()
                };
                settle(vec![(attempt.clone(), sent)], vec![result]);
                assert_eq!(attempt.lost.is_cancelled(), is_lost, "{code:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_attempt_whose_end_is_reported_is_not_refused_by_a_heartbeat() {
        let (attempt, sent) = sent(None, None);
        attempt.finishing();
        let result = TaskHeartbeatResult {
            code: Some(error::LEASE_LOST.to_owned()),
            ..TaskHeartbeatResult::default()
        };
        settle(vec![(attempt.clone(), sent)], vec![result]);
        assert!(!attempt.is_refused() && !is_kept(&attempt), "no more heartbeats");
    }

    #[tokio::test]
    async fn a_refused_request_is_taken_apart_unless_its_requester_is_refused() {
        let chunk = || {
            vec![
                sent(None, None),
                sent(None, checkpoint()),
                sent(None, None),
                sent(None, checkpoint()),
            ]
        };
        let sizes: Vec<usize> = apart(chunk()).map(|chunk| chunk.len()).collect();
        assert_eq!(sizes, [1, 1, 2]);
        assert!(is_about_reports("the checkpoint is nested too deeply", &chunk()));
        assert!(!is_about_reports(
            "the checkpoint is nested too deeply",
            &[sent(None, None)]
        ));
        for passing in [
            "auth_stale: too old",
            "task_failed: the store",
            "task_session_unknown",
            "task_disabled: no",
        ] {
            assert!(!is_about_reports(passing, &chunk()), "{passing}");
        }
    }
}
