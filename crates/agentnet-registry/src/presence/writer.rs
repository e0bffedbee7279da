//! Writes the changes of presence to the store, in batches: write-behind.
//!
//! New, changed and ended sessions are written as soon as the batch before is done; signs of life wait for the next tick. A
//! batch that the store does not take is put back and tried again: a broken database delays changes, and loses none while the
//! registry runs.

use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_store::{Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::pending_writes::WriteBatch;
use super::{Presence, session_end};
use crate::database::Database;

/// How often signs of life are written.
const TOUCH_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions that are copied at a time: thousands may come online together.
const MAX_BATCH_SESSIONS: usize = 1_000;
/// Sessions in one transaction.
const TRANSACTION_SESSIONS: usize = 500;
/// How long a caller waits for the writer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The first and the longest delay after a failure.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Attempts of the last write when the registry stops.
const LAST_WRITE_ATTEMPTS: u32 = 3;

/// Wakes the writer, and waits until it has written.
#[derive(Debug, Default)]
pub(crate) struct FlushSignal {
    wake: Notify,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl FlushSignal {
    /// There is a change that should not wait for the next tick.
    pub(crate) fn notify(&self) {
        self.wake.notify_one();
    }

    /// Wakes the writer, and returns when it has tried to write everything that was pending; `false` if that takes too long.
    pub(crate) async fn flush(&self) -> bool {
        let (done, wait) = oneshot::channel();
        self.lock().push(done);
        self.notify();
        // While the store fails, the writer backs off; the change stays pending.
        matches!(tokio::time::timeout(FLUSH_TIMEOUT, wait).await, Ok(Ok(())))
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.waiting.lock()
    }
}

/// Writes until `stop`, then once more with every session's last sign of life.
pub(crate) async fn run(presence: Arc<Presence>, database: Database, flush: Arc<FlushSignal>, stop: CancellationToken) {
    let store = database.retrying();
    let mut tick = tokio::time::interval(TOUCH_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
    let mut is_failing = false;
    loop {
        let all = tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => true,
            () = flush.wake.notified() => false,
        };
        let waiting = std::mem::take(&mut *flush.lock());
        let mut outcome = write(&presence, store.as_ref(), all).await;
        if outcome.is_ok() {
            let steady = database.is_steady(presence.grace());
            outcome = session_end::settle(&presence, store.as_ref(), steady).await;
        }
        // A failure ends the wait too: the change stays pending and is tried again.
        complete(waiting);
        match outcome {
            Ok(()) if !is_failing => {}
            Ok(()) => {
                tracing::info!("presence is written to the store again");
                is_failing = false;
                backoff.reset();
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "presence cannot be stored; trying again");
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(backoff.next_delay()) => flush.notify(),
                }
            }
        }
    }
    presence.touch_owned();
    for attempt in 1..=LAST_WRITE_ATTEMPTS {
        match write(&presence, store.as_ref(), true).await {
            Ok(()) | Err(StoreError::Gone(_)) => break,
            Err(error) => tracing::warn!(%error, attempt, "presence could not be stored before the stop"),
        }
    }
    complete(std::mem::take(&mut *flush.lock()));
}

fn complete(waiting: Vec<oneshot::Sender<()>>) {
    for done in waiting {
        // The receiver is gone if the caller timed out.
        let _ = done.send(());
    }
}

/// Writes the pending changes; on an error, those that were not written are pending again.
async fn write(presence: &Presence, store: &dyn Store, all: bool) -> Result<(), StoreError> {
    for due in presence.due_writes(all).chunks(MAX_BATCH_SESSIONS) {
        let mut batch = presence.take_writes(due);
        let outcome = write_batch(&mut batch, store).await;
        if !batch.is_empty() {
            presence.put_back(batch);
        }
        outcome?;
    }
    Ok(())
}

/// Removes from the batch what was written.
async fn write_batch(batch: &mut WriteBatch, store: &dyn Store) -> Result<(), StoreError> {
    while let Some(chunk) = tail(&batch.upserts) {
        store.upsert_sessions(&batch.upserts[chunk..]).await?;
        batch.upserts.truncate(chunk);
    }
    while let Some(chunk) = tail(&batch.ends) {
        store.end_sessions(&batch.ends[chunk..]).await?;
        batch.ends.truncate(chunk);
    }
    while let Some(chunk) = tail(&batch.touches) {
        store.touch_sessions(&batch.touches[chunk..]).await?;
        batch.touches.truncate(chunk);
    }
    Ok(())
}

/// The start of the last chunk.
fn tail<T>(items: &[T]) -> Option<usize> {
    (!items.is_empty()).then(|| items.len().saturating_sub(TRANSACTION_SESSIONS))
}
