//! `agentnet task work`: an agent that does tasks by running a command for each.
//!
//! `process` starts a command in a process group, which `watchdog` ends if this program is killed, `command` runs it to its end, `report` reads what it says on standard error,
//! `handler` is what the node calls for each task, `verdict` what the end of a command means for it. This module joins the network, prints, and stops in order: commands first,
//! then the session, which gives back what is not finished.

mod command;
mod handler;
mod process;
mod report;
mod verdict;
mod watchdog;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, HandlerResult, Message, RegistryClient};
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::{TaskEventsRequest, TaskStatusRequest};
use agentnet_protocol::subject::routable_capability;
use agentnet_protocol::task::TaskMessage;
use clap::Args;
use tokio::sync::mpsc;

use self::handler::{Runner, TaskEnd};
use self::process::CommandLine;
use self::watchdog::Watchdog;
use super::cells;
use crate::args::Seconds;
use crate::cli::SPEAKER_ARGUMENT;
use crate::commands::identity_args::SigningArgs;
use crate::connection::{join, own_username};
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::sanitize::{clean, indented_lines};
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

/// Commands at the same time.
const MAX_CONCURRENCY: i64 = 64;
/// Lines of commands that may wait to be shown.
const SHOWN_QUEUE_CAPACITY: usize = 64;
/// How long the end of the last task is waited for: as long as the SDK repeats it.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the registry holds a request for the next event of a task.
const SETTLE_WAIT_MS: i64 = 5_000;

const AFTER_HELP: &str = "\
The command is run without a shell, once for each task:
  standard input   the task as one JSON object: task_id, title, text, payload, attempt, max_attempts, checkpoint, input, ...
  standard output  the result: JSON, or text
  standard error   `::progress 40 tests run` reports progress, `::checkpoint {\"step\":3}` is kept for another attempt; other
                   lines are shown, and the last ones are the reason of a failure
  exit code        0: completed; 75: failed, and another attempt may help; any other: failed
When a task is cancelled, the command and all that it has started get SIGTERM, and SIGKILL after --grace seconds.
AGENTNET_TASK_ID, AGENTNET_TASK_ATTEMPT and AGENTNET_TASK_MAX_ATTEMPTS are set in its environment.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Work {
    /// Username to join with: tasks for this agent are done [default: that of the credential; without one cli_USER_HOST]
    #[arg(id = SPEAKER_ARGUMENT, long = "as", value_name = "USERNAME", value_parser = crate::args::not_blank)]
    work_as: Option<String>,
    /// Also do tasks for any agent with this capability; may be given several times
    #[arg(long = "capability", value_name = "NAME", value_parser = crate::args::not_blank)]
    capabilities: Vec<String>,
    /// Tasks at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=MAX_CONCURRENCY))]
    concurrency: u32,
    /// Stop after so many tasks; 0: run until Ctrl-C
    #[arg(long, value_name = "N", default_value = "0")]
    max_tasks: u64,
    /// Seconds that a command has to end after it was asked to stop
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    grace: Seconds,
    #[command(flatten)]
    signing: SigningArgs,
    /// Program and arguments, behind `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Work {
    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let command = CommandLine::find(&self.command).map_err(|error| {
            Failure::refused(format!("the command cannot be run: {error}"))
                .with_code("wrong_usage")
                .hint("give the program and its arguments behind `--`: agentnet task work --capability build -- ./build.sh")
        })?;
        if let Some(name) = self.capabilities.iter().find(|name| !routable_capability(name.trim())) {
            let failure = Failure::refused(format!("no client can ask for a capability `{}`", clean(name)));
            return Err(failure
                .with_code("wrong_usage")
                .hint("a capability has no spaces, dots, `*` or `>`")
                .into());
        }
        let mut signals = StopSignals::listen()?;
        // Bounded: a slow terminal slows the commands down.
        let (outcomes, mut reports) = mpsc::channel(SHOWN_QUEUE_CAPACITY);
        let grace = self.grace.duration();
        let watchdog = Watchdog::start(grace).unwrap_or_else(|error| {
            output.note(format!(
                "warning: commands would outlive this worker if it were killed: /bin/sh does not start: {error}"
            ));
            Watchdog::default()
        });
        let runner = Arc::new(Runner::new(command, grace, watchdog, outcomes));
        let node = self.join(Arc::clone(&runner), global, &mut signals, output).await?;
        output.note(format!(
            "@{} does tasks as {}, Ctrl-C stops",
            node.username().unwrap_or_default(),
            node.account_id().unwrap_or_default()
        ));
        let registry = node.registry().map_err(|error| Failure::error(error.to_string()))?;
        let working = self.report(&mut reports, &registry, output);
        let ended = signals.unless(working).await;
        // Commands end first; what they have not finished is given back when the session is closed. A second signal kills them.
        runner.stop();
        let stopping = async {
            let drain = async { while reports.recv().await.is_some() {} };
            tokio::select! {
                () = runner.idle() => {}
                () = drain => {}
            }
            Ok(())
        };
        let in_order = signals.unless(stopping).await;
        runner.kill();
        node.close().await;
        match (ended, in_order) {
            (Ok(()), Err(exit)) => Err(exit),
            (ended, _) => ended,
        }
    }

    async fn join(
        &self,
        runner: Arc<Runner>,
        global: &Global,
        signals: &mut StopSignals,
        output: Output,
    ) -> Result<AgentNode, Exit> {
        let username = crate::args::trimmed(self.work_as.as_ref()).unwrap_or_else(|| own_username(global));
        let agent = AgentNode::builder("cli_worker")
            .name(&username)
            .username(&username)
            .capabilities(self.capabilities.iter().map(|name| name.trim()))
            .task_concurrency(usize::try_from(self.concurrency).unwrap_or(1))
            .on_message(|message, _| async move { take_message(&message) })
            .on_task(move |task, context| {
                let runner = Arc::clone(&runner);
                async move { runner.handle(task, context).await }
            });
        let agent = match usize::try_from(self.max_tasks) {
            Ok(0) | Err(_) => agent,
            Ok(max_tasks) => agent.max_tasks(max_tasks),
        };
        join(self.signing.apply(agent)?, global, signals, output).await
    }

    /// Prints what the commands say, and each task that is done, up to the maximum number.
    async fn report(
        &self,
        reports: &mut mpsc::Receiver<WorkerReport>,
        registry: &RegistryClient,
        output: Output,
    ) -> Result<(), Exit> {
        let mut done = 0_u64;
        let mut last = Vec::new();
        while let Some(report) = reports.recv().await {
            match report {
                WorkerReport::Line { task_id, line } => {
                    output.note(format!("{}  {}", clean(&task_id), indented_lines(&line)));
                }
                WorkerReport::Done(outcome) => {
                    outcome.print(output)?;
                    done += 1;
                    if self.max_tasks > 0 {
                        last.push(outcome);
                    }
                }
            }
            if self.max_tasks > 0 && done == self.max_tasks {
                for outcome in last {
                    settled(registry, &outcome).await;
                }
                return Ok(());
            }
        }
        Err(Failure::error("the agent has stopped").into())
    }
}

