//! Leasing messages to a session.

use std::collections::BTreeSet;

use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _};

use super::row::{ack_column, opt_text_column, text_column, time_column};
use super::usage::lock;
use crate::error::StoreError;
use crate::lease_selection::{CANDIDATES_PER_READ, Candidate, LeaseSelection, lease_name};
use crate::model::{LeaseQuery, Leased, LeasedRow};
use crate::postgres::error::failed;
use crate::postgres::value::{Time, read, stored};
use crate::postgres::{PostgresStore, retry_on_conflict};

macro_rules! candidates {
    ($state:literal) => {
        concat!(
            "(SELECT seq, from_account_id, lease, lease_until, attempts, available_at, expires_at, bytes \
             FROM agent_mailbox WHERE account_id = $1 AND state = '",
            $state,
            "' AND seq > $2 ORDER BY seq LIMIT $3)"
        )
    };
}

/// The next messages that wait or are leased, in their order.
pub(super) const CANDIDATES: &str = concat!(
    candidates!("queued"),
    " UNION ALL ",
    candidates!("leased"),
    " ORDER BY seq LIMIT $3"
);

/// Leases that are in force.
const IN_FORCE: &str =
    "SELECT seq, lease FROM agent_mailbox WHERE account_id = $1 AND state = 'leased' AND lease_until > $2";

const WAITING: &str = "SELECT messages FROM agent_mailbox_accounts WHERE account_id = $1";

/// A repeated call counts no second attempt.
const LEASE: &str = "UPDATE agent_mailbox SET state = 'leased', \
     attempts = attempts + (lease IS DISTINCT FROM $2 || '-' || seq)::int, lease = $2 || '-' || seq, lease_until = $3, \
     lease_session = $4 WHERE seq = ANY($1) \
     RETURNING seq, lease, attempts, message_id, from_account_id, ack, queued_at, expires_at, body";

/// What [`Mailboxes::lease_messages`](crate::store::Mailboxes::lease_messages) says.
pub(super) async fn lease_messages(store: &PostgresStore, query: &LeaseQuery) -> Result<Leased, StoreError> {
    let pool = store.pool()?;
    // Most mailboxes are empty: that needs no transaction.
    let waiting: Option<i64> = sqlx::query_scalar(WAITING)
        .bind(stored(&query.account_id).into_owned())
        .fetch_optional(pool)
        .await
        .map_err(failed)?;
    if waiting.unwrap_or_default() == 0 {
        return Ok(Leased::default());
    }
    retry_on_conflict!(lease_once(pool, query))
}

async fn lease_once(pool: &PgPool, query: &LeaseQuery) -> Result<Leased, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let usages = lock(&mut transaction, &BTreeSet::from([query.account_id.as_str()])).await?;
    let waiting = usages.first().map_or(0, |(_, usage)| usage.messages);
    let chosen = choose(&mut transaction, query).await?;
    if chosen.is_empty() {
        transaction.rollback().await?;
        return Ok(Leased {
            messages: Vec::new(),
            remaining: waiting,
        });
    }
    let rows = sqlx::query(LEASE)
        .bind(&chosen)
        .bind(stored(&query.token).into_owned())
        .bind(Time(query.until))
        .bind(stored(&query.session_tag).into_owned())
        .fetch_all(&mut *transaction)
        .await?;
    let mut messages = rows.iter().map(leased_row).collect::<Result<Vec<_>, _>>()?;
    transaction.commit().await?;
    messages.sort_unstable_by_key(|message| message.seq);
    let leased = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    Ok(Leased {
        messages,
        remaining: waiting - leased,
    })
}

/// The messages that the session gets.
async fn choose(connection: &mut PgConnection, query: &LeaseQuery) -> Result<Vec<i64>, sqlx::Error> {
    let account_id = stored(&query.account_id);
    if query.exclusive {
        let leases: Vec<(i64, Option<String>)> = sqlx::query_as(IN_FORCE)
            .bind(&*account_id)
            .bind(Time(query.now))
            .fetch_all(&mut *connection)
            .await?;
        let mut leases = leases.into_iter().map(|(seq, lease)| (seq, lease.map(read)));
        if leases.any(|(seq, lease)| lease != Some(lease_name(query, seq))) {
            return Ok(Vec::new());
        }
    }
    let mut selection = LeaseSelection::new(query);
    let mut after = 0_i64;
    loop {
        let rows = sqlx::query(CANDIDATES)
            .bind(&*account_id)
            .bind(after)
            .bind(CANDIDATES_PER_READ)
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let candidate = candidate(row)?;
            after = candidate.seq;
            selection.offer(candidate);
        }
        if selection.is_full() || (rows.len() as u64) < CANDIDATES_PER_READ.unsigned_abs() {
            return Ok(selection.into_chosen());
        }
    }
}

fn candidate(row: &PgRow) -> Result<Candidate, sqlx::Error> {
    let lease_until: Option<Time> = row.try_get("lease_until")?;
    Ok(Candidate {
        seq: row.try_get("seq")?,
        from_account_id: text_column(row, "from_account_id")?,
        lease: opt_text_column(row, "lease")?,
        lease_until: lease_until.map(|Time(at)| at),
        attempts: row.try_get("attempts")?,
        available_at: time_column(row, "available_at")?,
        expires_at: time_column(row, "expires_at")?,
        bytes: row.try_get("bytes")?,
    })
}

fn leased_row(row: &PgRow) -> Result<LeasedRow, sqlx::Error> {
    Ok(LeasedRow {
        lease: text_column(row, "lease")?,
        seq: row.try_get("seq")?,
        attempt: row.try_get("attempts")?,
        message_id: text_column(row, "message_id")?,
        from_account_id: text_column(row, "from_account_id")?,
        ack: ack_column(row)?,
        queued_at: time_column(row, "queued_at")?,
        expires_at: time_column(row, "expires_at")?,
        body: text_column(row, "body")?,
    })
}
