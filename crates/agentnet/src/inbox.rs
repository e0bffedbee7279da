//! The intake: every message of the inbox and the capability subjects, one after another, in one task.
//!
//! 1. Size, form, bounds and headers; 2. the thread default; 3. the guards; 4. the receipt `accepted`; 5. the backlog, and a worker for it.
//!
//! What is to be done is decided without waiting, and then done: so little of a message is carried along while it waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::limits::{bounded_ids, check_envelope};
use agentnet_protocol::subject::{is_server_header, may_reply_to};
use agentnet_protocol::{Envelope, ReceiptStatus, Reject, Text};
use async_nats::{Subscriber, UnsubscribeError};
use futures::stream::SelectAll;
use futures::{FutureExt as _, StreamExt};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::guard::{Capacity, Guards, Now};
use crate::handler::{Message, written_reply_subject};
use crate::identity::{Held, Judged, Verifier};
use crate::ids;
use crate::metrics::Metrics;
use crate::refuse::{accept_request, acknowledge, refuse};
use crate::session::Live;
use crate::spans::{self, Origin};
use crate::worker::Workers;

/// More than the nine digits that the server reads as a number of messages; a subscription never gets there.
const NEVER: u64 = 1_000_000_000_000_000;
/// A subscription that the server has ended is empty when nothing came for so long.
const QUIET: Duration = Duration::from_millis(50);
/// Messages that are taken before the intake looks at everything else again.
const BURST: usize = 64;
/// How long the client may take to end a subscription; it takes longer only without a connection.
const LAST: Duration = Duration::from_millis(500);

/// What the intake works with.
pub(crate) struct Intake {
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) guards: Guards,
    pub(crate) verifier: Verifier,
    pub(crate) max_payload_bytes: usize,
    /// Only the intake adds to the backlog: a slot that is free when it looks is free when it pushes.
    pub(crate) backlog: async_channel::Sender<Message>,
    pub(crate) workers: Workers,
    /// Messages whose handling failed: told by the workers before the sender hears of it, so that its retry finds them
    /// forgotten.
    pub(crate) failed: mpsc::Receiver<Message>,
}

impl Intake {
    /// Takes messages until the node leaves its queue groups and the last of what was under way has come.
    ///
    /// Boxed, because a task keeps room for what it is called with twice.
    pub(crate) async fn run(mut self: Box<Self>, subscriptions: Vec<Subscriber>) {
        let live = self.live.clone();
        let mut subscriptions: SelectAll<Subscriber> = subscriptions.into_iter().collect();
        loop {
            tokio::select! {
                biased;
                () = live.leaving.cancelled() => break,
                Some(message) = self.failed.recv() => self.guards.forget(&message),
                judged = self.verifier.looked_up() => self.settle(judged).await,
                message = subscriptions.next() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
            self.take_burst(&mut subscriptions).await;
            publish_postponed(&live).await;
        }
        // Whoever fails from here on is not handled by this session again.
        self.failed.close();
        Box::pin(self.leave(subscriptions)).await;
    }

    /// Takes the messages that are here already: waiting for everything at once costs more than most messages do.
    async fn take_burst(&mut self, subscriptions: &mut SelectAll<Subscriber>) {
        for _ in 0..BURST {
            while let Ok(message) = self.failed.try_recv() {
                self.guards.forget(&message);
            }
            let Some(Some(message)) = subscriptions.next().now_or_never() else {
                return;
            };
            self.take(message).await;
        }
    }

    /// Leaves the queue groups without losing what the server has sent already.
    ///
    /// A client that simply unsubscribes or drains forgets the subscription at once and drops what is still on its way. So it
    /// is first told to forget it after [`NEVER`] messages; the server cannot read such a number and ends the subscription
    /// at once. After a round trip everything that was sent before is in hand, and there is nothing left to drop.
    async fn leave(&mut self, mut subscriptions: SelectAll<Subscriber>) {
        for subscription in subscriptions.iter_mut() {
            report(subscription.unsubscribe_after(NEVER).await);
        }
        self.live.round_trip().await;
        // A sender's message that the server had already assigned to this session may come behind the round trip.
        while let Ok(Some(message)) = tokio::time::timeout(QUIET, subscriptions.next()).await {
            self.take(message).await;
            self.live.publish_postponed().await;
        }
        for subscription in subscriptions.iter_mut() {
            report(subscription.drain().await);
        }
        while let Ok(Some(message)) = tokio::time::timeout(LAST, subscriptions.next()).await {
            self.take(message).await;
            self.live.publish_postponed().await;
        }
        self.finish_lookups().await;
        self.live.publish_postponed().await;
    }

    /// Waits for the keys that messages wait for, as long as there is time.
    async fn finish_lookups(&mut self) {
        let aborted = self.live.aborted.clone();
        while self.verifier.is_waiting() {
            let looked_up = aborted.run_until_cancelled(self.verifier.looked_up()).await;
            let Some(judged) = looked_up else { break };
            self.settle(judged).await;
        }
        for held in self.verifier.abandon() {
            Box::pin(self.refuse(&held.into(), &Reject::ShuttingDown)).await;
        }
    }

    async fn settle(&mut self, judged: Vec<Judged>) {
        for judged in judged {
            let step = self.admit(judged);
            self.carry_out(step).await;
        }
    }

    async fn take(&mut self, message: async_nats::Message) {
        let step = self.read(message);
        self.carry_out(step).await;
    }

    /// Reads a message and decides about it.
    fn read(&mut self, message: async_nats::Message) -> Step {
        let size = message.payload.len();
        let origin = Origin::of(&message);
        let reply = message.reply.filter(|subject| may_reply_to(subject));
        let reply = reply.map(|subject| Text::from(subject.as_str()));
        let steered = message.headers.as_ref().and_then(server_header);
        let status = message.status;
        let too_large = size > self.max_payload_bytes;
        let size_reject = Reject::PayloadTooLarge {
            size,
            limit: self.max_payload_bytes,
        };
        let mut envelope = match Envelope::decode(message.payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                let reject = if too_large {
                    size_reject
                } else {
                    Reject::MessageInvalid(error.to_string())
                };
                return Step::Refuse(Message::new(Envelope::default(), reply, origin), reject);
            }
        };
        if let Err(error) = check_envelope(&envelope) {
            let known = Message::new(bounded_ids(&envelope), reply, origin);
            return Step::Refuse(known, Reject::MessageInvalid(error.to_string()));
        }
        if envelope.thread_id.is_none() {
            let named = Some(envelope.trace_or_message_id()).filter(|name| !name.is_empty());
            envelope.thread_id =
                Some(named.map_or_else(|| default_thread_id(&ids::token()), |name| default_thread_id(name)));
        }
        let reply = reply.or_else(|| written_reply_subject(&envelope));
        if too_large {
            return Step::Refuse(Message::new(envelope, reply, origin), size_reject);
        }
        if let Some(name) = steered {
            let why =
                format!("header {name} is for the NATS server; messages have no header whose name begins with Nats-");
            return Step::Refuse(Message::new(envelope, reply, origin), Reject::MessageInvalid(why));
        }
        if let Some(status) = status {
            let why = format!("status {status} is the NATS server's to give; messages have no status in their headers");
            return Step::Refuse(Message::new(envelope, reply, origin), Reject::MessageInvalid(why));
        }
        let judged = self.verifier.judge(Held {
            envelope,
            reply,
            origin,
            size,
        });
        self.admit(judged)
    }

