//! One attempt of a task that this node is at: what its handler and the heartbeats know of it.

use std::time::Duration;

use agentnet_protocol::rpc::{ClaimedTask, TaskHeartbeat, TaskProgress};
use agentnet_protocol::{RawJson, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::TaskError;

/// The shortest time between two heartbeats that only an event asks for: whoever may publish can send events.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// When the first heartbeat is sent, unless the attempt has ended by then: it confirms that the worker has got the task. The registry
/// does not count an attempt whose worker has sent nothing (PROTOCOL.md section 22.7).
const FIRST_HEARTBEAT: Duration = Duration::from_millis(200);
/// The longest pause before a heartbeat that failed is sent again.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1);

/// An attempt of a task, from the claim to its end.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) task_id: String,
    pub(crate) number: i64,
    pub(crate) lease: String,
    /// A worker that is silent for so long has lost the task.
    heartbeat: Duration,
    /// The work is not wanted any more, or does not count any more.
    pub(crate) cancelled: CancellationToken,
    /// The lease is over, or the attempt has ended: nothing more can be reported.
    pub(crate) lost: CancellationToken,
    state: Mutex<AttemptState>,
}

/// Whether the registry has taken a report of the handler.
pub(crate) type Reported = oneshot::Receiver<Result<(), TaskError>>;

/// Who waits for a report: its number, and where its outcome goes.
#[derive(Debug)]
struct Waiter {
    number: u64,
    reported: oneshot::Sender<Result<(), TaskError>>,
}

#[derive(Debug)]
struct AttemptState {
    /// When the request was made that the registry has answered last.
    last_ok: Instant,
    last_sent: Instant,
    due: Instant,
    progress: Option<TaskProgress>,
    checkpoint: Option<RawJson>,
    /// Reports of the handler so far.
    reports: u64,
    /// Those that the registry has not settled, in order.
    waiters: Vec<Waiter>,
    /// The end of the attempt is being reported: only the answer to that report decides.
    is_finishing: bool,
    /// The registry has said that the lease is over.
    is_refused: bool,
}

impl AttemptState {
    /// The registry has settled the reports up to this number.
    fn settle(&mut self, number: u64, outcome: &Result<(), TaskError>) {
        let open = self
            .waiters
            .split_off(self.waiters.partition_point(|waiter| waiter.number <= number));
        for waiter in std::mem::replace(&mut self.waiters, open) {
            // The handler may have stopped waiting.
            let _ = waiter.reported.send(outcome.clone());
        }
    }
}

/// A heartbeat on its way.
pub(crate) struct SentHeartbeat {
    pub(crate) item: TaskHeartbeat,
    sent: Instant,
    reports: u64,
}

impl SentHeartbeat {
    /// Whether it has something that the handler has reported.
    pub(crate) fn has_report(&self) -> bool {
        self.item.progress.is_some() || self.item.checkpoint.is_some()
    }
}

impl Attempt {
    /// An attempt that the registry has given at this time, by its clock: a repeated claim gives leases that have begun before.
    pub(crate) fn new(claimed: &ClaimedTask, given_at: &str) -> Self {
        let heartbeat = Duration::from_millis(u64::try_from(claimed.heartbeat_ms).unwrap_or_default());
        let heartbeat = heartbeat.max(MIN_INTERVAL * 3);
        let left = match (Timestamp::parse(&claimed.lease_until), Timestamp::parse(given_at)) {
            (Some(until), Some(given_at)) => {
                Duration::from_micros(u64::try_from(until.micros_since(given_at)).unwrap_or_default())
            }
            _ => heartbeat,
        };
        let (now, elapsed) = (Instant::now(), heartbeat.saturating_sub(left));
        let last_ok = now.checked_sub(elapsed).unwrap_or(now);
        Self {
            task_id: claimed.task.task_id.clone(),
            number: claimed.attempt,
            lease: claimed.lease.clone(),
            heartbeat,
            cancelled: CancellationToken::new(),
            lost: CancellationToken::new(),
            state: Mutex::new(AttemptState {
                last_ok,
                last_sent: now,
                due: (last_ok + heartbeat / 3).min(now + FIRST_HEARTBEAT),
                progress: None,
                checkpoint: None,
                reports: 0,
                waiters: Vec::new(),
                is_finishing: false,
                is_refused: false,
            }),
        }
    }

