//! Acknowledged delivery: publish, await the receipt, repeat (PROTOCOL.md section 11.4); and, which the Python implementation
//! does not, await the receipt for the end of the handling. `mailbox`: or else have the message kept.

pub(crate) mod mailbox;

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Receipt, ReceiptStatus, Text};
use ahash::AHashMap;
use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::connect::NO_CONNECTION;
use crate::connect::denials::Action;
use crate::error::SendError;
use crate::identity::{Identity, ReceiptChecks, expect_receipts};
use crate::metrics::Metrics;
use crate::publisher::Publisher;

/// The sends that wait for their receipt, by message id.
#[derive(Debug)]
struct PendingReceipts {
    /// Absent once the node is closing.
    by_message: Mutex<Option<AHashMap<Text, Waiter>>>,
}

/// A send that waits.
#[derive(Debug)]
struct Waiter {
    receipts: mpsc::Sender<Box<Receipt>>,
    /// The receiver's account; `None` for a message to a capability.
    account_id: Option<Text>,
}

/// Receipts of one message that may be queued: a receiver sends two, and each retry may bring two more. Boxed, because a
/// channel allocates memory for many at once.
const RECEIPT_QUEUE_CAPACITY: usize = 8;

impl PendingReceipts {
    fn new() -> Self {
        Self {
            by_message: Mutex::new(Some(AHashMap::new())),
        }
    }

    fn wait_for(&self, message_id: &Text, account_id: Option<&Text>) -> mpsc::Receiver<Box<Receipt>> {
        let (receipts, receiver) = mpsc::channel(RECEIPT_QUEUE_CAPACITY);
        if let Some(waiting) = &mut *self.lock() {
            let account_id = account_id.cloned();
            waiting.insert(message_id.clone(), Waiter { receipts, account_id });
        }
        receiver
    }

    fn forget(&self, message_id: &Text) {
        if let Some(waiting) = &mut *self.lock() {
            waiting.remove(message_id);
        }
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Option<AHashMap<Text, Waiter>>> {
        self.by_message.lock()
    }

    /// Fails every wait, also later ones, at once: the node is closing.
    fn abandon(&self) {
        self.lock().take();
    }

    /// Whether a send waits for the receipts of this message.
    fn is_waiting_for(&self, message_id: &str) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|waiting| waiting.contains_key(message_id))
    }

    /// Whether a receipt that the broker proves to come from its account is one of the receiver's, or of a registry in its place.
    fn is_from_receiver(&self, receipt: &Receipt) -> bool {
        let sender = receipt.from_account_id.as_deref().unwrap_or_default();
        self.lock().as_ref().is_some_and(|waiting| {
            let waiter = waiting.get(&receipt.message_id);
            waiter.is_some_and(|waiter| match &waiter.account_id {
                Some(account_id) => sender == &**account_id || sender.starts_with(REGISTRY_ACCOUNT_PREFIX),
                None => true,
            })
        })
    }

    fn arrived(&self, receipt: Receipt) {
        if let Some(waiting) = &*self.lock()
            && let Some(Waiter { receipts: sender, .. }) = waiting.get(&receipt.message_id)
        {
            // A full channel belongs to a send that has enough receipts to continue.
            let _ = sender.try_send(Box::new(receipt));
        }
    }
}

/// Delivers the messages of one session.
#[derive(Debug)]
pub(crate) struct Delivery {
    publisher: Arc<Publisher>,
    identity: Option<Arc<Identity>>,
    metrics: Arc<Metrics>,
    pending: PendingReceipts,
    /// A reply subject that no request uses.
    unused_subject: String,
}

impl Delivery {
    pub(crate) fn new(
        publisher: Arc<Publisher>,
        identity: Option<Arc<Identity>>,
        metrics: Arc<Metrics>,
        unused_subject: String,
    ) -> Self {
        Self {
            publisher,
            identity,
            metrics,
            pending: PendingReceipts::new(),
            unused_subject,
        }
    }

    /// Fails every wait for a receipt, also later ones, at once: the node is closing.
    pub(crate) fn abandon(&self) {
        self.pending.abandon();
    }
}

