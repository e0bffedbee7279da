//! Replies to requests, by one subscription of the node: each request has a reply subject of its own below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_protocol::Envelope;
use agentnet_protocol::stream::StreamFrame;
use agentnet_protocol::subject::{self, usable_reply_prefix};
use ahash::AHashMap;
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::nats_headers::set_by_server;
use crate::stream::{Cancellation, DroppedStreams, Inflow};
use agentnet_nats::Issuer;

/// Replies to one request that may be queued: all but one are forged. Boxed, because a channel allocates memory for many at once.
const REPLY_QUEUE_CAPACITY: usize = 64;

/// The requests that wait for their reply.
#[derive(Debug)]
pub(crate) struct ReplyMux {
    base: String,
    /// Replies end in the account that sends them (section 23.1); the server's word that there are no responders does not.
    is_issued: bool,
    next: AtomicU64,
    /// Absent once the node is closing.
    waiters: Mutex<Option<AHashMap<u64, ReplyWaiter>>>,
    dropped: Mutex<DroppedStreams>,
}

/// The receiver of the replies to one request.
#[derive(Debug)]
enum ReplyWaiter {
    One(mpsc::Sender<Box<Message>>),
    Stream(Inflow, Arc<Cancellation>),
}

impl ReplyMux {
    /// Below the prefix that the registry offered, which the history captures; else below `_INBOX`, which the registry of the
    /// Python implementation subscribes to.
    pub(crate) fn new(offered_prefix: Option<&str>, account_id: &str, token: &str, issuer: &Issuer) -> Self {
        let base = match usable_reply_prefix(offered_prefix, account_id) {
            Some(prefix) => subject::reply(prefix, account_id, token),
            None => format!("_INBOX.{token}"),
        };
        Self {
            base,
            is_issued: issuer.account_id().is_some(),
            next: AtomicU64::new(0),
            waiters: Mutex::new(Some(AHashMap::new())),
            dropped: Mutex::new(DroppedStreams::default()),
        }
    }

    /// What to subscribe to.
    pub(crate) fn wildcard(&self) -> String {
        let wildcard = if self.is_issued { '>' } else { '*' };
        format!("{}.{wildcard}", self.base)
    }

    /// A reply subject that no request uses.
    pub(crate) fn unused_subject(&self) -> String {
        format!("{}.nobody", self.base)
    }

    /// A fresh reply subject. The wait ends with the returned value.
    pub(crate) fn expect(&self) -> PendingReply<'_> {
        let (number, subject) = self.fresh();
        let (sender, receiver) = mpsc::channel(REPLY_QUEUE_CAPACITY);
        self.wait(number, ReplyWaiter::One(sender));
        PendingReply {
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
        self.wait(number, ReplyWaiter::Stream(inflow, cancellation));
    }

    fn wait(&self, number: u64, waiting: ReplyWaiter) {
        if let Some(all) = &mut *self.lock() {
            all.insert(number, waiting);
        }
    }

    /// Ends the wait of a stream. Later frames are answered by the cancellation, if there is one. `had_frame`: one has come.
    pub(crate) fn drop_stream(&self, number: u64, cancellation: Option<Arc<Cancellation>>, had_frame: bool) {
        if let Some(waiting) = &mut *self.lock() {
            waiting.remove(&number);
        }
        if let Some(cancellation) = cancellation {
            self.remember(number, cancellation, had_frame);
        }
    }

    fn remember(&self, number: u64, cancellation: Arc<Cancellation>, had_frame: bool) {
        let mut dropped = self.dropped.lock();
        dropped.remember(number, cancellation, had_frame, Instant::now());
    }

    /// Cancels the streams that are being read: the node is closing.
    pub(crate) fn cancel_streams(&self) {
        for waiter in self.lock().iter().flat_map(|all| all.values()) {
            if let ReplyWaiter::Stream(_, cancellation) = waiter {
                cancellation.publish(None);
            }
        }
    }

    /// Fails every wait, also later ones, at once: the node is closing.
    pub(crate) fn abandon(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<AHashMap<u64, ReplyWaiter>>> {
        self.waiters.lock()
    }

    /// The number of the request that a reply is for.
    fn number(&self, message: &Message) -> Option<u64> {
        let rest = message.subject.strip_prefix(self.base.as_str())?.get(1..)?;
        if !self.is_issued {
            return rest.parse().ok();
        }
        match rest.split_once('.') {
            // The server knows the reply subject alone.
            None => (message.status == Some(StatusCode::NO_RESPONDERS)).then(|| rest.parse().ok())?,
            Some((number, _)) => message.status.is_none().then(|| number.parse().ok())?,
        }
    }

    /// Gives a reply to its waiter. Does not wait: a stream whose reader is too slow fails.
    fn arrived(&self, message: Message) {
        let Some(number) = self.number(&message) else { return };
        // The server's message that a subject has no responders has a status, and headers of its own.
        if message.status != Some(StatusCode::NO_RESPONDERS)
            && let Some(what) = set_by_server(&message)
        {
            tracing::warn!("ignored a reply with {what}, which only the NATS server may set: the history may lack it");
            return;
        }
        let body = message.payload.clone();
        let mut all = self.lock();
        let Some(waiting) = all.as_mut() else { return };
        let overrun = match waiting.get(&number) {
            Some(ReplyWaiter::Stream(inflow, cancellation)) => {
                if inflow.push(message) {
                    return;
                }
                Some(cancellation.clone())
            }
            Some(ReplyWaiter::One(sender)) => {
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
                cancellation.publish(stream_of(body));
            }
            None => self.unexpected(number, body),
        }
    }

    /// A reply without a waiter: if it is a frame of a stream that was dropped, the cancellation is published again.
    fn unexpected(&self, number: u64, body: Bytes) {
        let mut dropped = self.dropped.lock();
        let Some(cancellation) = dropped.due(number, Instant::now()) else {
            return;
        };
        drop(dropped);
        if let Some(stream_id) = stream_of(body) {
            cancellation.publish_again(Some(stream_id));
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
pub(crate) struct PendingReply<'a> {
    replies: &'a ReplyMux,
    number: u64,
    pub(crate) subject: String,
    pub(crate) receiver: mpsc::Receiver<Box<Message>>,
}

impl Drop for PendingReply<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.replies.lock() {
            waiting.remove(&self.number);
        }
    }
}

/// Gives replies to the requests that wait for them, until the subscription ends.
pub(crate) async fn receive_replies(replies: Arc<ReplyMux>, mut subscription: Subscriber) {
    /// When the task ends, also because its node was dropped, no reply comes any more.
    struct AbandonOnDrop(Arc<ReplyMux>);
    impl Drop for AbandonOnDrop {
        fn drop(&mut self) {
            self.0.abandon();
        }
    }
    let replies = AbandonOnDrop(replies);
    while let Some(message) = subscription.next().await {
        replies.0.arrived(message);
    }
}
