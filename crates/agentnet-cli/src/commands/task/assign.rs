//! `agentnet task assign`: has something done, and with `--wait` waits for what comes of it.

use std::io::Read as _;
use std::time::Duration;

use agentnet::{AgentNode, RegistryClient, TaskError, TaskHandle};
use agentnet_protocol::RawJson;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::{TaskSnapshot, TaskStatusRequest};
use agentnet_protocol::target::Target;
use agentnet_protocol::task::{MAX_ATTEMPTS, MAX_PRIORITY};
use clap::Args;

use super::event_log::EventLog;
use super::{cells, invalid_json};
use crate::accounts;
use crate::args::{Lifetime, Seconds, trimmed};
use crate::commands::identity_args::IdentityArgs;
use crate::commands::message_args::{self, TargetArgs};
use crate::commands::send::shown;
use crate::did_you_mean;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::failures::task::{named, task_failure};
use crate::global::Global;
use crate::output::json::indented;
use crate::output::sanitize::{clean, clean_lines};
use crate::output::spinner::Spinner;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

/// How long a worker may be silent, in seconds.
const MAX_HEARTBEAT_SECONDS: u64 = 3_600;

#[derive(Debug, Args)]
pub(super) struct Assign {
    /// What is to be done; - reads it from standard input
    #[arg(value_name = "TEXT", required_unless_present = "payload")]
    text: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    /// A few words for lists
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_blank)]
    title: Option<String>,
    /// The same for programs: JSON text
    #[arg(long, value_name = "JSON", value_parser = crate::args::not_blank, allow_hyphen_values = true)]
    payload: Option<String>,
    /// The task that it is a part of
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::tasks(&[]))]
    parent: Option<String>,
    /// Your own name for the work: a second task with it is not made
    #[arg(long, value_name = "KEY", value_parser = crate::args::not_blank)]
    key: Option<String>,
    /// Give it up after so long: 90s, 30m, 12h, 7d [default: never]
    #[arg(long, value_name = "TIME")]
    deadline: Option<Lifetime>,
    /// How often to try again when a worker is lost, or fails and says that another attempt may help: 0 to 19
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..MAX_ATTEMPTS))]
    retries: u32,
    /// How long to wait before the first of these, in seconds; it doubles with each
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = backoff)]
    backoff: Seconds,
    /// After how many seconds of silence a worker is lost: 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = heartbeat)]
    heartbeat: Seconds,
    /// -100 to 100: the highest first
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-MAX_PRIORITY..=MAX_PRIORITY)
    )]
    priority: i64,
    /// Thread to put its messages into [default: one of its own]
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::threads())]
    thread_id: Option<String>,
    /// A JSON object that stays with it
    #[arg(long, value_name = "JSON", value_parser = crate::args::not_blank)]
    metadata: Option<String>,
    /// Wait until it has ended; exit code 0 if it is completed, else 2. Ctrl-C leaves it as it is
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    identity: IdentityArgs,
}

/// The arguments that are JSON.
struct JsonValues {
    payload: Option<RawJson>,
    metadata: Option<RawJson>,
}

fn heartbeat(text: &str) -> Result<Seconds, String> {
    let seconds: Seconds = text.parse()?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(MAX_HEARTBEAT_SECONDS);
    match bounds.contains(&seconds.duration()) {
        true => Ok(seconds),
        false => Err(format!("it must be at least 1 and at most {MAX_HEARTBEAT_SECONDS}")),
    }
}

fn backoff(text: &str) -> Result<Seconds, String> {
    let seconds: Seconds = text.parse()?;
    match seconds.duration() <= Duration::from_secs(3_600) {
        true => Ok(seconds),
        false => Err("it must be at most 3600".to_owned()),
    }
}

impl Assign {
    pub(super) async fn run(mut self, global: &Global, output: Output) -> Result<(), Exit> {
        let target = self.target.target()?;
        if self.text.as_deref() == Some("-") {
            self.text = Some(from_stdin()?);
        }
        if self.payload.is_none() && self.text.as_deref().is_none_or(|text| text.trim().is_empty()) {
            let failure = Failure::refused("the task is empty").with_code("wrong_usage");
            return Err(failure
                .hint("say what is to be done: `agentnet task assign --to-username NAME 'build main'`")
                .into());
        }
        let values = self.values()?;
        let target = accounts::full_target(global, target).await?;
        let mut signals = StopSignals::listen()?;
        let node = self
            .identity
            .join(global, &mut signals, output, "cli_coordinator", "CLI Coordinator")
            .await?;
        let ended = signals
            .unless(self.assign(&node, &target, values, global, output))
            .await;
        // In every case, closes the session.
        node.close().await;
        ended
    }

    /// The JSON arguments, read before the network is asked for anything.
    fn values(&self) -> Result<JsonValues, Failure> {
        let payload = self.payload.as_deref().map(message_args::payload).transpose()?;
        let metadata = match &self.metadata {
            None => None,
            Some(text) => {
                let metadata = RawJson::parse(text.clone());
                let metadata = metadata.map_err(|error| invalid_json("--metadata", &error.to_string()))?;
                if metadata.view().as_object().is_none() {
                    return Err(invalid_json("--metadata", "it must be an object, like '{\"pr\":12}'"));
                }
                Some(metadata)
            }
        };
        Ok(JsonValues { payload, metadata })
    }

