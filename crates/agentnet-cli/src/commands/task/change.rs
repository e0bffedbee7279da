//! `agentnet task cancel`, `retry` and `input`: what the coordinator of a task does with it.
//!
//! On a network with signed identity the account's key signs the request (PROTOCOL.md section 13.8); the command does not join
//! the network as the account.

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::RawJson;
use agentnet_protocol::json::{ArrayWriter, ObjectWriter};
use agentnet_protocol::rpc::{
    Reply as _, ResolveAccountRequest, TaskCancelRequest, TaskInputRequest, TaskReply, TaskRetryRequest,
};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::task::TaskState;
use agentnet_protocol::username::lookup_key;
use clap::Args;

use super::cells;
use super::untold::{self, Untold};
use crate::args::{CallTimeout, checked_username};
use crate::commands::identity_args::{IdentityArgs, account_key};
use crate::commands::message_args::payload;
use crate::connection::connect_registry;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::failures::task::named;
use crate::global::Global;
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::output::{Output, Tint};
use crate::shell_completion;
use crate::signals::StopSignals;

/// States in which a task can be cancelled.
const OPEN: [TaskState; 4] = [
    TaskState::Submitted,
    TaskState::Working,
    TaskState::InputRequired,
    TaskState::AuthRequired,
];
/// States in which a task takes an answer.
const BLOCKED: [TaskState; 2] = [TaskState::InputRequired, TaskState::AuthRequired];

/// Cancel tasks.
#[derive(Debug, Args)]
pub(super) struct CancelTasks {
    /// Which tasks
    #[arg(value_name = "ID", required = true, value_parser = crate::args::not_blank, add = shell_completion::tasks(&OPEN))]
    task_ids: Vec<String>,
    /// Why, for the worker and for the record
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_blank)]
    reason: Option<String>,
    /// Leave the parts of the tasks as they are
    #[arg(long)]
    keep_children: bool,
    #[command(flatten)]
    who: Who,
}

/// Try tasks again.
#[derive(Debug, Args)]
pub(super) struct RetryTasks {
    /// Which tasks
    #[arg(
        value_name = "ID",
        required = true,
        value_parser = crate::args::not_blank,
        add = shell_completion::tasks(&[TaskState::Failed])
    )]
    task_ids: Vec<String>,
    #[command(flatten)]
    who: Who,
}

/// Answer a worker that waits.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// The task
    #[arg(value_name = "ID", value_parser = crate::args::not_blank, add = shell_completion::tasks(&BLOCKED))]
    task_id: String,
    /// The answer, JSON text, e.g. '{"text":"yes"}'; - reads it from standard input
    #[arg(value_name = "PAYLOAD", allow_negative_numbers = true)]
    payload: String,
    #[command(flatten)]
    who: Who,
}

/// The agent that asks, and how long the registry is waited for.
#[derive(Debug, Args)]
struct Who {
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    timeout: CallTimeout,
}

/// The account that makes a request.
struct Requester {
    registry: RegistryClient,
    account_id: String,
    key: Option<SigningKey>,
}

impl Who {
    async fn requester(&self, global: &Global) -> Result<Requester, Failure> {
        let registry = connect_registry(global).await?.with_timeout(self.timeout.duration());
        let username = checked_username(&self.identity.username(global))?;
        let request = ResolveAccountRequest {
            username: lookup_key(&username),
        };
        let account_id = match registry.call(&request).await {
            Ok(reply) => reply.account_id,
            Err(RegistryError::Refused(code)) if code == "not_found" => return Err(no_account(&username)),
            Err(error) => return Err(registry_failure(&error)),
        };
        let key = match self.identity.signing_directory()? {
            Some(directory) => Some(account_key(&registry, &directory, &account_id, "tasks").await?),
            None => None,
        };
        Ok(Requester {
            registry,
            account_id,
            key,
        })
    }
}

/// The agent that asks has no account, so no task is its own.
fn no_account(username: &str) -> Failure {
    Failure::refused(format!("No account found for username '{}'", clean(username)))
        .with_code("account_not_found")
        .hint("name the agent that asked for the task with --as; `agentnet task status ID` shows its coordinator")
        .with_network()
}

