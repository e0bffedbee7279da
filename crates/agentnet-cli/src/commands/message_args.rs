//! Arguments that `send` and `request` share: payload, target and thread.

use std::io::Read;

use agentnet_protocol::RawJson;
use agentnet_protocol::json::JsonError;
use agentnet_protocol::target::Target;
use clap::Args;

use super::identity_args::IdentityArgs;
use crate::args::{checked_username, not_blank, trimmed};
use crate::exit::Failure;

/// The receiver of a message.
#[derive(Debug, Args)]
#[group(id = "target", required = true, multiple = false)]
pub(crate) struct TargetArgs {
    /// To this account
    #[arg(long, value_name = "ID", value_parser = not_blank)]
    to_account: Option<String>,
    /// To the agent with this username, with or without @
    #[arg(long, value_name = "NAME", value_parser = not_blank, add = crate::shell_completion::usernames())]
    to_username: Option<String>,
    /// To one of the agents with this capability
    #[arg(long, value_name = "NAME", value_parser = not_blank, add = crate::shell_completion::capabilities())]
    to_capability: Option<String>,
}

impl TargetArgs {
    /// The named target.
    ///
    /// # Errors
    /// It is blank.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let target = match (
            trimmed(self.to_account.as_ref()),
            trimmed(self.to_username.as_ref()),
            trimmed(self.to_capability.as_ref()),
        ) {
            (Some(id), _, _) => Some(Target::Account(id)),
            (_, Some(name), _) => {
                let name = name.trim_start_matches('@');
                match name {
                    "" => None,
                    name => Some(Target::Username(checked_username(name)?)),
                }
            }
            (_, _, Some(capability)) => Some(Target::Capability(capability)),
            _ => None,
        };
        target.ok_or_else(|| {
            Failure::refused("the target is empty")
                .with_code("wrong_usage")
                .hint("name an account, a username or a capability")
        })
    }
}

/// The thread of a message.
#[derive(Debug, Args)]
pub(crate) struct ThreadArgs {
    /// Thread to put the message into [default: one of its own]
    #[arg(long, value_name = "ID", value_parser = not_blank, add = crate::shell_completion::threads())]
    thread_id: Option<String>,
    /// Message that this one follows
    #[arg(long, value_name = "ID", value_parser = not_blank)]
    parent_message_id: Option<String>,
    /// Key of the logical operation, so that the receiver handles it once
    #[arg(long, value_name = "KEY", value_parser = not_blank)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// Sets the thread options of a message builder.
macro_rules! with_thread {
    ($message:expr, $thread:expr) => {{
        let (mut message, thread) = ($message, $thread);
        if let Some(id) = thread.thread_id() {
            message = message.thread(id);
        }
        if let Some(id) = thread.parent_message_id() {
            message = message.parent(id);
        }
        if let Some(key) = thread.idempotency_key() {
            message = message.idempotency_key(key);
        }
        message
    }};
}
pub(crate) use with_thread;

impl ThreadArgs {
    pub(crate) fn thread_id(&self) -> Option<String> {
        trimmed(self.thread_id.as_ref())
    }

    pub(crate) fn parent_message_id(&self) -> Option<String> {
        trimmed(self.parent_message_id.as_ref())
    }

    pub(crate) fn idempotency_key(&self) -> Option<String> {
        trimmed(self.idempotency_key.as_ref())
    }
}

/// Reads the payload argument; `-` means standard input.
///
/// # Errors
/// It is not JSON: exit code 1.
pub(crate) fn payload(argument: &str) -> Result<RawJson, Failure> {
    if argument != "-" {
        return parse(argument, r#"; quote it for the shell, e.g. '{"text":"hi"}'"#);
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::error(format!("cannot read the payload from standard input: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, ""),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(
                Failure::error(format!("payload is not valid JSON: expected UTF-8 text at byte {at}"))
                    .with_code("payload_invalid"),
            )
        }
    }
}

fn parse(text: &str, advice: &str) -> Result<RawJson, Failure> {
    RawJson::parse(text.to_owned()).map_err(|error| {
        let why = match &error {
            JsonError::Syntax { offset, expected } => format!("expected {expected} at byte {offset}"),
            JsonError::Depth { offset } => format!("nested too deeply at byte {offset}"),
            JsonError::IntegerTooLong { offset } => format!("an integer of more than 4300 digits at byte {offset}"),
            other => other.to_string(),
        };
        Failure::error(format!("payload is not valid JSON: {why}{advice}")).with_code("payload_invalid")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_payload_that_is_no_json_is_told_with_its_place() {
        let error = payload("{text:hi}").unwrap_err();
        let text = error.text();
        assert!(
            text.starts_with("error: payload is not valid JSON: expected ") && text.contains(" at byte 1;"),
            "{text}"
        );
        assert!(
            text.ends_with(r#"quote it for the shell, e.g. '{"text":"hi"}'"#),
            "{text}"
        );
        assert_eq!(Exit::from(error).code(), 1);
        assert_eq!(payload(r#" {"n": 1.50} "#).unwrap().get(), r#"{"n": 1.50}"#);
    }

    #[test]
    fn exactly_one_target_is_read() {
        let args = |account: Option<&str>, username: Option<&str>, capability: Option<&str>| TargetArgs {
            to_account: account.map(str::to_owned),
            to_username: username.map(str::to_owned),
            to_capability: capability.map(str::to_owned),
        };
        assert_eq!(
            args(Some("acct_1"), None, None).target(),
            Ok(Target::Account("acct_1".into()))
        );
        assert_eq!(
            args(None, Some("@bob"), None).target(),
            Ok(Target::Username("bob".into()))
        );
        assert_eq!(
            args(None, None, Some("chat")).target(),
            Ok(Target::Capability("chat".into()))
        );
        assert!(args(None, Some(" @ "), None).target().is_err());
    }
}
