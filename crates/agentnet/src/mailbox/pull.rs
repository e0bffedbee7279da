//! Taking the messages of the account's own mailbox (PROTOCOL.md section 21.4).
//!
//! The first messages are leased as soon as the session has subscribed to its inbox.
//! Later ones are leased when an event says that there are some, after each batch, and now and then. A batch is taken only while
//! at most half of the backlog is in use: messages that are published live find room.

use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::mailbox::{MAX_LEASE_MESSAGES, MailboxEventKind, MailboxOutcome};
use agentnet_protocol::rpc::{LeasedMessage, MailboxAckItem, MailboxEvent, MailboxLeaseReply};
use agentnet_protocol::subject;
use async_nats::Subscriber;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::acks::{AckCommand, flush, left, send_acks};
use super::batch::Batch;
use super::owner::MailboxOwner;
use crate::inbox::notice::Notice;
use crate::registry::error::RegistryError;
use crate::session::Session;

/// How often an empty mailbox is looked at without an event.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);
/// The same while messages are there that cannot be leased yet: they are delayed, or another session has them.
const REMAINING_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time between two requests that give nothing: whoever may publish can send events.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// How long messages that this account has sent itself may wait: nearly all such events concern other mailboxes.
const OWN_EVENT_DELAY: Duration = Duration::from_secs(1);
/// How often the backlog is looked at while it has no room.
const ROOM_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The shortest and the longest pause after a request that failed.
const ERROR_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), IDLE_INTERVAL);
/// How long a request that is on its way is waited for while the node leaves: its messages are given back.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes the messages of one session's mailbox.
pub(crate) struct MailboxPull {
    session: Arc<Session>,
    owner: MailboxOwner,
    /// Absent where the client has ended.
    events: Option<Subscriber>,
    /// Messages that may wait for a handler while more are taken.
    max_backlog: usize,
    /// Leased while the node starts.
    first: Vec<LeasedMessage>,
}

impl MailboxPull {
    /// Subscribes to the mailbox's events, and leases the first messages.
    pub(crate) async fn open(session: &Arc<Session>, max_pending: usize) -> Box<Self> {
        let owner = MailboxOwner::of(session);
        let max_backlog = (max_pending / 2).max(1);
        let max = max_backlog.min(MAX_LEASE_MESSAGES);
        let events = session
            .publisher
            .subscribe(subject::mailbox_events(session.account_id()))
            .await;
        let first = match owner.lease(max).await {
            Ok(page) => bounded(page, max),
            Err(error) => {
                // It is leased again after the first hello.
                tracing::debug!(%error, "the mailbox could not be looked at before the start");
                Vec::new()
            }
        };
        Box::new(Self {
            session: session.clone(),
            owner,
            events: events.ok(),
            max_backlog,
            first,
        })
    }

    /// Gives the first messages back: the session does not start.
    pub(crate) async fn give_back(self: Box<Self>) {
        let acks: Vec<MailboxAckItem> = self.first.into_iter().map(returned).collect();
        if !acks.is_empty()
            && let Err(error) = self.owner.acknowledge(acks).await
        {
            tracing::debug!(%error, "messages of the mailbox could not be given back: their leases run out");
        }
    }

    /// Takes messages until the node leaves. Returns when all of them have ended and are acknowledged.
    pub(crate) async fn run(mut self: Box<Self>, notices: mpsc::Sender<Notice>) {
        let (acks, items) = mpsc::channel(MAX_LEASE_MESSAGES);
        let (owner, session) = (self.owner.clone(), self.session.clone());
        let sending = send_acks(&owner, items, &session.leaving);
        let pulling = async move { self.pull(&notices, &acks).await };
        tokio::join!(pulling, sending);
    }

