//! Accounts in SQLite.

use agentnet_protocol::Timestamp;
use agentnet_protocol::limits::{MAX_CAPABILITIES, MAX_CAPABILITY_BYTES, MAX_NAME_BYTES};
use agentnet_protocol::signing_scope::SigningScope;
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::error::failed;
use super::statement_batches::statement_batches;
use super::{SqliteStore, json_column, texts, texts_column};
use crate::case_fold::{fold_case, folded_set};
use crate::error::StoreError;
use crate::model::{Account, AccountClaim, AccountQuery, DesiredName, KnownAccount, Oversized, Page, check_claim};
use crate::page::{fetch_limit, page};
use crate::store::Accounts;
use crate::username_suffix;

const SELECT: &str = "SELECT a.account_id, a.username, a.display_name, a.bio, a.capabilities, a.metadata, a.visibility, \
     a.status, a.public_key, a.signs, a.created_at, a.updated_at FROM ";

#[async_trait]
impl Accounts for SqliteStore {
    async fn claim_accounts(&self, claims: &[AccountClaim]) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let mut outcomes = Vec::with_capacity(claims.len());
        for claim in claims {
            outcomes.push(match self::claim(&mut transaction, claim).await {
                // Both are found out before anything is written.
                Err(error @ (StoreError::KeyMismatch | StoreError::TooLarge(_))) => Err(error),
                outcome => Ok(outcome?),
            });
        }
        transaction.commit().await.map_err(failed)?;
        Ok(outcomes)
    }

    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let Some(account) = by_id(&mut transaction, account_id).await? else {
            return Ok(None);
        };
        if account.public_key.as_deref() != Some(old) {
            return Err(StoreError::KeyMismatch);
        }
        sqlx::query("UPDATE agent_accounts SET public_key = ?, updated_at = ? WHERE account_id = ?")
            .bind(new)
            .bind(at.as_micros())
            .bind(account_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(Account {
            public_key: Some(new.to_owned()),
            updated_at: at,
            ..account
        }))
    }

    async fn account_by_id(&self, account_id: &str) -> Result<Option<Account>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        by_id(&mut connection, account_id).await
    }

    async fn account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        by_username(&mut connection, username).await
    }

    async fn account_ids(&self, usernames: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        let rows = rows_of(
            &mut connection,
            "SELECT username, account_id FROM agent_accounts WHERE username IN (",
            usernames,
        );
        let pair = |row: SqliteRow| Ok((row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?));
        rows.await?.into_iter().map(pair).collect()
    }

    async fn known_accounts(&self, account_ids: &[String]) -> Result<Vec<KnownAccount>, StoreError> {
        const SELECT: &str =
            "SELECT account_id, username, public_key, updated_at FROM agent_accounts WHERE account_id IN (";
        let mut connection = self.read.acquire().await.map_err(failed)?;
        let known = |row: SqliteRow| {
            Ok(KnownAccount {
                account_id: row.try_get("account_id").map_err(failed)?,
                username: row.try_get("username").map_err(failed)?,
                public_key: row.try_get("public_key").map_err(failed)?,
                updated_at: Timestamp::from_micros(row.try_get("updated_at").map_err(failed)?),
            })
        };
        let rows = rows_of(&mut connection, SELECT, account_ids).await?;
        rows.into_iter().map(known).collect()
    }

    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError> {
        let rows = page_query(query).build().fetch_all(&self.read).await.map_err(failed)?;
        page(&rows, query.limit, account)
    }

    async fn oversized_accounts(&self, max_metadata: usize, limit: usize) -> Result<Vec<Oversized>, StoreError> {
        let sql = format!(
            "{SELECT}agent_accounts a WHERE octet_length(a.account_id) > ?1 OR octet_length(a.username) > ?1 \
             OR octet_length(a.display_name) > ?1 OR octet_length(a.metadata) > ?2 \
             OR json_array_length(a.capabilities) > ?3 \
             OR EXISTS (SELECT 1 FROM json_each(a.capabilities) c WHERE octet_length(c.value) > ?4) \
             ORDER BY a.username LIMIT ?5"
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for bound in [
            MAX_NAME_BYTES,
            max_metadata,
            MAX_CAPABILITIES,
            MAX_CAPABILITY_BYTES,
            limit,
        ] {
            query = query.bind(i64::try_from(bound).unwrap_or(i64::MAX));
        }
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let accounts = rows.iter().map(account).collect::<Result<Vec<_>, _>>()?;
        Ok(accounts
            .iter()
            .filter_map(|account| Oversized::of(account, max_metadata))
            .collect())
    }
}

