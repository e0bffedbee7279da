//! Delivery of a message that its receiver need not take now: it is published once, and put into the receiver's mailbox unless
//! its receipt comes (PROTOCOL.md section 21.2).
//!
//! A message goes through these steps, and `accepted` ends each of them: `publish`, `put`, and, for a sender that waits for the
//! end of the handling, `until_processed` (accepted, not in the mailbox) or `while_queued`.

mod signals;

use std::time::Duration;

use agentnet_protocol::mailbox::code;
use agentnet_protocol::rpc::{MailboxPutReply, MailboxPutRequest};
use agentnet_protocol::{RawJson, Receipt, Text};
use bytes::Bytes;
use tokio::sync::mpsc;

use self::signals::{Signal, next_signal, shortened, signal};
use super::{Delivery, PendingReceipt};
use crate::connect::NO_CONNECTION;
use crate::connect::denials::Action;
use crate::identity::expect_receipts;
use crate::mailbox::codes::{DEAD, not_kept};
use crate::mailbox::queued_receivers::QueuedReceivers;
use crate::registry::RegistryClient;
use crate::send::error::SendError;

/// How long a registry may take to keep a message, all attempts together.
const PUT_TIMEOUT: Duration = Duration::from_secs(5);
/// The reason why a message is put that is not published before.
const EARLIER_WAIT: &str = "earlier messages wait for the receiver";

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
    receivers: &'a QueuedReceivers,
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
        receivers: &QueuedReceivers,
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
            receivers,
            message,
            receipts: self.pending.wait_for(message_id),
            published_on: None,
        };
        let mut step = match receivers.contains(message.account_id) {
            true => attempt.put_behind_others().await?,
            false => Step::Publish,
        };
        loop {
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

impl Attempt<'_> {
    /// Publishes the message, and waits for a receipt.
    async fn publish(&mut self) -> Result<Step, SendError> {
        let publisher = &*self.delivery.publisher;
        let (message, receipts) = (self.message, &mut self.receipts);
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
            let denied = denials.wait(mark, |denied| denied.is(Action::Publish, message.subject));
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

    /// Puts the message into the mailbox. A receipt that comes meanwhile wins.
    async fn put(&mut self, why: &str) -> Result<Step, SendError> {
        self.connected().await?;
        let request = self.put_request(false)?;
        let (registry, receipts, processing) = (&self.registry, &mut self.receipts, self.message.processing);
        let reply = tokio::select! {
            biased;
            step = late_receipt(receipts, processing) => return step,
            reply = registry.call(&request) => reply,
        };
        let message_id = self.message.message_id;
        match reply {
            Ok(reply) => self.is_put(&reply, why),
            Err(error) => Err(not_kept(error, why, message_id)),
        }
    }

    /// Puts the message behind earlier ones that may wait; to be published where none does.
    async fn put_behind_others(&mut self) -> Result<Step, SendError> {
        self.connected().await?;
        let request = self.put_request(true)?;
        let error = match self.registry.call(&request).await {
            Ok(reply) if reply.state == "live" => {
                self.receivers.remove(self.message.account_id);
                return Ok(Step::Publish);
            }
            Ok(reply) => return self.is_put(&reply, EARLIER_WAIT),
            Err(error) => error,
        };
        let error = not_kept(error, EARLIER_WAIT, self.message.message_id);
        match &error {
            // No more messages are kept for the receiver: what is sent now can only be published, before what may wait.
            SendError::Mailbox { code, .. }
                if [code::DISABLED, code::REFUSED, code::UNKNOWN_ACCOUNT].contains(&code.as_str()) =>
            {
                self.receivers.remove(self.message.account_id);
                Ok(Step::Publish)
            }
            _ => Err(error),
        }
    }

    /// While there is no connection nothing is put: what the client buffers would go out after the sender has been told of a
    /// failure.
    async fn connected(&self) -> Result<(), SendError> {
        let connected = self.delivery.publisher.connected();
        let waited = tokio::time::timeout(self.message.wait, connected).await;
        waited.map_err(|_| SendError::Connection(NO_CONNECTION.to_owned()))
    }

    fn put_request(&self, direct: bool) -> Result<MailboxPutRequest, SendError> {
        let invalid = |why: &dyn std::fmt::Display| SendError::Payload(why.to_string());
        let text = String::from_utf8(self.message.body.to_vec()).map_err(|why| invalid(&why))?;
        let envelope = RawJson::parse(text).map_err(|why| invalid(&why))?;
        Ok(MailboxPutRequest { envelope, direct })
    }

    fn is_put(&self, reply: &MailboxPutReply, why: &str) -> Result<Step, SendError> {
        let failed = |code: &str, detail: String| SendError::Mailbox {
            code: code.to_owned(),
            detail,
            message_id: self.message.message_id.to_string(),
        };
        match reply.state.as_str() {
            "queued" => Ok(Step::WhileQueued(match &reply.expires_at {
                Some(expires_at) => format!("{why}; the message is kept until {}", shortened(expires_at)),
                None => format!("{why}; the message is kept"),
            })),
            "delivered" => Ok(Step::Done(Kept::Delivered)),
            "dead" => Err(failed(
                DEAD,
                "the mailbox has given up a message with this id; `agentnet mailbox` shows why".to_owned(),
            )),
            state => Err(failed(
                code::FAILED,
                format!(
                    "{why}, and the registry says of the message only {:?}",
                    shortened(state)
                ),
            )),
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
        Ok(Step::Done(match delivered? {
            true => Kept::Delivered,
            false => {
                self.receivers.insert(self.message.account_id);
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

/// A receipt that comes while the message is put: only one that ends the put counts.
async fn late_receipt(
    receipts: &mut mpsc::Receiver<Box<Receipt>>,
    processing: Option<Duration>,
) -> Result<Step, SendError> {
    loop {
        match (next_signal(receipts).await?, processing) {
            (Signal::Accepted, Some(timeout)) => return Ok(Step::UntilProcessed(timeout)),
            (Signal::Accepted | Signal::Duplicate(_), None) | (Signal::Processed, _) => {
                return Ok(Step::Done(Kept::Delivered));
            }
            (Signal::Queued(detail), _) => return Ok(Step::WhileQueued(detail)),
            (Signal::Failed(error), _) => return Err(error),
            (Signal::Duplicate(_) | Signal::Returned(_) | Signal::Ignored, _) => {}
        }
    }
}
