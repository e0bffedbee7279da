//! Leasing messages to a session.

use agentnet_protocol::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteExecutor};

use super::row::{ack_column, time_column};
use crate::error::StoreError;
use crate::lease_selection::{CANDIDATES_PER_READ, Candidate, Chosen, Lapsed, LeaseSelection, lease_name};
use crate::model::{LeaseQuery, Leased, LeasedRow, PUSH_SESSION_PREFIX};
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;
use crate::sqlite::statement_batches::statement_batches;

macro_rules! candidates {
    ($state:literal) => {
        concat!(
            "SELECT seq, from_account_id, lease, lease_until, lease_session, attempts, lapses, available_at, expires_at, \
             bytes FROM agent_mailbox WHERE account_id = ?1 AND state = '",
            $state,
            "' AND seq > ?2"
        )
    };
}

/// The next messages that wait or are leased, in their order.
pub(super) const CANDIDATES: &str = concat!(
    candidates!("queued"),
    " UNION ALL ",
    candidates!("leased"),
    " ORDER BY seq LIMIT ?3"
);

/// Leases that are in force.
pub(super) const IN_FORCE: &str =
    "SELECT seq, lease FROM agent_mailbox WHERE account_id = ? AND state = 'leased' AND lease_until > ?";

/// Whether a message is leased that has to be alone.
pub(super) const ALONE: &str = "SELECT EXISTS (SELECT 1 FROM agent_mailbox INDEXED BY idx_agent_mailbox_alone \
     WHERE account_id = ? AND state = 'leased' AND lapses >= 2 AND lease_until > ?)";

/// A message that was leased behind an earlier one of its sender, and was not begun.
pub(super) const RELEASE: &str = "UPDATE agent_mailbox INDEXED BY idx_agent_mailbox_sender SET state = 'queued', \
     attempts = attempts - 1, lease = NULL, lease_until = NULL, lease_session = NULL WHERE account_id = ?1 \
     AND from_account_id = ?2 AND state = 'leased' AND seq > ?3 AND lease_until <= ?4";

/// Leases that are in force, with the sessions that have them.
pub(super) const PUSHED: &str = "SELECT seq, lease_session FROM agent_mailbox WHERE account_id = ? AND state = 'leased' \
     AND lease_until > ? AND lease_session IS NOT NULL";
pub(super) const ABANDON: &str = "UPDATE agent_mailbox SET state = 'queued', attempts = attempts - 1, lease = NULL, \
     lease_until = NULL, lease_session = NULL WHERE seq = ? AND state = 'leased'";

const WAITING: &str = "SELECT messages FROM agent_mailbox_accounts WHERE account_id = ?";

/// What [`Mailboxes::lease_messages`](crate::store::Mailboxes::lease_messages) says.
pub(super) async fn lease_messages(store: &SqliteStore, query: &LeaseQuery) -> Result<Leased, StoreError> {
    store.check_file()?;
    // Most mailboxes are empty: that needs no write lock.
    if waiting(&store.read, query).await.map_err(failed)? == 0 {
        return Ok(Leased::default());
    }
    let mut transaction = store.begin_write().await?;
    let waiting = waiting(&mut *transaction, query).await.map_err(failed)?;
    let chosen = choose(&mut transaction, query).await.map_err(failed)?;
    let messages = lease(&mut transaction, query, &chosen.seqs).await.map_err(failed)?;
    for lapsed in &chosen.lapsed {
        release_behind(&mut transaction, &query.account_id, lapsed, query.now)
            .await
            .map_err(failed)?;
    }
    if messages.is_empty() {
        transaction.rollback().await.map_err(failed)?;
    } else {
        transaction.commit().await.map_err(failed)?;
    }
    let leased = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    Ok(Leased {
        messages,
        remaining: waiting - leased,
    })
}

/// Messages of the account that wait or are leased.
async fn waiting(executor: impl SqliteExecutor<'_>, query: &LeaseQuery) -> Result<i64, sqlx::Error> {
    let messages: Option<i64> = sqlx::query_scalar(WAITING)
        .bind(&query.account_id)
        .fetch_optional(executor)
        .await?;
    Ok(messages.unwrap_or_default())
}

