//! Failures of the requests about tasks: what to do about each code (PROTOCOL.md section 22.3).

use agentnet::{RegistryError, TaskError};
use agentnet_protocol::rpc::MetricsRequest;
use agentnet_protocol::task::error;

use crate::connection::connect_registry;
use crate::exit::Failure;
use crate::failures::{registry_failure, send_failure};
use crate::global::Global;
use crate::output::sanitize::clean;

/// The code for a registry that keeps no tasks.
pub(crate) const UNSUPPORTED: &str = "task_unsupported";

/// The hint for a code of the requests about tasks.
pub(crate) fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        error::CONFLICT => {
            "a task has this id or key already, with other content: `agentnet task list --coordinator NAME` shows it; give new \
             work a new --key"
        }
        error::LEASE_LOST => {
            "the worker was silent for too long, and the task went on without it: give it longer with --heartbeat"
        }
        error::FINISHED | error::NOT_CANCELABLE => "`agentnet task status ID` shows how it ended",
        error::NO_INPUT => {
            "only a task that is input_required or auth_required takes an answer: `agentnet task status ID` shows its state"
        }
        error::NOT_RETRIABLE => {
            "only a task that has failed is tried again: `agentnet task status ID` shows its state; assign the work again \
             otherwise"
        }
        error::FORBIDDEN => {
            "only the coordinator of the task or of its parent, and its worker, may do this: name that agent with --as"
        }
        error::SESSION_UNKNOWN => "`agentnet search` shows every account; a session that has ended is started again",
        error::TOO_MANY => {
            "wait until some tasks have ended, or cancel some: `agentnet task list --coordinator NAME --state submitted` shows \
             them; AGENTNET_TASK_MAX_OPEN is the limit"
        }
        error::TOO_LARGE => "send less, or pass a reference to where the data can be fetched",
        error::DISABLED => {
            "the registry runs with AGENTNET_TASKS=false: `agentnet send` or `agentnet request` reach agents that are online"
        }
        error::PARENT_UNKNOWN => "`agentnet task list` shows the tasks, the last changed first",
        error::INVALID => "`agentnet task assign --help` shows what values are possible",
        error::FAILED => "try again in a moment; `agentnet doctor` shows the state of the registry's store",
        UNSUPPORTED => "upgrade the registry, or run it without AGENTNET_TASKS=false",
        _ => return None,
    })
}

/// The failure for a registry that keeps no tasks.
pub(crate) fn unsupported() -> Failure {
    let text = format!(
        "{UNSUPPORTED}: the registry of this network keeps no tasks: it is of an older version, or runs with \
         AGENTNET_TASKS=false"
    );
    Failure::refused(text)
        .hint("upgrade the registry (`agentnet doctor` shows its version), or run it without AGENTNET_TASKS=false")
        .with_network()
}

/// The failure of a request about tasks that no registry answered: one of an older version answers only its own requests.
pub(crate) async fn explain_old_registry(global: &Global, failure: Failure) -> Failure {
    if failure.code() != "no_registry" {
        return failure;
    }
    let Ok(registry) = connect_registry(global).await else {
        return failure;
    };
    match registry.call(&MetricsRequest).await {
        Ok(_) => unsupported(),
        Err(_) => failure,
    }
}

/// A task could not be made, or a call about it failed.
pub(crate) fn task_failure(error: TaskError) -> Failure {
    match error {
        TaskError::Send(error) => send_failure(error),
        TaskError::Registry(error) => registry_failure(&error),
        TaskError::Invalid(text) => Failure::refused(text)
            .with_code("wrong_usage")
            .hint("`agentnet task assign --help` shows what values are possible"),
        // The text is that of the registry.
        error => registry_failure(&RegistryError::Refused(error.to_string())),
    }
}

/// The failure of a request about one task; for one that does not exist with its id.
pub(crate) fn named(failure: Failure, task_id: &str) -> Failure {
    if failure.has_text("not_found") {
        return not_found(task_id);
    }
    failure
}

/// There is no such task.
pub(crate) fn not_found(task_id: &str) -> Failure {
    Failure::refused(format!("not_found: no task is {}", clean(task_id)))
        .hint("`agentnet task list` shows the tasks, the last changed first; those that ended are kept for some time only")
        .with_network()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice() {
        for code in [
            error::CONFLICT,
            error::LEASE_LOST,
            error::FINISHED,
            error::NOT_CANCELABLE,
            error::NO_INPUT,
            error::NOT_RETRIABLE,
            error::FORBIDDEN,
            error::SESSION_UNKNOWN,
            error::TOO_MANY,
            error::TOO_LARGE,
            error::DISABLED,
            error::PARENT_UNKNOWN,
            error::INVALID,
            error::FAILED,
            UNSUPPORTED,
        ] {
            assert!(hint(code).is_some(), "{code}");
        }
        assert_eq!(hint("busy"), None);
        assert_eq!(unsupported().code(), UNSUPPORTED);
    }

    #[test]
    fn errors_of_the_sdk_have_the_advice_of_their_codes() {
        let refused = task_failure(TaskError::Refused {
            code: error::CONFLICT.into(),
            detail: "another task has this key".into(),
        });
        assert_eq!(refused.code(), error::CONFLICT);
        assert!(
            refused.text().contains("give new work a new --key"),
            "{}",
            refused.text()
        );
        assert_eq!(task_failure(TaskError::Invalid("no".into())).code(), "wrong_usage");
        let rpc = "task_create";
        assert_eq!(
            task_failure(RegistryError::NoRegistry { rpc }.into()).code(),
            UNSUPPORTED
        );
    }

    #[test]
    fn a_task_that_does_not_exist_is_named() {
        let failure = named(Failure::refused("not_found"), "task_\u{1b}1");
        assert!(
            failure
                .text()
                .starts_with("error: not_found: no task is task_\u{fffd}1\n")
        );
        assert_eq!(failure.code(), "not_found");
        let other = named(Failure::refused("task_forbidden: no"), "task_1");
        assert_eq!(other.code(), "task_forbidden");
    }
}
