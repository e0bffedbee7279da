//! Keeps messages for accounts that cannot take them, until they do (PROTOCOL.md section 21).
//!
//! ```text
//!  offline_replies, registry.mailbox_put -> keep -> store -> notices: events, receipts, requests that wait
//!                                                     |
//!       registry.mailbox_lease, _ack, _extend <-------+-------> push, to agents that do not ask
//! ```
//!
//! - [`Mailbox`] checks messages and puts them into the store, in batches (`loaders`); `refusal` says why not
//! - `waiters` are the requests that wait for messages; `recipients` the accounts for which messages wait
//! - `notices` tells of what happens; `listen` hears that of other registries
//! - `push` delivers to agents that do not ask for their messages; `sweep` ends what is too old
//!
//! The store alone decides who has a message. What is in memory here only says when to ask it.

pub(crate) mod listen;
mod loaders;
pub(crate) mod notices;
pub(crate) mod push;
pub(crate) mod recipients;
pub(crate) mod refusal;
pub(crate) mod sweep;
pub(crate) mod waiters;

use std::sync::Arc;

use agentnet_protocol::limits::check_envelope;
use agentnet_protocol::mailbox::{MAX_MESSAGE_BYTES, MailboxState, code, storable};
use agentnet_protocol::{Envelope, RawJson, Timestamp};
use agentnet_store::Store;
use agentnet_store::model::{MailboxLimits, NewQueued, PutOutcome};
use async_nats::Client;

use self::loaders::{ProfileLoader, PutLoader, profile_loader, put_loader};
use self::notices::{Notices, Subject};
use self::refusal::{KeepError, Refusal};
use crate::batch_lookup::PendingValue;
use crate::capture::decode;
use crate::config::RegistryConfig;

/// Arrays and objects that stand around a message in the reply to a lease.
const LEVELS_AROUND_MESSAGE: usize = 3;
/// Bytes around a message in the reply to a lease.
pub(crate) const BYTES_AROUND_MESSAGE: usize = 1_024;

/// Checks messages, and puts them into the store.
pub(crate) struct Mailbox {
    /// Whether the broker proves the senders of messages.
    is_secure: bool,
    enabled: bool,
    max_age_ms: i128,
    chars_per_token: f64,
    pub(crate) limits: MailboxLimits,
    pub(crate) notices: Arc<Notices>,
    client: Client,
    profiles: ProfileLoader,
    puts: PutLoader,
}

/// A message that goes into the store.
pub(crate) struct PendingPut {
    subject: Subject,
    username: String,
    queued_at: Timestamp,
    expires_at: Timestamp,
    outcome: PendingValue<PutOutcome>,
}

/// A message that the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Where it stands.
    pub(crate) state: MailboxState,
    /// Messages of the account that wait before it, where this call has put it in.
    pub(crate) position: Option<i64>,
    pub(crate) queued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// A message that may be kept, and the username of its receiver.
#[derive(Debug)]
pub(crate) struct Storable {
    new: NewQueued,
    username: String,
}

impl Storable {
    /// The account of the receiver.
    pub(crate) fn account_id(&self) -> &str {
        &self.new.account_id
    }
}

impl Mailbox {
    pub(crate) fn new(
        config: &RegistryConfig,
        store: &Arc<dyn Store>,
        notices: Arc<Notices>,
        client: Client,
        is_secure: bool,
    ) -> Self {
        let limits = MailboxLimits {
            max_messages: config.mailbox_max_messages,
            max_bytes: config.mailbox_max_bytes,
            sender_max_messages: config.mailbox_sender_max_messages,
            total_bytes: config.mailbox_total_bytes,
        };
        Self {
            is_secure,
            enabled: config.mailbox,
            max_age_ms: i128::try_from(config.mailbox_max_age.as_millis()).unwrap_or(i128::MAX),
            chars_per_token: config.token_estimate_chars_per_token,
            limits,
            notices,
            client,
            profiles: profile_loader(store),
            puts: put_loader(store, limits),
        }
    }

