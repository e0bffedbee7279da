//! What the node calls for each task that it has claimed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet::{ClaimedWork, TaskContext, TaskFailure};
use agentnet_protocol::RawJson;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::TaskSnapshot;
use tokio::sync::{mpsc, watch};

use super::WorkerReport;
use super::command::{self, CommandEnd};
use super::process::CommandLine;
use super::report::StderrLine;
use super::verdict::{CommandVerdict, judge};
use super::watchdog::Watchdog;

/// Lines of one command that may wait.
const LINE_QUEUE_CAPACITY: usize = 64;
/// The shortest time between two reports of progress; of those that come faster, the last one counts.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// How far the program is with its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerPhase {
    Working,
    /// Commands are told to end, and get their grace.
    Stopping,
    /// Commands are killed.
    Killing,
}

/// Runs the command for each task.
pub(super) struct Runner {
    command: CommandLine,
    grace: Duration,
    reports: mpsc::Sender<WorkerReport>,
    phase: watch::Sender<WorkerPhase>,
    /// Commands that run.
    running: watch::Sender<usize>,
    watchdog: Arc<Watchdog>,
}

/// A task that is done.
#[derive(Debug)]
pub(super) struct TaskEnd {
    pub(super) task_id: String,
    pub(super) title: Option<String>,
    pub(super) attempt: i64,
    /// `completed`, `failed`, `retryable`, `canceled` or `lost`.
    pub(super) what: &'static str,
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) took: Duration,
}

/// Why a command was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    Cancelled,
    LeaseLost,
    Shutdown,
}

impl Runner {
    pub(super) fn new(
        command: CommandLine,
        grace: Duration,
        watchdog: Watchdog,
        reports: mpsc::Sender<WorkerReport>,
    ) -> Self {
        Self {
            command,
            grace,
            reports,
            phase: watch::Sender::new(WorkerPhase::Working),
            running: watch::Sender::new(0),
            watchdog: Arc::new(watchdog),
        }
    }

    /// Tells all commands to end, and begins no more.
    pub(super) fn stop(&self) {
        self.phase.send_replace(WorkerPhase::Stopping);
    }

    /// Kills all commands.
    pub(super) fn kill(&self) {
        self.phase.send_replace(WorkerPhase::Killing);
    }

    /// Waits until no command runs.
    pub(super) async fn idle(&self) {
        // Fails only when the sender is dropped, which `self` holds.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Does a task.
    pub(super) async fn handle(&self, task: ClaimedWork, context: TaskContext) -> Result<RawJson, TaskFailure> {
        if *self.phase.borrow() != WorkerPhase::Working {
            // Given back at once, it would be claimed again.
            context.closing().await;
            return Err(TaskFailure::released());
        }
        let _running = Running::begin(&self.running);
        let since = Instant::now();
        let (lines, said) = mpsc::channel(LINE_QUEUE_CAPACITY);
        let (ended, stop) = {
            let mut why = None;
            let stop = async { why = Some(self.stopped(&context).await) };
            let input = document(&task).into_bytes();
            let variables = variables(&task);
            let running = command::run(
                &self.command,
                &self.watchdog,
                &variables,
                input,
                lines,
                self.grace,
                stop,
            );
            let killed = self.reaches(|phase| phase == WorkerPhase::Killing);
            let listening = self.listen(said, &task.task.task_id, &context);
            let both = async { tokio::join!(running, listening).0 };
            let ended = tokio::select! {
                ended = both => ended,
                // Dropping the command kills its group.
                () = killed => CommandEnd::Stopped,
            };
            (ended, why.unwrap_or(StopReason::Shutdown))
        };
        let done = match ended {
            CommandEnd::Stopped => return self.stopped_early(&task.task, task.attempt, stop, since).await,
            CommandEnd::NotStarted(error) => CommandVerdict::Failed {
                code: "command_not_started",
                detail: error.to_string(),
                retryable: true,
            },
            CommandEnd::Exited(output) => judge(output.status, output.stdout, &output.tail),
        };
        let outcome = TaskEnd::of(&task.task, task.attempt, since);
        match done {
            CommandVerdict::Result(result) => {
                self.report(outcome).await;
                Ok(result)
            }
            CommandVerdict::Failed {
                code,
                detail,
                retryable,
            } => {
                let outcome = TaskEnd {
                    what: if retryable { "retryable" } else { "failed" },
                    code: Some(code.to_owned()),
                    detail: Some(detail.clone()),
                    ..outcome
                };
                self.report(outcome).await;
                Err(match retryable {
                    true => TaskFailure::retryable(code, detail),
                    false => TaskFailure::failed(code, detail),
                })
            }
        }
    }

    /// Waits for a phase.
    async fn reaches(&self, is_reached: impl Fn(WorkerPhase) -> bool) {
        // Fails only when the sender is dropped, which `self` holds.
        let _ = self.phase.subscribe().wait_for(|phase| is_reached(*phase)).await;
    }

    /// Waits until there is a reason to stop the command.
    async fn stopped(&self, context: &TaskContext) -> StopReason {
        tokio::select! {
            () = context.cancelled() => match context.is_lease_lost() {
                true => StopReason::LeaseLost,
                false => StopReason::Cancelled,
            },
            () = context.closing() => StopReason::Shutdown,
            () = self.reaches(|phase| phase != WorkerPhase::Working) => StopReason::Shutdown,
        }
    }

    /// The end of a task whose command was stopped.
    async fn stopped_early(
        &self,
        task: &TaskSnapshot,
        attempt: i64,
        stop: StopReason,
        since: Instant,
    ) -> Result<RawJson, TaskFailure> {
        let what = match stop {
            StopReason::Cancelled => "canceled",
            StopReason::LeaseLost => "lost",
            StopReason::Shutdown => return Err(TaskFailure::released()),
        };
        let outcome = TaskEnd::of(task, attempt, since);
        self.report(TaskEnd { what, ..outcome }).await;
        // The result of a lost lease is not noted anywhere.
        Err(TaskFailure::canceled())
    }

    async fn report(&self, outcome: TaskEnd) {
        // Fails only when the program ends.
        let _ = self.reports.send(WorkerReport::Done(outcome)).await;
    }

    /// Passes on what the command says, until it says no more.
    async fn listen(&self, mut said: mpsc::Receiver<StderrLine>, task_id: &str, context: &TaskContext) {
        let (progress, latest) = watch::channel(None);
        let (checkpoint, kept) = watch::channel(None);
        let read = async move {
            while let Some(line) = said.recv().await {
                match line {
                    StderrLine::Progress { percent, text } => drop(progress.send(Some((percent, text)))),
                    StderrLine::Checkpoint(json) => drop(checkpoint.send(Some(json))),
                    StderrLine::Text(line) => {
                        let report = WorkerReport::Line {
                            task_id: task_id.to_owned(),
                            line,
                        };
                        // Fails only when the program ends.
                        let _ = self.reports.send(report).await;
                    }
                }
            }
        };
        tokio::join!(read, tell_progress(latest, context), tell_checkpoints(kept, context));
    }
}

/// A command that runs, for as long as this lives.
struct Running<'a>(&'a watch::Sender<usize>);