/// Ends the leases of registries that are gone.
async fn abandon(connection: &mut SqliteConnection, query: &LeaseQuery, pushing: &[String]) -> Result<(), sqlx::Error> {
    let leases: Vec<(i64, String)> = sqlx::query_as(PUSHED)
        .bind(&query.account_id)
        .bind(query.now.as_micros())
        .fetch_all(&mut *connection)
        .await?;
    for (seq, session_tag) in leases {
        if session_tag.starts_with(PUSH_SESSION_PREFIX) && !pushing.contains(&session_tag) {
            sqlx::query(ABANDON).bind(seq).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// The messages that were leased behind this one wait again, as if they had not been leased.
pub(super) async fn release_behind(
    connection: &mut SqliteConnection,
    account_id: &str,
    lapsed: &Lapsed,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(RELEASE)
        .bind(account_id)
        .bind(&lapsed.from_account_id)
        .bind(lapsed.seq)
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// The messages that the session gets.
async fn choose(connection: &mut SqliteConnection, query: &LeaseQuery) -> Result<Chosen, sqlx::Error> {
    if let Some(pushing) = &query.pushing {
        abandon(connection, query, pushing).await?;
    }
    if query.exclusive {
        let leases: Vec<(i64, Option<String>)> = sqlx::query_as(IN_FORCE)
            .bind(&query.account_id)
            .bind(query.now.as_micros())
            .fetch_all(&mut *connection)
            .await?;
        let is_other = |(seq, lease): &(i64, Option<String>)| lease.as_ref() != Some(&lease_name(query, *seq));
        if leases.iter().any(is_other) {
            return Ok(Chosen::default());
        }
    }
    let is_alone_leased = sqlx::query_scalar(ALONE)
        .bind(&query.account_id)
        .bind(query.now.as_micros())
        .fetch_one(&mut *connection)
        .await?;
    let mut selection = LeaseSelection::new(query, is_alone_leased);
    let mut after = 0;
    loop {
        let rows = sqlx::query(CANDIDATES)
            .bind(&query.account_id)
            .bind(after)
            .bind(CANDIDATES_PER_READ)
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let lease_until: Option<i64> = row.try_get("lease_until")?;
            let candidate = Candidate {
                seq: row.try_get("seq")?,
                from_account_id: row.try_get("from_account_id")?,
                lease: row.try_get("lease")?,
                lease_until: lease_until.map(Timestamp::from_micros),
                lease_session: row.try_get("lease_session")?,
                attempts: row.try_get("attempts")?,
                lapses: row.try_get("lapses")?,
                available_at: time_column(row, "available_at")?,
                expires_at: time_column(row, "expires_at")?,
                bytes: row.try_get("bytes")?,
            };
            after = candidate.seq;
            selection.offer(candidate);
        }
        if selection.is_full() || (rows.len() as u64) < CANDIDATES_PER_READ.unsigned_abs() {
            return Ok(selection.into_chosen());
        }
    }
}

/// Gives these messages to the session, and reads them.
async fn lease(
    connection: &mut SqliteConnection,
    query: &LeaseQuery,
    chosen: &[i64],
) -> Result<Vec<LeasedRow>, sqlx::Error> {
    let mut messages = Vec::with_capacity(chosen.len());
    for run in statement_batches(chosen) {
        // A chosen message whose lease is in force was leased by an earlier call with this token: that is no second attempt.
        let mut sql = QueryBuilder::<Sqlite>::new(
            "UPDATE agent_mailbox SET state = 'leased', attempts = attempts + (lease IS NULL OR lease_until <= ",
        );
        sql.push_bind(query.now.as_micros())
            .push("), lapses = lapses + (lease IS NOT NULL AND lease_until <= ")
            .push_bind(query.now.as_micros())
            .push("), lease = ")
            .push_bind(query.token.clone())
            .push(" || '-' || seq, lease_until = ")
            .push_bind(query.until.as_micros())
            .push(", lease_session = ")
            .push_bind(query.session_tag.clone())
            .push(" WHERE seq IN (");
        let mut places = sql.separated(", ");
        for seq in run {
            places.push_bind(*seq);
        }
        sql.push(") RETURNING seq, lease, attempts, message_id, from_account_id, ack, queued_at, expires_at, body");
        for row in sql.build().fetch_all(&mut *connection).await? {
            messages.push(LeasedRow {
                lease: row.try_get("lease")?,
                seq: row.try_get("seq")?,
                attempt: row.try_get("attempts")?,
                message_id: row.try_get("message_id")?,
                from_account_id: row.try_get("from_account_id")?,
                ack: ack_column(&row)?,
                queued_at: time_column(&row, "queued_at")?,
                expires_at: time_column(&row, "expires_at")?,
                body: row.try_get("body")?,
            });
        }
    }
    messages.sort_unstable_by_key(|message| message.seq);
    Ok(messages)
}
