//! The codes of the mailbox's errors, and how a failed call becomes one (PROTOCOL.md section 21.3).

use agentnet_protocol::mailbox::code;

use crate::registry::error::RegistryError;
use crate::send::error::SendError;

/// No registry of the network keeps messages.
pub(crate) const UNSUPPORTED: &str = "mailbox_unsupported";
/// The mailbox has given the message up.
pub(crate) const DEAD: &str = "mailbox_dead";

/// Whether a rejection with this code is about a message in a mailbox, or one that could not be put there: only registries give
/// such rejections.
pub(crate) fn is_mailbox_code(code: &str) -> bool {
    code.starts_with("mailbox_")
}

/// Why a message that could not be delivered (`why`) is not kept either.
pub(crate) fn not_kept(error: RegistryError, why: &str, message_id: &str) -> SendError {
    let (code, detail) = match error {
        RegistryError::Refused(text) => match text.split_once(": ") {
            Some((code, sentence)) => (code.to_owned(), sentence.to_owned()),
            None => {
                let detail = format!("{why}, and the registry does not keep the message");
                (text, detail)
            }
        },
        RegistryError::NoRegistry { .. } => (
            UNSUPPORTED.to_owned(),
            format!(
                "{why}, and the network's registry keeps no messages: it is of an older version, or no registry is running"
            ),
        ),
        error => (
            code::FAILED.to_owned(),
            format!("{why}, and whether the message is kept is not known: {error}; send it again to be sure"),
        ),
    };
    SendError::Mailbox {
        code,
        detail,
        message_id: message_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: RegistryError) -> String {
        not_kept(error, "no receipt came", "m").to_string()
    }

    #[test]
    fn an_error_has_the_code_of_the_registry() {
        for (error, expected) in [
            (
                "mailbox_full: the mailbox of @bob is full: 1000 messages wait",
                "the mailbox of @bob is full: 1000 messages wait (mailbox_full)",
            ),
            (
                "auth_signature_invalid",
                "no receipt came, and the registry does not keep the message (auth_signature_invalid)",
            ),
        ] {
            assert_eq!(text(RegistryError::Refused(error.to_owned())), expected);
        }
        let rpc = "mailbox_put";
        let unsupported = text(RegistryError::NoRegistry { rpc });
        assert!(unsupported.ends_with(" (mailbox_unsupported)"), "{unsupported}");
        let timeout = std::time::Duration::from_secs(5);
        let failed = text(RegistryError::Timeout { rpc, timeout });
        assert!(failed.ends_with(" (mailbox_failed)"), "{failed}");
        assert!(is_mailbox_code(code::FULL) && is_mailbox_code(DEAD) && !is_mailbox_code("busy"));
    }
}
