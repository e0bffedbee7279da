//! Acknowledged delivery: publish, await the receipt, repeat (PROTOCOL.md section 11.4); and, beyond the original, await the
//! receipt that tells how the handling ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet_protocol::{Receipt, ReceiptStatus, Text};
use ahash::AHashMap;
use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::connect::NO_CONNECTION;
use crate::connect::denials::Action;
use crate::error::SendError;
use crate::identity::ReceiptChecks;
use crate::metrics::Metrics;
use crate::session::Live;

/// The sends that wait for their receipt, by message id.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// Absent once the node is closing.
    waiting: Mutex<Option<AHashMap<Text, mpsc::Sender<Box<Receipt>>>>>,
}

/// Receipts (boxed: channels allocate room for many at once) that a send may be behind: a receiver gives two, and each retry may bring two more.
const RECEIPTS: usize = 8;

impl Receipts {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::new(Some(AHashMap::new())),
        }
    }

    fn wait_for(&self, message_id: &Text) -> mpsc::Receiver<Box<Receipt>> {
        let (sender, receiver) = mpsc::channel(RECEIPTS);
        if let Some(waiting) = &mut *self.lock() {
            waiting.insert(message_id.clone(), sender);
        }
        receiver
    }

    fn forget(&self, message_id: &Text) {
        if let Some(waiting) = &mut *self.lock() {
            waiting.remove(message_id);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<AHashMap<Text, mpsc::Sender<Box<Receipt>>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails every wait, also later ones, at once: the node is closing.
    pub(crate) fn abandon(&self) {
        self.lock().take();
    }

    /// Whether a send waits for the receipts of this message.
    fn is_waiting_for(&self, message_id: &str) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|waiting| waiting.contains_key(message_id))
    }

    fn arrived(&self, receipt: Receipt) {
        if let Some(waiting) = &*self.lock()
            && let Some(sender) = waiting.get(&receipt.message_id)
        {
            // A full channel belongs to a send that has heard enough to go on.
            let _ = sender.try_send(Box::new(receipt));
        }
    }
}

/// Hands receipts to the sends that wait for them, until the subscription ends.
pub(crate) async fn listen(live: Arc<Live>, mut subscription: Subscriber) {
    let mut checks = ReceiptChecks::new(live.clone());
    loop {
        let message = tokio::select! {
            receipt = checks.looked_up() => {
                live.receipts.arrived(receipt);
                continue;
            }
            message = subscription.next() => message,
        };
        let Some(message) = message else { return };
        // Every other receipt tells of a message that its sender knows enough of.
        if Receipt::message_id_at_front(&message.payload).is_some_and(|id| !live.receipts.is_waiting_for(id)) {
            continue;
        }
        match Receipt::decode(message.payload) {
            Ok(receipt) => {
                if let Some(receipt) = checks.check(receipt) {
                    live.receipts.arrived(receipt);
                }
            }
            Err(error) => tracing::debug!(%error, "ignored a receipt that cannot be read"),
        }
    }
}

/// How far a send waits for its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Until {
    /// It is published; whether anybody gets it is not known.
    Published,
    /// The receiver has taken it in, and will handle it: the default of section 11.4.
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
    /// Wait for the end of the handling, once the message is accepted; `None` if nobody asks for it.
    pub(crate) processing: Option<Duration>,
}

/// Removes the wait when the send ends or is dropped.
struct Waiting<'a> {
    receipts: &'a Receipts,
    message_id: &'a Text,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.receipts.forget(self.message_id);
    }
}