/// The statement of one page: along the capability's rows if one is asked for, else along the usernames.
pub(super) fn page_query(query: &AccountQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(SELECT);
    let username = if let Some(capability) = &query.capability {
        sql.push("agent_account_capabilities c CROSS JOIN agent_accounts a ON a.account_id = c.account_id WHERE c.capability = ");
        sql.push_bind(fold_case(capability));
        "c.username"
    } else {
        sql.push("agent_accounts a WHERE TRUE");
        "a.username"
    };
    if let Some(after) = &query.after_username {
        sql.push(" AND ").push(username).push(" > ").push_bind(after.clone());
    }
    if !query.text.is_empty() {
        let text = fold_case(&query.text);
        sql.push(" AND (INSTR(a.username_search, ").push_bind(text.clone());
        sql.push(") > 0 OR INSTR(a.display_name_search, ")
            .push_bind(text)
            .push(") > 0)");
    }
    sql.push(" ORDER BY ")
        .push(username)
        .push(" LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}

/// The rows of a statement that ends in `IN (`, for all keys.
async fn rows_of(
    connection: &mut SqliteConnection,
    select: &'static str,
    keys: &[String],
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut rows = Vec::with_capacity(keys.len());
    for run in statement_batches(keys) {
        let mut sql = QueryBuilder::<Sqlite>::new(select);
        let mut values = sql.separated(", ");
        for key in run {
            values.push_bind(key.clone());
        }
        sql.push(")");
        rows.extend(sql.build().fetch_all(&mut *connection).await.map_err(failed)?);
    }
    Ok(rows)
}

pub(super) async fn by_id(connection: &mut SqliteConnection, account_id: &str) -> Result<Option<Account>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SELECT);
    sql.push("agent_accounts a WHERE a.account_id = ")
        .push_bind(account_id.to_owned());
    sql.build()
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .as_ref()
        .map(account)
        .transpose()
}

pub(super) async fn by_username(
    connection: &mut SqliteConnection,
    username: &str,
) -> Result<Option<Account>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SELECT);
    sql.push("agent_accounts a WHERE a.username = ")
        .push_bind(username.to_owned());
    sql.build()
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .as_ref()
        .map(account)
        .transpose()
}

async fn is_taken(connection: &mut SqliteConnection, username: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM agent_accounts WHERE username = ?)")
        .bind(username)
        .fetch_one(connection)
        .await
        .map_err(failed)
}

async fn claim(connection: &mut SqliteConnection, claim: &AccountClaim) -> Result<Account, StoreError> {
    check_claim(claim)?;
    let known = match (&claim.account_id, &claim.name) {
        (Some(id), _) => by_id(connection, id).await?,
        (None, DesiredName::Requested(name) | DesiredName::Derived(name)) => by_username(connection, name).await?,
        (None, DesiredName::Generated(_)) => None,
    };
    match known {
        Some(account) => update(connection, account, claim).await,
        None => create(connection, claim).await,
    }
}

/// Rules 1 and 3: the account is known.
async fn update(
    connection: &mut SqliteConnection,
    mut account: Account,
    claim: &AccountClaim,
) -> Result<Account, StoreError> {
    match (&account.public_key, &claim.public_key) {
        (Some(bound), Some(shown)) if bound != shown => return Err(StoreError::KeyMismatch),
        (None, Some(shown)) => account.public_key = Some(shown.clone()),
        _ => {}
    }
    if claim.public_key.is_some() {
        account.signs = claim.signs;
    }
    let mut listed_anew = account.capabilities != claim.capabilities;
    // Found by its name (rule 3), the account has that name already; by its id (rule 1), it may take a new one.
    if let DesiredName::Requested(name) = &claim.name
        && *name != account.username
        && !is_taken(connection, name).await?
    {
        account.username.clone_from(name);
        listed_anew = true;
    }
    account.display_name.clone_from(&claim.display_name);
    account.capabilities.clone_from(&claim.capabilities);
    account.metadata = claim.metadata.clone();
    account.updated_at = claim.at;
    sqlx::query(
        "UPDATE agent_accounts SET username = ?, username_search = ?, display_name = ?, display_name_search = ?, \
         capabilities = ?, metadata = ?, agent_id = ?, public_key = ?, signs = ?, updated_at = ? WHERE account_id = ?",
    )
    .bind(&account.username)
    .bind(fold_case(&account.username))
    .bind(&account.display_name)
    .bind(fold_case(&account.display_name))
    .bind(texts(&account.capabilities))
    .bind(account.metadata.get())
    .bind(&claim.agent_id)
    .bind(&account.public_key)
    .bind(account.signs.to_string())
    .bind(account.updated_at.as_micros())
    .bind(&account.account_id)
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    if listed_anew {
        sqlx::query("DELETE FROM agent_account_capabilities WHERE account_id = ?")
            .bind(&account.account_id)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        list_capabilities(connection, &account).await?;
    }
    Ok(account)
}

