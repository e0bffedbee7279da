//! Receipts that may wait for what the session publishes next.
//!
//! The receipt `accepted` of a request tells its sender nothing that the reply will not, and the reply often comes at once.
//! So it waits for it, at most until every task that can run has run, and the two go out in one write. Everything that the
//! session publishes goes out behind the receipts that were postponed before: for each message the order on the wire is as
//! PROTOCOL.md section 12 has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_nats::Client;
use bytes::Bytes;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Postponed {
    receipts: Mutex<Vec<(String, Bytes)>>,
    /// Whether there are any, or some are just being published.
    any: AtomicBool,
    /// Held by whoever publishes them; others wait until they are out.
    publishing: tokio::sync::Mutex<()>,
}

impl Postponed {
    pub(crate) fn add(&self, subject: String, body: Bytes) {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        receipts.push((subject, body));
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// All of them; once there are none, forgets that there were.
    fn take(&self) -> Vec<(String, Bytes)> {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        if receipts.is_empty() {
            self.any.store(false, Ordering::Release);
        }
        std::mem::take(&mut receipts)
    }

    /// Publishes all of them.
    pub(crate) async fn publish(&self, client: &Client) {
        let _turn = self.publishing.lock().await;
        loop {
            let receipts = self.take();
            if receipts.is_empty() {
                return;
            }
            for (subject, body) in receipts {
                if let Err(error) = client.publish(subject, body).await {
                    tracing::warn!(%error, "receipt not sent");
                }
            }
        }
    }
}
