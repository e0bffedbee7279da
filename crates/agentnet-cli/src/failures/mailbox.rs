//! Failures of the mailbox's requests: what to do about each code (PROTOCOL.md section 21.3).

use agentnet_protocol::mailbox::code;
use agentnet_protocol::rpc::MetricsRequest;

use crate::connection::connect_registry;
use crate::exit::Failure;
use crate::global::Global;

/// The code for a registry that has no mailbox.
pub(crate) const UNSUPPORTED: &str = "mailbox_unsupported";

/// The hint for a code of the mailbox.
pub(crate) fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        code::DISABLED => {
            "the registry runs with AGENTNET_MAILBOX=false: send without --mailbox while the receiver is online"
        }
        code::FULL => {
            "start the receiver, which empties its mailbox; `agentnet mailbox status` shows the limits, \
             `agentnet mailbox drop` makes room"
        }
        code::SENDER_FULL => {
            "wait until the receiver has taken some of your messages; `agentnet mailbox list` shows them"
        }
        code::UNKNOWN_ACCOUNT => "`agentnet search` shows every account",
        code::REFUSED => "send without --mailbox while the receiver is online: `agentnet list`",
        code::EXPIRED => {
            "give the message a longer life with --mailbox=7d; if it was long enough, compare the clocks of this machine \
             and of the registry's"
        }
        code::TOO_LARGE => "send less, or pass a reference to where the data can be fetched",
        code::NOT_STORABLE => {
            "a mailbox keeps messages to one agent that nobody waits for: use `agentnet send` to a username"
        }
        code::FAILED => "try again in a moment; `agentnet doctor` shows the state of the registry's store",
        UNSUPPORTED => "upgrade the registry, or send without --mailbox while the receiver is online",
        _ => return None,
    })
}

/// The failure for a registry that has no mailbox.
pub(crate) fn unsupported() -> Failure {
    let text = format!("{UNSUPPORTED}: the registry of this network keeps no messages: it is of an older version");
    Failure::refused(text)
        .hint("upgrade the registry: `agentnet doctor` shows its version")
        .with_network()
}

/// The failure of a request of the mailbox that no registry answered: an older registry answers only its own requests.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice() {
        for code in [
            code::DISABLED,
            code::FULL,
            code::SENDER_FULL,
            code::UNKNOWN_ACCOUNT,
            code::REFUSED,
            code::EXPIRED,
            code::TOO_LARGE,
            code::NOT_STORABLE,
            code::FAILED,
            UNSUPPORTED,
        ] {
            assert!(hint(code).is_some(), "{code}");
        }
        assert_eq!(hint("busy"), None);
        assert_eq!(unsupported().code(), UNSUPPORTED);
    }
}
