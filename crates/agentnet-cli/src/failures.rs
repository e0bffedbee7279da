//! What each error of the SDK means for the user: text, hint, code and exit code.

pub(crate) mod mailbox;
pub(crate) mod task;

use agentnet::{
    ConfigError, ConnectError, KeyFileError, RegistryError, RequestError, ResolveError, SendError, StartError,
};
use agentnet_protocol::mailbox::code_of;
use agentnet_protocol::rpc::{ReplyError, RpcError, member_error_code};

use crate::exit::Failure;

/// The connection failed: exit code 1; for an invalid address 2.
pub(crate) fn connect_failure(error: ConnectError) -> Failure {
    let text = error.to_string();
    match error {
        ConnectError::Url(_) => Failure::refused(text)
            .with_code("invalid_url")
            .hint("give the server as --nats-url nats://TOKEN@HOST:PORT"),
        ConnectError::Refused { .. } => Failure::error(text)
            .with_code("credentials_refused")
            .hint(
                "give the network's token as --nats-url nats://TOKEN@HOST:PORT, or in AGENTNET_NATS_URL; in secure mode, join \
                 it with an invite (`agentnet join`) and name the identity with --identity FILE",
            ),
        _ => Failure::error(text)
            .with_code("no_connection")
            .hint("start a network here with `agentnet up`, or name another one with --nats-url or AGENTNET_NATS_URL"),
    }
}

/// A reply that is a refusal or cannot be decoded.
pub(crate) fn reply_failure(error: ReplyError) -> Failure {
    match error {
        ReplyError::Refused(text) => registry_failure(&RegistryError::Refused(text)),
        other => Failure::refused(other.to_string()),
    }
}

/// A failed call of the registry: exit code 2; for a failed connection 1.
pub(crate) fn registry_failure(error: &RegistryError) -> Failure {
    let text = error.to_string();
    let failure = match error {
        RegistryError::Refused(refusal) => match refusal_hint(refusal) {
            Some(hint) => Failure::refused(text).hint(hint),
            None => Failure::refused(text),
        },
        RegistryError::NoRegistry { .. } => Failure::refused(text)
            .with_code("no_registry")
            .hint("NATS runs, the registry does not: start `agentnet registry`, or both at once with `agentnet up`"),
        RegistryError::Timeout { .. } => Failure::refused(text)
            .with_code("registry_timeout")
            .hint("look at its log, or give it longer with --timeout SECONDS"),
        RegistryError::Denied { .. } => Failure::error(text)
            .with_code("permissions_violation")
            .hint(PERMISSIONS_HINT),
        RegistryError::Connection { .. } => Failure::error(text).with_code("no_connection"),
        _ => Failure::refused(text).hint(
            "something else answers too: does a JetStream stream capture `registry.>`? Or is the registry of another version?",
        ),
    };
    failure.with_network()
}

/// The hint for operations that the NATS server does not permit.
const PERMISSIONS_HINT: &str = "the server gives this user too few rights: docs/SECURITY.md lists what agents and commands need; in secure mode an \
     operator changes them: agentnet grant NAME --capability C, --may-send-to RECEIVER";

/// The hint for a registry's refusal.
fn refusal_hint(refusal: &str) -> Option<&'static str> {
    Some(match refusal {
        text if text == RpcError::NOT_FOUND.text() => {
            "there is nothing by that name or id: `agentnet search` shows the agents, `agentnet threads` the threads"
        }
        text if text == RpcError::CURSOR_INVALID.text() => {
            "pass the next_cursor of the page before, whole and unchanged"
        }
        "from_ts_invalid" | "to_ts_invalid" => "write times like 2026-02-21T08:00:00Z",
        "account_id is invalid" => "account ids are 1 to 128 of A-Z a-z 0-9 _ -",
        code if code.starts_with("auth_") => signing_hint(code),
        text if code_of(text) == member_error_code::FORBIDDEN => {
            "commands join as the name of their identity: choose another with --as NAME or --identity FILE; `agentnet invite \
             NAME` and `agentnet join` make one"
        }
        text => return mailbox::hint(code_of(text)).or_else(|| task::hint(code_of(text))),
    })
}

