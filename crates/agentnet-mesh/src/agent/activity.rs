//! What happens while an answer is made: an event of a streamed reply, or the progress of a task.

use agentnet::protocol::rpc::TaskProgress;
use serde_json::{Value, json};

use crate::memory::estimate::cut;

/// Characters of a name, which a model may have made up.
const MAX_NAME_CHARS: usize = 64;

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepState {
    /// It runs.
    Started,
    /// It has a result.
    Done,
    /// It has none.
    Failed,
}

/// A step on the way to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity<'a> {
    /// A call of a tool.
    Tool {
        /// Name of the tool, as the model wrote it.
        name: &'a str,
        state: StepState,
    },
    /// The answer of one agent in a debate.
    Debate {
        round: u32,
        /// Username without `@`.
        peer: &'a str,
        state: StepState,
    },
}

impl Activity<'_> {
    /// The event of a streamed reply.
    pub(super) fn to_event(self) -> Value {
        let word = |state| match state {
            StepState::Started => "started",
            StepState::Done => "ok",
            StepState::Failed => "failed",
        };
        match self {
            Self::Tool { name, state } => {
                json!({ "type": "tool", "name": cut(name, MAX_NAME_CHARS), "state": word(state) })
            }
            Self::Debate { round, peer, state } => {
                json!({ "type": "debate", "round": round, "agent": format!("@{peer}"), "state": word(state) })
            }
        }
    }

    /// The progress of a task.
    pub(super) fn to_progress(self) -> TaskProgress {
        let word = |state| match state {
            StepState::Started => "started",
            StepState::Done => "done",
            StepState::Failed => "failed",
        };
        let (text, phase) = match self {
            Self::Tool { name, state } => (format!("{}: {}", cut(name, MAX_NAME_CHARS), word(state)), "tool"),
            Self::Debate { round, peer, state } => (format!("round {round}, @{peer}: {}", word(state)), "status"),
        };
        TaskProgress {
            text: Some(text),
            percent: None,
            phase: Some(phase.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_an_event_or_a_progress() {
        let call = Activity::Tool {
            name: "network_ask",
            state: StepState::Done,
        };
        assert_eq!(
            call.to_event(),
            json!({ "type": "tool", "name": "network_ask", "state": "ok" })
        );
        let progress = call.to_progress();
        assert_eq!(
            (progress.text.as_deref(), progress.phase.as_deref()),
            (Some("network_ask: done"), Some("tool"))
        );
        let view = Activity::Debate {
            round: 2,
            peer: "left",
            state: StepState::Failed,
        };
        assert_eq!(view.to_event()["agent"], "@left");
        assert_eq!(view.to_progress().text.as_deref(), Some("round 2, @left: failed"));
    }

    #[test]
    fn a_name_that_a_model_made_up_is_cut() {
        let name = "x".repeat(10_000);
        let call = Activity::Tool {
            name: &name,
            state: StepState::Started,
        };
        assert!(call.to_progress().text.is_some_and(|text| text.len() < 100));
        assert!(call.to_event().to_string().len() < 200);
    }
}
