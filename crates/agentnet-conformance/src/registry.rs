//! A registry, judged by the recorded conversations with the original one.
//!
//! The run registers agents under names that nobody had before, publishes their messages, and asks every RPC. What belongs to
//! others is left out of lists before they are compared; a page that others fill is compared as far as it goes.

mod counters;
mod listing;
mod replay;
mod signing;
mod steps;

use std::time::Duration;

use async_nats::Client;

use crate::error::ConformanceError;
use crate::fresh::Run;
use crate::report::{Report, Selection};
use crate::spec::Spec;
use replay::Replay;
use steps::Conversation;

/// The step files for a registry with `DEV_AUTH` off, in order, and that for one with it on.
const OPEN: [&str; 2] = ["registry_identity_memory", "registry_threads_memory"];
const SIGNED: [&str; 1] = ["registry_dev_auth_memory"];

/// How to look at a registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// The registry checks signatures: the steps for that, instead of the others. Default no.
    pub dev_auth: bool,
    /// Nobody else uses the registry, it is empty and has the default settings: also compare order and number of members,
    /// counters and settings exactly. Default no.
    pub strict: bool,
    /// How long a reply may take. Default 2 s.
    pub timeout: Duration,
    /// Report only the steps that have this text in file, number, subject or name. All are played: they build on each other.
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

/// Holds the conversations with the registry that answers on this connection, and judges every reply.
///
/// It leaves behind some ten accounts without sessions, four threads and fifteen messages, all with the letters of
/// [`Report::run`] in their names.
///
/// # Errors
/// When no registry answers, when its `DEV_AUTH` is not as in the options, when a step file cannot be used, when nothing is
/// selected, or when the connection is lost.
pub async fn run(client: &Client, options: &RegistryOptions) -> Result<Report, ConformanceError> {
    let run = Run::random();
    let names: &[&str] = if options.dev_auth { &SIGNED } else { &OPEN };
    let conversations = names
        .iter()
        .map(|name| Conversation::load(&options.spec, name, &run))
        .collect::<Result<Vec<_>, _>>()?;
    let selection = Selection::new(options.only.as_deref());
    let selected = |step: &&steps::Step| selection.takes(&step.file, step.index, &step.note, &step.subject);
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
    let mut played = Ok(());
    for conversation in &conversations {
        played = replay.play(conversation).await;
        if played.is_err() {
            break;
        }
    }
    replay.leave().await?;
    played?;
    let target = replay.server_ids();
    let mut steps = replay.into_steps();
    steps.retain(|step| selection.takes(&step.file, step.step, &step.name, &step.subject));
    Ok(Report::new("registry", run.letters(), target, steps))
}
