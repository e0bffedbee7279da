//! The store's part of creating and changing tasks, for many requests at once: one transaction for those that come together.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_store::model::{Task, TaskChange, TaskChanged, TaskCreated};
use agentnet_store::{Store, StoreError};

use crate::batch_lookup::{BatchLoader, Loaded};
use crate::clock::Now;

/// Tasks, or changes, in one transaction.
const MAX_BATCH: usize = 64;
/// A transaction runs alone for so long; what comes meanwhile goes into the next one.
const EXCLUSIVE_TIME: Duration = Duration::from_secs(5);

/// What has become of a task that was to be stored.
pub(super) type CreateLoader = BatchLoader<Task, TaskCreated>;

/// What a change of the task with an id has done.
pub(super) type ChangeLoader = BatchLoader<(String, TaskChange), TaskChanged>;

/// Creates tasks, in batches.
pub(super) fn create_loader(store: &Arc<dyn Store>, max_open: i64) -> CreateLoader {
    let store = Arc::clone(store);
    BatchLoader::start(EXCLUSIVE_TIME, MAX_BATCH, move |tasks: Vec<Task>| {
        let store = Arc::clone(&store);
        async move { create(store.as_ref(), &tasks, max_open).await }
    })
}

async fn create(store: &dyn Store, tasks: &[Task], max_open: i64) -> Vec<Loaded<TaskCreated>> {
    match store.create_tasks(tasks, max_open).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if error.is_unreachable() || tasks.len() == 1 => all_failed(error, tasks.len()),
        // One task that fails must not fail the others.
        Err(_) => {
            let mut outcomes = Vec::with_capacity(tasks.len());
            for task in tasks {
                let outcome = store.create_tasks(std::slice::from_ref(task), max_open).await;
                outcomes.push(only(outcome));
            }
            outcomes
        }
    }
}

/// Changes tasks, in batches.
pub(super) fn change_loader(store: &Arc<dyn Store>) -> ChangeLoader {
    let store = Arc::clone(store);
    BatchLoader::start(EXCLUSIVE_TIME, MAX_BATCH, move |changes: Vec<(String, TaskChange)>| {
        let store = Arc::clone(&store);
        async move { change(store.as_ref(), &changes, Now::read().time).await }
    })
}

async fn change(store: &dyn Store, changes: &[(String, TaskChange)], now: Timestamp) -> Vec<Loaded<TaskChanged>> {
    match store.change_tasks(changes, now).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if error.is_unreachable() || changes.len() == 1 => all_failed(error, changes.len()),
        Err(_) => {
            let mut outcomes = Vec::with_capacity(changes.len());
            for change in changes {
                outcomes.push(only(store.change_tasks(std::slice::from_ref(change), now).await));
            }
            outcomes
        }
    }
}

fn all_failed<T>(error: StoreError, count: usize) -> Vec<Loaded<T>> {
    let error = Arc::new(error);
    (0..count).map(|_| Err(Arc::clone(&error))).collect()
}

fn only<T>(outcome: Result<Vec<T>, StoreError>) -> Loaded<T> {
    let missing = || StoreError::Corrupt("a change of a task has no outcome".to_owned());
    let outcome = outcome.and_then(|mut outcomes| outcomes.pop().ok_or_else(missing));
    outcome.map_err(Arc::new)
}
