//! Putting messages into mailboxes, with their rows of the history.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite, Transaction};

use super::ends::evict;
use super::row::{save_usage, state_column, time_column};
use crate::bisect::RowOutcome;
use crate::dead_letters::{DeadLetter, MAX_EVICTED};
use crate::error::StoreError;
use crate::mailbox_admission::{Admission, SenderUsage, TOTAL, Usage, size};
use crate::model::{MailboxLimits, NewMessage, NewQueued, PutOutcome};
use crate::sqlite::error::{failed, row_outcome};
use crate::sqlite::messages::append;
use crate::sqlite::statement_batches::statement_batches;
use crate::sqlite::{BEGIN_WRITE, SqliteStore};

const INSERT: &str = "INSERT INTO agent_mailbox (account_id, message_id, from_account_id, thread_id, kind, body, bytes, \
     ack, state, available_at, queued_at, expires_at) ";

const KNOWN: &str = ") SELECT m.account_id, m.message_id, m.from_account_id, m.state, m.queued_at, m.expires_at FROM wanted \
     CROSS JOIN agent_mailbox m ON m.account_id = wanted.account_id AND m.message_id = wanted.message_id";

const SENDERS: &str = ") SELECT account_id, from_account_id, (SELECT COUNT(*) FROM agent_mailbox m \
     WHERE m.account_id = wanted.account_id AND m.from_account_id = wanted.from_account_id \
     AND m.state IN ('queued', 'leased')) AS messages, (SELECT COALESCE(SUM(bytes), 0) FROM agent_mailbox m \
     WHERE m.account_id = wanted.account_id AND m.from_account_id = wanted.from_account_id \
     AND m.state IN ('queued', 'leased', 'dead')) AS bytes FROM wanted";

/// The oldest dead letters of an account.
pub(super) const DEAD: &str = "SELECT seq, from_account_id, bytes FROM agent_mailbox WHERE account_id = ?1 AND state = 'dead' \
     ORDER BY seq LIMIT ?2";

const USAGE: &str = "SELECT account_id, messages, bytes FROM agent_mailbox_accounts WHERE account_id IN (";

/// What [`Mailboxes::put_messages`](crate::store::Mailboxes::put_messages) says.
pub(super) async fn put_messages(
    store: &SqliteStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Vec<PutOutcome>, StoreError> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    store.check_file()?;
    let outcomes = match put_together(store, messages, limits).await {
        Err(error) if row_outcome(&error) == RowOutcome::Refused => put_one_by_one(store, messages, limits).await,
        done => done,
    };
    let outcomes = outcomes.map_err(failed)?;
    // Only what is in the file at its path is there after the next start.
    store.check_file()?;
    Ok(outcomes)
}