    /// Checks a message: its body and what was read from it. Whether its sender has signed it is the caller's business.
    ///
    /// # Errors
    /// [`KeepError`]
    pub(crate) async fn check(
        &self,
        body: &RawJson,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<Storable, KeepError> {
        if !self.enabled {
            return Err(Refusal::disabled().into());
        }
        self.check_size(body, envelope)?;
        let (account_id, stated) =
            storable(envelope).map_err(|problem| Refusal::new(code::NOT_STORABLE, problem.to_string()))?;
        let expires_at = stated.min(now.saturating_add_millis(self.max_age_ms));
        if expires_at <= now {
            let sentence = format!("the message has expired at {stated}; send it anew");
            return Err(Refusal::new(code::EXPIRED, sentence).into());
        }
        let Some(account) = self.profiles.load(account_id.to_owned()).await? else {
            return Err(Refusal::new(code::UNKNOWN_ACCOUNT, "no account has the id of the receiver").into());
        };
        let metadata = account.metadata.view();
        if metadata
            .as_object()
            .is_some_and(|metadata| metadata.get("mailbox").raw() == "false")
        {
            let sentence = format!("@{} takes no messages while it is offline", account.username);
            return Err(Refusal::new(code::REFUSED, sentence).into());
        }
        let message = decode::message(body.get().to_owned().into(), now, self.chars_per_token);
        let mut message = message.ok_or_else(|| Refusal::new(code::NOT_STORABLE, "the message cannot be read"))?;
        if self.is_secure {
            // Who puts it in is checked by the caller: it is the sender.
            message.message.issuer = message.message.from_account_id.clone();
        }
        Ok(Storable {
            new: NewQueued {
                account_id: account_id.to_owned(),
                from_account_id: envelope.from_account_id.as_deref().unwrap_or_default().to_owned(),
                body: body.get().to_owned(),
                ack: envelope.mailbox.unwrap_or_default(),
                queued_at: now,
                expires_at,
                message,
            },
            username: account.username.clone(),
        })
    }

    fn check_size(&self, body: &RawJson, envelope: &Envelope) -> Result<(), Refusal> {
        let size = body.get().len();
        if size > MAX_MESSAGE_BYTES {
            let sentence = format!("the message has {size} bytes; at most {MAX_MESSAGE_BYTES} are kept");
            return Err(Refusal::new(code::TOO_LARGE, sentence));
        }
        check_envelope(envelope).map_err(|error| Refusal::new(code::TOO_LARGE, error.to_string()))?;
        // Its receiver gets it in a reply, which is ASCII.
        let max = self.client.max_payload().saturating_sub(BYTES_AROUND_MESSAGE);
        let size = ascii_len(body.get());
        if size > max {
            let sentence = format!("the message has {size} bytes, all characters escaped; the server takes {max}");
            return Err(Refusal::new(code::TOO_LARGE, sentence));
        }
        if !body.fits_inside(LEVELS_AROUND_MESSAGE) {
            return Err(Refusal::new(code::NOT_STORABLE, "the payload is nested too deeply"));
        }
        Ok(())
    }

    /// Puts a message into the queue to the store, which keeps the order of these calls.
    pub(crate) async fn enqueue(&self, message: Storable) -> PendingPut {
        let Storable { new, username } = message;
        PendingPut {
            subject: Subject {
                account_id: new.account_id.clone(),
                from_account_id: new.from_account_id.clone(),
                message_id: new.message.message.message_id.clone(),
                attempt: 0,
                code: None,
            },
            username,
            queued_at: new.queued_at,
            expires_at: new.expires_at,
            outcome: self.puts.enqueue(new).await,
        }
    }

    /// Waits until the store has a message, and tells its receiver.
    ///
    /// # Errors
    /// [`KeepError`]
    pub(crate) async fn kept(&self, pending: PendingPut) -> Result<Kept, KeepError> {
        let PendingPut {
            subject,
            username,
            queued_at,
            expires_at,
            outcome,
        } = pending;
        let kept = match outcome.value().await? {
            PutOutcome::Queued { position } => Kept {
                state: MailboxState::Queued,
                position: Some(position),
                queued_at,
                expires_at,
            },
            PutOutcome::Known {
                state,
                queued_at: before,
                expires_at,
            } => {
                let kept = Kept {
                    state,
                    position: None,
                    queued_at: before,
                    expires_at,
                };
                // Put in by an earlier attempt of this call, whose answer was lost.
                if before != queued_at {
                    return Ok(kept);
                }
                kept
            }
            PutOutcome::OtherSender => return Err(Refusal::other_sender().into()),
            PutOutcome::AccountFull => return Err(Refusal::account_full(&username, &self.limits).into()),
            PutOutcome::SenderFull => return Err(Refusal::sender_full(&username, &self.limits).into()),
            PutOutcome::NetworkFull => return Err(Refusal::network_full(&self.limits).into()),
            PutOutcome::Refused => {
                let sentence = "the database does not take the message; shorten its ids";
                return Err(Refusal::new(code::NOT_STORABLE, sentence).into());
            }
        };
        self.notices.queued(&subject).await;
        Ok(kept)
    }
}

/// Bytes of a JSON text in which every character outside of ASCII is escaped.
pub(crate) fn ascii_len(text: &str) -> usize {
    const ESCAPED_UNIT: usize = "\\u0000".len();
    let more: usize = text
        .chars()
        .filter(|character| !character.is_ascii())
        .map(|character| ESCAPED_UNIT * character.len_utf16() - character.len_utf8())
        .sum();
    text.len() + more
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::json::ascii;

    use super::*;

    #[test]
    fn the_size_in_a_reply_is_known_before() {
        for text in ["{}", r#"{"a":"é"}"#, r#"{"a":"日本"}"#, r#"{"😀":"x"}"#] {
            assert_eq!(ascii_len(text), ascii(text).len(), "{text}");
        }
    }
}
