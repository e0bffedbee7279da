//! The intake: every message of the inbox and the capability subjects, one after another, in one task.
//!
//! Steps: size, form, bounds and headers; the thread default; the signature and the guards; the receipt `accepted`; the backlog,
//! and a worker for it.
//!
//! A message is decided about without an await, and the decision is carried out afterwards: so the future holds little of it.
//!
//! Messages of the mailbox go the same way; their leases learn of each decision (`mailbox::lease`).

pub(crate) mod notice;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::limits::{bounded_ids, check_envelope};
use agentnet_protocol::subject::{may_reply_to, split_issuer};
use agentnet_protocol::{Envelope, ReceiptStatus, Reject, Text};
use async_nats::{Subscriber, UnsubscribeError};
use futures::stream::SelectAll;
use futures::{FutureExt as _, StreamExt};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use self::notice::{LeasedInbound, Notice};
use crate::guard::{Capacity, Guards, Now};
use crate::identity::{ISSUER_MISMATCH, InboundMessage, InboundVerifier, Verification};
use crate::ids;
use crate::mailbox::handling::Duplicate;
use crate::mailbox::lease::Lease;
use crate::message::{Message, written_reply_subject};
use crate::nats_headers::server_header;
use crate::reject::{accept_request, acknowledge};
use crate::session::Session;
use crate::spans::{self, Origin};
use crate::worker::Workers;

/// More than the nine digits that the server reads as a number of messages; no subscription receives so many.
const UNREACHABLE_MESSAGE_LIMIT: u64 = 1_000_000_000_000_000;
/// A subscription that the server has ended is empty when nothing has come for this long.
const DRAIN_QUIET_TIME: Duration = Duration::from_millis(50);
/// Messages that are taken before the intake polls everything else again.
const BURST_SIZE: usize = 64;
/// How long the client may take to end a subscription; it takes longer only without a connection.
const UNSUBSCRIBE_TIMEOUT: Duration = Duration::from_millis(500);

/// What the intake works with.
pub(crate) struct Intake {
    pub(crate) session: Arc<Session>,
    pub(crate) guards: Guards,
    pub(crate) verifier: InboundVerifier,
    pub(crate) max_payload_bytes: usize,
    /// Only the intake adds to the backlog: a slot that is free when it looks is free when it pushes.
    pub(crate) backlog: async_channel::Sender<Message>,
    pub(crate) workers: Workers,
    /// Messages whose handling failed, and messages of the mailbox.
    pub(crate) notices: mpsc::Receiver<Notice>,
}

