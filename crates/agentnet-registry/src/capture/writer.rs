//! The writer of messages: takes them from the queue in batches, stores each batch in one transaction, and acknowledges its
//! messages only then.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::Backoff;
use agentnet_store::model::{Appended, BlobShare, NewMessage, Refused};
use agentnet_store::{Store, StoreError};
use async_nats::Client;
use tokio::time::{sleep, timeout_at};

use super::in_flight::{InFlight, Ticket};
use super::queue::{Item, Items};
use crate::config::RegistryConfig;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::peers::cut;
use crate::task_ledger::messages::{CapturedTask, MessageTasks};

/// Messages in one transaction when there is a backlog.
const MAX_BACKLOG_BATCH: usize = 1000;
/// Bytes of bodies in one transaction; one message more may begin below it.
const MAX_BATCH_BYTES: usize = 16 << 20;
/// The first and the longest delay after a failure.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// How large batches are, and how long they wait to fill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchPolicy {
    size: usize,
    flush: Duration,
    batched: bool,
}

impl BatchPolicy {
    pub(crate) fn new(config: &RegistryConfig) -> Self {
        Self {
            size: config.db_write_batch_size,
            flush: config.db_write_flush,
            batched: config.db_write_batch_enabled,
        }
    }

    /// How long messages of the stream gather before they are fetched: a part of the time that a batch waits to fill.
    pub(super) fn gather(self) -> Duration {
        if self.batched { self.flush / 4 } else { Duration::ZERO }
    }

    /// Messages in the next transaction, with `waiting` messages in the queue.
    fn limit(self, waiting: usize) -> usize {
        if self.batched {
            self.size.max(waiting.min(MAX_BACKLOG_BATCH))
        } else {
            1
        }
    }
}

/// Stores captured messages.
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) database: Database,
    pub(super) client: Client,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) metrics: Arc<Metrics>,
    /// Applies messages about tasks once they are stored.
    pub(super) messages: Arc<MessageTasks>,
    pub(super) policy: BatchPolicy,
}

impl Writer {
    /// Stores until the queue is closed and empty.
    pub(super) async fn run(self, mut items: Items) {
        let mut troubled = false;
        while let Some(mut batch) = next_batch(&mut items, self.policy).await {
            self.store(&mut batch, &mut troubled).await;
            self.in_flight
                .ack(&self.client, batch.tickets.into_iter().flatten())
                .await;
        }
    }

    /// Stores a batch; tries again until the store takes it. While the database is down, messages of the stream are given back:
    /// another registry may reach the database, and the memory of this one does not fill up.
    async fn store(&self, batch: &mut Batch, troubled: &mut bool) {
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        while !batch.messages.is_empty() {
            let since = Instant::now();
            match self.append(batch).await {
                Ok(appended) => {
                    self.metrics.sample("db.persist_batch", since.elapsed());
                    if std::mem::take(troubled) {
                        tracing::info!("the store takes messages again");
                    }
                    self.note(&appended);
                    let back = batch.take_back(&appended);
                    self.in_flight.nak(&self.client, back).await;
                    let early = self.apply(batch.take_tasks(&appended)).await;
                    let early = batch.take_tickets(&early.iter().map(String::as_str).collect());
                    return self.in_flight.nak(&self.client, early).await;
                }
                Err(error) => {
                    self.metrics.sample("db.persist_batch_failed", since.elapsed());
                    if !std::mem::replace(troubled, true) {
                        tracing::error!(%error, messages = batch.messages.len(), "messages cannot be stored; trying again");
                    }
                    if matches!(error, StoreError::Gone(_)) {
                        return self.give_up(batch).await;
                    }
                    // During a short failure messages stay here, in their order.
                    if matches!(error, StoreError::Unavailable(_)) && !self.database.ping_now().await {
                        let back = batch.take_streamed();
                        self.in_flight.nak(&self.client, back).await;
                    }
                }
            }
            if !batch.messages.is_empty() {
                sleep(backoff.next_delay()).await;
            }
        }
    }