/// Messages about tasks count as received: the worker gets their task by claiming it. It does nothing else with messages.
fn take_message(message: &Message) -> HandlerResult {
    match TaskMessage::of_payload(message.payload()) {
        Some(_) => Ok(()),
        None => Err("this agent only works on tasks; `agentnet task assign` makes one".into()),
    }
}

/// What a handler reports.
#[derive(Debug)]
enum WorkerReport {
    /// A line that the command said.
    Line { task_id: String, line: String },
    /// A task is done.
    Done(TaskEnd),
}

/// Waits until the registry has noted the end of an attempt: the session must not be closed before.
async fn settled(registry: &RegistryClient, outcome: &TaskEnd) {
    let work = async {
        loop {
            let request = TaskStatusRequest {
                task_id: outcome.task_id.clone(),
            };
            let mut after = 0;
            match registry.call(&request).await {
                Ok(reply) if reply.task.state == "working" && reply.task.attempt == outcome.attempt => {
                    after = reply.task.event_count;
                }
                Ok(_) => return,
                Err(error) => tracing::debug!(%error, "the state of a task is not known"),
            }
            let request = TaskEventsRequest {
                task_id: outcome.task_id.clone(),
                after,
                limit: 1,
                wait_ms: SETTLE_WAIT_MS,
            };
            let patient = registry.clone().with_timeout(Duration::from_secs(10));
            if patient.call(&request).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    if tokio::time::timeout(SETTLE_TIMEOUT, work).await.is_err() {
        tracing::warn!(task_id = %clean(&outcome.task_id), "the end of a task could not be reported to the registry");
    }
}

impl TaskEnd {
    fn print(&self, output: Output) -> Result<(), Exit> {
        if output.is_json() {
            let mut document = ObjectWriter::new();
            document
                .text("task_id", &self.task_id)
                .int("attempt", self.attempt)
                .text("outcome", self.what)
                .nullable_text("code", self.code.as_deref())
                .nullable_text("detail", self.detail.as_deref())
                .int("took_ms", u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX));
            return Ok(output.document_line(&document.finish())?);
        }
        let what = output.tint(self.tint(), self.what);
        let reason = match (&self.code, &self.detail) {
            (None, None) => String::new(),
            (code, detail) => {
                let parts: Vec<&str> = [code, detail].into_iter().filter_map(|part| part.as_deref()).collect();
                format!("  {}", cells::line(&parts.join(": ")))
            }
        };
        let title = self.title.as_deref().map(|title| format!("  {}", cells::line(title)));
        Ok(output.line(format!(
            "{what} {}{}  in {:.1} s{reason}",
            clean(&self.task_id),
            title.unwrap_or_default(),
            self.took.as_secs_f64(),
        ))?)
    }

    fn tint(&self) -> Tint {
        match self.what {
            "completed" => Tint::Green,
            "failed" => Tint::Red,
            _ => Tint::Yellow,
        }
    }
}
