//! Tells everyone concerned what happens to messages in mailboxes, after the store has it: events for receiver and sender
//! (section 21.6), receipts for the sender (section 21.5), metrics, and the requests that wait for messages.
//!
//! The store notes the end of a message as untold until its receipt is on its way: what a registry that is killed has not told,
//! the next sweep tells (`sweep`).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::mailbox::MailboxEventKind;
use agentnet_protocol::rpc::MailboxEvent;
use agentnet_protocol::{Envelope, ReceiptStatus, Reject, Timestamp, subject};
use agentnet_store::Store;
use agentnet_store::model::{LeaseEnd, LeaseEnded, MailboxEnd, MailboxRow};
use async_nats::Client;
use tokio::sync::Semaphore;

use super::recipients::Recipients;
use super::waiters::Waiters;
use crate::clock::Now;
use crate::metrics::Metrics;
use crate::registry_receipts::RegistryReceipts;
use crate::tasks::{Phase, TaskSet};

/// Events that wait for the time at which their message may be delivered again; further ones are published at once.
const MAX_DELAYED_EVENTS: usize = 1_024;
/// An event is not delayed for less.
const MIN_EVENT_DELAY: Duration = Duration::from_millis(50);
/// How long the server may take to get what was published. What it may not have got is told again.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The code of a message that was leased too often, where no attempt ended in a failure.
const NOT_ACKNOWLEDGED: &str = "not_acknowledged";

/// What an event is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) account_id: String,
    pub(crate) from_account_id: String,
    pub(crate) message_id: String,
    pub(crate) attempt: i64,
    pub(crate) code: Option<String>,
}

impl From<&MailboxRow> for Subject {
    fn from(row: &MailboxRow) -> Self {
        Self {
            account_id: row.account_id.clone(),
            from_account_id: row.from_account_id.clone(),
            message_id: row.message_id.clone(),
            attempt: row.attempts,
            code: row.last_code.clone(),
        }
    }
}

/// Publishes events and receipts.
pub(crate) struct Notices {
    client: Client,
    store: Arc<dyn Store>,
    receipts: Arc<RegistryReceipts>,
    metrics: Arc<Metrics>,
    tasks: TaskSet,
    delayed: Arc<Semaphore>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) recipients: Arc<Recipients>,
}

impl Notices {
    pub(crate) fn new(
        client: Client,
        store: Arc<dyn Store>,
        receipts: Arc<RegistryReceipts>,
        metrics: Arc<Metrics>,
        tasks: TaskSet,
    ) -> Self {
        Self {
            client,
            store,
            receipts,
            metrics,
            tasks,
            delayed: Arc::new(Semaphore::new(MAX_DELAYED_EVENTS)),
            waiters: Arc::default(),
            recipients: Arc::default(),
        }
    }

    /// A message was put in, or is queued again.
    pub(crate) async fn queued(&self, subject: &Subject) {
        self.wake(&subject.account_id);
        self.publish(MailboxEventKind::Queued, subject).await;
    }

    /// Leases have ended; returns those that were over before.
    pub(crate) async fn ended(self: &Arc<Self>, ends: &[LeaseEnd], ended: Vec<LeaseEnded>) -> Vec<String> {
        let mut lost = Vec::new();
        let mut dead = Vec::new();
        for (end, ended) in ends.iter().zip(ended) {
            match ended {
                LeaseEnded::Lost => lost.push(end.lease.clone()),
                LeaseEnded::Done(row) => self.delivered(&row).await,
                LeaseEnded::Waits(row) => self.waits(&row, end.available_at).await,
                LeaseEnded::Dead(row) => dead.push(row),
            }
        }
        self.tell(MailboxEnd::Dead, &dead).await;
        lost
    }

    /// Messages have ended without being delivered: tells that, and notes that it is told.
    pub(crate) async fn tell(&self, end: MailboxEnd, rows: &[MailboxRow]) {
        for row in rows {
            self.publish_end(end, row).await;
        }
        self.note_told(rows.iter().map(|row| row.seq).collect()).await;
    }

    /// Publishes the event and the receipt of a message's end.
    pub(super) async fn publish_end(&self, end: MailboxEnd, row: &MailboxRow) {
        match end {
            MailboxEnd::Dead => self.died(row).await,
            MailboxEnd::Expired => self.expired(row).await,
            MailboxEnd::Dropped => self.dropped(row).await,
        }
    }