    /// Lets a message through the guards once its signature was judged.
    fn admit(&mut self, judged: Judged) -> Step {
        let message: Message = match judged {
            Judged::Genuine(held) => held.into(),
            Judged::Refused(held, reject) => return Step::Refuse(held.into(), reject),
            Judged::Waiting => return Step::Wait,
        };
        let now = Now {
            wall: ids::now(),
            monotonic: self.live.monotonic(),
        };
        let capacity = Capacity {
            accepting: self.live.accepting.load(Ordering::Acquire),
            circuit_open: self.live.circuit.is_open(now.monotonic),
            backlog_full: self.backlog.is_full(),
        };
        match self.guards.admit(&message, now, capacity) {
            Ok(()) => Step::Accept(message),
            Err(reject) => Step::Refuse(message, reject),
        }
    }

    async fn carry_out(&mut self, step: Step) {
        match step {
            Step::Wait => {}
            Step::Accept(message) => {
                if message.wants_reply() {
                    accept_request(&self.live, &message);
                } else {
                    acknowledge(&self.live, &message, ReceiptStatus::Accepted, None).await;
                }
                match self.backlog.try_send(message) {
                    Ok(()) => self.workers.call(),
                    // Cannot be: only the intake adds to the backlog, and it looked for room.
                    Err(error) => Box::pin(self.refuse(&error.into_inner(), &Reject::ShuttingDown)).await,
                }
            }
            Step::Refuse(message, reject) => Box::pin(self.refuse(&message, &reject)).await,
        }
    }

    async fn refuse(&mut self, message: &Message, reject: &Reject) {
        let span = spans::process(message, message.origin());
        spans::failed(&span, reject.code());
        refuse(&self.live, &self.metrics, message, message.reply_to(), reject)
            .instrument(span)
            .await;
    }
}

/// The first header that steers the server, as far as it is worth to be named.
fn server_header(headers: &async_nats::HeaderMap) -> Option<String> {
    let mut names = headers.iter().map(|(name, _)| name.to_string());
    names
        .find(|name| is_server_header(name))
        .map(|name| name.chars().take(64).collect())
}

/// What a message has that only the server gives: a header of its own, or a status.
pub(crate) fn words_of_server(message: &async_nats::Message) -> Option<String> {
    let header = message.headers.as_ref().and_then(server_header);
    let header = header.map(|name| format!("header {name:?}"));
    header.or_else(|| message.status.map(|status| format!("status {status}")))
}

/// What is to be done about a message.
enum Step {
    Accept(Message),
    Refuse(Message, Reject),
    /// Its sender's key is being asked for.
    Wait,
}

/// Publishes the receipts of requests, unless a handler that was done with one at once has done so.
async fn publish_postponed(live: &Live) {
    if !live.postponed.is_empty() {
        tokio::task::yield_now().await;
        live.publish_postponed().await;
    }
}

fn report(left: Result<(), UnsubscribeError>) {
    if let Err(error) = left {
        tracing::debug!(%error, "cannot leave a queue group");
    }
}
