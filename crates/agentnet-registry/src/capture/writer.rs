//! The one writer of messages: takes them from the queue in batches, stores each batch in one transaction, and acknowledges
//! it only then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_store::Store;
use agentnet_store::model::{Appended, NewMessage};
use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio::time::{sleep, timeout_at};

use super::queue::{Item, Items};
use crate::config::RegistryConfig;
use crate::connect::is_up;
use crate::metrics::Metrics;

/// Messages in one transaction when there is a backlog.
const BACKLOG_BATCH: usize = 1000;
/// Bytes of bodies in one transaction, beyond the first message.
const BATCH_BYTES: usize = 16 << 20;
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// JetStream's acknowledgement.
const ACK: Bytes = Bytes::from_static(b"+ACK");

/// How batches are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    size: usize,
    flush: Duration,
    batched: bool,
}

impl Pace {
    pub(crate) fn new(config: &RegistryConfig) -> Self {
        Self {
            size: config.db_write_batch_size,
            flush: config.db_write_flush,
            batched: config.db_write_batch_enabled,
        }
    }

    /// Messages in the next transaction, with so many waiting.
    fn limit(self, waiting: usize) -> usize {
        if self.batched {
            self.size.max(waiting.min(BACKLOG_BATCH))
        } else {
            1
        }
    }
}

/// Stores until the queue is closed and empty.
pub(crate) async fn run(mut items: Items, store: Arc<dyn Store>, client: Client, metrics: Arc<Metrics>, pace: Pace) {
    while let Some((batch, acks)) = next_batch(&mut items, pace).await {
        let appended = append(store.as_ref(), &batch, &metrics).await;
        metrics.stored.add(appended.stored);
        metrics.duplicates.add(appended.duplicates);
        metrics.refused.add(appended.refused.len());
        for refused in &appended.refused {
            tracing::error!(message_id = %refused.message_id, reason = %refused.reason, "the store refused a message");
        }
        drop(batch);
        acknowledge(&client, acks).await;
    }
}

/// What is to be stored, the room it takes in the queue, and where that is acknowledged.
async fn next_batch(items: &mut Items, pace: Pace) -> Option<(Batch, Vec<Subject>)> {
    let first = items.next().await?;
    let limit = pace.limit(items.len() + 1);
    let mut batch = Batch::default();
    let mut acks = Vec::new();
    batch.add(first, &mut acks);
    let deadline = tokio::time::Instant::now() + pace.flush;
    while batch.messages.len() < limit && batch.bytes < BATCH_BYTES {
        match timeout_at(deadline, items.next()).await {
            Ok(Some(item)) => batch.add(item, &mut acks),
            Ok(None) | Err(_) => break,
        }
    }
    Some((batch, acks))
}

#[derive(Default)]
struct Batch {
    messages: Vec<NewMessage>,
    bytes: usize,
    room: Vec<tokio::sync::OwnedSemaphorePermit>,
}

impl Batch {
    fn add(&mut self, item: Item, acks: &mut Vec<Subject>) {
        self.bytes += item.bytes;
        self.room.extend(item.room);
        self.messages.push(item.new);
        acks.extend(item.ack);
    }
}

/// Appends a batch, again and again until the store takes it.
async fn append(store: &dyn Store, batch: &Batch, metrics: &Metrics) -> Appended {
    let mut pause = Duration::ZERO;
    loop {
        let since = Instant::now();
        match store.append_messages(&batch.messages).await {
            Ok(appended) => {
                metrics.sample("db.persist_batch", since.elapsed());
                if !pause.is_zero() {
                    tracing::info!("the store takes messages again");
                }
                return appended;
            }
            Err(error) => {
                metrics.sample("db.persist_batch_failed", since.elapsed());
                if pause.is_zero() {
                    tracing::error!(%error, messages = batch.messages.len(), "messages cannot be stored; trying again");
                }
                pause = (pause * 2).clamp(Duration::from_millis(100), LONGEST_PAUSE);
                sleep(pause).await;
            }
        }
    }
}

/// A lost acknowledgement only means that the message comes again, which changes nothing.
async fn acknowledge(client: &Client, acks: Vec<Subject>) {
    for ack in acks {
        if !is_up(client) || client.publish(ack, ACK).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_makes_larger_batches() {
        let pace = Pace {
            size: 64,
            flush: Duration::from_millis(40),
            batched: true,
        };
        for (waiting, limit) in [(1, 64), (64, 64), (500, 500), (5000, 1000)] {
            assert_eq!(pace.limit(waiting), limit);
        }
        assert_eq!(Pace { size: 2000, ..pace }.limit(5), 2000);
        assert_eq!(Pace { batched: false, ..pace }.limit(5000), 1);
    }
}