/// Makes one request for each task and prints what became of them. After a failure, the others are still tried.
async fn change_all(
    task_ids: Vec<String>,
    who: &Who,
    global: &Global,
    output: Output,
    request: impl AsyncFn(&Requester, String) -> Result<TaskReply, RegistryError>,
    told: impl Fn(&TaskReply) -> String,
    untold: impl Fn(&TaskReply) -> Untold,
) -> Result<(), Exit> {
    // Each once, in the order in which they are named.
    let mut ids: Vec<String> = Vec::new();
    for id in task_ids {
        let id = id.trim().to_owned();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let several = ids.len() > 1;
    let spinner = Spinner::start(output, "waiting for the registry".to_owned());
    let work = async {
        let requester = who.requester(global).await?;
        let mut done = Vec::new();
        let mut failures = Vec::new();
        for id in ids {
            match request(&requester, id.clone()).await {
                Ok(reply) => done.push(reply),
                Err(error) => failures.push((id.clone(), named(registry_failure(&error), &id))),
            }
        }
        Ok((done, failures))
    };
    let (done, mut failures) = StopSignals::listen()?.unless(work).await?;
    spinner.end();
    if output.is_json() && several {
        if !done.is_empty() {
            output.document(&documents(&done))?;
        }
    } else {
        for reply in &done {
            match output.is_json() {
                true => output.document(&reply.encode())?,
                false => output.line(format!("{} {}", output.tint(Tint::Green, "✓"), told(reply)))?,
            }
        }
    }
    for reply in &done {
        if let Some(note) = untold::note(&reply.task, &untold(reply), &who.identity.username(global)) {
            output.note(note);
        }
    }
    // The last one ends the command.
    let last = failures.pop();
    for (id, failure) in failures {
        output.note(format!("{}: {}", clean(&id), failure.text()));
    }
    match last {
        Some((_, failure)) if !several => Err(failure.into()),
        Some((id, failure)) => Err(failure.within(&clean(&id)).into()),
        None => Ok(()),
    }
}

/// The replies as one document.
fn documents(replies: &[TaskReply]) -> String {
    let mut tasks = ArrayWriter::new();
    for reply in replies {
        tasks.raw(&reply.task.encode());
    }
    ObjectWriter::new().raw("tasks", &tasks.finish()).finish()
}

impl CancelTasks {
    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let Self {
            task_ids,
            reason,
            keep_children,
            who,
        } = self;
        let request = async |requester: &Requester, task_id: String| {
            let request = TaskCancelRequest {
                account_id: requester.account_id.clone(),
                task_id,
                reason: reason.clone(),
                keep_children,
                ..TaskCancelRequest::default()
            };
            let key = requester.key.as_ref();
            requester.registry.task_cancel(request, key).await
        };
        let told = |reply: &TaskReply| {
            let task = &reply.task;
            match task.state.as_str() {
                "canceled" => format!("{} is canceled", cells::name(task)),
                _ => format!("{}: its worker was asked to stop", cells::name(task)),
            }
        };
        let untold = |_: &TaskReply| Untold::Canceled {
            reason: reason.clone().unwrap_or_default(),
        };
        change_all(task_ids, &who, global, output, request, told, untold).await
    }
}

impl RetryTasks {
    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let request = async |requester: &Requester, task_id: String| {
            let request = TaskRetryRequest {
                account_id: requester.account_id.clone(),
                task_id,
                ..TaskRetryRequest::default()
            };
            let key = requester.key.as_ref();
            requester.registry.task_retry(request, key).await
        };
        let told = |reply: &TaskReply| {
            let task = &reply.task;
            let next = task.attempt.saturating_add(1);
            format!(
                "{} waits for attempt {next} of {}",
                cells::name(task),
                task.max_attempts
            )
        };
        let untold = |_: &TaskReply| Untold::Retried;
        change_all(self.task_ids, &self.who, global, output, request, told, untold).await
    }
}

impl Input {
    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let answer: RawJson = payload(&self.payload)?;
        let request = async |requester: &Requester, task_id: String| {
            let request = TaskInputRequest {
                account_id: requester.account_id.clone(),
                task_id,
                payload: Some(answer.clone()),
                ..TaskInputRequest::default()
            };
            let key = requester.key.as_ref();
            requester.registry.task_input(request, key).await
        };
        let told = |reply: &TaskReply| format!("{} goes on", cells::name(&reply.task));
        let untold = |_: &TaskReply| Untold::Answered { input: answer.clone() };
        change_all(vec![self.task_id], &self.who, global, output, request, told, untold).await
    }
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::rpc::TaskSnapshot;

    use super::*;

    #[test]
    fn several_replies_are_one_document() {
        let reply = |id: &str| TaskReply {
            task: TaskSnapshot {
                task_id: id.into(),
                ..TaskSnapshot::default()
            },
            ..TaskReply::default()
        };
        let document = documents(&[reply("task_1"), reply("task_2")]);
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["tasks"][1]["task_id"], "task_2");
    }

    #[test]
    fn an_agent_without_an_account_is_told_which_one_to_name() {
        let failure = no_account("nobody");
        assert_eq!(failure.code(), "account_not_found");
        assert!(failure.text().contains("--as"), "{}", failure.text());
    }
}
