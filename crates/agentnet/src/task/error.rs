//! Why a call about a task failed.

use crate::registry::error::RegistryError;
use crate::send::error::SendError;
use crate::username_cache::error::ResolveError;

/// The code where no registry of the network keeps tasks.
const UNSUPPORTED: &str = "task_unsupported";

/// Why a call about a task failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The registry refused it: a code of PROTOCOL.md section 22.3, such as `task_conflict`, `task_forbidden` or `not_found`.
    #[error("{}", joined(.code, .detail))]
    Refused {
        /// Code of the registry.
        code: String,
        /// What it means; may be empty.
        detail: String,
    },
    /// The worker has lost its task, or has ended it: nothing more can be reported about this attempt.
    #[error("task_lease_lost: the lease of {task_id} is over, and this attempt does not count any more")]
    LeaseLost {
        /// Id of the task.
        task_id: String,
    },
    /// A value cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The node is not running, or the account that is to do the task cannot be found.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No registry of the network keeps tasks.
    #[error(
        "{UNSUPPORTED}: the registry of this network keeps no tasks: it is of an older version, or no registry is running"
    )]
    Unsupported,
    /// The registry did not answer.
    #[error(transparent)]
    Registry(RegistryError),
}

impl TaskError {
    /// The code of the refusal, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::LeaseLost { .. } => Some(agentnet_protocol::task::error::LEASE_LOST),
            Self::Unsupported => Some(UNSUPPORTED),
            _ => None,
        }
    }

    /// What the code of the refusal means, if the registry says so.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Refused { detail, .. } => Some(detail.as_str()).filter(|detail| !detail.is_empty()),
            _ => None,
        }
    }
}

impl From<RegistryError> for TaskError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Refused(text) => {
                let (code, detail) = code_and_detail(&text);
                Self::Refused {
                    code: code.to_owned(),
                    detail: detail.to_owned(),
                }
            }
            RegistryError::NoRegistry { .. } => Self::Unsupported,
            error => Self::Registry(error),
        }
    }
}

impl From<ResolveError> for TaskError {
    fn from(error: ResolveError) -> Self {
        Self::Send(error.into())
    }
}

/// An error text of the registry: its code, and the sentence behind it.
pub(super) fn code_and_detail(text: &str) -> (&str, &str) {
    text.split_once(": ").unwrap_or((text, ""))
}

fn joined(code: &str, detail: &str) -> String {
    match detail {
        "" => code.to_owned(),
        detail => format!("{code}: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_its_code_and_shows_the_text_of_the_registry() {
        for (text, code) in [
            ("task_conflict: another task has this key", "task_conflict"),
            ("not_found", "not_found"),
        ] {
            let error = TaskError::from(RegistryError::Refused(text.to_owned()));
            assert_eq!((error.to_string().as_str(), error.code()), (text, Some(code)));
        }
        let rpc = "task_create";
        let unsupported = TaskError::from(RegistryError::NoRegistry { rpc });
        assert_eq!(unsupported.code(), Some("task_unsupported"));
        assert!(unsupported.to_string().starts_with("task_unsupported: "));
        let timeout = std::time::Duration::from_secs(5);
        assert_eq!(TaskError::from(RegistryError::Timeout { rpc, timeout }).code(), None);
    }
}
