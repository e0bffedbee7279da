//! `agentnet task`: work that outlives a call, which the registry keeps until it has ended (PROTOCOL.md section 22).

pub(crate) mod agent_status;
mod assign;
mod cells;
mod change;
mod event_log;
mod events;
pub(crate) mod list;
pub(crate) mod status;
mod tree;
mod untold;
mod work;

use agentnet_protocol::task::TaskState;
use clap::{Args, Subcommand, ValueEnum};

pub(crate) use cells::event_line;

use crate::exit::{Exit, Failure};
use crate::failures::task::explain_old_registry;
use crate::global::Global;
use crate::output::Output;
use crate::output::table::Noun;

pub(crate) const TASKS: Noun = Noun("task", "tasks");

const AFTER_HELP: &str = "\
A task has one worker at a time and ends once: completed, failed, canceled or rejected.
  agentnet task work --as builder --capability build -- ./build.sh     do tasks with a program
  agentnet task assign --to-capability build --wait 'build main'       have one done, and wait for its result";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Task {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Have something done by an agent, or by any agent with a capability
    Assign(Box<assign::Assign>),
    /// Show one task
    Status(status::Status),
    /// Show tasks, the last changed first
    List(list::List),
    /// Show a task with its parts, and their parts
    Tree(tree::Tree),
    /// Show what happened to a task, in order
    Events(events::Events),
    /// Cancel tasks and their parts
    Cancel(change::CancelTasks),
    /// Try tasks again that have failed
    Retry(change::RetryTasks),
    /// Answer a worker that waits: the task goes on
    Input(change::Input),
    /// Join as an agent that does tasks by running a command
    Work(Box<work::Work>),
}

impl Task {
    /// Whether it lists rows.
    pub(crate) fn lists(&self) -> bool {
        matches!(self.action, Action::List(_))
    }

    /// Whether it runs until it is stopped.
    pub(crate) fn runs_until_stopped(&self) -> bool {
        matches!(self.action, Action::Work(_))
    }

    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let result = match self.action {
            Action::Assign(assign) => assign.run(global, output).await,
            Action::Status(status) => return status.run(global, output).await,
            Action::List(list) => return list.run(global, output).await,
            Action::Tree(tree) => tree.run(global, output).await,
            Action::Events(events) => events.run(global, output).await,
            Action::Cancel(cancel) => cancel.run(global, output).await,
            Action::Retry(retry) => retry.run(global, output).await,
            Action::Input(input) => input.run(global, output).await,
            Action::Work(work) => work.run(global, output).await,
        };
        explained(global, result).await
    }
}

/// The result of a command, with the reason where the registry keeps no tasks.
async fn explained(global: &Global, result: Result<(), Exit>) -> Result<(), Exit> {
    match result {
        Err(Exit::Failed(failure)) => Err(explain_old_registry(global, failure).await.into()),
        result => result,
    }
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum StateArg {
    /// It waits for a worker
    Submitted,
    /// A worker has it
    Working,
    /// The worker needs an answer
    InputRequired,
    /// The worker needs to be allowed something
    AuthRequired,
    /// It is done
    Completed,
    /// It is given up
    Failed,
    /// It was cancelled
    Canceled,
    /// The worker does not do such work
    Rejected,
}

impl From<StateArg> for TaskState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Submitted => Self::Submitted,
            StateArg::Working => Self::Working,
            StateArg::InputRequired => Self::InputRequired,
            StateArg::AuthRequired => Self::AuthRequired,
            StateArg::Completed => Self::Completed,
            StateArg::Failed => Self::Failed,
            StateArg::Canceled => Self::Canceled,
            StateArg::Rejected => Self::Rejected,
        }
    }
}

/// A word of the later Python implementation for one state or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusArg {
    /// It waits for a worker
    Assigned,
    /// A worker has it
    Working,
    /// The worker needs something
    Blocked,
    /// It is done
    Completed,
    /// It failed, or was cancelled or rejected
    Failed,
}

impl StatusArg {
    fn states(self) -> Vec<TaskState> {
        match self {
            Self::Assigned => vec![TaskState::Submitted],
            Self::Working => vec![TaskState::Working],
            Self::Blocked => vec![TaskState::InputRequired, TaskState::AuthRequired],
            Self::Completed => vec![TaskState::Completed],
            Self::Failed => vec![TaskState::Failed, TaskState::Canceled, TaskState::Rejected],
        }
    }
}

/// The failure for JSON arguments that are none.
fn invalid_json(what: &str, why: &str) -> Failure {
    Failure::error(format!("{what} is not valid JSON: {why}")).with_code("payload_invalid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_can_be_named() {
        for state in TaskState::ALL {
            let arg = StateArg::from_str(state.as_str(), false).unwrap();
            assert_eq!(TaskState::from(arg), *state);
        }
        for word in StatusArg::value_variants() {
            let word_text = word.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word.states(), TaskState::of_status(&word_text).unwrap(), "{word_text}");
        }
    }
}