    /// The time between two heartbeats.
    pub(crate) fn interval(&self) -> Duration {
        self.heartbeat / 3
    }

    /// When the next heartbeat is due.
    pub(crate) fn due(&self) -> Instant {
        self.state.lock().due
    }

    /// Adds a report to the next heartbeat, which is due at once.
    pub(crate) fn report(&self, progress: Option<TaskProgress>, checkpoint: Option<RawJson>) -> Reported {
        let (reported, outcome) = oneshot::channel();
        let mut state = self.state.lock();
        state.progress = progress.or(state.progress.take());
        state.checkpoint = checkpoint.or(state.checkpoint.take());
        state.reports += 1;
        state.due = Instant::now();
        let number = state.reports;
        state.waiters.push(Waiter { number, reported });
        outcome
    }

    /// Something has happened to the task: its next heartbeat tells what, unless the end of the attempt is being reported.
    pub(crate) fn ask_soon(&self) {
        let mut state = self.state.lock();
        if state.is_finishing {
            return;
        }
        state.due = state.due.min(state.last_sent + MIN_INTERVAL).max(Instant::now());
    }

    /// The heartbeat to be sent now, with what the handler has reported.
    pub(crate) fn take(&self, now: Instant) -> SentHeartbeat {
        let mut state = self.state.lock();
        state.last_sent = now;
        state.due = now + self.interval();
        SentHeartbeat {
            item: TaskHeartbeat {
                task_id: self.task_id.clone(),
                attempt: self.number,
                lease: self.lease.clone(),
                progress: state.progress.take(),
                checkpoint: state.checkpoint.take(),
            },
            sent: now,
            reports: state.reports,
        }
    }

    /// The registry has taken a heartbeat.
    pub(crate) fn confirmed(&self, sent: &SentHeartbeat, cancel_requested: bool) {
        let mut state = self.state.lock();
        state.last_ok = state.last_ok.max(sent.sent);
        state.settle(sent.reports, &Ok(()));
        drop(state);
        if cancel_requested {
            self.cancelled.cancel();
        }
    }

    /// A heartbeat was not answered: it is sent again.
    pub(crate) fn unanswered(&self, sent: SentHeartbeat) {
        let mut state = self.state.lock();
        state.progress = state.progress.take().or(sent.item.progress);
        state.checkpoint = state.checkpoint.take().or(sent.item.checkpoint);
        state.due = state.due.min(Instant::now() + self.interval().min(MAX_RETRY_DELAY));
    }

    /// The registry does not take the reports of a heartbeat: the handler is told so, and a heartbeat without them is due.
    pub(crate) fn report_refused(&self, sent: &SentHeartbeat, error: TaskError) {
        let mut state = self.state.lock();
        state.due = Instant::now();
        state.settle(sent.reports, &Err(error));
    }

    /// From now on the end of the attempt is reported.
    pub(crate) fn finishing(&self) {
        self.state.lock().is_finishing = true;
    }

    /// Whether the end of the attempt is being reported.
    pub(crate) fn is_finishing(&self) -> bool {
        self.state.lock().is_finishing
    }

    /// The registry says that the lease is over.
    pub(crate) fn refused(&self) {
        self.state.lock().is_refused = true;
        self.end();
    }

    /// Whether the registry has said that the lease is over.
    pub(crate) fn is_refused(&self) -> bool {
        self.state.lock().is_refused
    }

    /// Nothing more can be reported.
    pub(crate) fn end(&self) {
        self.lost.cancel();
        self.cancelled.cancel();
    }