    async fn pull(&mut self, notices: &mpsc::Sender<Notice>, acks: &mpsc::Sender<AckCommand>) {
        let (session, owner) = (self.session.clone(), self.owner.clone());
        let batch = Batch {
            owner: &owner,
            notices,
            acks,
            leaving: &session.leaving,
        };
        let mut backoff = ERROR_BACKOFF;
        let mut retry_at: Option<Instant> = None;
        let mut messages = std::mem::take(&mut self.first);
        loop {
            if !messages.is_empty() {
                let delay = Box::pin(batch.run(messages)).await;
                flush(acks).await;
                let delayed = delay.map(|delay| Instant::now() + delay);
                retry_at = retry_at.into_iter().chain(delayed).min();
            }
            let Some(room) = self.room().await else { return };
            messages = match self.lease(room).await {
                None => return,
                Some(Ok(page)) => {
                    backoff.reset();
                    if page.messages.is_empty() {
                        let interval = match page.remaining > 0 {
                            true => REMAINING_INTERVAL,
                            false => IDLE_INTERVAL,
                        };
                        let look_again = Instant::now() + interval;
                        let due = retry_at.take().map_or(look_again, |at| at.min(look_again));
                        self.wait(due).await;
                    }
                    bounded(page, room)
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "the mailbox cannot be looked at");
                    let due = Instant::now() + backoff.next_delay();
                    self.wait(due).await;
                    Vec::new()
                }
            };
        }
    }

    /// How many messages may be taken now, waiting until some may; `None` once the node leaves.
    async fn room(&self) -> Option<usize> {
        let session = &*self.session;
        loop {
            if session.leaving.is_cancelled() {
                return None;
            }
            let pending = session.backlog.get().map_or(0, |backlog| backlog.len());
            let room = self.max_backlog.saturating_sub(pending);
            let is_open = session.circuit.is_open(session.monotonic());
            // A request that the client sends later leases messages for a reply that is not read any more.
            if room > 0 && !is_open && session.publisher.is_connected() {
                return Some(room.min(MAX_LEASE_MESSAGES));
            }
            let pause = tokio::time::sleep(ROOM_POLL_INTERVAL);
            session.leaving.run_until_cancelled(pause).await?;
        }
    }

    /// The next messages; `None` if the node leaves meanwhile. Events that have come before are answered by it.
    async fn lease(&mut self, room: usize) -> Option<Result<MailboxLeaseReply, RegistryError>> {
        if let Some(events) = &mut self.events {
            while let Some(Some(_)) = events.next().now_or_never() {}
        }
        tokio::select! {
            biased;
            reply = self.owner.lease(room) => Some(reply),
            () = left(&self.session.leaving, LEAVE_TIMEOUT) => None,
        }
    }

    /// Waits for an event, a new connection, or this time; until the node leaves at most.
    async fn wait(&mut self, mut due: Instant) {
        let not_before = Instant::now() + MIN_INTERVAL;
        let session = self.session.clone();
        let mut connections = session.publisher.connections.subscribe();
        connections.borrow_and_update();
        loop {
            let event = async {
                match &mut self.events {
                    Some(events) => match events.next().await {
                        Some(event) => event,
                        None => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = session.leaving.cancelled() => return,
                () = tokio::time::sleep_until(due) => return,
                changed = connections.changed() => match changed {
                    // Events may have been missed.
                    Ok(()) => due = due.min(Instant::now() + OWN_EVENT_DELAY),
                    Err(_) => return,
                },
                event = event => if let Some(delay) = self.concerns(&event.payload) {
                    due = due.min((Instant::now() + delay).max(not_before));
                },
            }
        }
    }

    /// How soon to look at the mailbox for this event, if at all.
    fn concerns(&self, event: &[u8]) -> Option<Duration> {
        let event = MailboxEvent::decode(event).ok()?;
        match event.event.parse() {
            Ok(MailboxEventKind::Queued | MailboxEventKind::Retry) => {
                let is_own = *event.from_account_id == **self.session.account_id();
                Some(if is_own { OWN_EVENT_DELAY } else { Duration::ZERO })
            }
            _ => None,
        }
    }
}

/// No more messages than were asked for.
fn bounded(page: MailboxLeaseReply, max: usize) -> Vec<LeasedMessage> {
    let mut messages = page.messages;
    messages.truncate(max);
    messages
}

/// The acknowledgement of a message that is given back.
fn returned(message: LeasedMessage) -> MailboxAckItem {
    MailboxAckItem {
        lease: message.lease,
        outcome: MailboxOutcome::Retry,
        delay_ms: Some(0),
        code: Some("shutting_down".to_owned()),
        detail: Some("the session did not start".to_owned()),
    }
}
