//! Tests an agent with the messages of `spec/conformance/agent.json`.
//!
//! The run joins the network as two senders, writes to the agent's inbox, and compares every receipt and reply with what
//! PROTOCOL.md asks for: section 12 above all, and 5.2, 5.4 and 11.6 for the records. The agent has the default limits of
//! section 17 and a handler of docs/CONFORMANCE.md.

mod compose;
mod expectations;
mod registry;
mod runner;
mod steps;
mod wire;

use std::time::Duration;

use async_nats::Client;

use crate::error::ConformanceError;
use crate::report::{Report, Selection};
use crate::spec::{Spec, unusable};
use crate::unique_names::RunSuffix;
use registry::Participants;
use runner::AgentRunner;
use steps::AgentStepFile;

/// The step file.
const FILE: &str = "conformance/agent.json";

/// Options of a run against an agent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentOptions {
    /// A capability that only this agent offers. Default none: the steps on capabilities are not run.
    pub capability: Option<String>,
    /// Also run the steps that take half a minute. Default no.
    pub slow: bool,
    /// How long a receipt or reply may take. Default 2 s.
    pub timeout: Duration,
    /// Run only the steps that have this text in file, number, section or name.
    pub only: Option<String>,
    /// Where the step file comes from. Default: that in the program.
    pub spec: Spec,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            capability: None,
            slow: false,
            timeout: Duration::from_secs(2),
            only: None,
            spec: Spec::embedded(),
        }
    }
}

/// Runs the steps against the agent that `to` names: `@username`, or an account id.
///
/// # Errors
/// When there is no registry or it refuses the two senders, when it does not know the agent, when the agent does not answer
/// a plain request or has several sessions, when the step file cannot be used, when nothing is selected, or when the
/// connection is lost.
pub async fn run(client: &Client, to: &str, options: &AgentOptions) -> Result<Report, ConformanceError> {
    let file: AgentStepFile = options.spec.read(FILE)?;
    file.check().map_err(|why| unusable(FILE, why))?;
    let selection = Selection::new(options.only.as_deref());
    let steps: Vec<_> = file.steps.into_iter().enumerate().collect();
    let selected: Vec<_> = steps
        .iter()
        .filter(|(index, step)| selection.takes("agent", *index, &step.name, &step.section))
        .collect();
    if selected.is_empty() {
        return Err(ConformanceError::NothingSelected(
            options.only.clone().unwrap_or_default(),
        ));
    }
    let run = RunSuffix::random();
    let network = Participants::join(client, &run, to, options.capability.as_deref(), options.timeout).await?;
    let account_id = network.agent.account_id.clone();
    let steps = async {
        let mut runner = AgentRunner::start(client, &run, options, &network).await?;
        runner.check_agent_answers().await?;
        for (index, step) in selected {
            runner.run_step(*index, step).await?;
        }
        runner.finish().await
    }
    .await;
    network.leave(client).await?;
    Ok(Report::new("agent", run.letters(), account_id, steps?))
}
