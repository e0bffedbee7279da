//! Storing new tasks.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite};

use super::read::tasks_by_id;
use super::row::{columns, state_column, task_row};
use super::write::insert;
use crate::bisect::RowOutcome;
use crate::error::StoreError;
use crate::model::{StoredTaskEvent, Task, TaskCreated};
use crate::sqlite::error::{failed, row_outcome};
use crate::sqlite::statement_batches::statement_batches;
use crate::sqlite::{BEGIN_WRITE, SqliteStore};
use crate::task_admission::{TaskAdmission, is_canceled};
use crate::task_rules::created;

/// The tasks of these coordinators and idempotency keys.
pub(super) const KNOWN_KEYS: &str = concat!(
    ") SELECT ",
    columns!(),
    " FROM wanted CROSS JOIN agent_tasks INDEXED BY idx_agent_tasks_key \
     ON coordinator_account_id = wanted.account_id AND idempotency_key = wanted.key AND idempotency_key IS NOT NULL"
);

/// How many tasks of a coordinator have not ended, counted up to a bound.
pub(super) const OPEN: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM agent_tasks INDEXED BY idx_agent_tasks_coordinator \
     WHERE coordinator_account_id = ?1 AND state IN ('submitted', 'working', 'input_required', 'auth_required') LIMIT ?2)";

const PARENTS: &str = "SELECT task_id, parent_task_id, state, cancel_requested_at FROM agent_tasks WHERE task_id IN (";

/// What [`Tasks::create_tasks`](crate::store::Tasks::create_tasks) says.
pub(super) async fn create_tasks(
    store: &SqliteStore,
    tasks: &[Task],
    max_open: i64,
) -> Result<Vec<TaskCreated>, StoreError> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    store.check_file()?;
    let outcomes = match create_together(store, tasks, max_open).await {
        Err(error) if row_outcome(&error) == RowOutcome::Refused => create_one_by_one(store, tasks, max_open).await,
        done => done,
    };
    let outcomes = outcomes.map_err(failed)?;
    // Only what is in the file at its path is there after the next start.
    store.check_file()?;
    Ok(outcomes)
}

async fn create_together(store: &SqliteStore, tasks: &[Task], max_open: i64) -> Result<Vec<TaskCreated>, sqlx::Error> {
    let mut transaction = store.write.begin_with(BEGIN_WRITE).await?;
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
        return Ok(outcomes);
    }
    insert(&mut transaction, &new, &admission).await?;
    transaction.commit().await?;
    Ok(outcomes)
}

/// Each task behind a savepoint, in one transaction: the database refuses one of them.
async fn create_one_by_one(
    store: &SqliteStore,
    tasks: &[Task],
    max_open: i64,
) -> Result<Vec<TaskCreated>, sqlx::Error> {
    let mut transaction = store.write.begin_with(BEGIN_WRITE).await?;
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
                Ok(()) => {
                    savepoint.commit().await?;
                    admission.record(task.clone());
                    TaskCreated::New(Box::new(task), vec![event])
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
    Ok(outcomes)
}

/// Reads what decides about these tasks.
async fn load(connection: &mut SqliteConnection, tasks: &[Task], max_open: i64) -> Result<TaskAdmission, sqlx::Error> {
    let mut admission = TaskAdmission::new(max_open);
    let ids: BTreeSet<&str> = tasks.iter().map(|task| task.task_id.as_str()).collect();
    for known in tasks_by_id(connection, &ids).await? {
        admission.set_known(known);
    }
    let keys: BTreeSet<(&str, &str)> = tasks
        .iter()
        .filter_map(|task| Some((task.coordinator_account_id.as_str(), task.idempotency_key.as_deref()?)))
        .collect();
    for run in statement_batches(&keys.into_iter().collect::<Vec<_>>()) {
        let mut sql = QueryBuilder::<Sqlite>::new("WITH wanted (account_id, key) AS (");
        sql.push_values(run, |mut row, (account_id, key)| {
            row.push_bind((*account_id).to_owned()).push_bind((*key).to_owned());
        });
        for row in sql.push(KNOWN_KEYS).build().fetch_all(&mut *connection).await? {
            admission.set_known(task_row(&row)?);
        }
    }
    let parents: BTreeSet<&str> = tasks.iter().filter_map(|task| task.parent_task_id.as_deref()).collect();
    for run in statement_batches(&parents.into_iter().collect::<Vec<_>>()) {
        let mut sql = QueryBuilder::<Sqlite>::new(PARENTS);
        let mut ids = sql.separated(", ");
        for task_id in run {
            ids.push_bind((*task_id).to_owned());
        }
        for row in sql.push(")").build().fetch_all(&mut *connection).await? {
            let cancel_requested_at: Option<i64> = row.try_get("cancel_requested_at")?;
            let is_canceled = is_canceled(state_column(&row)?, cancel_requested_at.is_some());
            admission.set_parent(row.try_get("task_id")?, row.try_get("parent_task_id")?, is_canceled);
        }
    }
    let coordinators: BTreeSet<&str> = tasks.iter().map(|task| task.coordinator_account_id.as_str()).collect();
    for account_id in coordinators {
        let open = sqlx::query_scalar(OPEN)
            .bind(account_id)
            .bind(max_open)
            .fetch_one(&mut *connection)
            .await?;
        admission.set_open(account_id.to_owned(), open);
    }
    Ok(admission)
}
