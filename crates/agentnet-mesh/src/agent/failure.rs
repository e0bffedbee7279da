//! Why a question gets no answer: the codes of error replies.

use agentnet::{SendError, StreamError};

use crate::config::AgentConfig;
use crate::model::{ModelError, ModelErrorKind};
use crate::tools::network::ToolFailure;
use crate::usage::BudgetExceeded;

/// Characters of a detail.
const MAX_DETAIL_CHARS: usize = 1_500;

/// Why a question gets no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerFailure {
    /// Code of the error reply.
    pub(super) code: &'static str,
    /// What happened, for people.
    pub(super) detail: String,
    /// Whether it may pass by itself: a task is worth another attempt.
    pub(super) is_transient: bool,
}

/// Code: retries and fallbacks are used up.
pub(super) const MODEL_UNAVAILABLE: &str = "model_unavailable";
/// Code: the provider or the model refused.
pub(super) const MODEL_REFUSED: &str = "model_refused";
/// Code: tokens or money are used up.
pub(super) const BUDGET_EXCEEDED: &str = "budget_exceeded";
/// Code: no text within the limits.
pub(super) const LIMIT_REACHED: &str = "limit_reached";
/// Code: the configuration lacks something.
pub(super) const CONFIG_ERROR: &str = "config_error";
/// Code: too many agents in the chain.
const HOP_LIMIT: &str = "hop_limit";
/// Code: the agent waits for an answer of the same chain.
const WAIT_CYCLE: &str = "wait_cycle";
/// Code: the lifetime of the question was over before an answer was begun.
pub(super) const EXPIRED: &str = "expired";
/// Code: the host stops.
pub(super) const SHUTTING_DOWN: &str = "shutting_down";
/// Outcome in the metrics: nobody reads the answer any more.
pub(super) const CANCELLED: &str = "cancelled";
/// Code: the answer could not be sent.
pub(super) const NOT_SENT: &str = "not_sent";

impl AnswerFailure {
    pub(super) fn new(code: &'static str, detail: impl AsRef<str>) -> Self {
        Self {
            code,
            detail: crate::memory::estimate::cut(detail.as_ref(), MAX_DETAIL_CHARS),
            is_transient: false,
        }
    }

    /// The failure of a chain of agents.
    pub(super) fn of_chain(failure: &ToolFailure) -> Self {
        let code = if failure.code == HOP_LIMIT {
            HOP_LIMIT
        } else {
            WAIT_CYCLE
        };
        Self::new(code, &failure.detail)
    }

    /// The host stops.
    pub(super) fn stopping() -> Self {
        Self::new(SHUTTING_DOWN, "the host of this agent is stopping")
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.code == CANCELLED
    }
}

/// Why a call of a model failed.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// A budget is used up.
    Budget(BudgetExceeded),
    /// The model did not answer, or not to the end.
    Model(ModelError),
    /// The time of the message is over.
    Deadline,
    /// The reader of the streamed reply, or the connection.
    Reply(StreamError),
}

impl From<StreamError> for CallFailure {
    fn from(error: StreamError) -> Self {
        Self::Reply(error)
    }
}

impl From<BudgetExceeded> for CallFailure {
    fn from(error: BudgetExceeded) -> Self {
        Self::Budget(error)
    }
}

impl CallFailure {
    /// Whether the conversation was too long for the model.
    pub(super) fn is_overflow(&self) -> bool {
        matches!(self, Self::Model(error) if error.kind == ModelErrorKind::ContextOverflow)
    }

    /// The error reply.
    pub(super) fn into_answer_failure(self, config: &AgentConfig) -> AnswerFailure {
        match self {
            Self::Budget(error) => AnswerFailure::new(BUDGET_EXCEEDED, error.to_string()),
            Self::Deadline => out_of_time(config),
            Self::Reply(error) => error.into(),
            Self::Model(error) if error.is_config_error() => AnswerFailure::new(CONFIG_ERROR, error.message),
            Self::Model(error) => match error.kind {
                ModelErrorKind::Refused => AnswerFailure::new(MODEL_REFUSED, error.message),
                ModelErrorKind::ContextOverflow => AnswerFailure::new(
                    LIMIT_REACHED,
                    format!("the conversation is longer than the model reads: {}", error.message),
                ),
                kind => AnswerFailure {
                    is_transient: kind.is_transient(),
                    ..AnswerFailure::new(MODEL_UNAVAILABLE, error.message)
                },
            },
        }
    }
}

/// The time of a message is over.
pub(super) fn out_of_time(config: &AgentConfig) -> AnswerFailure {
    let seconds = config.limits.max_time.as_secs_f64();
    AnswerFailure::new(LIMIT_REACHED, format!("no answer within {seconds} s (max_seconds)"))
}

impl From<StreamError> for AnswerFailure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Cancelled => Self::new(CANCELLED, "the reader has cancelled the answer"),
            other => Self::new(NOT_SENT, other.to_string()),
        }
    }
}

impl From<SendError> for AnswerFailure {
    fn from(error: SendError) -> Self {
        Self::new(NOT_SENT, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::usage::fixtures::agent;

    fn model_error(kind: ModelErrorKind, status: Option<u16>) -> CallFailure {
        CallFailure::Model(ModelError {
            kind,
            status,
            message: "why".into(),
            retry_after: None,
        })
    }

    #[rstest]
    #[case::down(model_error(ModelErrorKind::Connect, None), "model_unavailable")]
    #[case::bad_key(model_error(ModelErrorKind::Auth, Some(401)), "model_unavailable")]
    #[case::no_key(model_error(ModelErrorKind::Auth, None), "config_error")]
    #[case::refused(model_error(ModelErrorKind::Refused, Some(200)), "model_refused")]
    #[case::too_long(model_error(ModelErrorKind::ContextOverflow, Some(400)), "limit_reached")]
    #[case::money(CallFailure::Budget(BudgetExceeded("usd_per_day".into())), "budget_exceeded")]
    #[case::time(CallFailure::Deadline, "limit_reached")]
    #[case::reader(CallFailure::Reply(StreamError::Cancelled), "cancelled")]
    fn every_failure_has_its_code(#[case] failure: CallFailure, #[case] code: &str) {
        let failure = failure.into_answer_failure(&agent("planner"));
        assert_eq!(failure.code, code);
        assert!(!failure.detail.is_empty());
    }

    #[test]
    fn a_detail_is_bounded() {
        assert_eq!(
            AnswerFailure::new(LIMIT_REACHED, "x".repeat(9_000))
                .detail
                .chars()
                .count(),
            MAX_DETAIL_CHARS
        );
    }
}
