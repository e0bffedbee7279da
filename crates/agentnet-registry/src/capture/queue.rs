//! The queue between the readers and the writer, bounded by number and by size.
//!
//! A full queue holds the readers up. Messages of the stream then wait in the stream, and those of plain subscriptions in the
//! client's buffer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::decode::Captured;
use super::in_flight::Ticket;
use crate::metrics::Metrics;

/// The size limit of all bodies, in KiB: 64 MiB.
const MAX_QUEUE_KIB: u32 = 64 * 1024;

/// One captured message.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) captured: Captured,
    /// Its ticket, if it came through the stream.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) bytes: usize,
    /// Its share of the size limit; given back when it is stored.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// The readers' end of the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    closed: CancellationToken,
    metrics: Arc<Metrics>,
}

/// The writer's end of the queue.
#[derive(Debug)]
pub(crate) struct Items {
    items: mpsc::Receiver<Item>,
    closed: CancellationToken,
}

impl Queue {
    pub(crate) fn new(max: usize, metrics: Arc<Metrics>) -> (Self, Items) {
        let (sender, items) = mpsc::channel(max);
        let closed = CancellationToken::new();
        let room = Arc::new(Semaphore::new(MAX_QUEUE_KIB as usize));
        (
            Self {
                items: sender,
                room,
                closed: closed.clone(),
                metrics,
            },
            Items { items, closed },
        )
    }

    /// Adds a message, waiting for room; `false` if the writer has ended.
    pub(crate) async fn push(&self, captured: Captured, ticket: Option<Ticket>, bytes: usize) -> bool {
        let since = Instant::now();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(MAX_QUEUE_KIB);
        if self.items.capacity() == 0 || self.room.available_permits() < kib as usize {
            self.metrics.overflow.add(1);
        }
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        let pushed = self
            .items
            .send(Item {
                captured,
                ticket,
                bytes,
                room,
            })
            .await
            .is_ok();
        self.metrics.sample("db.enqueue_message", since.elapsed());
        pushed
    }

    /// Waits until there is room for some messages, at most `wanted`; returns how many. Other readers may use it first.
    pub(crate) async fn room(&self, wanted: usize) -> usize {
        let wanted = wanted.min(self.items.max_capacity() / 2).max(1);
        // An error means that the writer has ended; then there is nothing to wait for.
        drop(self.items.reserve_many(wanted).await);
        wanted
    }

    /// Messages in the queue.
    pub(crate) fn len(&self) -> usize {
        self.items.max_capacity() - self.items.capacity()
    }

    /// No more messages will be added.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

impl Items {
    /// The next message; `None` when the queue is closed and empty.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        tokio::select! {
            biased;
            item = self.items.recv() => item,
            () = self.closed.cancelled() => {
                self.items.close();
                self.items.recv().await
            }
        }
    }

    /// Messages in the queue.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

/// Without a stream, the messages that are not stored yet are those in the queue.
pub(crate) async fn watch_lag(queue: Arc<Queue>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.lag.set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
    }
}