/// Publishes the message until it is acknowledged, and waits until it is processed if it is to.
///
/// While there is no connection nothing is published: what piled up in the client would go out after the sender was told of
/// a failure.
pub(crate) async fn deliver(
    live: &Live,
    metrics: &Metrics,
    subject: &str,
    message_id: &Text,
    body: Bytes,
    acknowledgement: Acknowledgement,
) -> Result<(), SendError> {
    let _waiting = Waiting {
        receipts: &live.receipts,
        message_id,
    };
    let mut receipts = live.receipts.wait_for(message_id);
    let mut published_on = None;
    for attempt in 1..=acknowledgement.attempts {
        if attempt > 1 {
            metrics.retries.add_one();
        }
        let last = attempt == acknowledgement.attempts;
        let publish_and_wait = async {
            if !live.is_connected() {
                Box::pin(live.connected()).await;
            }
            let connection = live.connection();
            let mark = live.connections.denials.mark();
            live.publish_message(subject, body.clone()).await?;
            published_on = Some(connection);
            let denied = live
                .connections
                .denials
                .wait(mark, |denied| denied.is(Action::Publish, subject));
            tokio::select! {
                receipt = receipts.recv() => receipt.ok_or(SendError::NotRunning),
                denied = Box::pin(denied) => Err(SendError::Denied(denied.to_string())),
            }
        };
        match tokio::time::timeout(acknowledgement.wait, publish_and_wait).await {
            Ok(arrived) => match (outcome(&*arrived?), acknowledgement.processing) {
                // Something else was sent under this idempotency key; how its handling ended is not told.
                (Outcome::Duplicate(error), Some(_)) if attempt == 1 => return Err(error),
                (Outcome::Accepted | Outcome::Duplicate(_), Some(patience)) => {
                    record_again(live, published_on, body).await;
                    return Box::pin(processed(&mut receipts, message_id, patience)).await;
                }
                (Outcome::Accepted | Outcome::Duplicate(_) | Outcome::Processed, _) => {
                    record_again(live, published_on, body).await;
                    return Ok(());
                }
                (Outcome::Refused(error), _) => return Err(error),
                (Outcome::Unusable(error), _) if last => return Err(error),
                (Outcome::Unusable(_), _) => {}
            },
            Err(_) => {
                if published_on.is_some() {
                    metrics.receipt_timeouts.add_one();
                }
                if !last {
                    let pause = Duration::from_millis(u64::from(attempt) * 100).min(RETRY_PAUSE);
                    Box::pin(tokio::time::sleep(pause)).await;
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

/// Waits for the end of the handling of a message that was accepted.
async fn processed(
    receipts: &mut mpsc::Receiver<Box<Receipt>>,
    message_id: &Text,
    patience: Duration,
) -> Result<(), SendError> {
    let last_word = async {
        loop {
            let receipt = receipts.recv().await.ok_or(SendError::NotRunning)?;
            match outcome(&receipt) {
                Outcome::Processed => return Ok(()),
                Outcome::Accepted | Outcome::Duplicate(_) | Outcome::Unusable(_) => {}
                Outcome::Refused(SendError::Rejected {
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
                Outcome::Refused(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(patience, last_word).await.unwrap_or_else(|_| {
        Err(SendError::ProcessingTimeout {
            message_id: message_id.to_string(),
            timeout: patience,
        })
    })
}

/// Puts a delivered message into the history once more, if the connection on which it was published is gone: should the
/// server have crashed, the receiver got the message and the history perhaps not. On the sender's own reply subject, which
/// is captured as inboxes are and where nobody handles it; the history keeps one of each message id.
async fn record_again(live: &Live, published_on: Option<u64>, body: Bytes) {
    if live.is_connected() && published_on == Some(live.connection()) {
        return;
    }
    if let Err(error) = Box::pin(live.publish(live.replies.nobody(), body)).await {
        tracing::warn!(%error, "a delivered message may be missing in the history");
    }
}

const RETRY_PAUSE: Duration = Duration::from_millis(500);

enum Outcome {
    Accepted,
    /// The receiver has had it before.
    Duplicate(SendError),
    Processed,
    Refused(SendError),
    Unusable(SendError),
}

fn outcome(receipt: &Receipt) -> Outcome {
    let text = |text: &Option<Text>, default: &str| {
        text.as_deref()
            .map(agentnet_protocol::json::trim)
            .filter(|text| !text.is_empty())
            .unwrap_or(default)
            .to_owned()
    };
    match receipt.status() {
        ReceiptStatus::Accepted => Outcome::Accepted,
        ReceiptStatus::Processed => Outcome::Processed,
        ReceiptStatus::Rejected => {
            let code = text(&receipt.code, "rejected");
            let outcome = match code.eq_ignore_ascii_case("duplicate") {
                true => Outcome::Duplicate,
                false => Outcome::Refused,
            };
            outcome(SendError::Rejected {
                code,
                detail: text(&receipt.detail, "delivery rejected by recipient"),
                message_id: receipt.message_id.to_string(),
            })
        }
        ReceiptStatus::Other => Outcome::Unusable(SendError::AckUnusable {
            status: text(&Some(receipt.status.clone()), "unknown"),
            message_id: receipt.message_id.to_string(),
        }),
    }
}
