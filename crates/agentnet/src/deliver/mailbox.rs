//! Delivery of a message that its receiver need not take now: it is published once, and put into the receiver's mailbox unless
//! its receipt comes (PROTOCOL.md section 21.2).
//!
//! A message goes through these steps, and `accepted` ends each of them: `publish`, `put`, and, for a sender that waits for the
//! end of the handling, `until_processed` (accepted, not in the mailbox) or `while_queued`.
//!
//! Messages to one receiver stay in the order of their sends by two lines (`mailbox::outbox`): one is left when the message is
//! published, or put behind others; the other, in which a message waits only before it is put, when it is decided whether the
//! message is in the mailbox.

mod put;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::mailbox::code;
use agentnet_protocol::{Receipt, Text};
use bytes::Bytes;
use tokio::sync::mpsc;

use self::signals::{Signal, next_signal, signal};
use super::{Delivery, PendingReceipt};
use crate::connect::NO_CONNECTION;
use crate::connect::denials::Action;
use crate::identity::expect_receipts;
use crate::mailbox::lines::Place;
use crate::mailbox::outbox::{LINE_TIMEOUT, Outbox};
use crate::mailbox::queued_receivers::Hold;
use crate::registry::RegistryClient;
use crate::send::error::SendError;

/// How long a registry may take to keep a message, all attempts together.
const PUT_TIMEOUT: Duration = Duration::from_secs(5);

/// A message that may be kept, and how far to wait for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepableMessage<'a> {
    pub(crate) subject: &'a str,
    pub(crate) message_id: &'a Text,
    /// The account of the receiver.
    pub(crate) account_id: &'a Text,
    pub(crate) body: &'a Bytes,
    /// How long to wait for its receipt.
    pub(crate) wait: Duration,
    /// How long to wait for the end of the handling; `None` to return before it.
    pub(crate) processing: Option<Duration>,
}

/// What has become of such a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The receiver has it.
    Delivered,
    /// It waits in the receiver's mailbox.
    Queued {
        /// Why, and until when.
        detail: String,
    },
}

/// Where a message stands.
enum Step {
    Publish,
    Put(String),
    UntilProcessed(Duration),
    WhileQueued(String),
    Done(Kept),
}

struct Attempt<'a> {
    delivery: &'a Delivery,
    registry: RegistryClient,
    outbox: &'a Outbox,
    /// In the line of those that are not published yet.
    call: Option<Place>,
    /// In the line of those that may be put.
    place: Option<Arc<Place>>,
    /// From the time on at which the message may be in the mailbox.
    hold: Option<Hold<'a>>,
    message: KeepableMessage<'a>,
    receipts: mpsc::Receiver<Box<Receipt>>,
    /// The connection on which the message was published.
    published_on: Option<u64>,
}

impl Delivery {
    /// Delivers a message, or has it kept. Where earlier messages wait for the same receiver, it is put behind them at once.
    pub(crate) async fn deliver_or_keep(
        &self,
        registry: &RegistryClient,
        outbox: &Outbox,
        call: Place,
        message: KeepableMessage<'_>,
    ) -> Result<Kept, SendError> {
        let message_id = message.message_id;
        let _expected = expect_receipts(self.identity.as_ref(), message_id, Some(message.account_id));
        let _pending = PendingReceipt {
            pending: &self.pending,
            message_id,
        };
        let mut attempt = Attempt {
            delivery: self,
            registry: registry.clone().with_timeout(PUT_TIMEOUT),
            outbox,
            call: Some(call),
            place: None,
            hold: None,
            message,
            receipts: self.pending.wait_for(message_id, Some(message.account_id)),
            published_on: None,
        };
        let mut step = attempt.begin().await?;
        loop {
            attempt.leave_lines(&step);
            step = match step {
                Step::Publish => attempt.publish().await?,
                Step::Put(why) => attempt.put(&why).await?,
                Step::UntilProcessed(timeout) => attempt.until_processed(timeout).await?,
                Step::WhileQueued(detail) => attempt.while_queued(detail).await?,
                Step::Done(kept) => {
                    // A message that was only put is in the history by that.
                    if kept == Kept::Delivered && attempt.published_on.is_some() {
                        self.record_again(attempt.published_on, message.body.clone()).await;
                    }
                    return Ok(kept);
                }
            };
        }
    }
}

impl<'a> Attempt<'a> {
    /// Waits for the turn of the message. Where others may wait for its receiver, it is put behind them.
    async fn begin(&mut self) -> Result<Step, SendError> {
        self.connected().await?;
        if let Some(call) = &self.call
            && tokio::time::timeout(LINE_TIMEOUT, call.first()).await.is_err()
        {
            let seconds = LINE_TIMEOUT.as_secs();
            return Err(SendError::Mailbox {
                code: code::FAILED.to_owned(),
                detail: format!(
                    "the message is not sent: earlier ones to its receiver were not kept within {seconds} s"
                ),
                message_id: self.message.message_id.to_string(),
            });
        }
        let account_id = self.message.account_id;
        self.place = Some(Arc::new(self.outbox.put(account_id)));
        match self.outbox.receivers.contains(account_id) {
            true => self.put_behind_others().await,
            false => Ok(Step::Publish),
        }
    }