/// An agent did not start.
pub(crate) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Connect(error) => connect_failure(error),
        StartError::Register(RegistryError::Refused(code)) if code.starts_with("auth_") => {
            let failure = Failure::refused(format!("Registry register failed: {code}")).hint(signing_hint(&code));
            failure.with_code(code)
        }
        StartError::Key(error) => key_failure(error),
        StartError::Register(error) => registry_failure(&error),
        StartError::MetricsAddress { .. } => {
            Failure::error(error.to_string()).hint("give --metrics-addr a free port of this machine, or port 0 for any")
        }
        StartError::Config(ConfigError::Username(error)) => Failure::refused(error.to_string())
            .with_code("username_invalid")
            .hint("choose a name of a-z 0-9 . _ -; --name shows any text beside it"),
        error @ StartError::Subscribe { .. } => Failure::error(error.to_string())
            .with_code("permissions_violation")
            .hint(PERMISSIONS_HINT)
            .with_network(),
        other => Failure::refused(other.to_string()),
    }
}

/// A key file that cannot be used; the text says what to do.
pub(crate) fn key_failure(error: KeyFileError) -> Failure {
    Failure::refused(error.to_string())
}

/// An error that the receiver returned.
pub(crate) fn refusal(code: &str, detail: &str) -> Failure {
    let failure = match detail {
        "" => Failure::refused(code),
        detail => Failure::refused(format!("{code}: {detail}")),
    };
    let failure = failure.with_code(code);
    match code {
        code if unreachable_hint(code).is_some() => failure.hint(unreachable_hint(code).unwrap_or_default()),
        "handler_error" => failure.hint("the receiver accepted the message and failed to handle it: see its log"),
        "expired" | "missing_ttl" => failure.hint(CLOCKS_HINT),
        "busy" | "rate_limited" | "shutting_down" | "service_degraded" => failure.hint("try again in a moment"),
        _ => failure,
    }
}

/// The hint for messages that are expired on arrival.
const CLOCKS_HINT: &str = "if it was not under way for so long, the clock of this machine and the receiver's differ: compare them, \
     and let both machines set theirs by NTP";

/// The hint for a receiver that is offline or does not exist.
fn unreachable_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "recipient_offline" => {
            "`agentnet list` shows who is online; `agentnet send --mailbox` leaves a message until the receiver is back"
        }
        "account_not_found" => "`agentnet search` shows every account",
        "capability_unavailable" => {
            "`agentnet search --capability NAME` shows who has one, `agentnet list` who is online"
        }
        _ => return None,
    })
}

/// The hint for a request whose signature the registry refuses; the error is a code, or a code and a sentence.
fn signing_hint(error: &str) -> &'static str {
    match code_of(error) {
        "auth_required" => "this network requires signed agents: set DEV_AUTH=true, or give --dev-auth",
        "auth_public_key_mismatch" => {
            "the account belongs to another key: name the directory of its key file with --key-dir or DEV_AUTH_KEY_DIR, \
             or join under another name"
        }
        "auth_claims_timestamp_skew" => {
            "the clocks of this machine and of the registry differ too much: set this one's"
        }
        _ => "is the registry of another, newer version?",
    }
}

/// A message was not delivered.
pub(crate) fn send_failure(error: SendError) -> Failure {
    let text = error.to_string();
    let code = match &error {
        SendError::Rejected { code, .. } | SendError::NotProcessed { code, .. } | SendError::Mailbox { code, .. } => {
            Some(code.clone())
        }
        _ => None,
    };
    let failure = match error {
        SendError::Resolve(ResolveError::NotFound(_)) => {
            Failure::refused(text).with_code("account_not_found").hint("`agentnet list` shows who is online, `agentnet search` all accounts")
        }
        SendError::Resolve(ResolveError::Registry(error)) => registry_failure(&error),
        SendError::TooLarge { .. } => {
            Failure::error(text).with_code("payload_too_large").hint("send less, or pass a reference to where the data can be fetched")
        }
        SendError::Rejected { code, .. } if unreachable_hint(&code).is_some() => {
            Failure::refused(text).hint(unreachable_hint(&code).unwrap_or_default())
        }
        SendError::Rejected { code, .. } if code == "auth_missing" => Failure::refused(text)
            .hint("the receiver takes only signed messages: set DEV_AUTH=true, or give --dev-auth"),
        SendError::Rejected { code, .. } if code == "auth_key_not_found" => Failure::refused(text).hint(
            "the receiver takes only signed messages, and the registry has no key of yours: does it run with DEV_AUTH=true?",
        ),
        SendError::Rejected { code, .. } if matches!(code.as_str(), "expired" | "missing_ttl") => {
            Failure::refused(text).hint(CLOCKS_HINT)
        }
        SendError::Mailbox { code, .. } if mailbox::hint(&code).is_some() => {
            Failure::refused(text).hint(mailbox::hint(&code).unwrap_or_default())
        }
        SendError::Denied(_) => Failure::error(text)
            .with_code("permissions_violation")
            .hint(PERMISSIONS_HINT),
        SendError::AckTimeout { .. } => Failure::refused(text).hint(
            "no receipt came: is the receiver online (`agentnet list`)? --no-ack sends without waiting",
        ),
        SendError::Connection(_) => Failure::error(text).with_code("no_connection"),
        SendError::Payload(_) | SendError::NotRunning => Failure::error(text),
        _ => Failure::refused(text),
    };
    match code {
        Some(code) => failure.with_code(code),
        None => failure,
    }
}