async fn put_together(
    store: &SqliteStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Vec<PutOutcome>, sqlx::Error> {
    let mut transaction = store.write.begin_with(BEGIN_WRITE).await?;
    let mut admission = load(&mut transaction, messages, limits).await?;
    let (outcomes, admitted) = admission.admit(messages);
    if admitted.is_empty() {
        transaction.rollback().await?;
        return Ok(outcomes);
    }
    insert(&mut transaction, &admitted).await?;
    finish(transaction, &admission, messages).await?;
    Ok(outcomes)
}

/// Writes what the admitted messages change besides, and commits.
async fn finish(
    mut transaction: Transaction<'_, Sqlite>,
    admission: &Admission,
    messages: &[NewQueued],
) -> Result<(), sqlx::Error> {
    let now = messages.iter().map(|new| new.queued_at).max();
    evict(&mut transaction, admission.evicted(), now.unwrap_or_default()).await?;
    save_usage(&mut transaction, admission.changes()).await?;
    transaction.commit().await
}

/// Each message behind a savepoint, in one transaction: the database refuses one of them.
async fn put_one_by_one(
    store: &SqliteStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Vec<PutOutcome>, sqlx::Error> {
    let mut transaction = store.write.begin_with(BEGIN_WRITE).await?;
    let mut admission = load(&mut transaction, messages, limits).await?;
    let mut outcomes = Vec::with_capacity(messages.len());
    for new in messages {
        let judgement = admission.judge(new);
        let mut outcome = judgement.outcome;
        if matches!(outcome, PutOutcome::Queued { .. }) {
            let mut savepoint = transaction.begin().await?;
            match insert(&mut savepoint, &[new]).await {
                Ok(()) => {
                    savepoint.commit().await?;
                    admission.record(new, &judgement);
                }
                Err(error) if row_outcome(&error) == RowOutcome::Refused => {
                    savepoint.rollback().await?;
                    tracing::warn!(message_id = ?new.message.message.message_id, %error, "the mailbox cannot keep a message");
                    outcome = PutOutcome::Refused;
                }
                Err(error) => return Err(error),
            }
        }
        outcomes.push(outcome);
    }
    finish(transaction, &admission, messages).await?;
    Ok(outcomes)
}

/// Reads what decides about these messages.
async fn load(
    connection: &mut SqliteConnection,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Admission, sqlx::Error> {
    let mut admission = Admission::new(limits);
    for run in statement_batches(messages) {
        let mut sql = QueryBuilder::<Sqlite>::new("WITH wanted (account_id, message_id) AS (");
        sql.push_values(run, |mut row, new| {
            row.push_bind(new.account_id.clone())
                .push_bind(new.message.message.message_id.clone());
        });
        for row in sql.push(KNOWN).build().fetch_all(&mut *connection).await? {
            let known = PutOutcome::Known {
                state: state_column(&row)?,
                queued_at: time_column(&row, "queued_at")?,
                expires_at: time_column(&row, "expires_at")?,
            };
            let (account_id, message_id) = (row.try_get("account_id")?, row.try_get("message_id")?);
            admission.set_known(account_id, message_id, row.try_get("from_account_id")?, known);
        }
    }
    let senders: BTreeSet<(&str, &str)> = messages
        .iter()
        .map(|new| (new.account_id.as_str(), new.from_account_id.as_str()))
        .collect();
    let senders: Vec<_> = senders.into_iter().collect();
    for run in statement_batches(&senders) {
        let mut sql = QueryBuilder::<Sqlite>::new("WITH wanted (account_id, from_account_id) AS (");
        sql.push_values(run, |mut row, (account_id, from_account_id)| {
            row.push_bind((*account_id).to_owned())
                .push_bind((*from_account_id).to_owned());
        });
        for row in sql.push(SENDERS).build().fetch_all(&mut *connection).await? {
            let usage = SenderUsage {
                messages: row.try_get("messages")?,
                bytes: row.try_get("bytes")?,
            };
            admission.set_sender(row.try_get("account_id")?, row.try_get("from_account_id")?, usage);
        }
    }
    load_usage(connection, messages, &mut admission).await?;
    for account_id in admission.short_of_room(messages) {
        let dead = sqlx::query(DEAD)
            .bind(account_id)
            .bind(MAX_EVICTED)
            .fetch_all(&mut *connection)
            .await?;
        let letters = dead.iter().map(|row| {
            Ok(DeadLetter {
                seq: row.try_get("seq")?,
                from_account_id: row.try_get("from_account_id")?,
                bytes: row.try_get("bytes")?,
            })
        });
        let letters = letters.collect::<Result<_, sqlx::Error>>()?;
        admission.set_dead(account_id.to_owned(), letters);
    }
    Ok(admission)
}

/// Reads the counters of the accounts, and of all.
async fn load_usage(
    connection: &mut SqliteConnection,
    messages: &[NewQueued],
    admission: &mut Admission,
) -> Result<(), sqlx::Error> {
    let mut accounts: BTreeSet<&str> = messages.iter().map(|new| new.account_id.as_str()).collect();
    accounts.insert(TOTAL);
    let accounts: Vec<_> = accounts.into_iter().collect();
    for run in statement_batches(&accounts) {
        let mut sql = QueryBuilder::<Sqlite>::new(USAGE);
        let mut ids = sql.separated(", ");
        for account_id in run {
            ids.push_bind((*account_id).to_owned());
        }
        for row in sql.push(")").build().fetch_all(&mut *connection).await? {
            let account_id: String = row.try_get("account_id")?;
            let usage = Usage {
                messages: row.try_get("messages")?,
                bytes: row.try_get("bytes")?,
            };
            if account_id == TOTAL {
                admission.set_total_bytes(usage.bytes);
            } else {
                admission.set_usage(account_id, usage);
            }
        }
    }
    Ok(())
}

/// Stores messages that are admitted, and their rows of the history.
async fn insert(connection: &mut SqliteConnection, messages: &[&NewQueued]) -> Result<(), sqlx::Error> {
    for run in statement_batches(messages) {
        let mut sql = QueryBuilder::<Sqlite>::new(INSERT);
        sql.push_values(run, |mut row, new| {
            let message = &new.message.message;
            row.push_bind(new.account_id.clone())
                .push_bind(message.message_id.clone())
                .push_bind(new.from_account_id.clone())
                .push_bind(message.thread_id.clone())
                .push_bind(message.kind.clone())
                .push_bind(new.body.clone())
                .push_bind(size(new))
                .push_bind(new.ack.as_str())
                .push("'queued'")
                .push_bind(new.queued_at.as_micros())
                .push_bind(new.queued_at.as_micros())
                .push_bind(new.expires_at.as_micros());
        });
        sql.build().execute(&mut *connection).await?;
    }
    let history: Vec<&NewMessage> = messages.iter().map(|new| &new.message).collect();
    append(connection, &history).await?;
    Ok(())
}