impl Intake {
    /// Takes messages until the node leaves its queue groups and the last message on its way has come.
    ///
    /// Boxed, because a task reserves memory for its arguments twice.
    pub(crate) async fn run(mut self: Box<Self>, subscriptions: Vec<Subscriber>) {
        let session = self.session.clone();
        let mut subscriptions: SelectAll<Subscriber> = subscriptions.into_iter().collect();
        loop {
            tokio::select! {
                biased;
                () = session.leaving.cancelled() => break,
                Some(notice) = self.notices.recv() => self.notice(notice).await,
                verified = self.verifier.looked_up() => self.settle(verified).await,
                message = subscriptions.next() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
            self.take_burst(&mut subscriptions).await;
            publish_deferred(&session).await;
        }
        // Messages that fail from here on are not handled by this session again.
        self.notices.close();
        Box::pin(self.leave(subscriptions)).await;
    }

    /// Takes the messages that are queued already: polling everything at once costs more than most messages do.
    async fn take_burst(&mut self, subscriptions: &mut SelectAll<Subscriber>) {
        for _ in 0..BURST_SIZE {
            while let Ok(notice) = self.notices.try_recv() {
                self.notice(notice).await;
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
    /// is first told to forget it after [`UNREACHABLE_MESSAGE_LIMIT`] messages; the server cannot read such a number and ends the subscription
    /// at once. After a round trip everything that was sent before is in hand, and there is nothing left to drop.
    async fn leave(&mut self, mut subscriptions: SelectAll<Subscriber>) {
        for subscription in subscriptions.iter_mut() {
            report(subscription.unsubscribe_after(UNREACHABLE_MESSAGE_LIMIT).await);
        }
        self.session.publisher.round_trip().await;
        // A sender's message that the server had already assigned to this session may come behind the round trip.
        while let Ok(Some(message)) = tokio::time::timeout(DRAIN_QUIET_TIME, subscriptions.next()).await {
            self.take(message).await;
            self.session.publisher.publish_deferred().await;
        }
        for subscription in subscriptions.iter_mut() {
            report(subscription.drain().await);
        }
        while let Ok(Some(message)) = tokio::time::timeout(UNSUBSCRIBE_TIMEOUT, subscriptions.next()).await {
            self.take(message).await;
            self.session.publisher.publish_deferred().await;
        }
        self.finish_lookups().await;
        self.session.publisher.publish_deferred().await;
    }

    /// Waits for the keys of the waiting messages, as long as there is time.
    async fn finish_lookups(&mut self) {
        let aborted = self.session.aborted.clone();
        while self.verifier.is_waiting() {
            let looked_up = aborted.run_until_cancelled(self.verifier.looked_up()).await;
            let Some(verified) = looked_up else { break };
            self.settle(verified).await;
        }
        for inbound in self.verifier.abandon() {
            Box::pin(self.reject(&inbound.into(), &Reject::ShuttingDown)).await;
        }
    }

    async fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Failed(message) => self.guards.forget(&message),
            Notice::Leased(leased) => {
                let step = self.read_leased(*leased);
                Box::pin(self.carry_out(step)).await;
            }
        }
    }

    async fn settle(&mut self, verified: Vec<Verification>) {
        for verification in verified {
            let step = self.admit(verification);
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
        let reserved = message.headers.as_ref().and_then(server_header);
        let status = message.status;
        let subject = message.subject;
        let too_large = size > self.max_payload_bytes;
        let size_reject = Reject::PayloadTooLarge {
            size,
            limit: self.max_payload_bytes,
        };
        let envelope = match Envelope::decode(message.payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                let reject = if too_large {
                    size_reject
                } else {
                    Reject::MessageInvalid(error.to_string())
                };
                return Step::Reject(Message::new(Envelope::default(), reply, origin), reject);
            }
        };
        let mut inbound = InboundMessage {
            envelope,
            reply,
            origin,
            size,
            lease: None,
        };
        if let Err(reject) = complete(&mut inbound) {
            return Step::Reject(inbound.into(), reject);
        }
        if too_large {
            return Step::Reject(inbound.into(), size_reject);
        }
        if let Some(name) = reserved {
            let why =
                format!("header {name} is for the NATS server; messages have no header whose name begins with Nats-");
            return Step::Reject(inbound.into(), Reject::MessageInvalid(why));
        }
        if let Some(status) = status {
            let why = format!("status {status} is the NATS server's to give; messages have no status in their headers");
            return Step::Reject(inbound.into(), Reject::MessageInvalid(why));
        }
        let issuer = &self.session.publisher.issuer;
        if !issuer.vouches_for(&subject, inbound.envelope.from_account_id.as_deref()) {
            // The account that published it is told, not the one that it names.
            inbound.envelope.from_account_id = split_issuer(&subject).map(|(_, issuer)| Text::from(issuer));
            return Step::Reject(inbound.into(), Reject::Auth(ISSUER_MISMATCH));
        }
        let verification = self.verifier.verify(inbound);
        self.admit(verification)
    }

    /// As [`Intake::read`], for a message of the mailbox.
    fn read_leased(&mut self, leased: LeasedInbound) -> Step {
        let size = leased.size;
        let mut inbound = InboundMessage {
            envelope: leased.envelope,
            reply: None,
            origin: Origin::default(),
            size,
            lease: Some(leased.lease),
        };
        if let Err(reject) = complete(&mut inbound) {
            return Step::Reject(inbound.into(), reject);
        }
        let limit = self.max_payload_bytes;
        if size > limit {
            return Step::Reject(inbound.into(), Reject::PayloadTooLarge { size, limit });
        }
        let verification = self.verifier.verify(inbound);
        self.admit(verification)
    }

    /// Runs the guards on a message whose signature was verified.
    fn admit(&mut self, verification: Verification) -> Step {
        let message: Message = match verification {
            Verification::Valid(inbound) => inbound.into(),
            Verification::Rejected(inbound, reject) => return Step::Reject(inbound.into(), reject),
            Verification::Pending => return Step::Wait,
        };
        let now = Now {
            wall: ids::now(),
            monotonic: self.session.monotonic(),
        };
        let capacity = Capacity {
            accepting: self.session.accepting.load(Ordering::Acquire),
            circuit_open: self.session.circuit.is_open(now.monotonic),
            backlog_full: self.backlog.is_full(),
            is_rated: message.lease().is_none(),
        };
        match self.guards.admit(&message, now, capacity) {
            Ok(()) => {
                self.guards.begin(&message);
                Step::Accept(message)
            }
            Err(reject) => self.refuse(message, reject),
        }
    }

    /// A message that the guards do not admit. If it comes from the mailbox, and was seen before in a message that is still handled,
    /// its lease ends as that handling does.
    fn refuse(&self, message: Message, reject: Reject) -> Step {
        let waits = message.lease().is_some_and(Lease::ends_when_processed);
        let earlier = waits.then(|| self.guards.handling_of(&message, &reject)).flatten();
        let Some(earlier) = earlier else {
            return Step::Reject(message, reject);
        };
        match earlier.wait_for_end(Duplicate { message, reject }) {
            None => Step::Wait,
            Some((duplicate, Ok(()))) => Step::Reject(duplicate.message, duplicate.reject),
            Some((Duplicate { message, reject }, Err(failure))) => {
                if let Some(lease) = message.lease() {
                    lease.earlier_failed(&reject, &failure);
                }
                Step::Wait
            }
        }
    }

    async fn carry_out(&mut self, step: Step) {
        match step {
            Step::Wait => {}
            Step::Accept(message) => {
                if message.wants_reply() {
                    accept_request(&self.session, &message);
                } else {
                    acknowledge(&self.session, &message, ReceiptStatus::Accepted, None).await;
                }
                if let Some(lease) = message.lease() {
                    lease.accepted();
                }
                match self.backlog.try_send(message) {
                    Ok(()) => self.workers.wake(),
                    // Cannot be: only the intake adds to the backlog, and it looked for room.
                    Err(error) => Box::pin(self.reject(&error.into_inner(), &Reject::ShuttingDown)).await,
                }
            }
            Step::Reject(message, reject) => Box::pin(self.reject(&message, &reject)).await,
        }
    }

    async fn reject(&mut self, message: &Message, reject: &Reject) {
        if message.lease().is_some_and(|lease| lease.rejected(reject)) {
            return;
        }
        let span = spans::process(message, message.origin());
        spans::failed(&span, reject.code());
        crate::reject::reject(&self.session, message, message.reply_to(), reject)
            .instrument(span)
            .await;
    }
}

/// Checks the bounds of a message's members, and fills in its thread and where a reply goes.
fn complete(inbound: &mut InboundMessage) -> Result<(), Reject> {
    let envelope = &mut inbound.envelope;
    if let Err(error) = check_envelope(envelope) {
        *envelope = bounded_ids(envelope);
        return Err(Reject::MessageInvalid(error.to_string()));
    }
    if envelope.thread_id.is_none() {
        let named = Some(envelope.trace_or_message_id()).filter(|name| !name.is_empty());
        envelope.thread_id =
            Some(named.map_or_else(|| default_thread_id(&ids::token()), |name| default_thread_id(name)));
    }
    if inbound.reply.is_none() {
        inbound.reply = written_reply_subject(&inbound.envelope);
    }
    Ok(())
}

/// The decision about a message.
enum Step {
    Accept(Message),
    Reject(Message, Reject),
    /// Nothing yet: its sender's key is being looked up, or an earlier copy is handled.
    Wait,
}

/// Publishes the receipts of requests, unless a handler that has replied at once has done so.
async fn publish_deferred(session: &Session) {
    if session.publisher.has_deferred() {
        tokio::task::yield_now().await;
        session.publisher.publish_deferred().await;
    }
}

fn report(left: Result<(), UnsubscribeError>) {
    if let Err(error) = left {
        tracing::debug!(%error, "cannot leave a queue group");
    }
}