    /// Stores the messages of a batch; before them, what they name to their receivers: who has a message reads its blobs.
    async fn append(&self, batch: &Batch) -> Result<Appended, StoreError> {
        match self.store.share_blobs(&batch.shares).await {
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => tracing::error!(%error, "receivers of messages cannot read the blobs that they name"),
            Ok(()) => {}
        }
        self.store.append_messages(&batch.messages).await
    }

    /// The database is gone for good: messages of the stream are given back, for the next registry.
    async fn give_up(&self, batch: &mut Batch) {
        let back = batch.take_streamed();
        self.in_flight.nak(&self.client, back).await;
        if !batch.messages.is_empty() {
            tracing::error!(
                messages = batch.messages.len(),
                "messages that did not come through the stream are lost with the database"
            );
            batch.messages.clear();
            batch.tickets.clear();
        }
    }

    /// Applies what stored messages say about tasks, before they are acknowledged: if this registry ends here, the stream offers
    /// them again. While the database is down, they wait. Returns the ids of messages that the stream is to offer again.
    async fn apply(&self, tasks: Vec<CapturedTask>) -> Vec<String> {
        let mut early = Vec::new();
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        let mut next: &[CapturedTask] = &tasks;
        let mut step = next.len();
        while !next.is_empty() {
            let (first, rest) = next.split_at(step.min(next.len()));
            let messages: Vec<&CapturedTask> = first.iter().collect();
            match self.messages.apply(&messages).await {
                Ok(more) => {
                    early.extend(more);
                    next = rest;
                }
                Err(StoreError::Gone(_)) => break,
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::debug!(%error, "messages about tasks cannot be applied; trying again");
                    sleep(backoff.next_delay()).await;
                }
                // One message that fails must not stop the others.
                Err(_) if first.len() > 1 => step = 1,
                Err(error) => {
                    let message_id = first.first().map(|task| cut(task.message_id()));
                    tracing::error!(%error, ?message_id, "a message about a task cannot be applied");
                    next = rest;
                }
            }
        }
        early
    }

    fn note(&self, appended: &Appended) {
        self.metrics.stored.add(appended.stored);
        self.metrics.duplicates.add(appended.duplicates);
        self.metrics.refused.add(appended.refused.len());
        for Refused {
            message_id,
            reason,
            lasting,
        } in &appended.refused
        {
            // A sender chooses the id, of any length.
            let message_id = cut(message_id);
            if *lasting {
                tracing::error!(%message_id, %reason, "the store refused a message");
            } else {
                tracing::error!(%message_id, %reason, "the store has no room for a message; the stream offers it again");
            }
        }
    }
}

