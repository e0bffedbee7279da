//! `agentnet conformance`: tests whether a registry or an agent follows PROTOCOL.md.

use std::path::PathBuf;

use agentnet_conformance::agent::{self, AgentOptions};
use agentnet_conformance::registry::{self, RegistryOptions};
use agentnet_conformance::{ConformanceError, Report, Spec, StepReport, Verdict};
use async_nats::Client;
use clap::{Args, Subcommand};

use crate::args::Seconds;
use crate::connection::nats_url;
use crate::exit::{Exit, Failure};
use crate::failures::connect_failure;
use crate::global::Global;
use crate::output::sanitize::clean;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

const AFTER_HELP: &str = "\
✓ as the protocol specifies; ≈ as the Python implementation, where section 0 of the protocol decided otherwise; ✗ neither; – not run.
Exit codes: 0 no step failed; 1 a step failed; 2 no step could be tested (no connection, no registry, no agent, wrong usage).
docs/CONFORMANCE.md: the requirements for a registry or an agent, and the format of the step files.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Conformance {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Test the registry of this network with recorded conversations
    Registry(RegistryArgs),
    /// Test the guards, receipts and replies of an agent of this network
    Agent(AgentArgs),
}

#[derive(Debug, Args)]
struct RegistryArgs {
    /// The registry has DEV_AUTH on: run the steps for that instead of the others
    #[arg(long)]
    dev_auth: bool,
    /// The registry is empty, unused and has the default settings: compare order, counters and settings too
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct AgentArgs {
    /// The agent: @username, or its account id
    #[arg(long, value_name = "AGENT", value_parser = crate::args::not_blank)]
    to: String,
    /// A capability that only this agent offers
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank)]
    capability: Option<String>,
    /// Also run the steps that take half a minute
    #[arg(long)]
    slow: bool,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct Shared {
    /// Run only the steps with this text in file, number, subject, section or name
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_blank)]
    only: Option<String>,
    /// Read the step files from this directory instead of the built-in ones
    #[arg(long, value_name = "DIR")]
    spec: Option<PathBuf>,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2.0")]
    timeout: Seconds,
}

impl Conformance {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let mut signals = StopSignals::listen()?;
        let steps = async {
            let client = agentnet::connect(&nats_url(global), "agentnet-conformance")
                .await
                .map_err(|error| connect_failure(error).exit_code_2())?;
            self.run_steps(&client, output)
                .await
                .map_err(|error| Exit::from(failure(&error)))
        };
        let report = signals.unless(steps).await?;
        print_report(&report, output)?;
        let (tested, counts) = (report.steps.len() - report.counts.not_run, report.counts);
        if tested == 0 {
            return Err(Failure::refused("no step could be tested").into());
        }
        if counts.fail > 0 {
            return Err(Failure::error(format!("{} of {tested} tested steps failed", counts.fail)).into());
        }
        Ok(())
    }

    async fn run_steps(&self, client: &Client, output: Output) -> Result<Report, ConformanceError> {
        let spec = |shared: &Shared| shared.spec.as_ref().map_or_else(Spec::embedded, Spec::directory);
        match &self.subject {
            Subject::Registry(args) => {
                let mut options = RegistryOptions::default();
                (options.dev_auth, options.strict) = (args.dev_auth, args.strict);
                options.only.clone_from(&args.shared.only);
                options.timeout = args.shared.timeout.duration();
                options.spec = spec(&args.shared);
                registry::run(client, &options).await
            }
            Subject::Agent(args) => {
                let mut options = AgentOptions::default();
                options.capability.clone_from(&args.capability);
                options.slow = args.slow;
                options.only.clone_from(&args.shared.only);
                options.timeout = args.shared.timeout.duration();
                options.spec = spec(&args.shared);
                if args.shared.only.is_none() {
                    output.note("this takes about half a minute; the results follow at the end");
                }
                agent::run(client, &args.to, &options).await
            }
        }
    }
}

fn failure(error: &ConformanceError) -> Failure {
    let hint = match error {
        ConformanceError::NoRegistry { .. } => {
            "start one with `agentnet registry`, or another implementation, on this server"
        }
        ConformanceError::DevAuthOn => "run the steps for that with --dev-auth",
        ConformanceError::DevAuthOff => "leave out --dev-auth",
        ConformanceError::Refused { error, .. } if error == "not_found" => {
            "`agentnet list` shows who is online; --to takes @username or an account id"
        }
        ConformanceError::Refused { error, .. } if error.starts_with("auth_") => {
            "test agents in a network without DEV_AUTH"
        }
        ConformanceError::NoAgent { .. } => {
            "docs/CONFORMANCE.md describes the handler it needs; `agentnet echo --conformance` has it"
        }
        ConformanceError::NothingSelected(_) => "leave out --only to see the names of all steps",
        _ => return Failure::refused(error.to_string()),
    };
    Failure::refused(error.to_string()).hint(hint)
}

/// Prints the report: one JSON document, or a line per step and one with the totals.
fn print_report(report: &Report, output: Output) -> Result<(), Exit> {
    if output.is_json() {
        return Ok(output.document(&report.to_json())?);
    }
    for step in &report.steps {
        output.line(line(step, output))?;
        for detail in &step.details {
            output.line(format!("      {}", clean(detail)))?;
        }
        if step.verdict == Verdict::IntendedDifference {
            for reason in &step.reasons {
                output.line(format!(
                    "      section {}: {}",
                    clean(&reason.section),
                    clean(&reason.what)
                ))?;
            }
        }
    }
    let counts = report.counts;
    Ok(output.line(output.tint(
        Tint::Bold,
        &format!(
            "{} {}: {} steps, {} pass, {} intended difference, {} fail, {} not run",
            report.subject,
            clean(&report.target),
            report.steps.len(),
            counts.pass,
            counts.intended_difference,
            counts.fail,
            counts.not_run,
        ),
    ))?)
}

fn line(step: &StepReport, output: Output) -> String {
    let mark = match step.verdict {
        Verdict::Pass => output.tint(Tint::Green, "✓"),
        Verdict::IntendedDifference => "≈".to_owned(),
        Verdict::Fail => output.tint(Tint::Bold, "✗"),
        Verdict::NotRun => output.tint(Tint::Dim, "–"),
    };
    let file = step.file.trim_start_matches("registry_").trim_end_matches("_memory");
    let place = format!(
        "{file} {:<3} {}  {}",
        step.step,
        clean(&step.subject),
        clean(&step.section)
    );
    format!("{mark} {}  {}", output.tint(Tint::Dim, &place), clean(&step.name))
}
