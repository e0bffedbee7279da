//! Putting messages into mailboxes, with their rows of the history.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection, Postgres, Row as _, Transaction};

use super::ends::evict;
use super::row::{state_column, text_column, time_column};
use super::usage::{begin_locked, lock_total, save};
use crate::bisect::RowOutcome;
use crate::dead_letters::{DeadLetter, MAX_EVICTED};
use crate::error::StoreError;
use crate::mailbox_admission::{Admission, SenderUsage, size};
use crate::model::{MailboxLimits, NewMessage, NewQueued, PutOutcome};
use crate::postgres::error::{failed, is_conflict, row_outcome};
use crate::postgres::layout::Layout;
use crate::postgres::messages::append;
use crate::postgres::value::{Time, stored};
use crate::postgres::{MAX_CONFLICT_RETRIES, PostgresStore};

/// Numbers are given in the order of the call.
const INSERT: &str = "INSERT INTO agent_mailbox (account_id, message_id, from_account_id, thread_id, kind, body, bytes, ack, \
     state, available_at, queued_at, expires_at) SELECT account_id, message_id, from_account_id, thread_id, kind, body, bytes, \
     ack, 'queued', queued_at, queued_at, expires_at FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
     $6::text[], $7::bigint[], $8::text[], $9::timestamptz[], $10::timestamptz[]) WITH ORDINALITY AS new (account_id, \
     message_id, from_account_id, thread_id, kind, body, bytes, ack, queued_at, expires_at, place) ORDER BY place";

const KNOWN: &str = "SELECT m.account_id, m.message_id, m.from_account_id, m.state, m.queued_at, m.expires_at \
     FROM unnest($1::text[], $2::text[]) AS wanted (account_id, message_id) \
     JOIN agent_mailbox m ON m.account_id = wanted.account_id AND m.message_id = wanted.message_id";

const SENDERS: &str = "SELECT account_id, from_account_id, (SELECT count(*) FROM agent_mailbox m \
     WHERE m.account_id = wanted.account_id AND m.from_account_id = wanted.from_account_id \
     AND m.state IN ('queued', 'leased')) AS messages, (SELECT COALESCE(sum(bytes), 0)::bigint FROM agent_mailbox m \
     WHERE m.account_id = wanted.account_id AND m.from_account_id = wanted.from_account_id \
     AND m.state IN ('queued', 'leased', 'dead')) AS bytes \
     FROM unnest($1::text[], $2::text[]) AS wanted (account_id, from_account_id)";

/// The oldest dead letters of an account.
pub(super) const DEAD: &str = "SELECT seq, from_account_id, bytes FROM agent_mailbox WHERE account_id = $1 AND state = 'dead' \
     ORDER BY seq LIMIT $2";

