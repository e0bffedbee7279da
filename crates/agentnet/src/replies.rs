//! Replies to requests, by one subscription a node: each request gets a subject of its own below it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agentnet_protocol::subject::{self, usable_reply_prefix};
use async_nats::{Message, Subscriber};
use futures::StreamExt;
use tokio::sync::oneshot;

use crate::session::Live;

/// The requests that wait for their reply.
#[derive(Debug)]
pub(crate) struct Replies {
    base: String,
    next: AtomicU64,
    /// Absent once the node is closing.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Message>>>>,
}

impl Replies {
    /// Below the prefix that the registry offered, which the history captures; else below `_INBOX`, which the original
    /// registry taps.
    pub(crate) fn new(offered_prefix: Option<&str>, account_id: &str, token: &str) -> Self {
        let base = match usable_reply_prefix(offered_prefix, account_id) {
            Some(prefix) => subject::reply(prefix, account_id, token),
            None => format!("_INBOX.{token}"),
        };
        Self {
            base,
            next: AtomicU64::new(0),
            waiting: Mutex::new(Some(HashMap::new())),
        }
    }

    /// What to subscribe to.
    pub(crate) fn wildcard(&self) -> String {
        format!("{}.*", self.base)
    }

    /// A reply subject that no request waits for.
    pub(crate) fn nobody(&self) -> String {
        format!("{}.nobody", self.base)
    }

    /// A fresh reply subject. The wait ends with the returned value.
    pub(crate) fn expect(&self) -> Expected<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        if let Some(waiting) = &mut *self.lock() {
            waiting.insert(number, sender);
        }
        Expected {
            replies: self,
            number,
            subject: format!("{}.{number}", self.base),
            receiver,
        }
    }

    /// Fails every wait, also later ones, at once: the node is closing.
    pub(crate) fn abandon(&self) {
        self.lock().take();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Message>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, message: Message) {
        let number = message
            .subject
            .strip_prefix(self.base.as_str())
            .and_then(|rest| rest.get(1..)?.parse().ok());
        let waiting = number.and_then(|number: u64| self.lock().as_mut()?.remove(&number));
        if let Some(sender) = waiting {
            let _ = sender.send(message);
        }
    }
}

/// One awaited reply.
pub(crate) struct Expected<'a> {
    replies: &'a Replies,
    number: u64,
    pub(crate) subject: String,
    pub(crate) receiver: oneshot::Receiver<Message>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.replies.lock() {
            waiting.remove(&self.number);
        }
    }
}

/// Hands replies to the requests that wait for them, until the subscription ends.
pub(crate) async fn listen(live: Arc<Live>, mut subscription: Subscriber) {
    while let Some(message) = subscription.next().await {
        live.replies.arrived(message);
    }
}
