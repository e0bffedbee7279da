//! Tests a registry with recorded conversations with the registry of the Python implementation, and with conversations on
//! additions (section 0.10) that a registry may lack.
//!
//! The run registers agents under unique names, publishes their messages, and calls every RPC. Items of other users are removed
//! from lists before the comparison; if they fill a page, only the run's items on it are compared.

mod counters;
mod listing;
mod replay;
mod requirement;
mod signing;
mod steps;

use std::time::Duration;

use async_nats::Client;

use crate::error::ConformanceError;
use crate::report::{Report, Selection};
use crate::spec::Spec;
use crate::unique_names::RunSuffix;
use replay::Replay;
use steps::Conversation;

/// The step files for a registry with `DEV_AUTH` off, in order, and that for one with it on.
const OPEN: [&str; 4] = [
    "registry_identity_memory",
    "registry_threads_memory",
    "registry_mailbox_memory",
    "registry_tasks_memory",
];
const SIGNED: [&str; 3] = [
    "registry_dev_auth_memory",
    "registry_mailbox_dev_auth_memory",
    "registry_tasks_dev_auth_memory",
];

/// Options of a run against a registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// The registry checks signatures: run the steps for that instead of the others. Default no.
    pub dev_auth: bool,
    /// The registry is empty, has no other users and the default settings: also compare order and number of members, counters
    /// and settings exactly. Default no.
    pub strict: bool,
    /// How long a reply may take. Default 2 s.
    pub timeout: Duration,
    /// Report only the steps that have this text in file, number, subject or name. All steps run, since they build on each other.
    pub only: Option<String>,
    /// Where the step files come from. Default: those in the program.
    pub spec: Spec,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            dev_auth: false,
            strict: false,
            timeout: Duration::from_secs(2),
            only: None,
            spec: Spec::embedded(),
        }
    }
}

/// Replays the conversations with the registry on this connection and compares every reply.
///
/// It leaves behind some sixteen accounts without sessions, ten threads, twenty-six messages and thirteen tasks, all with the
/// letters of [`Report::run`] in their names.
///
/// # Errors
/// When no registry answers, when its `DEV_AUTH` is not as in the options, when a step file cannot be used, when nothing is
/// selected, or when the connection is lost.
pub async fn run(client: &Client, options: &RegistryOptions) -> Result<Report, ConformanceError> {
    let run = RunSuffix::random();
    let names: &[&str] = if options.dev_auth { &SIGNED } else { &OPEN };
    let conversations = names
        .iter()
        .map(|name| Conversation::load(&options.spec, name, &run))
        .collect::<Result<Vec<_>, _>>()?;
    let selection = Selection::new(options.only.as_deref());
    let selected = |step: &&steps::RegistryStep| selection.takes(&step.file, step.index, &step.note, &step.subject);
    if !conversations
        .iter()
        .flat_map(|conversation| &conversation.steps)
        .any(|step| selected(&step))
    {
        return Err(ConformanceError::NothingSelected(
            options.only.clone().unwrap_or_default(),
        ));
    }
    let mut replay = Replay::start(client, &run, options, &conversations).await?;
    let mut result = Ok(());
    for conversation in &conversations {
        result = replay.run(conversation).await;
        if result.is_err() {
            break;
        }
    }
    replay.leave().await?;
    result?;
    let target = replay.server_ids();
    let mut steps = replay.into_steps();
    steps.retain(|step| selection.takes(&step.file, step.step, &step.name, &step.subject));
    Ok(Report::new("registry", run.letters(), target, steps))
}