/// Gives receipts to the sends that wait for them, until the subscription ends.
pub(crate) async fn receive_receipts(delivery: Arc<Delivery>, mut subscription: Subscriber) {
    let mut checks = ReceiptChecks::new(delivery.identity.clone(), delivery.metrics.clone());
    let pending = &delivery.pending;
    loop {
        let message = tokio::select! {
            receipt = checks.looked_up() => {
                pending.arrived(receipt);
                continue;
            }
            message = subscription.next() => message,
        };
        let Some(message) = message else { return };
        // All other receipts are about messages that their sender has finished with.
        if Receipt::message_id_at_front(&message.payload).is_some_and(|id| !pending.is_waiting_for(id)) {
            continue;
        }
        match Receipt::decode(message.payload) {
            Ok(receipt) if !is_proven(&delivery, &message.subject, &receipt) => {
                tracing::warn!(message_id = %receipt.message_id, "ignored a receipt that another account than the receiver's has published");
            }
            Ok(receipt) => {
                if let Some(receipt) = checks.check(receipt) {
                    pending.arrived(receipt);
                }
            }
            Err(error) => tracing::debug!(%error, "ignored a receipt that cannot be read"),
        }
    }
}

/// In secure mode a receipt counts only if the broker proves that it comes from the receiver (PROTOCOL.md section 23.6).
fn is_proven(delivery: &Delivery, subject: &str, receipt: &Receipt) -> bool {
    let issuer = &delivery.publisher.issuer;
    issuer.account_id().is_none()
        || issuer.vouches_for(subject, receipt.from_account_id.as_deref()) && delivery.pending.is_from_receiver(receipt)
}

/// How far a send waits for its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Until {
    /// It is published; whether a receiver gets it is not known.
    Published,
    /// The receiver has accepted it, and will handle it: the default of section 11.4.
    #[default]
    Accepted,
    /// The receiver's handler has finished with it.
    Processed,
}

/// How a message is to be acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledgement {
    /// Publishes in all: one and the retries.
    pub(crate) attempts: u32,
    /// Wait for each.
    pub(crate) wait: Duration,
    /// Wait for the end of the handling, once the message is accepted; `None` to return then.
    pub(crate) processing: Option<Duration>,
}

/// Ends the wait for receipts when the send ends or is dropped.
struct PendingReceipt<'a> {
    pending: &'a PendingReceipts,
    message_id: &'a Text,
}

impl Drop for PendingReceipt<'_> {
    fn drop(&mut self) {
        self.pending.forget(self.message_id);
    }
}

impl Delivery {
    /// Publishes a message until it is acknowledged, and waits until it is processed where that is asked for. `account_id`
    /// is the receiver's; `None` for a message to a capability.
    ///
    /// While there is no connection nothing is published: what the client buffers would go out after the sender has been
    /// told of a failure.
    pub(crate) async fn deliver(
        &self,
        subject: &str,
        message_id: &Text,
        account_id: Option<&Text>,
        body: Bytes,
        acknowledgement: Acknowledgement,
    ) -> Result<(), SendError> {
        let publisher = &*self.publisher;
        let _expected = expect_receipts(self.identity.as_ref(), message_id, account_id);
        let _pending = PendingReceipt {
            pending: &self.pending,
            message_id,
        };
        let mut receipts = self.pending.wait_for(message_id, account_id);
        let mut published_on = None;
        for attempt in 1..=acknowledgement.attempts {
            if attempt > 1 {
                self.metrics.retries.add_one();
            }
            let last = attempt == acknowledgement.attempts;
            let publish_and_wait = async {
                if !publisher.is_connected() {
                    Box::pin(publisher.connected()).await;
                }
                let connection = publisher.connection_number();
                let denials = &publisher.connections.denials;
                let mark = denials.mark();
                publisher.publish_message(subject, body.clone()).await?;
                published_on = Some(connection);
                let denied = denials.wait(mark, |denied| {
                    denied.is(Action::Publish, &publisher.issuer.publish_subject(subject))
                });
                tokio::select! {
                    receipt = receipts.recv() => receipt.ok_or(SendError::NotRunning),
                    denied = Box::pin(denied) => Err(SendError::Denied(denied.to_string())),
                }
            };
            match tokio::time::timeout(acknowledgement.wait, publish_and_wait).await {
                Ok(arrived) => match (outcome(&*arrived?), acknowledgement.processing) {
                    // Another message had this idempotency key; how its handling ended is not known.
                    (ReceiptOutcome::Duplicate(error), Some(_)) if attempt == 1 => return Err(error),
                    (ReceiptOutcome::Accepted | ReceiptOutcome::Duplicate(_), Some(timeout)) => {
                        self.record_again(published_on, body).await;
                        return Box::pin(processed(&mut receipts, message_id, timeout)).await;
                    }
                    (ReceiptOutcome::Accepted | ReceiptOutcome::Duplicate(_) | ReceiptOutcome::Processed, _) => {
                        self.record_again(published_on, body).await;
                        return Ok(());
                    }
                    (ReceiptOutcome::Rejected(error), _) => return Err(error),
                    (ReceiptOutcome::Unusable(error), _) if last => return Err(error),
                    (ReceiptOutcome::Unusable(_), _) => {}
                },
                Err(_) => {
                    if published_on.is_some() {
                        self.metrics.receipt_timeouts.add_one();
                    }
                    if !last {
                        let delay = Duration::from_millis(u64::from(attempt) * 100).min(MAX_RETRY_DELAY);
                        Box::pin(tokio::time::sleep(delay)).await;
                    }
                }
            }
        }
        Err(match published_on {
            Some(_) => SendError::AckTimeout {
                message_id: message_id.to_string(),
                attempts: acknowledgement.attempts,
            },
            None => SendError::Connection(NO_CONNECTION.to_owned()),
        })
    }