impl<'a> Running<'a> {
    fn begin(running: &'a watch::Sender<usize>) -> Self {
        running.send_modify(|running| *running += 1);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

type Latest<T> = watch::Receiver<Option<T>>;

async fn tell_progress(mut latest: Latest<(Option<u8>, String)>, context: &TaskContext) {
    while latest.changed().await.is_ok() {
        let told = latest.borrow_and_update().clone();
        let Some((percent, text)) = told else { continue };
        if let Err(error) = context.progress(percent, text).await {
            tracing::debug!(%error, "progress was not reported");
        }
        // The end of the command is not waited for longer.
        let mut values = latest.clone();
        let ended = async { while values.changed().await.is_ok() {} };
        // An error is the time that is over.
        let _ = tokio::time::timeout(PROGRESS_INTERVAL, ended).await;
    }
}

async fn tell_checkpoints(mut latest: Latest<RawJson>, context: &TaskContext) {
    while latest.changed().await.is_ok() {
        let told = latest.borrow_and_update().clone();
        let Some(checkpoint) = told else { continue };
        if let Err(error) = context.checkpoint(checkpoint).await {
            tracing::debug!(%error, "a checkpoint was not kept");
        }
    }
}

impl TaskEnd {
    fn of(task: &TaskSnapshot, attempt: i64, since: Instant) -> Self {
        Self {
            task_id: task.task_id.clone(),
            title: task.title.clone(),
            attempt,
            what: "completed",
            code: None,
            detail: None,
            took: since.elapsed(),
        }
    }
}

fn variables(task: &ClaimedWork) -> [(&'static str, String); 3] {
    [
        ("AGENTNET_TASK_ID", task.task.task_id.clone()),
        ("AGENTNET_TASK_ATTEMPT", task.attempt.to_string()),
        ("AGENTNET_TASK_MAX_ATTEMPTS", task.task.max_attempts.to_string()),
    ]
}

/// The task as the command reads it: one line of JSON.
fn document(work: &ClaimedWork) -> String {
    let task = &work.task;
    let raw = |json: &Option<RawJson>| json.as_ref().map_or("null", RawJson::get).to_owned();
    let mut out = ObjectWriter::new();
    out.text("task_id", &task.task_id)
        .nullable_text("title", task.title.as_deref())
        .text("text", &task.assigned_text)
        .raw("payload", &raw(&work.payload))
        .int("attempt", work.attempt)
        .int("max_attempts", task.max_attempts)
        .raw("checkpoint", &raw(&work.checkpoint))
        .raw("input", &raw(&work.input))
        .raw("metadata", task.metadata.get())
        .nullable_text("thread_id", task.thread_id.as_deref())
        .nullable_text("parent_task_id", task.parent_task_id.as_deref())
        .nullable_text("coordinator_account_id", task.coordinator_account_id.as_deref())
        .nullable_text("capability", task.capability.as_deref())
        .nullable_text("deadline_at", task.deadline_at.as_deref())
        .int("priority", task.priority);
    out.finish() + "\n"
}