/// A request failed.
pub(crate) fn request_failure(error: RequestError) -> Failure {
    let text = error.to_string();
    match error {
        RequestError::Send(error) => send_failure(error),
        RequestError::Timeout { .. } => Failure::error(format!("request timed out: {text}"))
            .with_code("request_timeout")
            .hint("is the receiver online (`agentnet list`)? give it longer with --timeout SECONDS"),
        RequestError::Untrusted { .. } => Failure::error(format!("request timed out: {text}"))
            .with_code("request_timeout")
            .hint("only what the receiver has signed counts: does it sign (DEV_AUTH=true), or are the replies forged?"),
        RequestError::NoResponders { .. } => Failure::error(text)
            .with_code("no_responders")
            .hint("`agentnet list` shows who is online and what they can do"),
        _ => Failure::refused(text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exit::Exit;

    fn code(failure: Failure) -> u8 {
        Exit::from(failure).code()
    }

    #[test]
    fn failures_have_the_exit_codes_of_the_protocol() {
        let rpc = "list";
        for (error, expected) in [
            (RegistryError::Refused("not_found".into()), 2),
            (RegistryError::NoRegistry { rpc }, 2),
            (
                RegistryError::Timeout {
                    rpc,
                    timeout: Duration::from_secs(2),
                },
                2,
            ),
            (
                RegistryError::Connection {
                    rpc,
                    why: "closed".into(),
                },
                1,
            ),
            (
                RegistryError::Denied {
                    rpc,
                    why: "permissions violation".into(),
                },
                1,
            ),
        ] {
            assert_eq!(code(registry_failure(&error)), expected, "{error}");
        }
        for (error, expected) in [
            (SendError::Resolve(ResolveError::NotFound("bob".into())), 2),
            (
                SendError::AckTimeout {
                    message_id: "m".into(),
                    attempts: 3,
                },
                2,
            ),
            (SendError::TooLarge { size: 2, limit: 1 }, 1),
            (SendError::Connection("closed".into()), 1),
            (SendError::Denied("permissions violation".into()), 1),
        ] {
            let text = error.to_string();
            assert_eq!(code(send_failure(error)), expected, "{text}");
        }
        let timeout = RequestError::Timeout {
            message_id: "m".into(),
            timeout: Duration::from_secs(5),
        };
        assert_eq!(code(request_failure(timeout)), 1);
        assert_eq!(
            code(connect_failure(ConnectError::Refused {
                url: "nats://***@h".into()
            })),
            1
        );
    }

    #[test]
    fn a_message_that_is_too_old_on_arrival_hints_at_the_clocks() {
        for code in ["expired", "missing_ttl"] {
            let rejected = SendError::Rejected {
                code: code.into(),
                detail: String::new(),
                message_id: "m".into(),
            };
            let text = send_failure(rejected).text();
            assert!(
                text.contains("hint: ") && text.contains("the clock of this machine"),
                "{text}"
            );
            let text = refusal(code, "").text();
            assert!(text.contains("the clock of this machine"), "{text}");
        }
    }

    #[test]
    fn the_text_of_the_registry_stands_alone_behind_error() {
        let text = registry_failure(&RegistryError::Refused("not_found".into())).text();
        assert_eq!(text.lines().next(), Some("error: not_found"));
        assert!(text.lines().nth(1).unwrap().starts_with("hint: "), "{text}");
    }
}