    /// Puts a delivered message into the history once more, if the connection on which it was published is gone: should the
    /// server have crashed, the receiver got the message and the history perhaps not. It goes to the sender's own reply
    /// subject, which is captured as inboxes are and where it is not handled; the history keeps one of each message id.
    async fn record_again(&self, published_on: Option<u64>, body: Bytes) {
        let publisher = &self.publisher;
        if publisher.is_connected() && published_on == Some(publisher.connection_number()) {
            return;
        }
        if let Err(error) = Box::pin(publisher.publish(self.unused_subject.as_str(), body)).await {
            tracing::warn!(%error, "a delivered message may be missing in the history");
        }
    }
}

/// Waits for the end of the handling of a message that was accepted.
async fn processed(
    receipts: &mut mpsc::Receiver<Box<Receipt>>,
    message_id: &Text,
    timeout: Duration,
) -> Result<(), SendError> {
    let last_word = async {
        loop {
            let receipt = receipts.recv().await.ok_or(SendError::NotRunning)?;
            match outcome(&receipt) {
                ReceiptOutcome::Processed => return Ok(()),
                ReceiptOutcome::Accepted | ReceiptOutcome::Duplicate(_) | ReceiptOutcome::Unusable(_) => {}
                ReceiptOutcome::Rejected(SendError::Rejected {
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
                ReceiptOutcome::Rejected(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(timeout, last_word).await.unwrap_or_else(|_| {
        Err(SendError::ProcessingTimeout {
            message_id: message_id.to_string(),
            timeout,
        })
    })
}

/// The longest pause before a message is published again.
const MAX_RETRY_DELAY: Duration = Duration::from_millis(500);

enum ReceiptOutcome {
    Accepted,
    /// The receiver has had it before.
    Duplicate(SendError),
    Processed,
    Rejected(SendError),
    Unusable(SendError),
}

fn outcome(receipt: &Receipt) -> ReceiptOutcome {
    let text = |text: &Option<Text>, default: &str| {
        text.as_deref()
            .map(agentnet_protocol::json::trim)
            .filter(|text| !text.is_empty())
            .unwrap_or(default)
            .to_owned()
    };
    match receipt.status() {
        ReceiptStatus::Accepted => ReceiptOutcome::Accepted,
        ReceiptStatus::Processed => ReceiptOutcome::Processed,
        ReceiptStatus::Rejected => {
            let code = text(&receipt.code, "rejected");
            let outcome = match code.eq_ignore_ascii_case("duplicate") {
                true => ReceiptOutcome::Duplicate,
                false => ReceiptOutcome::Rejected,
            };
            outcome(SendError::Rejected {
                code,
                detail: text(&receipt.detail, "delivery rejected by recipient"),
                message_id: receipt.message_id.to_string(),
            })
        }
        // Who asks for the mailbox reads `queued` before (`mailbox`).
        ReceiptStatus::Queued | ReceiptStatus::Other => ReceiptOutcome::Unusable(SendError::AckUnusable {
            status: text(&Some(receipt.status.clone()), "unknown"),
            message_id: receipt.message_id.to_string(),
        }),
    }
}