    /// The message has its place in the order once it is decided whether it is in the mailbox.
    fn leave_lines(&mut self, next: &Step) {
        if let Step::Put(_) | Step::WhileQueued(_) = next {
            self.hold();
        }
        if !matches!(next, Step::Publish | Step::Put(_)) {
            self.call = None;
            self.place = None;
        }
    }

    /// What is sent from here on is put behind this message.
    fn hold(&mut self) {
        if self.hold.is_none() {
            self.hold = Some(self.outbox.receivers.hold(self.message.account_id));
        }
    }

    /// The message does not wait in the mailbox, as far as is known.
    fn release(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.release();
        }
    }

    /// Publishes the message, and waits for a receipt.
    async fn publish(&mut self) -> Result<Step, SendError> {
        let publisher = &*self.delivery.publisher;
        let (message, receipts, call) = (self.message, &mut self.receipts, &mut self.call);
        let mut published_on = None;
        let publish_and_wait = async {
            if !publisher.is_connected() {
                publisher.connected().await;
            }
            let connection = publisher.connection_number();
            let denials = &publisher.connections.denials;
            let mark = denials.mark();
            publisher.publish_message(message.subject, message.body.clone()).await?;
            published_on = Some(connection);
            *call = None;
            let denied = denials.wait(mark, |denied| {
                denied.is(Action::Publish, &publisher.issuer.publish_subject(message.subject))
            });
            tokio::select! {
                step = first_receipt(receipts, message.processing) => step,
                denied = denied => Err(SendError::Denied(denied.to_string())),
            }
        };
        let waited = tokio::time::timeout(message.wait, publish_and_wait).await;
        self.published_on = published_on;
        match (waited, published_on) {
            (Ok(step), _) => step,
            (Err(_), Some(_)) => {
                self.delivery.metrics.receipt_timeouts.add_one();
                let seconds = message.wait.as_secs_f64();
                Ok(Step::Put(format!("the receiver did not answer within {seconds} s")))
            }
            (Err(_), None) => Err(SendError::Connection(NO_CONNECTION.to_owned())),
        }
    }

    /// The message is accepted, and is not in the mailbox: waits for the end of its handling.
    async fn until_processed(&mut self, timeout: Duration) -> Result<Step, SendError> {
        let receipts = &mut self.receipts;
        let last_word = async {
            loop {
                match next_signal(receipts).await? {
                    Signal::Processed => return Ok(Step::Done(Kept::Delivered)),
                    Signal::Queued(detail) => return Ok(Step::WhileQueued(detail)),
                    Signal::Returned(why) => return Ok(Step::Put(why)),
                    Signal::Failed(SendError::Rejected {
                        code,
                        detail,
                        message_id,
                    }) => {
                        return Err(SendError::NotProcessed {
                            code,
                            detail,
                            message_id,
                        });
                    }
                    Signal::Failed(error) => return Err(error),
                    Signal::Accepted | Signal::Duplicate(_) | Signal::Ignored => {}
                }
            }
        };
        let message_id = self.message.message_id;
        tokio::time::timeout(timeout, last_word).await.unwrap_or_else(|_| {
            Err(SendError::ProcessingTimeout {
                message_id: message_id.to_string(),
                timeout,
            })
        })
    }

    /// The message waits in the mailbox: the receiver may have it nevertheless, or take it within the time for the handling.
    async fn while_queued(&mut self, detail: String) -> Result<Step, SendError> {
        let receipts = &mut self.receipts;
        let delivered = match self.message.processing {
            None => loop {
                match receipts.try_recv().map(|receipt| signal(&receipt)) {
                    Ok(Signal::Accepted | Signal::Processed | Signal::Duplicate(_)) => break Ok(true),
                    Ok(_) => {}
                    Err(_) => break Ok(false),
                }
            },
            Some(timeout) => {
                let end = async {
                    loop {
                        match next_signal(receipts).await {
                            Ok(Signal::Processed) => return Ok(true),
                            Ok(Signal::Failed(error @ SendError::Mailbox { .. })) => return Err(error),
                            // Whatever else its receiver says of an attempt: the mailbox goes on with it.
                            Ok(_) => {}
                            // The node is closing.
                            Err(_) => return Ok(false),
                        }
                    }
                };
                tokio::time::timeout(timeout, end).await.unwrap_or(Ok(false))
            }
        };
        if !matches!(delivered, Ok(false)) {
            self.release();
        }
        Ok(Step::Done(match delivered? {
            true => Kept::Delivered,
            false => {
                // The message waits.
                self.hold = None;
                Kept::Queued { detail }
            }
        }))
    }
}

/// The first receipt that counts for a message that was published.
async fn first_receipt(
    receipts: &mut mpsc::Receiver<Box<Receipt>>,
    processing: Option<Duration>,
) -> Result<Step, SendError> {
    loop {
        match (next_signal(receipts).await?, processing) {
            // Another message had this idempotency key; how its handling ended is not known.
            (Signal::Duplicate(error), Some(_)) => return Err(error),
            (Signal::Accepted, Some(timeout)) => return Ok(Step::UntilProcessed(timeout)),
            (Signal::Accepted | Signal::Duplicate(_) | Signal::Processed, _) => {
                return Ok(Step::Done(Kept::Delivered));
            }
            (Signal::Queued(detail), _) => return Ok(Step::WhileQueued(detail)),
            (Signal::Returned(why), _) => return Ok(Step::Put(why)),
            (Signal::Failed(error), _) => return Err(error),
            (Signal::Ignored, _) => {}
        }
    }
}
