//! Accounts in PostgreSQL.

use agentnet_protocol::Timestamp;
use agentnet_protocol::limits::{MAX_CAPABILITIES, MAX_CAPABILITY_BYTES, MAX_NAME_BYTES};
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::account_row::{BY_ID, account, columns};
use super::claims::claim_accounts;
use super::error::failed;
use super::value::{Time, read, stored};
use super::{PostgresStore, opt_text_column, retry_on_conflict, text_column, time_column};
use crate::case_fold::fold_case;
use crate::error::StoreError;
use crate::model::{Account, AccountClaim, AccountQuery, KnownAccount, Oversized, Page};
use crate::page::{fetch_limit, page};
use crate::store::Accounts;

/// As it is indexed.
const DISPLAY_NAME: &str = "COALESCE(a.display_name_search, lower(a.display_name))";

const SELECT: &str = concat!("SELECT ", columns!(), " FROM agent_accounts a WHERE ");
const IDS: &str = "SELECT username, account_id FROM agent_accounts WHERE username = ANY($1)";
const KNOWN: &str = "SELECT a.account_id, a.username, NULLIF(a.metadata ->> 'dev_auth_public_key', '') AS public_key, \
     a.updated_at FROM agent_accounts a WHERE a.account_id = ANY($1)";
/// What `jsonb` gives back has more white space than what came, so metadata is looked at once more.
const OVERSIZED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_accounts a WHERE octet_length(a.account_id) > $1 OR octet_length(a.username) > $1 \
     OR octet_length(a.display_name) > $1 OR octet_length(COALESCE(a.metadata_text, (a.metadata -> 'metadata')::text)) > $2 \
     OR CASE WHEN jsonb_typeof(a.capabilities) = 'array' THEN jsonb_array_length(a.capabilities) > $3 \
     OR EXISTS (SELECT 1 FROM jsonb_array_elements_text(a.capabilities) c WHERE octet_length(c) > $4) ELSE FALSE END \
     ORDER BY a.username COLLATE \"C\" LIMIT $5"
);
const BY_USERNAME: &str = concat!("SELECT ", columns!(), " FROM agent_accounts a WHERE a.username = $1");

const ROTATE: &str = concat!(
    "UPDATE agent_accounts a SET metadata = jsonb_set(a.metadata, '{dev_auth_public_key}', to_jsonb($3::text)), \
     updated_at = $4 WHERE a.account_id = $1 AND NULLIF(a.metadata ->> 'dev_auth_public_key', '') = $2 RETURNING ",
    columns!()
);

#[async_trait]
impl Accounts for PostgresStore {
    async fn claim_accounts(&self, claims: &[AccountClaim]) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
        claim_accounts(self.pool()?, claims).await
    }

    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let pool = self.pool()?;
        let rotated = retry_on_conflict!(
            sqlx::query(ROTATE)
                .bind(stored(account_id).into_owned())
                .bind(stored(old).into_owned())
                .bind(stored(new).into_owned())
                .bind(Time(at))
                .fetch_optional(pool)
        )?;
        match rotated {
            Some(row) => account(&row).map(Some),
            None => match one(self, BY_ID, account_id).await? {
                Some(_) => Err(StoreError::KeyMismatch),
                None => Ok(None),
            },
        }
    }

    async fn account_by_id(&self, account_id: &str) -> Result<Option<Account>, StoreError> {
        one(self, BY_ID, account_id).await
    }

    async fn account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        one(self, BY_USERNAME, username).await
    }

    async fn account_ids(&self, usernames: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let names: Vec<_> = usernames.iter().map(|name| stored(name)).collect();
        let found: Vec<(String, String)> = sqlx::query_as(IDS)
            .bind(names)
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(found.into_iter().map(|(name, id)| (read(name), read(id))).collect())
    }

    async fn known_accounts(&self, account_ids: &[String]) -> Result<Vec<KnownAccount>, StoreError> {
        let ids: Vec<_> = account_ids.iter().map(|id| stored(id)).collect();
        let rows = sqlx::query(KNOWN)
            .bind(ids)
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        let known = |row: &PgRow| {
            Ok(KnownAccount {
                account_id: text_column(row, "account_id")?,
                username: text_column(row, "username")?,
                public_key: opt_text_column(row, "public_key")?,
                updated_at: time_column(row, "updated_at")?,
            })
        };
        rows.iter().map(known).collect()
    }

    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError> {
        let pool = self.pool()?;
        let rare = match query.text.as_str() {
            "" => Vec::new(),
            text => self.sample.rare_parts(pool, &fold_case(text)).await,
        };
        // A text is planned for as it is: for one that may be anything PostgreSQL would walk all usernames.
        let rows = page_query(query, &rare)
            .build()
            .persistent(query.text.is_empty())
            .fetch_all(pool)
            .await
            .map_err(failed)?;
        page(&rows, query.limit, account)
    }

    async fn oversized_accounts(&self, max_metadata: usize, limit: usize) -> Result<Vec<Oversized>, StoreError> {
        let mut query = sqlx::query(OVERSIZED);
        for bound in [
            MAX_NAME_BYTES,
            max_metadata,
            MAX_CAPABILITIES,
            MAX_CAPABILITY_BYTES,
            limit,
        ] {
            query = query.bind(i64::try_from(bound).unwrap_or(i64::MAX));
        }
        let rows = query.fetch_all(self.pool()?).await.map_err(failed)?;
        let accounts = rows.iter().map(account).collect::<Result<Vec<_>, _>>()?;
        Ok(accounts
            .iter()
            .filter_map(|account| Oversized::of(account, max_metadata))
            .collect())
    }
}

async fn one(store: &PostgresStore, sql: &'static str, key: &str) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query(sql)
        .bind(stored(key).into_owned())
        .fetch_optional(store.pool()?)
        .await
        .map_err(failed)?;
    row.as_ref().map(account).transpose()
}

/// The statement of one page. The index is asked for the rare parts of the text if there are any, else for all of it.
pub(super) fn page_query(query: &AccountQuery, rare: &[String]) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("TRUE");
    if let Some(capability) = &query.capability {
        sql.push(" AND a.capabilities_search @> ARRAY[")
            .push_bind(stored(&fold_case(capability)).into_owned())
            .push("]");
    }
    if let Some(after) = &query.after_username {
        sql.push(" AND a.username COLLATE \"C\" > ")
            .push_bind(stored(after).into_owned());
    }
    if !query.text.is_empty() {
        let text = stored(&fold_case(&query.text)).into_owned();
        for (opening, name) in [(" AND ((", "a.username"), (") OR (", DISPLAY_NAME)] {
            sql.push(opening);
            for part in rare {
                sql.push(name).push(" LIKE ").push_bind(containing(part)).push(" AND ");
            }
            match rare {
                [] => sql.push(name).push(" LIKE ").push_bind(containing(&text)),
                _ => sql
                    .push("strpos(")
                    .push(name)
                    .push(", ")
                    .push_bind(text.clone())
                    .push(") > 0"),
            };
        }
        sql.push("))");
    }
    sql.push(" ORDER BY a.username COLLATE \"C\" LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}

/// A pattern for what contains this text, of which no character is a wildcard.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