/// The next batch; `None` when the queue is closed and empty.
async fn next_batch(items: &mut Items, policy: BatchPolicy) -> Option<Batch> {
    let first = items.next().await?;
    let limit = policy.limit(items.len() + 1);
    let mut batch = Batch::default();
    batch.add(first);
    let deadline = tokio::time::Instant::now() + policy.flush;
    while batch.messages.len() < limit && batch.bytes < MAX_BATCH_BYTES {
        match timeout_at(deadline, items.next()).await {
            Ok(Some(item)) => batch.add(item),
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}

/// Messages to store together, their tickets, and their share of the queue's size limit.
#[derive(Default)]
struct Batch {
    messages: Vec<NewMessage>,
    /// One for each message; `None` if it did not come through the stream.
    tickets: Vec<Option<Ticket>>,
    /// What each message says about a task.
    tasks: Vec<Option<Box<CapturedTask>>>,
    /// The blobs that messages name. Also of messages that are given back: they come again.
    shares: Vec<BlobShare>,
    bytes: usize,
    room: Vec<tokio::sync::OwnedSemaphorePermit>,
}

impl Batch {
    fn add(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.room.extend(item.room);
        self.messages.push(item.captured.new);
        self.shares.extend(item.captured.shares);
        self.tasks.push(item.captured.task);
        self.tickets.push(item.ticket);
    }

    /// Takes out what the messages that are stored say about tasks.
    fn take_tasks(&mut self, appended: &Appended) -> Vec<CapturedTask> {
        let tasks = std::mem::take(&mut self.tasks);
        let mut tasks: Vec<CapturedTask> = tasks.into_iter().flatten().map(|task| *task).collect();
        if !tasks.is_empty() && !appended.refused.is_empty() {
            let refused: HashSet<&str> = appended
                .refused
                .iter()
                .map(|refused| refused.message_id.as_str())
                .collect();
            tasks.retain(|task| !refused.contains(task.message_id()));
        }
        tasks
    }

    /// Takes out the tickets of messages that the store had no room for: the stream delivers them again.
    fn take_back(&mut self, appended: &Appended) -> Vec<Ticket> {
        let no_room: HashSet<&str> = appended
            .refused
            .iter()
            .filter(|refused| !refused.lasting)
            .map(|refused| refused.message_id.as_str())
            .collect();
        self.take_tickets(&no_room)
    }

    /// Takes out the tickets of messages with these ids.
    fn take_tickets(&mut self, message_ids: &HashSet<&str>) -> Vec<Ticket> {
        if message_ids.is_empty() {
            return Vec::new();
        }
        let messages = self.messages.iter().zip(&mut self.tickets);
        messages
            .filter(|(new, _)| message_ids.contains(new.message.message_id.as_str()))
            .filter_map(|(_, ticket)| ticket.take())
            .collect()
    }

    /// Takes out the messages of the stream; returns their tickets.
    fn take_streamed(&mut self) -> Vec<Ticket> {
        let tickets = std::mem::take(&mut self.tickets);
        let mut kept = tickets.iter().map(Option::is_none);
        self.messages.retain(|_| kept.next().unwrap_or(true));
        let mut kept = tickets.iter().map(Option::is_none);
        self.tasks.retain(|_| kept.next().unwrap_or(true));
        self.tickets = vec![None; self.messages.len()];
        tickets.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::captured;
    use super::super::proof::Proof;
    use super::*;
    use crate::clock::Now;

    /// A message that makes a task with its own id.
    fn item(id: &str, ticket: Option<Ticket>) -> Item {
        let body = format!(
            r#"{{"message_id":"{id}","from_account_id":"a","to_account_id":"b","payload":{{"type":"task.assign","task_id":"{id}"}}}}"#
        );
        Item {
            captured: captured(body.into(), &Proof::NotNeeded, Now::read().time, 4.0).unwrap(),
            ticket,
            bytes: 1,
            room: None,
        }
    }

    #[test]
    fn what_is_given_back_or_refused_says_nothing_about_tasks() {
        let ticket = InFlight::default().add("ack".into(), Instant::now());
        let mut batch = Batch::default();
        for (id, ticket) in [("streamed", Some(ticket)), ("stored", None), ("refused", None)] {
            batch.add(item(id, ticket));
        }
        assert_eq!(batch.take_streamed(), [ticket]);
        let appended = Appended {
            stored: 1,
            duplicates: 0,
            refused: vec![Refused {
                message_id: "refused".into(),
                reason: "too large".into(),
                lasting: true,
            }],
        };
        let tasks = batch.take_tasks(&appended);
        let ids: Vec<&str> = tasks.iter().map(|task| task.message_id()).collect();
        assert_eq!(ids, ["stored"]);
        assert_eq!((batch.messages.len(), batch.tickets.len()), (2, 2));
    }

    #[test]
    fn a_backlog_makes_larger_batches() {
        let policy = BatchPolicy {
            size: 64,
            flush: Duration::from_millis(40),
            batched: true,
        };
        for (waiting, limit) in [(1, 64), (64, 64), (500, 500), (5000, 1000)] {
            assert_eq!(policy.limit(waiting), limit);
        }
        assert_eq!(BatchPolicy { size: 2000, ..policy }.limit(5), 2000);
        assert_eq!(
            BatchPolicy {
                batched: false,
                ..policy
            }
            .limit(5000),
            1
        );
    }
}
