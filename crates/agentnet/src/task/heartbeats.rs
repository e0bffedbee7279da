//! The heartbeats of all tasks that a node is at, together in one request where they can be.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::json::ascii;
use agentnet_protocol::rpc::{RequestAuth, TaskHeartbeat, TaskHeartbeatRequest};
use agentnet_protocol::subject;
use agentnet_protocol::task::{MAX_HEARTBEATS, MAX_REQUEST_BYTES, error};
use futures::StreamExt as _;
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::attempt::{Attempt, SentHeartbeat};
use super::caller::TaskCaller;
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

    async fn send_chunk(&self, chunk: Vec<Sent>) {
        let shortest = chunk.iter().map(|(attempt, _)| attempt.interval()).min();
        let timeout = shortest.unwrap_or_default().clamp(MIN_CALL_TIMEOUT, MAX_CALL_TIMEOUT);
        let request = TaskHeartbeatRequest {
            account_id: self.caller.account_id.clone(),
            session_tag: self.caller.session_tag.clone(),
            items: chunk.iter().map(|(_, sent)| sent.item.clone()).collect(),
            auth: RequestAuth::default(),
        };
        let results = match self.caller.clone().with_timeout(timeout).call(request).await {
            Ok(reply) => reply.items,
            Err(error) => {
                tracing::debug!(%error, "heartbeats of tasks are sent again");
                Vec::new()
            }
        };
        let mut results = results.into_iter();
        for (attempt, sent) in chunk {
            match results.next().filter(|result| result.task_id == attempt.task_id) {
                Some(result) if result.ok => attempt.confirmed(&sent, result.cancel_requested),
                Some(result) if is_lost(result.code.as_deref()) => {
                    tracing::warn!(
                        task_id = attempt.task_id,
                        attempt = attempt.number,
                        "the lease of a task is over: what this attempt does does not count any more"
                    );
                    attempt.refused();
                }
                _ => attempt.unanswered(sent),
            }
        }
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

/// Whether a heartbeat was refused because the lease is over; without a code it is.
fn is_lost(code: Option<&str>) -> bool {
    code.is_none_or(|code| code != error::FAILED)
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
        attempt.report(progress, checkpoint);
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

    #[test]
    fn only_the_store_can_fail_a_heartbeat_without_ending_the_lease() {
        assert!(is_lost(None) && is_lost(Some(error::LEASE_LOST)) && is_lost(Some("not_found")));
        assert!(!is_lost(Some(error::FAILED)));
    }
}
