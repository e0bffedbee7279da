//! Receipts that may wait for what the session publishes next.
//!
//! The receipt `accepted` of a request tells its sender nothing that the reply will not, and the reply often comes at once.
//! So it waits for it until the intake has let others run, and the two go out in one write. Every message and receipt that the
//! session publishes goes out behind the receipts that were postponed before: for each message the order on the wire is as
//! PROTOCOL.md section 12 has it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use futures::FutureExt as _;

/// The longest pause between two attempts while the client takes nothing.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Postponed {
    receipts: Mutex<VecDeque<(String, Bytes)>>,
    any: AtomicBool,
}

impl Postponed {
    pub(crate) fn add(&self, subject: String, body: Bytes) {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        receipts.push_back((subject, body));
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Publishes all of them, and returns when they are out. Whoever gives up waiting leaves the rest to others.
    pub(crate) async fn publish(&self, client: &Client) {
        let mut pause = Duration::from_millis(1);
        while !self.publish_now(client) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Gives the client as many as it takes without waiting; false if some are left.
    fn publish_now(&self, client: &Client) -> bool {
        // Nobody waits in here: others who come meanwhile are to publish behind these.
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
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
