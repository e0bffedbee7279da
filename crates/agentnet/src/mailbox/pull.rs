//! Taking the messages of the account's own mailbox (PROTOCOL.md section 21.4).
//!
//! The first messages are leased as soon as the session has subscribed to its inbox.
//! Later ones are leased when an event says that there are some, when earlier ones have ended, and now and then. They are taken
//! only while at most half of the backlog is in use: messages that are published live find room. One request takes at most half
//! of what is free: a sender whose messages take long leaves room for others.

use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::mailbox::{MAX_LEASE_MESSAGES, MailboxEventKind, MailboxOutcome};
use agentnet_protocol::rpc::{LeasedMessage, MailboxAckItem, MailboxEvent, MailboxLeaseReply};
use agentnet_protocol::{Text, subject};
use async_nats::Subscriber;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::acks::{AckCommand, flush, left, send_acks};
use super::batch::Dispatch;
use super::lease_request::LeaseRequest;
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
    request: LeaseRequest,
    /// Leased while the node starts.
    first: Vec<LeasedMessage>,
}

impl MailboxPull {
    /// Subscribes to the mailbox's events, and leases the first messages.
    pub(crate) async fn open(session: &Arc<Session>, max_pending: usize) -> Box<Self> {
        let owner = MailboxOwner::of(session);
        let max_backlog = (max_pending / 2).max(1);
        let max = max_backlog.div_ceil(2).min(MAX_LEASE_MESSAGES);
        let mut request = LeaseRequest::new();
        let events = session
            .publisher
            .subscribe(subject::mailbox_events(session.account_id()))
            .await;
        let first = match request.send(&owner, max).await {
            Ok(page) => page.messages,
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
            request,
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
        let (sender, leaving) = (owner.clone(), session.leaving.clone());
        let sending = send_acks(&sender, items, &leaving);
        let pulling = async move {
            let dispatch = Dispatch::new(&owner, &notices, &acks, &session.leaving);
            let (senders, taken) = mpsc::channel(MAX_LEASE_MESSAGES);
            tokio::join!(self.pull(&dispatch, senders, &acks), Box::pin(dispatch.run(taken)));
        };
        tokio::join!(pulling, sending);
    }

    /// Leases messages until the node leaves.
    async fn pull(
        &mut self,
        dispatch: &Dispatch<'_>,
        senders: mpsc::Sender<Option<Text>>,
        acks: &mpsc::Sender<AckCommand>,
    ) {
        let mut backoff = ERROR_BACKOFF;
        let mut messages = std::mem::take(&mut self.first);
        loop {
            if !messages.is_empty() {
                dispatch.take(messages, &senders).await;
                self.pause(dispatch).await;
            }
            let Some(room) = self.room(dispatch).await else { return };
            if dispatch.take_ended() {
                flush(acks).await;
            }
            messages = match self.lease(room).await {
                None => return,
                Some(Ok(page)) => {
                    backoff.reset();
                    if page.messages.is_empty() {
                        // The registry counts those that are here too.
                        let here = i64::try_from(dispatch.open_count()).unwrap_or_default();
                        let interval = match page.remaining > here {
                            true => REMAINING_INTERVAL,
                            false => IDLE_INTERVAL,
                        };
                        self.wait(dispatch, Instant::now() + interval).await;
                    }
                    page.messages
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "the mailbox cannot be looked at");
                    let due = Instant::now() + backoff.next_delay();
                    self.wait(dispatch, due).await;
                    Vec::new()
                }
            };
        }
    }

    /// Waits until all messages have ended, or a moment, so that a message that takes long does not hold up other senders.
    async fn pause(&self, dispatch: &Dispatch<'_>) {
        tokio::select! {
            () = dispatch.all_ended() => {}
            () = tokio::time::sleep(MIN_INTERVAL) => {}
            () = self.session.leaving.cancelled() => {}
        }
    }

    /// How many messages may be taken now, waiting until some may; `None` once the node leaves.
    async fn room(&self, dispatch: &Dispatch<'_>) -> Option<usize> {
        let session = &*self.session;
        loop {
            if session.leaving.is_cancelled() {
                return None;
            }
            let pending = session.backlog.get().map_or(0, |backlog| backlog.len());
            let room = self.max_backlog.saturating_sub(pending.max(dispatch.open_count()));
            let is_open = session.circuit.is_open(session.monotonic());
            // A request that the client sends later leases messages for a reply that is not read any more.
            if room > 0 && !is_open && session.publisher.is_connected() {
                return Some(room.div_ceil(2).min(MAX_LEASE_MESSAGES));
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
        let (owner, session) = (&self.owner, &self.session);
        loop {
            tokio::select! {
                biased;
                reply = self.request.send(owner, room) => return Some(reply),
                () = left(&session.leaving, LEAVE_TIMEOUT) => return None,
                // The reply may be lost with the connection.
                () = reconnected(session) => {}
            }
        }
    }

    /// Waits for an event, a new connection, the end of messages, or this time; until the node leaves at most.
    async fn wait(&mut self, dispatch: &Dispatch<'_>, mut due: Instant) {
        let not_before = Instant::now() + MIN_INTERVAL;
        let mut has_ended = false;
        let session = self.session.clone();
        let mut connections = session.publisher.connections.subscribe();
        connections.borrow_and_update();
        loop {
            if let Some(retry_at) = dispatch.take_retry_at() {
                due = due.min(retry_at);
            }
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
                // Later messages of their sender may be leased now.
                () = dispatch.next_end(), if !has_ended => {
                    has_ended = true;
                    due = due.min(match dispatch.open_count() {
                        0 => Instant::now(),
                        _ => not_before,
                    });
                }
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

/// Returns when there is a new connection.
async fn reconnected(session: &Session) {
    let mut connections = session.publisher.connections.subscribe();
    // The event of the first connection may come after the connection.
    let known = 1.max(*connections.borrow());
    if connections.wait_for(|times| *times > known).await.is_err() {
        // The client has ended.
        std::future::pending::<()>().await;
    }
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