/// What [`Mailboxes::put_messages`](crate::store::Mailboxes::put_messages) says.
pub(super) async fn put_messages(
    store: &PostgresStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Vec<PutOutcome>, StoreError> {
    store.pool()?;
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let mut is_refused = false;
    let mut conflicts = 0;
    loop {
        let done = match is_refused {
            false => put_together(store, messages, limits).await,
            true => put_one_by_one(store, messages, limits).await,
        };
        match done {
            Err(error) if is_conflict(&error) && conflicts < MAX_CONFLICT_RETRIES => conflicts += 1,
            Err(error) if !is_refused && row_outcome(&error) == RowOutcome::Refused => is_refused = true,
            done => return done.map_err(failed),
        }
    }
}

async fn put_together(
    store: &PostgresStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Vec<PutOutcome>, sqlx::Error> {
    let (mut transaction, mut admission) = begin(store, messages, limits).await?;
    let (outcomes, admitted) = admission.admit(messages);
    if admitted.is_empty() {
        transaction.rollback().await?;
        return Ok(outcomes);
    }
    insert(store.layout(), &mut transaction, &admitted).await?;
    finish(transaction, &admission, messages).await?;
    Ok(outcomes)
}

/// Writes what the admitted messages change besides, and commits.
async fn finish(
    mut transaction: Transaction<'_, Postgres>,
    admission: &Admission,
    messages: &[NewQueued],
) -> Result<(), sqlx::Error> {
    let now = messages.iter().map(|new| new.queued_at).max();
    evict(&mut transaction, admission.evicted(), now.unwrap_or_default()).await?;
    save(&mut transaction, admission.changes()).await?;
    transaction.commit().await
}

/// Each message behind a savepoint, in one transaction: the database refuses one of them.
async fn put_one_by_one(
    store: &PostgresStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<Vec<PutOutcome>, sqlx::Error> {
    let (mut transaction, mut admission) = begin(store, messages, limits).await?;
    let mut outcomes = Vec::with_capacity(messages.len());
    for new in messages {
        let judgement = admission.judge(new);
        let mut outcome = judgement.outcome;
        if matches!(outcome, PutOutcome::Queued { .. }) {
            let mut savepoint = transaction.begin().await?;
            match insert(store.layout(), &mut savepoint, &[new]).await {
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

/// Locks the mailboxes, and reads what decides about these messages.
async fn begin(
    store: &PostgresStore,
    messages: &[NewQueued],
    limits: &MailboxLimits,
) -> Result<(Transaction<'static, Postgres>, Admission), sqlx::Error> {
    let pool = store.pool().map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let accounts: BTreeSet<&str> = messages
        .iter()
        .map(|new| new.account_id.as_str())
        .filter(|account_id| !account_id.is_empty())
        .collect();
    let (mut transaction, usages) = begin_locked(pool, &accounts).await?;
    let mut admission = Admission::new(limits);
    for (account_id, usage) in usages {
        admission.set_usage(account_id, usage);
    }
    let known = sqlx::query(KNOWN)
        .bind(messages.iter().map(|new| stored(&new.account_id)).collect::<Vec<_>>())
        .bind(
            messages
                .iter()
                .map(|new| stored(&new.message.message.message_id))
                .collect::<Vec<_>>(),
        )
        .fetch_all(&mut *transaction)
        .await?;
    for row in &known {
        let known = PutOutcome::Known {
            state: state_column(row)?,
            queued_at: time_column(row, "queued_at")?,
            expires_at: time_column(row, "expires_at")?,
        };
        let sender = text_column(row, "from_account_id")?;
        admission.set_known(
            text_column(row, "account_id")?,
            text_column(row, "message_id")?,
            sender,
            known,
        );
    }
    load_senders(&mut transaction, messages, &mut admission).await?;
    for account_id in admission.short_of_room(messages) {
        let dead = sqlx::query(DEAD)
            .bind(stored(account_id).into_owned())
            .bind(MAX_EVICTED)
            .fetch_all(&mut *transaction)
            .await?;
        let letters = dead.iter().map(|row| {
            Ok(DeadLetter {
                seq: row.try_get("seq")?,
                from_account_id: text_column(row, "from_account_id")?,
                bytes: row.try_get("bytes")?,
            })
        });
        let letters = letters.collect::<Result<_, sqlx::Error>>()?;
        admission.set_dead(account_id.to_owned(), letters);
    }
    admission.set_total_bytes(lock_total(&mut transaction).await?);
    Ok((transaction, admission))
}

/// Reads what the senders have left for the accounts.
async fn load_senders(
    connection: &mut PgConnection,
    messages: &[NewQueued],
    admission: &mut Admission,
) -> Result<(), sqlx::Error> {
    let senders: BTreeSet<(&str, &str)> = messages
        .iter()
        .map(|new| (new.account_id.as_str(), new.from_account_id.as_str()))
        .collect();
    let counted = sqlx::query(SENDERS)
        .bind(
            senders
                .iter()
                .map(|(account_id, _)| stored(account_id))
                .collect::<Vec<_>>(),
        )
        .bind(senders.iter().map(|(_, sender)| stored(sender)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for row in &counted {
        let usage = SenderUsage {
            messages: row.try_get("messages")?,
            bytes: row.try_get("bytes")?,
        };
        admission.set_sender(
            text_column(row, "account_id")?,
            text_column(row, "from_account_id")?,
            usage,
        );
    }
    Ok(())
}

/// Stores messages that are admitted, and their rows of the history.
async fn insert(layout: Layout, connection: &mut PgConnection, messages: &[&NewQueued]) -> Result<(), sqlx::Error> {
    let texts = |read: fn(&NewQueued) -> &str| messages.iter().map(|new| stored(read(new))).collect::<Vec<_>>();
    sqlx::query(INSERT)
        .bind(texts(|new| &new.account_id))
        .bind(texts(|new| &new.message.message.message_id))
        .bind(texts(|new| &new.from_account_id))
        .bind(texts(|new| &new.message.message.thread_id))
        .bind(texts(|new| &new.message.message.kind))
        .bind(texts(|new| &new.body))
        .bind(messages.iter().map(|new| size(new)).collect::<Vec<_>>())
        .bind(messages.iter().map(|new| new.ack.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(|new| Time(new.queued_at)).collect::<Vec<_>>())
        .bind(messages.iter().map(|new| Time(new.expires_at)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    let history: Vec<&NewMessage> = messages.iter().map(|new| &new.message).collect();
    append(layout, connection, &history).await?;
    Ok(())
}
