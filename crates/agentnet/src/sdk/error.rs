//! The errors of the high-level calls: one kind for each meaning of a refusal (PROTOCOL.md section 17).

use std::fmt;

use agentnet_protocol::json;
use agentnet_protocol::payload_text::extract_error;

use crate::error::{RegistryError, RequestError, SendError};
use crate::message::Message;
use crate::stream::StreamError;

/// The code and detail of a rejected message, or of one whose handling failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The code, of section 12 or the agent's own.
    pub code: String,
    /// What it means; may be empty.
    pub detail: String,
    /// The trace of the request, where the refusal names it.
    pub trace_id: Option<String>,
    /// The message that was refused, where the refusal names it.
    pub request_message_id: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.detail {
            "" => out.write_str(&self.code),
            detail => write!(out, "{}: {detail}", self.code),
        }
    }
}

/// Why a high-level call failed.
///
/// The first eight are answers of the other side, by their code, whether it answered a request or refused a plain send.
/// [`SdkError::refusal`] gives the code and its detail for all of them alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdkError {
    /// `busy`, `shutting_down`: it takes nothing more now.
    #[error("{0}")]
    Busy(Refusal),
    /// `rate_limited`: this sender sends too fast.
    #[error("{0}")]
    RateLimited(Refusal),
    /// `timeout`: its handler took too long.
    #[error("{0}")]
    Timeout(Refusal),
    /// `service_degraded`: its handler failed too often lately.
    #[error("{0}")]
    ServiceDegraded(Refusal),
    /// `duplicate`: it has had the message, or one with the same idempotency key.
    #[error("{0}")]
    Duplicate(Refusal),
    /// `expired`, `missing_ttl`: the message came too late.
    #[error("{0}")]
    Expired(Refusal),
    /// `handler_error`: its handler failed.
    #[error("{0}")]
    Handler(Refusal),
    /// Any other code: `recipient_offline`, `account_not_found`, `auth_…`, `payload_too_large`, or one of the agent's own.
    #[error("{0}")]
    Refused(Refusal),
    /// The message could not be sent, or was not acknowledged.
    #[error(transparent)]
    Send(SendError),
    /// The request got no answer.
    #[error(transparent)]
    Request(RequestError),
    /// The answer's stream broke off.
    #[error(transparent)]
    Stream(StreamError),
    /// The registry refused the call, or did not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl SdkError {
    /// The refusal of the other side, if it sent one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Busy(refusal)
            | Self::RateLimited(refusal)
            | Self::Timeout(refusal)
            | Self::ServiceDegraded(refusal)
            | Self::Duplicate(refusal)
            | Self::Expired(refusal)
            | Self::Handler(refusal)
            | Self::Refused(refusal) => Some(refusal),
            Self::Send(_) | Self::Request(_) | Self::Stream(_) | Self::Registry(_) => None,
        }
    }

    /// The code of [`SdkError::refusal`].
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.code.as_str())
    }

    fn by_code(refusal: Refusal) -> Self {
        let kind = match refusal.code.as_str() {
            "busy" | "shutting_down" => Self::Busy,
            "rate_limited" => Self::RateLimited,
            "timeout" => Self::Timeout,
            "service_degraded" => Self::ServiceDegraded,
            "duplicate" => Self::Duplicate,
            "expired" | "missing_ttl" => Self::Expired,
            "handler_error" => Self::Handler,
            _ => Self::Refused,
        };
        kind(refusal)
    }

    /// A refusal without a message that would name more.
    pub(super) fn failed(code: String, detail: String) -> Self {
        Self::by_code(Refusal {
            code,
            detail,
            trace_id: None,
            request_message_id: None,
        })
    }

    /// The error that an answer reports: a truthy `error` member, whatever the answer's kind.
    pub(crate) fn reported(answer: &Message) -> Option<Self> {
        let payload = answer.payload().view();
        let code = extract_error(&payload)?;
        let object = payload.as_object()?;
        let text = |name| {
            let text = object.get(name).text();
            Some(json::trim(&text))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        Some(Self::by_code(Refusal {
            code,
            detail: text("detail").unwrap_or_default(),
            trace_id: text("trace_id").or_else(|| answer.trace_id.as_deref().map(str::to_owned)),
            request_message_id: text("request_message_id")
                .or_else(|| answer.parent_message_id.as_deref().map(str::to_owned)),
        }))
    }
}

impl From<SendError> for SdkError {
    /// A refusal by its code; everything else as it is.
    fn from(error: SendError) -> Self {
        match error {
            SendError::Rejected {
                code,
                detail,
                message_id,
            }
            | SendError::NotProcessed {
                code,
                detail,
                message_id,
            }
            | SendError::Mailbox {
                code,
                detail,
                message_id,
            } => Self::by_code(Refusal {
                code,
                detail,
                trace_id: None,
                request_message_id: Some(message_id),
            }),
            error => Self::Send(error),
        }
    }
}

impl From<RequestError> for SdkError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Send(error) => error.into(),
            error => Self::Request(error),
        }
    }
}
