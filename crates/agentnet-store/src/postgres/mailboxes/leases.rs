//! Leasing messages to a session.

use std::collections::BTreeSet;

use agentnet_protocol::Timestamp;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _};

use super::row::{ack_column, opt_text_column, text_column, time_column};
use super::usage::lock;
use crate::error::StoreError;
use crate::lease_selection::{CANDIDATES_PER_READ, Candidate, Chosen, Lapsed, LeaseSelection, lease_name};
use crate::model::{LeaseQuery, Leased, LeasedRow, PUSH_SESSION_PREFIX};
use crate::postgres::error::failed;
use crate::postgres::value::{Time, read, stored};
use crate::postgres::{PostgresStore, retry_on_conflict};

macro_rules! candidates {
    ($state:literal) => {
        concat!(
            "(SELECT seq, from_account_id, lease, lease_until, lease_session, attempts, lapses, available_at, expires_at, \
             bytes FROM agent_mailbox WHERE account_id = $1 AND state = '",
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

/// Whether a message is leased that has to be alone.
pub(super) const ALONE: &str = "SELECT EXISTS (SELECT 1 FROM agent_mailbox WHERE account_id = $1 AND state = 'leased' \
     AND lapses >= 2 AND lease_until > $2)";

/// Messages that were leased behind earlier ones of their senders, and were not begun.
const RELEASE: &str = "UPDATE agent_mailbox SET state = 'queued', attempts = attempts - 1, lease = NULL, lease_until = NULL, \
     lease_session = NULL FROM unnest($1::text[], $2::text[], $3::bigint[]) AS lapsed (of_account, of_sender, lapsed_seq) \
     WHERE account_id = of_account AND from_account_id = of_sender AND state = 'leased' AND seq > lapsed_seq \
     AND lease_until <= $4";

/// Ends the leases of registries that are gone.
const ABANDON: &str = "UPDATE agent_mailbox SET state = 'queued', attempts = attempts - 1, lease = NULL, lease_until = NULL, \
     lease_session = NULL WHERE account_id = $1 AND state = 'leased' AND starts_with(lease_session, $2) \
     AND lease_session <> ALL($3)";

const WAITING: &str = "SELECT messages FROM agent_mailbox_accounts WHERE account_id = $1";

/// A chosen message whose lease is in force was leased by an earlier call with this token: that is no second attempt.
const LEASE: &str = "UPDATE agent_mailbox SET state = 'leased', attempts = attempts + (lease IS NULL OR lease_until <= $5)::int, \
     lapses = lapses + (lease IS NOT NULL AND lease_until <= $5)::int, lease = $2 || '-' || seq, lease_until = $3, \
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
    if chosen.seqs.is_empty() {
        transaction.rollback().await?;
        return Ok(Leased {
            messages: Vec::new(),
            remaining: waiting,
        });
    }
    let rows = sqlx::query(LEASE)
        .bind(&chosen.seqs)
        .bind(stored(&query.token).into_owned())
        .bind(Time(query.until))
        .bind(stored(&query.session_tag).into_owned())
        .bind(Time(query.now))
        .fetch_all(&mut *transaction)
        .await?;
    let mut messages = rows.iter().map(leased_row).collect::<Result<Vec<_>, _>>()?;
    let lapsed: Vec<_> = chosen
        .lapsed
        .iter()
        .map(|lapsed| (query.account_id.as_str(), lapsed))
        .collect();
    release_behind(&mut transaction, &lapsed, query.now).await?;
    transaction.commit().await?;
    messages.sort_unstable_by_key(|message| message.seq);
    let leased = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    Ok(Leased {
        messages,
        remaining: waiting - leased,
    })
}

/// The messages that were leased behind these, by account, wait again, as if they had not been leased.
pub(super) async fn release_behind(
    connection: &mut PgConnection,
    lapsed: &[(&str, &Lapsed)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if lapsed.is_empty() {
        return Ok(());
    }
    let senders = lapsed.iter().map(|(_, lapsed)| stored(&lapsed.from_account_id));
    sqlx::query(RELEASE)
        .bind(
            lapsed
                .iter()
                .map(|(account_id, _)| stored(account_id))
                .collect::<Vec<_>>(),
        )
        .bind(senders.collect::<Vec<_>>())
        .bind(lapsed.iter().map(|(_, lapsed)| lapsed.seq).collect::<Vec<_>>())
        .bind(Time(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// The messages that the session gets.
async fn choose(connection: &mut PgConnection, query: &LeaseQuery) -> Result<Chosen, sqlx::Error> {
    let account_id = stored(&query.account_id);
    if let Some(pushing) = &query.pushing {
        sqlx::query(ABANDON)
            .bind(&*account_id)
            .bind(PUSH_SESSION_PREFIX)
            .bind(pushing.iter().map(|tag| stored(tag)).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    if query.exclusive {
        let leases: Vec<(i64, Option<String>)> = sqlx::query_as(IN_FORCE)
            .bind(&*account_id)
            .bind(Time(query.now))
            .fetch_all(&mut *connection)
            .await?;
        let mut leases = leases.into_iter().map(|(seq, lease)| (seq, lease.map(read)));
        if leases.any(|(seq, lease)| lease != Some(lease_name(query, seq))) {
            return Ok(Chosen::default());
        }
    }
    let is_alone_leased = sqlx::query_scalar(ALONE)
        .bind(&*account_id)
        .bind(Time(query.now))
        .fetch_one(&mut *connection)
        .await?;
    let mut selection = LeaseSelection::new(query, is_alone_leased);
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
        lease_session: opt_text_column(row, "lease_session")?,
        attempts: row.try_get("attempts")?,
        lapses: row.try_get("lapses")?,
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
