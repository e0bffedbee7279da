//! The mailbox: what a message, a session and a lease say of it (PROTOCOL.md section 21, an addition to the Python protocol).

pub mod ack;

pub use self::ack::MailboxAck;
use crate::envelope::Envelope;
use crate::json::{Object, trim};
use crate::{Timestamp, expiry, subject};

/// The member of an envelope, a registration and a hello.
pub const MEMBER: &str = "mailbox";
/// The value of [`MEMBER`] of a session that takes the messages of its account's mailbox itself.
pub const PULL: &str = "pull";

/// How long a message lives that its sender leaves in a mailbox without naming a time, in milliseconds: seven days.
pub const DEFAULT_LIFETIME_MS: i64 = 7 * 24 * 3600 * 1000;
/// The largest message that a mailbox keeps, in bytes: what receivers accept by default.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// How long a lease lasts unless the request says otherwise, in milliseconds.
pub const DEFAULT_LEASE_MS: i64 = 30_000;
/// The shortest lease, in milliseconds.
pub const MIN_LEASE_MS: i64 = 1_000;
/// The longest lease, in milliseconds.
pub const MAX_LEASE_MS: i64 = 600_000;
/// The longest time for which a registry holds a request for messages, in milliseconds.
pub const MAX_WAIT_MS: i64 = 25_000;
/// Messages of one lease, unless the request says otherwise.
pub const DEFAULT_LEASE_MESSAGES: usize = 10;
/// The most messages of one lease; also the most acknowledgements in one request.
pub const MAX_LEASE_MESSAGES: usize = 100;
/// Bytes of the texts that explain why a message was not handled.
pub const MAX_DETAIL_BYTES: usize = 1024;

/// Declares an enum of the texts on the wire.
macro_rules! texts {
    ($(#[$attribute:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::mailbox::UnknownText;

            fn from_str(text: &str) -> Result<Self, $crate::mailbox::UnknownText> {
                let text = $crate::json::trim(text);
                let found = Self::ALL.iter().find(|known| text.eq_ignore_ascii_case(known.as_str()));
                found.copied().ok_or($crate::mailbox::UnknownText)
            }
        }
    };
}

pub(crate) use texts;

/// A text that names no state, outcome, action or event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown text")]
pub struct UnknownText;

texts! {
    /// Where a message in a mailbox stands (section 21.3).
    pub enum MailboxState {
        /// It waits for its receiver.
        Queued = "queued",
        /// A session has it, until its lease ends.
        Leased = "leased",
        /// It has been delivered; kept for a day, and until it would have expired, so that a repetition is recognised.
        Done = "done",
        /// It cannot be delivered; kept for some days, and can be queued again.
        Dead = "dead",
    }
}

texts! {
    /// How a session has dealt with a leased message.
    pub enum MailboxOutcome {
        /// It is delivered.
        Done = "done",
        /// It is to be delivered again.
        Retry = "retry",
        /// It cannot be handled.
        Dead = "dead",
    }
}

texts! {
    /// What an operator does to messages of a mailbox.
    pub enum MailboxAction {
        /// Deliver a dead message again.
        Requeue = "requeue",
        /// Delete a message; its sender is told.
        Drop = "drop",
    }
}

texts! {
    /// What happens to a message of a mailbox (section 21.6).
    pub enum MailboxEventKind {
        /// It was put in.
        Queued = "queued",
        /// It was delivered.
        Delivered = "delivered",
        /// Its delivery failed, and is tried again.
        Retry = "retry",
        /// It cannot be delivered.
        Dead = "dead",
        /// It was not taken in time.
        Expired = "expired",
        /// An operator deleted it.
        Dropped = "dropped",
    }
}

/// The codes of the mailbox's requests; an error is a code, `: ` and a sentence (section 21.3).
pub mod code {
    /// The registry keeps no messages.
    pub const DISABLED: &str = "mailbox_disabled";
    /// The account's mailbox, or all of them together, is full.
    pub const FULL: &str = "mailbox_full";
    /// The sender has left too many messages for the account.
    pub const SENDER_FULL: &str = "mailbox_sender_full";
    /// There is no such account.
    pub const UNKNOWN_ACCOUNT: &str = "mailbox_unknown_account";
    /// The account takes no messages by mailbox.
    pub const REFUSED: &str = "mailbox_refused";
    /// The message has expired.
    pub const EXPIRED: &str = "mailbox_expired";
    /// The message is too large.
    pub const TOO_LARGE: &str = "mailbox_too_large";
    /// The message is one that is never kept.
    pub const NOT_STORABLE: &str = "mailbox_not_storable";
    /// The session is not online, or of another account.
    pub const SESSION_UNKNOWN: &str = "mailbox_session_unknown";
    /// The store failed.
    pub const FAILED: &str = "mailbox_failed";
}

/// The code of an error's text, which is `code: sentence`.
#[must_use]
pub fn code_of(error: &str) -> &str {
    error.split_once(": ").map_or(error, |(code, _)| code)
}

/// Codes of a rejection after which the message is worth keeping: its receiver will take it later.
pub const RETRIABLE_CODES: [&str; 5] = [
    "busy",
    "rate_limited",
    "shutting_down",
    "service_degraded",
    "recipient_offline",
];