/// Rules 2 and 4: the account is new.
pub(super) async fn create(connection: &mut SqliteConnection, claim: &AccountClaim) -> Result<Account, StoreError> {
    let (DesiredName::Requested(name) | DesiredName::Derived(name) | DesiredName::Generated(name)) = &claim.name;
    let account = Account {
        account_id: claim.account_id.as_ref().unwrap_or(&claim.new_account_id).clone(),
        username: free_variant(connection, name).await?,
        display_name: claim.display_name.clone(),
        bio: String::new(),
        capabilities: claim.capabilities.clone(),
        metadata: claim.metadata.clone(),
        visibility: "public".into(),
        status: "active".into(),
        public_key: claim.public_key.clone(),
        signs: claim.public_key.as_ref().map(|_| claim.signs).unwrap_or_default(),
        created_at: claim.at,
        updated_at: claim.at,
    };
    sqlx::query(
        "INSERT INTO agent_accounts (account_id, username, username_search, display_name, display_name_search, bio, \
         capabilities, metadata, visibility, status, agent_id, public_key, signs, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&account.account_id)
    .bind(&account.username)
    .bind(fold_case(&account.username))
    .bind(&account.display_name)
    .bind(fold_case(&account.display_name))
    .bind(&account.bio)
    .bind(texts(&account.capabilities))
    .bind(account.metadata.get())
    .bind(&account.visibility)
    .bind(&account.status)
    .bind(&claim.agent_id)
    .bind(&account.public_key)
    .bind(account.signs.to_string())
    .bind(account.created_at.as_micros())
    .bind(account.updated_at.as_micros())
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    list_capabilities(connection, &account).await?;
    Ok(account)
}

async fn free_variant(connection: &mut SqliteConnection, name: &str) -> Result<String, StoreError> {
    if !is_taken(connection, name).await? {
        return Ok(name.to_owned());
    }
    for attempt in 0..username_suffix::MAX_ATTEMPTS {
        let variant = username_suffix::with_suffix(name, attempt);
        if !is_taken(connection, &variant).await? {
            return Ok(variant);
        }
    }
    Err(StoreError::Database(format!(
        "no free variant of the username {name} was found"
    )))
}

async fn list_capabilities(connection: &mut SqliteConnection, account: &Account) -> Result<(), StoreError> {
    let capabilities = folded_set(&account.capabilities);
    if capabilities.is_empty() {
        return Ok(());
    }
    let mut sql =
        QueryBuilder::<Sqlite>::new("INSERT INTO agent_account_capabilities (capability, username, account_id) ");
    sql.push_values(capabilities, |mut row, capability| {
        row.push_bind(capability)
            .push_bind(account.username.clone())
            .push_bind(account.account_id.clone());
    });
    sql.build().execute(&mut *connection).await.map_err(failed)?;
    Ok(())
}

fn account(row: &SqliteRow) -> Result<Account, StoreError> {
    Ok(Account {
        account_id: row.try_get("account_id").map_err(failed)?,
        username: row.try_get("username").map_err(failed)?,
        display_name: row.try_get("display_name").map_err(failed)?,
        bio: row.try_get("bio").map_err(failed)?,
        capabilities: texts_column(row, "capabilities")?,
        metadata: json_column(row, "metadata")?,
        visibility: row.try_get("visibility").map_err(failed)?,
        status: row.try_get("status").map_err(failed)?,
        public_key: row.try_get("public_key").map_err(failed)?,
        signs: SigningScope::parse(row.try_get("signs").map_err(failed)?),
        created_at: Timestamp::from_micros(row.try_get("created_at").map_err(failed)?),
        updated_at: Timestamp::from_micros(row.try_get("updated_at").map_err(failed)?),
    })
}
