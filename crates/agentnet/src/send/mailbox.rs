//! Sending to an account that may be offline: the registry keeps the message until its receiver takes it (PROTOCOL.md section
//! 21).

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use agentnet_protocol::Text;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::mailbox::{self, MailboxAck, code};
use futures::future::BoxFuture;
use tracing::Span;

use super::{MIN_RECEIPT_TIMEOUT, SendMessage, Sent};
use crate::deliver::Until;
use crate::deliver::mailbox::{KeepableMessage, Kept};
use crate::error::SendError;
use crate::message_options::message_options;
use crate::route::Route;
use crate::spans;

/// The longest lifetime, in milliseconds: ten years. Registries keep messages for a week, unless they are set otherwise.
const MAX_LIFETIME_MS: i64 = 10 * 365 * 24 * 3600 * 1000;

impl SendMessage {
    /// Has the message kept while its receiver cannot take it: it waits in the receiver's mailbox until the receiver takes it,
    /// or the lifetime is over (at least 1 ms; registries keep messages for seven days at most, unless they are set otherwise).
    /// In this case the send says [`MailboxDelivery::Queued`]: then the message is stored safely.
    ///
    /// The messages that a node leaves for one account are delivered in the order in which they were sent; those of sends that run
    /// at the same time, in the order in which these were first polled. A message may be delivered twice when its receiver is
    /// ended while it handles it; an [idempotency key](MailboxSend::idempotency_key) marks it.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use agentnet::{AgentNode, MailboxDelivery, json};
    /// # async fn run(node: AgentNode) -> Result<(), agentnet::SendError> {
    /// let week = Duration::from_secs(7 * 24 * 3600);
    /// let sent = node.send("@night_shift", json!({ "text": "read the logs" })).mailbox(week).await?;
    /// match sent.delivery {
    ///     MailboxDelivery::Queued { detail } => println!("{detail}"),
    ///     _ => println!("delivered"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn mailbox(mut self, lifetime: Duration) -> MailboxSend {
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(MAX_LIFETIME_MS);
        self.options.ttl_ms = Some(lifetime_ms.clamp(1, MAX_LIFETIME_MS));
        MailboxSend {
            send: self,
            message_id: None,
        }
    }
}

/// A message to be sent that may be kept, see [`SendMessage::mailbox`]; await it to send it.
///
/// It is published once. Without a receipt within [`receipt_timeout`](Self::receipt_timeout), it is put into the mailbox.
///
/// # Errors
/// When awaited, [`SendError`]; [`SendError::Mailbox`] where the message could neither be delivered nor kept.
#[derive(Debug)]
#[must_use = "await it to send the message"]
pub struct MailboxSend {
    pub(crate) send: SendMessage,
    /// Instead of a new one.
    message_id: Option<Text>,
}

impl MailboxSend {
    message_options!(send.options);

    /// How far to wait for the message: until it is accepted or kept (the default; also for [`Until::Published`]), or with
    /// [`Until::Processed`] until its receiver has handled it. In the latter case the message stays in the mailbox until its
    /// handling has succeeded, and the send says that it is queued if that takes longer than
    /// [`processing_timeout`](Self::processing_timeout).
    pub fn until(mut self, until: Until) -> Self {
        self.send = self.send.until(until);
        self
    }

    /// How long to wait for the end of the handling, with [`Until::Processed`]. Default:
    /// [`Limits::processing_timeout`](crate::Limits).
    pub fn processing_timeout(mut self, timeout: Duration) -> Self {
        self.send = self.send.processing_timeout(timeout);
        self
    }

    /// How long to wait for a receipt before the message is put into the mailbox, at least 0.2 s. Default:
    /// [`Limits::receipt_timeout`](crate::Limits).
    pub fn receipt_timeout(mut self, timeout: Duration) -> Self {
        self.send = self.send.receipt_timeout(timeout);
        self
    }

    /// Gives the message this id, so that it is known when it is sent again.
    pub(crate) fn message_id(mut self, message_id: Text) -> Self {
        self.message_id = Some(message_id);
        self
    }

    async fn run(self, span: Span) -> Result<MailboxSent, SendError> {
        let send = self.send;
        let payload = send.payload?;
        let node = send.node;
        let session = node.session()?;
        let started = Instant::now();
        // Before anything is waited for: messages to one destination go out in the order of their sends.
        let call = node.outbox().call(&send.destination);
        let route = Route::resolve(&session.usernames, send.destination).await?;
        let processed = send.until == Until::Processed;
        let (sent, message_id, body) = {
            let composer = &session.composer;
            let mut draft = composer.draft(send.options, payload, kind::DIRECT);
            draft.mailbox = Some(match processed {
                true => MailboxAck::Processed,
                false => MailboxAck::Accepted,
            });
            let (envelope, body) = composer.compose_draft_as(&route, draft, self.message_id)?;
            if let Err(why) = mailbox::storable(&envelope) {
                return Err(SendError::Mailbox {
                    code: code::NOT_STORABLE.to_owned(),
                    detail: why.to_string(),
                    message_id: envelope.message_id.to_string(),
                });
            }
            spans::describe(&span, &route.subject, &envelope);
            (Sent::from(&envelope), envelope.message_id, body)
        };
        // A message that can be kept has one.
        let account_id = route.to_account_id.clone().unwrap_or_default();
        let limits = node.limits();
        let wait = send.receipt_timeout.unwrap_or(limits.receipt_timeout);
        let message = KeepableMessage {
            subject: &route.subject,
            message_id: &message_id,
            account_id: &account_id,
            body: &body,
            wait: wait.max(MIN_RECEIPT_TIMEOUT),
            processing: processed.then(|| send.processing_timeout.unwrap_or(limits.processing_timeout)),
        };
        let delivered = session
            .delivery
            .deliver_or_keep(&session.registry, node.outbox(), call, message)
            .await;
        if delivered.as_ref().is_err_and(|error| !error.was_accepted()) {
            route.forget_username(&session.usernames);
        }
        let delivery = match delivered? {
            Kept::Delivered => {
                session.metrics.send_account.record(started.elapsed());
                MailboxDelivery::Delivered
            }
            Kept::Queued { detail } => MailboxDelivery::Queued { detail },
        };
        Ok(MailboxSent { sent, delivery })
    }
}

impl IntoFuture for MailboxSend {
    type Output = Result<MailboxSent, SendError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let span = spans::send();
        spans::within(span.clone(), self.run(span))
    }
}

/// A message that was delivered or is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxSent {
    /// The ids of the message.
    pub sent: Sent,
    /// Where it is.
    pub delivery: MailboxDelivery,
}

impl MailboxSent {
    /// Whether the message waits in the mailbox.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.delivery, MailboxDelivery::Queued { .. })
    }
}

/// Where a message is that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailboxDelivery {
    /// Its receiver has accepted it; with [`Until::Processed`], handled it.
    Delivered,
    /// It waits in the receiver's mailbox, safely stored.
    Queued {
        /// Why, and until when: a sentence.
        detail: String,
    },
}
