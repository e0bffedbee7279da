//! Mailboxes in SQLite: lists and counts here, changes in the files below.

mod changes;
mod ends;
mod lease_ends;
mod leases;
mod put;
mod row;
#[cfg(test)]
mod tests;

use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::MailboxState;
use async_trait::async_trait;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use self::row::{columns, mailbox_row};
use super::SqliteStore;
use super::error::failed;
use crate::error::StoreError;
use crate::model::{
    LeaseEnd, LeaseEnded, LeaseQuery, Leased, MailboxChoice, MailboxCounts, MailboxLimits, MailboxQuery, MailboxRow,
    NewQueued, Page, PutOutcome, UntoldEnd,
};
use crate::page::{fetch_limit, page};
use crate::store::Mailboxes;

/// The counts of one account.
pub(super) const COUNTS: &str = "SELECT \
     (SELECT COUNT(*) FROM agent_mailbox WHERE account_id = ?1 AND state = 'queued') AS queued, \
     (SELECT COUNT(*) FROM agent_mailbox WHERE account_id = ?1 AND state = 'leased') AS leased, \
     (SELECT COUNT(*) FROM agent_mailbox WHERE account_id = ?1 AND state = 'dead') AS dead, \
     COALESCE((SELECT bytes FROM agent_mailbox_accounts WHERE account_id = ?1), 0) AS bytes, \
     (SELECT MIN(queued_at) FROM agent_mailbox WHERE account_id = ?1 AND state = 'queued') AS oldest_queued_at";

/// The counts of all accounts together: the messages that wait are not counted one by one.
pub(super) const TOTAL_COUNTS: &str = "SELECT messages - leased AS queued, leased, dead, bytes, oldest_queued_at FROM \
     (SELECT messages, bytes, \
     (SELECT COUNT(*) FROM agent_mailbox INDEXED BY idx_agent_mailbox_attempts WHERE state = 'leased' \
     AND done_at IS NULL AND attempts > 0) AS leased, \
     (SELECT COUNT(*) FROM agent_mailbox INDEXED BY idx_agent_mailbox_done WHERE state = 'dead' \
     AND done_at IS NOT NULL) AS dead, \
     (SELECT MIN(queued_at) FROM agent_mailbox INDEXED BY idx_agent_mailbox_queued WHERE state = 'queued') \
     AS oldest_queued_at FROM agent_mailbox_accounts WHERE account_id = '')";

pub(super) const ACCOUNTS: &str = "SELECT account_id FROM agent_mailbox_accounts WHERE account_id > ? AND messages > 0 \
     ORDER BY account_id LIMIT ?";

#[async_trait]
impl Mailboxes for SqliteStore {
    async fn put_messages(
        &self,
        messages: &[NewQueued],
        limits: &MailboxLimits,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        put::put_messages(self, messages, limits).await
    }

    async fn lease_messages(&self, query: &LeaseQuery) -> Result<Leased, StoreError> {
        leases::lease_messages(self, query).await
    }

    async fn end_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        ends: &[LeaseEnd],
        now: Timestamp,
        max_attempts: i64,
    ) -> Result<Vec<LeaseEnded>, StoreError> {
        lease_ends::end_leases(self, account_id, session_tag, ends, now, max_attempts).await
    }

    async fn extend_leases(
        &self,
        account_id: &str,
        session_tag: &str,
        leases: &[String],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        lease_ends::extend_leases(self, account_id, session_tag, leases, now, until).await
    }

    async fn mailbox_counts(&self, account_id: Option<&str>) -> Result<MailboxCounts, StoreError> {
        let query = match account_id {
            Some(account_id) => sqlx::query(COUNTS).bind(account_id),
            None => sqlx::query(TOTAL_COUNTS),
        };
        let row = query.fetch_one(&self.read).await.map_err(failed)?;
        let count = |column| row.try_get(column).map_err(failed);
        let oldest_queued_at: Option<i64> = row.try_get("oldest_queued_at").map_err(failed)?;
        Ok(MailboxCounts {
            queued: count("queued")?,
            leased: count("leased")?,
            dead: count("dead")?,
            bytes: count("bytes")?,
            oldest_queued_at: oldest_queued_at.map(Timestamp::from_micros),
        })
    }

    async fn mailbox_messages(&self, query: &MailboxQuery) -> Result<Page<MailboxRow>, StoreError> {
        let rows = page_query(query).build().fetch_all(&self.read).await.map_err(failed)?;
        page(&rows, query.limit, |row| mailbox_row(row).map_err(failed))
    }

    async fn accounts_with_mail(&self, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(ACCOUNTS)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await
            .map_err(failed)
    }

    async fn requeue_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
        limits: &MailboxLimits,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        changes::requeue_messages(self, account_id, choice, now, limits).await
    }

    async fn drop_messages(
        &self,
        account_id: &str,
        choice: &MailboxChoice,
        now: Timestamp,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        changes::drop_messages(self, account_id, choice, now).await
    }

    async fn expire_messages(&self, now: Timestamp, limit: usize) -> Result<Vec<MailboxRow>, StoreError> {
        changes::expire_messages(self, now, limit).await
    }

    async fn bury_messages(
        &self,
        now: Timestamp,
        max_attempts: i64,
        limit: usize,
    ) -> Result<Vec<MailboxRow>, StoreError> {
        changes::bury_messages(self, now, max_attempts, limit).await
    }

    async fn untold_ends(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<Vec<UntoldEnd>, StoreError> {
        ends::untold_ends(self, before, now, limit).await
    }

    async fn ends_told(&self, seqs: &[i64]) -> Result<(), StoreError> {
        ends::ends_told(self, seqs).await
    }

    async fn prune_mailboxes(&self, now: Timestamp, dead_before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        changes::prune_mailboxes(self, now, dead_before, limit).await
    }
}

/// The statement of one page: it walks the index of each state, and merges what they give.
pub(super) fn page_query(query: &MailboxQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("");
    let states = match &query.state {
        Some(state) => std::slice::from_ref(state),
        None => MailboxState::ALL,
    };
    for (index, state) in states.iter().enumerate() {
        if index > 0 {
            sql.push(" UNION ALL ");
        }
        sql.push(concat!(
            "SELECT ",
            columns!(),
            " FROM agent_mailbox WHERE account_id = "
        ))
        .push_bind(query.account_id.clone())
        .push(" AND state = ")
        .push_bind(state.as_str())
        .push(" AND seq > ")
        .push_bind(query.after_seq);
    }
    sql.push(" ORDER BY seq LIMIT ").push_bind(fetch_limit(query.limit));
    sql
}