    async fn assign(
        &self,
        node: &AgentNode,
        target: &Target,
        values: JsonValues,
        global: &Global,
        output: Output,
    ) -> Result<(), Exit> {
        let spinner = Spinner::start(output, format!("assigning a task to {}", shown(target)));
        let task = match self.start(node, target, values).await {
            Ok(task) => task,
            Err(error) => {
                let failure = task_failure(error);
                let failure = match target {
                    Target::Username(name) if failure.code() == "account_not_found" => {
                        did_you_mean::with_similar_username(global, name, failure).await
                    }
                    _ => failure,
                };
                return Err(failure.into());
            }
        };
        spinner.end();
        if let Some(why) = task.not_told() {
            output.note(format!(
                "warning: {} was not notified of the task: {}; the same command with --key notifies it again",
                shown(target),
                clean(&why.to_string())
            ));
        }
        let registry = node.registry().map_err(|error| Failure::error(error.to_string()))?;
        let snapshot = match task.snapshot() {
            Some(snapshot) => snapshot.clone(),
            None => status(&registry, task.id()).await?,
        };
        if !output.is_json() {
            let told = told(&task, &snapshot, target, output);
            match self.wait {
                // Standard output is for the result.
                true => output.note(told),
                false => output.line(told)?,
            }
        } else if !self.wait {
            output.document(&document(&task, &snapshot))?;
        }
        if let (Target::Capability(name), true) = (target, task.created()) {
            did_you_mean::note_capability(&registry, name, output).await;
        }
        match self.wait {
            true => wait(&registry, &task, output).await,
            false => Ok(()),
        }
    }

    /// Makes the task.
    async fn start(&self, node: &AgentNode, target: &Target, values: JsonValues) -> Result<TaskHandle, TaskError> {
        let mut task = node
            .task(address(target))
            .retries(self.retries)
            .backoff(self.backoff.duration())
            .heartbeat(self.heartbeat.duration())
            .priority(self.priority);
        if let Some(text) = &self.text {
            task = task.text(text);
        }
        if let Some(title) = trimmed(self.title.as_ref()) {
            task = task.title(title);
        }
        if let Some(payload) = values.payload {
            task = task.payload(payload);
        }
        if let Some(parent) = trimmed(self.parent.as_ref()) {
            task = task.parent(parent);
        }
        if let Some(key) = trimmed(self.key.as_ref()) {
            task = task.key(key);
        }
        if let Some(deadline) = self.deadline {
            task = task.deadline(deadline.duration());
        }
        if let Some(thread) = trimmed(self.thread_id.as_ref()) {
            task = task.thread(thread);
        }
        if let Some(metadata) = values.metadata {
            task = task.metadata(metadata);
        }
        task.start().await
    }
}

/// The target as the SDK reads it.
fn address(target: &Target) -> String {
    match target {
        Target::Account(id) => format!("account:{id}"),
        Target::Username(name) => format!("@{name}"),
        Target::Capability(name) => format!("capability:{name}"),
    }
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::error(format!("cannot read the task from standard input: {error}")))?;
    Ok(text.trim_end().to_owned())
}

async fn status(registry: &RegistryClient, task_id: &str) -> Result<TaskSnapshot, Failure> {
    let request = TaskStatusRequest {
        task_id: task_id.to_owned(),
    };
    let reply = registry.call(&request).await;
    Ok(reply.map_err(|error| named(registry_failure(&error), task_id))?.task)
}

fn told(task: &TaskHandle, snapshot: &TaskSnapshot, target: &Target, output: Output) -> String {
    let tick = output.tint(Tint::Green, "✓");
    let id = clean(task.id());
    match task.created() {
        true => format!("{tick} Task assigned to {}  task_id={id}", shown(target)),
        false => format!(
            "{tick} Task assigned before, now {}  task_id={id}",
            cells::state(snapshot)
        ),
    }
}

/// `task_id`, `created`, `task`.
fn document(task: &TaskHandle, snapshot: &TaskSnapshot) -> String {
    ObjectWriter::new()
        .text("task_id", task.id())
        .bool("created", task.created())
        .raw("task", &snapshot.encode())
        .finish()
}

/// Waits until the task has ended. Prints its progress on stderr, and its result on stdout.
async fn wait(registry: &RegistryClient, task: &TaskHandle, output: Output) -> Result<(), Exit> {
    let mut log = EventLog::new(registry, task.id(), 0);
    while let Some(events) = log.next(output).await? {
        for event in events
            .iter()
            .filter(|event| event.r#type != "created" && !output.is_json())
        {
            output.note(format!("  {}", cells::event_line(event, None, output)));
        }
    }
    let snapshot = status(registry, task.id()).await?;
    if output.is_json() {
        output.document(&document(task, &snapshot))?;
    } else if let Some(result) = snapshot.result.as_ref().filter(|result| !result.view().is_null()) {
        output.line(match result.view().as_str() {
            Some(text) => clean_lines(&text),
            None => indented(result),
        })?;
    }
    match snapshot.state.as_str() {
        "completed" => Ok(()),
        state => {
            let reason = cells::reason(&snapshot)
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            Err(Failure::refused(format!(
                "task_not_completed: {} is {}{reason}",
                cells::name(&snapshot),
                clean(state)
            ))
            .hint("`agentnet task events ID` shows what happened; `agentnet task retry ID` tries a failed task again")
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_task_have_bounds() {
        assert!(heartbeat("0.5").is_err() && heartbeat("3601").is_err());
        assert_eq!(heartbeat("1").unwrap().duration(), Duration::from_secs(1));
        assert!(backoff("3601").is_err());
        assert_eq!(backoff("0.25").unwrap().duration(), Duration::from_millis(250));
    }

    #[test]
    fn a_target_is_written_as_the_sdk_reads_it() {
        for (target, text) in [
            (Target::Account("acct_1".into()), "account:acct_1"),
            (Target::Username("bob".into()), "@bob"),
            (Target::Capability("build".into()), "capability:build"),
        ] {
            assert_eq!(address(&target), text);
            assert_eq!(Target::parse_sdk(text), Ok(target));
        }
    }
}
