//! Replies to requests, by one subscription a node: each request gets a subject of its own below it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agentnet_protocol::Envelope;
use agentnet_protocol::stream::StreamFrame;
use agentnet_protocol::subject::{self, usable_reply_prefix};
use ahash::AHashMap;
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::inbox::words_of_server;
use crate::session::Live;
use crate::stream::{Cancellation, Dropped, Inflow};

/// Replies to one request that may be behind: all but one are forged. Boxed, because a channel allocates room for many at once.
const REPLIES: usize = 64;

/// The requests that wait for their reply.
#[derive(Debug)]
pub(crate) struct Replies {
    base: String,
    next: AtomicU64,
    /// Absent once the node is closing.
    waiting: Mutex<Option<AHashMap<u64, Waiting>>>,
    dropped: Mutex<Dropped>,
}

/// Who waits for the replies of one number.
#[derive(Debug)]
enum Waiting {
    One(mpsc::Sender<Box<Message>>),
    Stream(Inflow, Arc<Cancellation>),
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
            waiting: Mutex::new(Some(AHashMap::new())),
            dropped: Mutex::new(Dropped::default()),
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
        let (number, subject) = self.fresh();
        let (sender, receiver) = mpsc::channel(REPLIES);
        self.wait(number, Waiting::One(sender));
        Expected {
            replies: self,
            number,
            subject,
            receiver,
        }
    }

    /// A fresh number and its reply subject.
    pub(crate) fn fresh(&self) -> (u64, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, format!("{}.{number}", self.base))
    }

    /// Hands all that comes for a number to a stream, until it is [dropped](Self::drop_stream).
    pub(crate) fn expect_stream(&self, number: u64, inflow: Inflow, cancellation: Arc<Cancellation>) {
        self.wait(number, Waiting::Stream(inflow, cancellation));
    }

    fn wait(&self, number: u64, waiting: Waiting) {
        if let Some(all) = &mut *self.lock() {
            all.insert(number, waiting);
        }
    }

    /// Ends the wait of a stream. With a cancellation: who still sends frames is told. `heard`: a frame was seen.
    pub(crate) fn drop_stream(&self, number: u64, cancellation: Option<Arc<Cancellation>>, heard: bool) {
        if let Some(waiting) = &mut *self.lock() {
            waiting.remove(&number);
        }
        if let Some(cancellation) = cancellation {
            self.remember(number, cancellation, heard);
        }
    }

    fn remember(&self, number: u64, cancellation: Arc<Cancellation>, heard: bool) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.remember(number, cancellation, heard, Instant::now());
    }

    /// Cancels the streams that are being read: the node is closing.
    pub(crate) fn cancel_streams(&self, live: &Arc<Live>) {
        for waiting in self.lock().iter().flat_map(|all| all.values()) {
            if let Waiting::Stream(_, cancellation) = waiting {
                cancellation.say(live, None);
            }
        }
    }

    /// Fails every wait, also later ones, at once: the node is closing.
    pub(crate) fn abandon(&self) {
        self.lock().take();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<AHashMap<u64, Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on a reply. Never waits: a stream whose reader is too slow is given up.
    fn arrived(&self, live: &Arc<Live>, message: Message) {
        let number = message
            .subject
            .strip_prefix(self.base.as_str())
            .and_then(|rest| rest.get(1..)?.parse().ok());
        let Some(number) = number else { return };
        // The server's own word that nobody listens carries a status, and headers of its own.
        if message.status != Some(StatusCode::NO_RESPONDERS)
            && let Some(what) = words_of_server(&message)
        {
            tracing::warn!(
                "passed over a reply with {what}, which only the NATS server gives: the history may lack it"
            );
            return;
        }
        let body = message.payload.clone();
        let mut all = self.lock();
        let Some(waiting) = all.as_mut() else { return };
        let overrun = match waiting.get(&number) {
            Some(Waiting::Stream(inflow, cancellation)) => {
                if inflow.push(message) {
                    return;
                }
                Some(cancellation.clone())
            }
            Some(Waiting::One(sender)) => {
                let _ = sender.try_send(Box::new(message));
                return;
            }
            None => None,
        };
        if overrun.is_some() {
            waiting.remove(&number);
        }
        drop(all);
        match overrun {
            Some(cancellation) => {
                self.remember(number, cancellation.clone(), true);
                cancellation.say(live, stream_of(body));
            }
            None => self.unwanted(live, number, body),
        }
    }

    /// A reply that nobody waits for: if it is a frame of a stream that was dropped, its sender is told so once more.
    fn unwanted(&self, live: &Arc<Live>, number: u64, body: Bytes) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cancellation) = dropped.due(number, Instant::now()) else {
            return;
        };
        drop(dropped);
        if let Some(stream_id) = stream_of(body) {
            cancellation.say_again(live, Some(stream_id));
        }
    }
}

/// The stream that a message belongs to, unless it is its last.
fn stream_of(body: Bytes) -> Option<String> {
    let payload = Envelope::decode(body).ok()?.payload;
    let frame = StreamFrame::parse(&payload.view()).ok()??;
    (!frame.part.is_last()).then_some(frame.stream_id)
}

/// One awaited reply.
pub(crate) struct Expected<'a> {
    replies: &'a Replies,
    number: u64,
    pub(crate) subject: String,
    pub(crate) receiver: mpsc::Receiver<Box<Message>>,
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
    /// Nothing comes any more when the task ends, also by the drop of its node.
    struct Abandon(Arc<Live>);
    impl Drop for Abandon {
        fn drop(&mut self) {
            self.0.replies.abandon();
        }
    }
    let live = Abandon(live);
    while let Some(message) = subscription.next().await {
        live.0.replies.arrived(&live.0, message);
    }
}
