//! Presence, written behind: one task takes the changes to the store in batches.
//!
//! New, changed and ended sessions are written as soon as the batch before is done; signs of life wait for the next tick.
//! What the store refuses is put back and tried again, so a broken database delays the picture that it has, but loses
//! nothing while the registry runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet_store::{Store, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::Presence;
use super::changes::Changes;
use crate::database::Database;

/// How often plain signs of life are taken along.
const TICK: Duration = Duration::from_secs(1);
/// Sessions that are taken at a time: thousands come online together, and each is copied.
const MOST: usize = 1_000;
/// Sessions in one transaction.
const CHUNK: usize = 500;
/// How long somebody waits for the writer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the last write is tried when the registry stops.
const LAST_TRIES: u32 = 3;

/// Wakes the writer and waits for it.
#[derive(Debug, Default)]
pub(crate) struct WriterBell {
    wake: Notify,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl WriterBell {
    /// There is something that should not wait for the next tick.
    pub(crate) fn ring(&self) {
        self.wake.notify_one();
    }

    /// Rings, and returns when the writer has tried to store everything that was pending; `false` if that takes too long.
    pub(crate) async fn written(&self) -> bool {
        let (done, wait) = oneshot::channel();
        self.lock().push(done);
        self.ring();
        // While the store fails, the writer pauses; the change stays pending.
        matches!(tokio::time::timeout(PATIENCE, wait).await, Ok(Ok(())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes until `stop`, then once more with every session's last sign of life.
pub(crate) async fn run(presence: Arc<Presence>, database: Database, bell: Arc<WriterBell>, stop: CancellationToken) {
    let store = database.patient();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pause = Duration::ZERO;
    loop {
        let all = tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => true,
            () = bell.wake.notified() => false,
        };
        let waiting = std::mem::take(&mut *bell.lock());
        let mut outcome = write(&presence, store.as_ref(), all).await;
        if outcome.is_ok() {
            let steady = database.is_steady(presence.grace());
            outcome = presence.settle(store.as_ref(), steady).await;
        }
        // Those who wait are told of a failure too: the change stays pending and is tried again.
        tell(waiting);
        match outcome {
            Ok(()) if pause.is_zero() => {}
            Ok(()) => {
                tracing::info!("presence reaches the store again");
                pause = Duration::ZERO;
            }
            Err(error) => {
                if pause.is_zero() {
                    tracing::warn!(%error, "presence cannot be stored; trying again");
                }
                pause = (pause * 2).clamp(Duration::from_millis(200), LONGEST_PAUSE);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => bell.ring(),
                }
            }
        }
    }
    presence.touch_all();
    for attempt in 1..=LAST_TRIES {
        match write(&presence, store.as_ref(), true).await {
            Ok(()) | Err(StoreError::Gone(_)) => break,
            Err(error) => tracing::warn!(%error, attempt, "presence could not be stored before the stop"),
        }
    }
    tell(std::mem::take(&mut *bell.lock()));
}

fn tell(waiting: Vec<oneshot::Sender<()>>) {
    for done in waiting {
        // Nobody waits any more if the request was given up.
        let _ = done.send(());
    }
}

/// Stores what is pending; on an error, what was not stored is pending again.
async fn write(presence: &Presence, store: &dyn Store, all: bool) -> Result<(), StoreError> {
    for due in presence.due(all).chunks(MOST) {
        let mut changes = presence.take_changes(due);
        let outcome = apply(&mut changes, store).await;
        if !changes.is_empty() {
            presence.put_back(changes);
        }
        outcome?;
    }
    Ok(())
}

/// Takes from `changes` what was stored.
async fn apply(changes: &mut Changes, store: &dyn Store) -> Result<(), StoreError> {
    while let Some(chunk) = tail(&changes.upserts) {
        store.upsert_sessions(&changes.upserts[chunk..]).await?;
        changes.upserts.truncate(chunk);
    }
    while let Some(chunk) = tail(&changes.ends) {
        store.end_sessions(&changes.ends[chunk..]).await?;
        changes.ends.truncate(chunk);
    }
    while let Some(chunk) = tail(&changes.touches) {
        store.touch_sessions(&changes.touches[chunk..]).await?;
        changes.touches.truncate(chunk);
    }
    Ok(())
}

/// Where the last chunk begins.
fn tail<T>(items: &[T]) -> Option<usize> {
    (!items.is_empty()).then(|| items.len().saturating_sub(CHUNK))
}
