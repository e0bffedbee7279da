//! Receipts that are published together with what the session publishes next.
//!
//! The receipt `accepted` of a request carries nothing that the reply does not, and the reply often comes at once. So the
//! receipt waits until the intake has let other tasks run, and the two go out in one write. Whatever the session publishes goes
//! out after the receipts that were deferred before: for each message the order on the wire is that of PROTOCOL.md section 12.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_nats::Backoff;
use async_nats::Client;
use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::Mutex;

/// The longest pause between two attempts while the client's queue is full.
const MAX_BACKOFF: Duration = Duration::from_millis(100);

/// The deferred receipts, oldest first.
#[derive(Debug, Default)]
pub(crate) struct DeferredReceipts {
    receipts: Mutex<VecDeque<(String, Bytes)>>,
    any: AtomicBool,
}

impl DeferredReceipts {
    pub(crate) fn add(&self, subject: String, body: Bytes) {
        let mut receipts = self.receipts.lock();
        receipts.push_back((subject, body));
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Publishes all of them, and returns when they are out. If the call is dropped, the next one publishes the rest.
    pub(crate) async fn publish(&self, client: &Client) {
        let mut backoff = Backoff::new(Duration::from_millis(1), MAX_BACKOFF);
        while !self.publish_now(client) {
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Gives the client as many as it takes without waiting; false if some are left.
    fn publish_now(&self, client: &Client) -> bool {
        // No await under the lock: what others publish meanwhile must go out after these.
        let mut receipts = self.receipts.lock();
        while let Some((subject, body)) = receipts.front() {
            let publishing = client.publish(subject.clone(), body.clone());
            match tokio::task::unconstrained(publishing).now_or_never() {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "receipt not sent"),
                None => return false,
            }
            receipts.pop_front();
        }
        self.any.store(false, Ordering::Release);
        true
    }
}