    /// Ends the attempt when no heartbeat was answered for too long. Does not return.
    pub(crate) async fn watch_lease(&self) {
        loop {
            let over = self.state.lock().last_ok + self.heartbeat;
            if over <= Instant::now() {
                break;
            }
            tokio::time::sleep_until(over).await;
        }
        if !self.lost.is_cancelled() {
            tracing::warn!(
                task_id = self.task_id,
                "no registry answered in time: the lease of the task is over"
            );
        }
        self.end();
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        let mut claimed = ClaimedTask::default();
        claimed.task.task_id = "t".into();
        claimed.heartbeat_ms = 30_000;
        Attempt::new(&claimed, "")
    }

    fn progress(percent: i64) -> Option<TaskProgress> {
        Some(TaskProgress {
            percent: Some(percent),
            ..TaskProgress::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn reports_survive_a_heartbeat_without_an_answer_unless_newer_ones_come() {
        let attempt = attempt();
        assert!(attempt.due() > Instant::now());
        let mut first = attempt.report(progress(10), Some(RawJson::null()));
        assert!(attempt.due() <= Instant::now());
        let sent = attempt.take(Instant::now());
        let second = attempt.report(progress(20), None);
        attempt.unanswered(sent);
        assert!(first.try_recv().is_err(), "it is not settled");
        let sent = attempt.take(Instant::now());
        assert_eq!(sent.item.progress, progress(20));
        assert_eq!(sent.item.checkpoint, Some(RawJson::null()));
        attempt.confirmed(&sent, false);
        assert_eq!((first.await, second.await), (Ok(Ok(())), Ok(Ok(()))));
        assert!(!attempt.cancelled.is_cancelled());
        attempt.confirmed(&sent, true);
        assert!(attempt.cancelled.is_cancelled() && !attempt.lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_report_is_told_to_its_handler_and_not_sent_again() {
        let attempt = attempt();
        let refused = attempt.report(progress(10), Some(RawJson::null()));
        let sent = attempt.take(Instant::now());
        let mut later = attempt.report(progress(20), None);
        let error = TaskError::Invalid("no".to_owned());
        attempt.report_refused(&sent, error.clone());
        assert_eq!(refused.await, Ok(Err(error)));
        assert!(later.try_recv().is_err() && attempt.due() <= Instant::now());
        let sent = attempt.take(Instant::now());
        assert_eq!((&sent.item.progress, &sent.item.checkpoint), (&progress(20), &None));
        attempt.confirmed(&sent, false);
        assert_eq!(later.await, Ok(Ok(())));
        assert!(!attempt.take(Instant::now()).has_report() && !attempt.lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_over_when_no_heartbeat_is_answered_in_time() {
        let attempt = std::sync::Arc::new(attempt());
        let watched = attempt.clone();
        let watching = tokio::spawn(async move { watched.watch_lease().await });
        tokio::time::advance(Duration::from_secs(20)).await;
        let sent = attempt.take(Instant::now());
        attempt.confirmed(&sent, false);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(!attempt.lost.is_cancelled());
        tokio::time::advance(Duration::from_secs(11)).await;
        attempt.lost.cancelled().await;
        assert!(attempt.cancelled.is_cancelled() && !attempt.is_refused());
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_has_begun_before_ends_earlier() {
        let claimed = ClaimedTask {
            lease_until: "2026-01-01T00:00:10Z".into(),
            heartbeat_ms: 30_000,
            ..ClaimedTask::default()
        };
        let attempt = Attempt::new(&claimed, "2026-01-01T00:00:00Z");
        assert!(attempt.due() <= Instant::now(), "a heartbeat is due at once");
        let _ = tokio::time::timeout(Duration::from_secs(9), attempt.watch_lease()).await;
        assert!(!attempt.lost.is_cancelled());
        let _ = tokio::time::timeout(Duration::from_secs(2), attempt.watch_lease()).await;
        assert!(attempt.lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn events_do_not_cause_more_than_ten_heartbeats_a_second() {
        let attempt = attempt();
        let now = Instant::now();
        let _sent = attempt.take(now);
        attempt.ask_soon();
        attempt.ask_soon();
        assert_eq!(attempt.due(), now + MIN_INTERVAL);
        let _sent = attempt.take(now);
        attempt.finishing();
        attempt.ask_soon();
        assert_eq!(attempt.due(), now + attempt.interval(), "the end is being reported");
    }
}
