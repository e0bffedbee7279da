//! Storing new tasks.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection, Row as _};

use super::row::{columns, opt_text_column, opt_time_column, state_column, task_row, text_column};
use super::write::insert;
use crate::bisect::RowOutcome;
use crate::error::StoreError;
use crate::model::{StoredTaskEvent, Task, TaskCreated};
use crate::postgres::error::{failed, is_conflict, row_outcome};
use crate::postgres::value::stored;
use crate::postgres::{MAX_CONFLICT_RETRIES, PostgresStore};
use crate::task_admission::{TaskAdmission, is_canceled};
use crate::task_rules::created;

const KNOWN_IDS: &str = concat!("SELECT ", columns!(), " FROM agent_tasks WHERE task_id = ANY($1)");

const KNOWN_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_tasks WHERE idempotency_key IS NOT NULL AND (coordinator_account_id, idempotency_key) IN \
     (SELECT * FROM unnest($1::text[], $2::text[]))"
);

/// They are locked: none is deleted or cancelled before the new tasks are there.
const PARENTS: &str = "SELECT task_id, parent_task_id, state, cancel_requested_at FROM agent_tasks \
     WHERE task_id = ANY($1) ORDER BY task_id FOR KEY SHARE";

/// How many tasks of each coordinator have not ended, counted up to a bound. Registries that store at the same time may exceed it
/// by what each of them stores.
pub(super) const OPEN: &str = "SELECT account_id, (SELECT count(*) FROM (SELECT 1 FROM agent_tasks \
     WHERE coordinator_account_id = wanted.account_id \
     AND state IN ('submitted', 'working', 'input_required', 'auth_required') LIMIT $2) AS counted) AS open \
     FROM unnest($1::text[]) AS wanted (account_id)";

/// What [`Tasks::create_tasks`](crate::store::Tasks::create_tasks) says.
pub(super) async fn create_tasks(
    store: &PostgresStore,
    tasks: &[Task],
    max_open: i64,
) -> Result<Vec<TaskCreated>, StoreError> {
    store.pool()?;
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let mut is_refused = false;
    for _ in 0..=MAX_CONFLICT_RETRIES {
        let done = match is_refused {
            false => create_together(store, tasks, max_open).await,
            true => create_one_by_one(store, tasks, max_open).await,
        };
        match done {
            Ok(Some(outcomes)) => return Ok(outcomes),
            // Now it is known.
            Ok(None) => {}
            Err(error) if is_conflict(&error) => {}
            Err(error) if !is_refused && row_outcome(&error) == RowOutcome::Refused => is_refused = true,
            Err(error) => return Err(failed(error)),
        }
    }
    Err(StoreError::Unavailable(
        "others store the same tasks at the same time".to_owned(),
    ))
}

/// `None` if another transaction has stored one of the tasks in the meantime.
async fn create_together(
    store: &PostgresStore,
    tasks: &[Task],
    max_open: i64,
) -> Result<Option<Vec<TaskCreated>>, sqlx::Error> {
    let pool = store.pool().map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let mut transaction = pool.begin().await?;
    let mut admission = load(&mut transaction, tasks, max_open).await?;
    let mut new: Vec<(Task, StoredTaskEvent)> = Vec::new();
    let outcomes = tasks
        .iter()
        .map(|task| {
            admission.judge(task).unwrap_or_else(|| {
                let (task, event) = created(task);
                admission.record(task.clone());
                new.push((task.clone(), event.clone()));
                TaskCreated::New(Box::new(task), vec![event])
            })
        })
        .collect();
    if new.is_empty() {
        transaction.rollback().await?;
        return Ok(Some(outcomes));
    }
    if !insert(&mut transaction, &new, &admission).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(outcomes))
}

/// Each task behind a savepoint, in one transaction: the database refuses one of them.
async fn create_one_by_one(
    store: &PostgresStore,
    tasks: &[Task],
    max_open: i64,
) -> Result<Option<Vec<TaskCreated>>, sqlx::Error> {
    let pool = store.pool().map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let mut transaction = pool.begin().await?;
    let mut admission = load(&mut transaction, tasks, max_open).await?;
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        if let Some(outcome) = admission.judge(task) {
            outcomes.push(outcome);
            continue;
        }
        let (task, event) = created(task);
        let mut savepoint = transaction.begin().await?;
        outcomes.push(
            match insert(&mut savepoint, &[(task.clone(), event.clone())], &admission).await {
                Ok(true) => {
                    savepoint.commit().await?;
                    admission.record(task.clone());
                    TaskCreated::New(Box::new(task), vec![event])
                }
                Ok(false) => {
                    savepoint.rollback().await?;
                    transaction.rollback().await?;
                    return Ok(None);
                }
                Err(error) if row_outcome(&error) == RowOutcome::Refused => {
                    savepoint.rollback().await?;
                    tracing::warn!(task_id = ?task.task_id, %error, "a task cannot be stored");
                    TaskCreated::Refused
                }
                Err(error) => return Err(error),
            },
        );
    }
    transaction.commit().await?;
    Ok(Some(outcomes))
}

/// Reads what decides about these tasks.
async fn load(connection: &mut PgConnection, tasks: &[Task], max_open: i64) -> Result<TaskAdmission, sqlx::Error> {
    let mut admission = TaskAdmission::new(max_open);
    let known = sqlx::query(KNOWN_IDS)
        .bind(tasks.iter().map(|task| stored(&task.task_id)).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    for row in &known {
        admission.set_known(task_row(row)?);
    }
    let keys: BTreeSet<(&str, &str)> = tasks
        .iter()
        .filter_map(|task| Some((task.coordinator_account_id.as_str(), task.idempotency_key.as_deref()?)))
        .collect();
    if !keys.is_empty() {
        let known = sqlx::query(KNOWN_KEYS)
            .bind(
                keys.iter()
                    .map(|(account_id, _)| stored(account_id))
                    .collect::<Vec<_>>(),
            )
            .bind(keys.iter().map(|(_, key)| stored(key)).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await?;
        for row in &known {
            admission.set_known(task_row(row)?);
        }
    }
    let parents: BTreeSet<&str> = tasks.iter().filter_map(|task| task.parent_task_id.as_deref()).collect();
    if !parents.is_empty() {
        let parents = sqlx::query(PARENTS)
            .bind(parents.into_iter().map(stored).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await?;
        for row in &parents {
            let cancel_requested_at = opt_time_column(row, "cancel_requested_at")?;
            let is_canceled = is_canceled(state_column(row)?, cancel_requested_at.is_some());
            let parent_task_id = opt_text_column(row, "parent_task_id")?;
            admission.set_parent(text_column(row, "task_id")?, parent_task_id, is_canceled);
        }
    }
    let coordinators: BTreeSet<&str> = tasks.iter().map(|task| task.coordinator_account_id.as_str()).collect();
    let open = sqlx::query(OPEN)
        .bind(coordinators.into_iter().map(stored).collect::<Vec<_>>())
        .bind(max_open)
        .fetch_all(&mut *connection)
        .await?;
    for row in &open {
        admission.set_open(text_column(row, "account_id")?, row.try_get("open")?);
    }
    Ok(admission)
}
