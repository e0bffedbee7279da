//! Reasons to reject a message: every code with its detail text, in one table (PROTOCOL.md section 12).

use std::borrow::Cow;

/// Codes with which a registry answers in the place of accounts and capabilities that cannot be reached (section 0.9).
pub const UNREACHABLE_CODES: [&str; 3] = ["recipient_offline", "account_not_found", "capability_unavailable"];

/// A refusal, or the failure of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reject {
    /// The body is larger than the receiver takes (section 0.7).
    PayloadTooLarge {
        /// Size of the body in bytes.
        size: usize,
        /// The receiver's limit in bytes.
        limit: usize,
    },
    /// The body is not a message (section 0.7).
    MessageInvalid(String),
    /// `schema_version` has no readable major number.
    SchemaVersionInvalid,
    /// The major number is not supported.
    UnsupportedSchemaVersion,
    /// A signature check failed; the code is one of `auth_*` (section 13.4).
    Auth(&'static str),
    /// The agent is draining.
    ShuttingDown,
    /// The circuit breaker is open.
    ServiceDegraded,
    /// No expiry can be computed.
    MissingTtl,
    /// The message has expired.
    Expired,
    /// The sender exceeds its rate.
    RateLimited,
    /// The message id was seen before.
    DuplicateMessage,
    /// The idempotency key was seen before.
    DuplicateKey,
    /// The backlog is full.
    Busy,
    /// The handler took too long.
    Timeout,
    /// The handler failed.
    HandlerError,
    /// The account has no live session (section 0.9); the text says since when.
    RecipientOffline(String),
    /// There is no such account (section 0.9).
    AccountNotFound,
    /// No live session has the capability (section 0.9).
    CapabilityUnavailable(String),
    /// A message in a mailbox was not taken before it expired (section 21.5).
    MailboxExpired,
    /// A message in a mailbox cannot be delivered (section 21.5); the text says why.
    MailboxDead(String),
    /// An operator has deleted a message from a mailbox (section 21.5).
    MailboxDropped,
}

impl Reject {
    /// The wire code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::MessageInvalid(_) => "message_invalid",
            Self::SchemaVersionInvalid => "schema_version_invalid",
            Self::UnsupportedSchemaVersion => "unsupported_schema_version",
            Self::Auth(code) => code,
            Self::ShuttingDown => "shutting_down",
            Self::ServiceDegraded => "service_degraded",
            Self::MissingTtl => "missing_ttl",
            Self::Expired => "expired",
            Self::RateLimited => "rate_limited",
            Self::DuplicateMessage | Self::DuplicateKey => "duplicate",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::HandlerError => "handler_error",
            Self::RecipientOffline(_) => "recipient_offline",
            Self::AccountNotFound => "account_not_found",
            Self::CapabilityUnavailable(_) => "capability_unavailable",
            Self::MailboxExpired => "mailbox_expired",
            Self::MailboxDead(_) => "mailbox_dead",
            Self::MailboxDropped => "mailbox_dropped",
        }
    }

    /// The detail text.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::PayloadTooLarge { size, limit } => {
                return Cow::Owned(format!(
                    "message of {size} bytes exceeds the receiver's limit of {limit} bytes"
                ));
            }
            Self::MessageInvalid(why) => return Cow::Owned(why.clone()),
            Self::CapabilityUnavailable(capability) => {
                return Cow::Owned(format!("no agent that is online has the capability {capability}"));
            }
            Self::RecipientOffline(why) | Self::MailboxDead(why) => return Cow::Owned(why.clone()),
            Self::SchemaVersionInvalid | Self::UnsupportedSchemaVersion => "message schema_version is not supported",
            Self::Auth(_) => "message signature verification failed",
            Self::ShuttingDown => "agent is shutting down",
            Self::ServiceDegraded => "circuit breaker open",
            Self::MissingTtl | Self::Expired => "message ttl invalid or expired",
            Self::RateLimited => "sender rate exceeded",
            Self::DuplicateMessage => "message_id has already been processed",
            Self::DuplicateKey => "idempotency_key has already been processed",
            Self::Busy => "agent backlog is full",
            Self::Timeout => "handler timed out",
            Self::HandlerError => "handler raised an exception",
            Self::AccountNotFound => "no such account",
            Self::MailboxExpired => "the receiver did not take the message before it expired",
            Self::MailboxDropped => "the message was deleted from the mailbox",
        })
    }
}
