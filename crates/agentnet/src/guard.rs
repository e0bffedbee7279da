//! The ordered checks of a receiver (PROTOCOL.md section 12, with the two phases of section 0.7).
//!
//! Size and form (checks 1 and 2) come before there is an envelope and are made by the intake. [`Guards::admit`] makes the
//! others, one line a check, first rejection wins. Nothing is remembered until the backlog slot is certain, so that a
//! `busy` refusal never burns a message id or an idempotency key.

mod circuit;
mod dedupe;
pub(crate) mod fingerprint;
mod rates;

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::sender_key::{SenderFields, idempotency_scope};
use agentnet_protocol::{Envelope, Reject, Timestamp, expiry, version};

pub(crate) use circuit::Circuit;
use dedupe::Dedupe;
pub(crate) use rates::Rates;

use crate::config::Limits;
use crate::mailbox::handling::{Handling, Handlings};
use crate::message::Message;

/// The time of one intake, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For times on the wire.
    pub(crate) wall: Timestamp,
    /// For what this process remembers: time since it started.
    pub(crate) monotonic: Duration,
}

/// What the receiver is able to do right now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// Whether new work is taken at all.
    pub(crate) accepting: bool,
    /// Whether the circuit breaker is open.
    pub(crate) circuit_open: bool,
    /// Whether the backlog has no slot left.
    pub(crate) backlog_full: bool,
    /// Whether the sender's rate counts: messages of the mailbox come at the receiver's own pace.
    pub(crate) is_rated: bool,
}

/// The checks and what they remember. Owned by the one intake task, so none of it is locked.
#[derive(Debug)]
pub(crate) struct Guards {
    account_id: String,
    agent_id: String,
    supported_schema_major: u32,
    clock_skew_ms: u32,
    /// The sender's account is proven and its session tag is not, so the account's rate counts.
    signed: bool,
    rates: Rates,
    ids: Dedupe,
    scopes: Dedupe,
    handlings: Handlings<Message>,
}

impl Guards {
    pub(crate) fn new(account_id: &str, agent_id: &str, supported_schema_major: u32, limits: &Limits) -> Self {
        Self {
            account_id: account_id.to_owned(),
            agent_id: agent_id.to_owned(),
            supported_schema_major,
            clock_skew_ms: limits.clock_skew_ms,
            signed: false,
            rates: Rates::new(
                limits.rate_limit_per_sender_per_sec,
                limits.rate_limit_burst,
                limits.dedupe_ttl,
            ),
            ids: Dedupe::new(limits.dedupe_ttl),
            scopes: Dedupe::new(limits.dedupe_ttl),
            handlings: Handlings::default(),
        }
    }

    /// Under signed identity: messages are let in whose sender's account is proven.
    pub(crate) fn of_signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Decides about one message. Admitted, its id and idempotency scope are remembered.
    pub(crate) fn admit(&mut self, message: &Envelope, now: Now, capacity: Capacity) -> Result<(), Reject> {
        self.schema(message)?;
        accepting(capacity)?;
        circuit(capacity)?;
        self.time_to_live(message, now)?;
        if capacity.is_rated {
            self.rate(message, now)?;
        }
        self.message_id(message, now)?;
        let scope = self.idempotency_scope(message, now)?;
        backlog(capacity)?;
        self.ids.remember(&message.message_id, now.monotonic);
        if let Some(scope) = scope {
            self.scopes.remember(&scope, now.monotonic);
        }
        Ok(())
    }

    /// An admitted message is handed to the handler. Messages that count as delivered when they are processed are followed until
    /// then.
    pub(crate) fn begin(&mut self, message: &Message) {
        if let Some(handling) = message.handling() {
            let scope = self.scope(message);
            self.handlings.insert(&message.message_id, scope.as_deref(), handling);
        }
    }

    /// The handling of the message that has made this one a duplicate, unless it is known to have been processed.
    pub(crate) fn handling_of(&self, duplicate: &Envelope, reject: &Reject) -> Option<Arc<Handling<Message>>> {
        match reject {
            Reject::DuplicateMessage => self.handlings.with_id(&duplicate.message_id),
            Reject::DuplicateKey => self.handlings.with_scope(&self.scope(duplicate)?),
            _ => None,
        }
    }

    /// The handling of an admitted message failed: when it is sent again, it is handled again.
    pub(crate) fn forget(&mut self, message: &Envelope) {
        let scope = self.scope(message);
        self.ids.forget(&message.message_id);
        if let Some(scope) = &scope {
            self.scopes.forget(scope);
        }
        self.handlings.remove(&message.message_id, scope.as_deref());
    }

    fn schema(&self, message: &Envelope) -> Result<(), Reject> {
        match version::check(&message.schema_version, self.supported_schema_major) {
            Ok(_) => Ok(()),
            Err(version::VersionError::Unsupported) => Err(Reject::UnsupportedSchemaVersion),
            Err(_) => Err(Reject::SchemaVersionInvalid),
        }
    }

    fn time_to_live(&self, message: &Envelope, now: Now) -> Result<(), Reject> {
        let expires_at = message.expires_at.as_deref();
        match expiry::check(
            &message.sent_at,
            message.ttl_ms,
            expires_at,
            now.wall,
            self.clock_skew_ms,
        ) {
            Ok(()) => Ok(()),
            Err(expiry::ExpiryError::Expired) => Err(Reject::Expired),
            Err(_) => Err(Reject::MissingTtl),
        }
    }

    fn rate(&mut self, message: &Envelope, now: Now) -> Result<(), Reject> {
        let sender = match &message.from_account_id {
            Some(account_id) if self.signed => account_id,
            _ => SenderFields::from(message).bucket_key(),
        };
        let allowed = self.rates.take(sender, now.monotonic);
        if allowed { Ok(()) } else { Err(Reject::RateLimited) }
    }

    fn message_id(&mut self, message: &Envelope, now: Now) -> Result<(), Reject> {
        if self.ids.seen(&message.message_id, now.monotonic) {
            Err(Reject::DuplicateMessage)
        } else {
            Ok(())
        }
    }

    fn idempotency_scope(&mut self, message: &Envelope, now: Now) -> Result<Option<String>, Reject> {
        match self.scope(message) {
            Some(scope) if self.scopes.seen(&scope, now.monotonic) => Err(Reject::DuplicateKey),
            scope => Ok(scope),
        }
    }

    fn scope(&self, message: &Envelope) -> Option<String> {
        let key = message.idempotency_key.as_deref();
        idempotency_scope(
            key,
            &SenderFields::from(message),
            Some(&self.account_id),
            &self.agent_id,
        )
    }
}

fn accepting(capacity: Capacity) -> Result<(), Reject> {
    if capacity.accepting {
        Ok(())
    } else {
        Err(Reject::ShuttingDown)
    }
}

fn circuit(capacity: Capacity) -> Result<(), Reject> {
    if capacity.circuit_open {
        Err(Reject::ServiceDegraded)
    } else {
        Ok(())
    }
}

fn backlog(capacity: Capacity) -> Result<(), Reject> {
    if capacity.backlog_full {
        Err(Reject::Busy)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