    /// Notes that what was published of these ends is told, once the server has it. Where that fails, it is told again later.
    pub(super) async fn note_told(&self, seqs: Vec<i64>) {
        if seqs.is_empty() {
            return;
        }
        match tokio::time::timeout(FLUSH_TIMEOUT, self.client.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::debug!(%error, "the ends of messages are told again"),
            Err(_) => return tracing::debug!("the ends of messages are told again: the server does not take them"),
        }
        if let Err(error) = self.store.ends_told(&seqs).await {
            tracing::debug!(%error, "the ends of messages are told again: that they were told cannot be noted");
        }
    }

    /// A message was delivered.
    async fn delivered(&self, row: &MailboxRow) {
        self.metrics.mailbox.delivered.add(1);
        self.publish(MailboxEventKind::Delivered, &row.into()).await;
    }

    /// A message waits again, and may be delivered from this time on: the event comes then, so that its receiver asks for the
    /// message when there is one.
    async fn waits(self: &Arc<Self>, row: &MailboxRow, available_at: Timestamp) {
        let subject = Subject::from(row);
        let micros = available_at.micros_since(Now::read().time);
        let delay = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        let place = match delay >= MIN_EVENT_DELAY {
            true => Arc::clone(&self.delayed).try_acquire_owned().ok(),
            false => None,
        };
        let Some(place) = place else {
            return self.available(&subject).await;
        };
        let notices = Arc::clone(self);
        self.tasks.spawn(Phase::Background, async move {
            let _place = place;
            tokio::time::sleep(delay).await;
            notices.available(&subject).await;
        });
    }

    async fn available(&self, subject: &Subject) {
        self.wake(&subject.account_id);
        self.publish(MailboxEventKind::Retry, subject).await;
    }

    /// A message cannot be delivered.
    async fn died(&self, row: &MailboxRow) {
        let code = row.last_code.as_deref().unwrap_or(NOT_ACKNOWLEDGED);
        self.metrics.mailbox.died(code);
        let mut subject = Subject::from(row);
        subject.code = Some(code.to_owned());
        self.publish(MailboxEventKind::Dead, &subject).await;
        let why = match &row.last_detail {
            Some(detail) => format!(
                "the message cannot be delivered after {} attempts: {code}: {detail}",
                row.attempts
            ),
            None => format!(
                "the message cannot be delivered after {} attempts: {code}",
                row.attempts
            ),
        };
        self.end(row, &Reject::MailboxDead(why)).await;
    }

    /// A message was not taken in time.
    async fn expired(&self, row: &MailboxRow) {
        self.metrics.mailbox.died(Reject::MailboxExpired.code());
        self.publish(MailboxEventKind::Expired, &row.into()).await;
        self.end(row, &Reject::MailboxExpired).await;
    }

    /// An operator has deleted a message, or it made room for others.
    async fn dropped(&self, row: &MailboxRow) {
        self.publish(MailboxEventKind::Dropped, &row.into()).await;
        self.end(row, &Reject::MailboxDropped).await;
    }

    /// Wakes what waits for messages of this account here.
    pub(crate) fn wake(&self, account_id: &str) {
        self.waiters.wake(account_id);
        self.recipients.add(account_id);
    }

    /// Sends the receipt of a message's end.
    async fn end(&self, row: &MailboxRow, reject: &Reject) {
        match Envelope::decode(row.body.clone()) {
            Ok(message) => {
                let (code, detail) = (Some(reject.code()), reject.detail().into_owned());
                self.receipts.send(message, ReceiptStatus::Rejected, code, detail).await;
            }
            Err(error) => {
                tracing::error!(%error, seq = row.seq, "a message in a mailbox cannot be read; its sender gets no receipt")
            }
        }
    }

    /// Publishes an event for the receiver, and for the sender.
    async fn publish(&self, kind: MailboxEventKind, subject: &Subject) {
        let event = MailboxEvent {
            event: kind.as_str().to_owned(),
            message_id: subject.message_id.clone(),
            from_account_id: subject.from_account_id.clone(),
            at: Now::read().time.to_string(),
            attempt: subject.attempt,
            code: subject.code.clone(),
        };
        let body = bytes::Bytes::from(event.encode());
        let mut accounts = vec![&subject.account_id];
        if subject.from_account_id != subject.account_id {
            accounts.push(&subject.from_account_id);
        }
        for account_id in accounts {
            let published = self.client.publish(subject::mailbox_events(account_id), body.clone());
            if let Err(error) = published.await {
                tracing::debug!(%error, "a mailbox event could not be sent");
            }
        }
    }
}