/// Codes of a failed attempt that does not count: the receiver had no time for the message.
pub const FREE_CODES: [&str; 4] = ["busy", "rate_limited", "shutting_down", "service_degraded"];

/// Whether a registration or a hello says that its session takes the messages of the mailbox itself.
#[must_use]
pub fn pulls(object: &Object<'_>) -> bool {
    object.get(MEMBER).as_str().is_some_and(|mode| trim(&mode) == PULL)
}

/// Why a message cannot be put into a mailbox, whatever the registry's settings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStorable {
    /// It has no id, so that it could be delivered twice.
    #[error("the message has no message_id")]
    MessageId,
    /// Its sender could not be told of its end.
    #[error("the message has no from_account_id that a receipt can be sent to")]
    Sender,
    /// It is for whoever has a capability.
    #[error("the message is addressed to a capability; use a task for work that any agent may do")]
    Capability,
    /// It is for nobody that has an inbox.
    #[error("the message has no to_account_id")]
    Receiver,
    /// Its sender waits for a reply.
    #[error("the sender of the message waits for a reply; use a task for work that may wait")]
    Request,
    /// It says no time at which it expires, so that every receiver would refuse it.
    #[error("the message does not say how long it lives")]
    Lifetime,
}

/// The account whose mailbox a message belongs to, and when the message expires.
///
/// # Errors
/// [`NotStorable`]
pub fn storable(envelope: &Envelope) -> Result<(&str, Timestamp), NotStorable> {
    if envelope.message_id.is_empty() {
        return Err(NotStorable::MessageId);
    }
    let routable = |account: Option<&str>| account.filter(|account| subject::routable_account(account)).is_some();
    if !routable(envelope.from_account_id.as_deref()) {
        return Err(NotStorable::Sender);
    }
    if envelope.reply_to.is_some() || trim(&envelope.kind) == crate::envelope::kind::REQUEST {
        return Err(NotStorable::Request);
    }
    let receiver = match envelope.to_account_id.as_deref() {
        Some(account) if routable(Some(account)) => account,
        _ if envelope.to_agent.starts_with("capability:") => return Err(NotStorable::Capability),
        _ => return Err(NotStorable::Receiver),
    };
    let expires_at = expiry::deadline(&envelope.sent_at, envelope.ttl_ms, envelope.expires_at.as_deref());
    Ok((receiver, expires_at.ok_or(NotStorable::Lifetime)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(json: &str) -> Envelope {
        Envelope::decode(json.to_owned()).unwrap()
    }

    #[test]
    fn a_message_asks_with_true_or_an_object() {
        for (value, expected) in [
            ("true", Some(MailboxAck::Accepted)),
            ("{}", Some(MailboxAck::Accepted)),
            (r#"{"ack":"accepted"}"#, Some(MailboxAck::Accepted)),
            (r#"{"ack":" PROCESSED "}"#, Some(MailboxAck::Processed)),
            (r#"{"ack":7}"#, Some(MailboxAck::Accepted)),
            ("false", None),
            ("null", None),
            ("1", None),
            (r#""true""#, None),
            ("[]", None),
        ] {
            let read = envelope(&format!(r#"{{"mailbox":{value}}}"#));
            assert_eq!(read.mailbox, expected, "{value}");
            let again = Envelope::decode(read.encode()).unwrap();
            assert_eq!(again.mailbox, expected, "{value}");
        }
        assert_eq!(envelope("{}").mailbox, None);
    }

    #[test]
    fn only_messages_to_an_account_without_a_waiting_sender_are_kept() {
        let good = r#""message_id":"m","from_account_id":"acct_a","to_account_id":"acct_b","sent_at":"2026-01-01T00:00:00Z","ttl_ms":1000"#;
        let message = envelope(&format!("{{{good}}}"));
        let expires = Timestamp::parse("2026-01-01T00:00:01Z").unwrap();
        assert_eq!(storable(&message), Ok(("acct_b", expires)));
        for (extra, expected) in [
            (r#""message_id":"""#, NotStorable::MessageId),
            (r#""from_account_id":"a.b""#, NotStorable::Sender),
            (r#""kind":"request""#, NotStorable::Request),
            (r#""reply_to":"_INBOX.x""#, NotStorable::Request),
            (r#""to_account_id":null"#, NotStorable::Receiver),
            (
                r#""to_account_id":null,"to_agent":"capability:build""#,
                NotStorable::Capability,
            ),
            (r#""to_account_id":"a b""#, NotStorable::Receiver),
            (r#""ttl_ms":null"#, NotStorable::Lifetime),
        ] {
            // The last of two members of one name counts.
            let message = envelope(&format!("{{{good},{extra}}}"));
            assert_eq!(storable(&message), Err(expected), "{extra}");
        }
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        for state in MailboxState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert_eq!(" DEAD ".parse(), Ok(MailboxOutcome::Dead));
        assert_eq!("requeue".parse(), Ok(MailboxAction::Requeue));
        assert_eq!("expired".parse(), Ok(MailboxEventKind::Expired));
        assert_eq!("x".parse::<MailboxState>(), Err(UnknownText));
    }
}
