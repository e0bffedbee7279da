//! Accounts in PostgreSQL.

use agentnet_protocol::Timestamp;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::signs::Signs;
use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::error::{failed, is_taken};
use super::value::{Time, read, stored};
use super::{
    PostgresStore, exact, fetch_limit, json_column, opt_text_column, page, repeated, text_column, texts, texts_column,
    time_column,
};
use crate::error::StoreError;
use crate::model::{Account, AccountClaim, AccountQuery, DesiredName, Page, check_metadata};
use crate::names;
use crate::search::{fold, folded_set};
use crate::store::Accounts;

macro_rules! columns {
    () => {
        "a.account_id, a.username, a.display_name, a.bio, a.capabilities::text AS capabilities, \
         (a.metadata -> 'metadata')::text AS metadata, a.metadata_text, \
         NULLIF(a.metadata ->> 'dev_auth_public_key', '') AS public_key, \
         COALESCE(a.metadata ->> 'dev_auth_signs', '') AS signs, a.visibility, a.status, a.created_at, a.updated_at"
    };
}

macro_rules! insert {
    () => {
        "INSERT INTO agent_accounts AS a (account_id, username, display_name, display_name_search, capabilities, \
         capabilities_search, metadata, metadata_text, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7::jsonb, $8, $9, $9) "
    };
}

const SELECT: &str = concat!("SELECT ", columns!(), " FROM agent_accounts a WHERE ");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM agent_accounts a WHERE a.account_id = $1");
const BY_ID_LOCKED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_accounts a WHERE a.account_id = $1 FOR UPDATE"
);
const IDS: &str = "SELECT username, account_id FROM agent_accounts WHERE username = ANY($1)";
const BY_USERNAME: &str = concat!("SELECT ", columns!(), " FROM agent_accounts a WHERE a.username = $1");

/// Rules 3 and 4 in one statement: found by its name, the account is updated; else it is made. Nothing comes back where
/// another key is bound.
const JOIN_OR_CREATE: &str = concat!(
    insert!(),
    "ON CONFLICT (username) DO UPDATE SET display_name = excluded.display_name, \
     display_name_search = excluded.display_name_search, capabilities = excluded.capabilities, \
     capabilities_search = excluded.capabilities_search, metadata = a.metadata || excluded.metadata, \
     metadata_text = excluded.metadata_text, updated_at = excluded.updated_at \
     WHERE $10::text IS NULL OR COALESCE(NULLIF(a.metadata ->> 'dev_auth_public_key', ''), $10) = $10 \
     RETURNING ",
    columns!()
);
const CREATE: &str = concat!(insert!(), "ON CONFLICT DO NOTHING RETURNING ", columns!());
const UPDATE: &str = concat!(
    "UPDATE agent_accounts a SET username = $2, display_name = $3, display_name_search = $4, capabilities = $5::jsonb, \
     capabilities_search = $6, metadata = a.metadata || $7::jsonb, metadata_text = $8, updated_at = $9 \
     WHERE a.account_id = $1 RETURNING ",
    columns!()
);
const ROTATE: &str = concat!(
    "UPDATE agent_accounts a SET metadata = jsonb_set(a.metadata, '{dev_auth_public_key}', to_jsonb($3::text)), \
     updated_at = $4 WHERE a.account_id = $1 AND NULLIF(a.metadata ->> 'dev_auth_public_key', '') = $2 RETURNING ",
    columns!()
);

#[async_trait]
impl Accounts for PostgresStore {
    async fn claim_account(&self, claim: &AccountClaim) -> Result<Account, StoreError> {
        check_metadata(&claim.metadata)?;
        let pool = self.pool()?;
        let metadata = exact::columns(&claim.metadata);
        let profile = Profile {
            claim,
            display_name_search: stored(&fold(&claim.display_name)).into_owned(),
            capabilities: texts(&claim.capabilities),
            capabilities_search: search_set(&folded_set(&claim.capabilities)),
            metadata: stored_metadata(claim, metadata.jsonb),
            metadata_text: metadata.text,
        };
        let row = match (&claim.account_id, &claim.name) {
            (None, DesiredName::Requested(name) | DesiredName::Derived(name)) => {
                let key = claim.public_key.as_deref().map(stored);
                repeated!(
                    profile
                        .bound(JOIN_OR_CREATE, &claim.new_account_id, name)
                        .bind(key.as_deref())
                        .fetch_optional(pool)
                )?
            }
            (None, DesiredName::Generated(name)) => {
                let mut connection = pool.acquire().await.map_err(failed)?;
                repeated!(create(&mut connection, &profile, &claim.new_account_id, name))?
            }
            (Some(id), DesiredName::Requested(name) | DesiredName::Derived(name) | DesiredName::Generated(name)) => {
                let mut connection = pool.acquire().await.map_err(failed)?;
                // Somebody else may create the account between the look and our own attempt.
                loop {
                    match repeated!(update(&mut connection, &profile, id))? {
                        Known::Updated(row) => break Some(row),
                        Known::OtherKey => break None,
                        Known::No => {
                            if let Some(row) = repeated!(create(&mut connection, &profile, id, name))? {
                                break Some(row);
                            }
                        }
                    }
                }
            }
        };
        row.as_ref().map_or(Err(StoreError::KeyMismatch), account)
    }

    async fn rotate_key(
        &self,
        account_id: &str,
        old: &str,
        new: &str,
        at: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let pool = self.pool()?;
        let rotated = repeated!(
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

    async fn accounts(&self, query: &AccountQuery) -> Result<Page<Account>, StoreError> {
        // A text is planned for as it is: for one that may be anything PostgreSQL would walk all usernames.
        let rows = page_query(query)
            .build()
            .persistent(query.text.is_empty())
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        page(&rows, query.limit, account)
    }
}

/// What a claim writes, as it is stored.
struct Profile<'a> {
    claim: &'a AccountClaim,
    display_name_search: String,
    capabilities: String,
    capabilities_search: Vec<String>,
    metadata: String,
    metadata_text: Option<&'a str>,
}

impl<'a> Profile<'a> {
    fn bound<'q>(&'q self, sql: &'static str, account_id: &str, username: &str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql)
            .bind(stored(account_id).into_owned())
            .bind(stored(username).into_owned())
            .bind(stored(&self.claim.display_name).into_owned())
            .bind(&self.display_name_search)
            .bind(&self.capabilities)
            .bind(&self.capabilities_search)
            .bind(&self.metadata)
            .bind(self.metadata_text)
            .bind(Time(self.claim.at))
    }
}

/// The original's metadata column: the agent's metadata, its agent id, and the key once one is bound.
fn stored_metadata(claim: &AccountClaim, metadata: &str) -> String {
    let mut object = ObjectWriter::new();
    object
        .text("agent_id", &stored(&claim.agent_id))
        .raw("metadata", metadata);
    if let Some(key) = &claim.public_key {
        object
            .text("dev_auth_public_key", &stored(key))
            .text("dev_auth_signs", &claim.signs.to_string());
    }
    object.finish()
}

/// Folded capabilities as they are stored.
pub(super) fn search_set(folded: &[String]) -> Vec<String> {
    folded
        .iter()
        .map(|capability| stored(capability).into_owned())
        .collect()
}

/// What an account id led to.
enum Known {
    Updated(PgRow),
    OtherKey,
    No,
}

/// Rule 1: the id is known.
async fn update(connection: &mut PgConnection, profile: &Profile<'_>, account_id: &str) -> Result<Known, sqlx::Error> {
    use sqlx::Connection as _;
    let mut transaction = connection.begin().await?;
    let found = sqlx::query(BY_ID_LOCKED)
        .bind(stored(account_id).into_owned())
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = found else { return Ok(Known::No) };
    let known = account(&row).map_err(|error| sqlx::Error::Decode(error.into()))?;
    if let (Some(bound), Some(shown)) = (&known.public_key, &profile.claim.public_key)
        && bound != shown
    {
        return Ok(Known::OtherKey);
    }
    // It may take a name that was asked for, unless another account has it.
    if let DesiredName::Requested(name) = &profile.claim.name
        && *name != known.username
    {
        let mut savepoint = transaction.begin().await?;
        match profile.bound(UPDATE, account_id, name).fetch_one(&mut *savepoint).await {
            Ok(row) => {
                savepoint.commit().await?;
                transaction.commit().await?;
                return Ok(Known::Updated(row));
            }
            Err(error) if is_taken(&error) => savepoint.rollback().await?,
            Err(error) => return Err(error),
        }
    }
    let row = profile
        .bound(UPDATE, account_id, &known.username)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Known::Updated(row))
}

/// Rules 2 and 4: the account is new. `None` if its id is taken by now.
async fn create(
    connection: &mut PgConnection,
    profile: &Profile<'_>,
    account_id: &str,
    name: &str,
) -> Result<Option<PgRow>, sqlx::Error> {
    let mut variant = name.to_owned();
    for attempt in 0..=names::ATTEMPTS {
        let created = profile
            .bound(CREATE, account_id, &variant)
            .fetch_optional(&mut *connection)
            .await?;
        if created.is_some() {
            return Ok(created);
        }
        let known = sqlx::query(BY_ID)
            .bind(stored(account_id).into_owned())
            .fetch_optional(&mut *connection)
            .await?;
        if known.is_some() {
            return Ok(None);
        }
        variant = names::suffixed(name, attempt);
    }
    Err(sqlx::Error::Configuration(
        format!("no free variant of the username {name} was found").into(),
    ))
}

async fn one(store: &PostgresStore, sql: &'static str, key: &str) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query(sql)
        .bind(stored(key).into_owned())
        .fetch_optional(store.pool()?)
        .await
        .map_err(failed)?;
    row.as_ref().map(account).transpose()
}

/// The statement of one page.
pub(super) fn page_query(query: &AccountQuery) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("TRUE");
    if let Some(capability) = &query.capability {
        sql.push(" AND a.capabilities_search @> ARRAY[")
            .push_bind(stored(&fold(capability)).into_owned())
            .push("]");
    }
    if let Some(after) = &query.after_username {
        sql.push(" AND a.username COLLATE \"C\" > ")
            .push_bind(stored(after).into_owned());
    }
    if !query.text.is_empty() {
        let pattern = containing(&stored(&fold(&query.text)));
        sql.push(" AND (a.username LIKE ").push_bind(pattern.clone());
        sql.push(" OR COALESCE(a.display_name_search, lower(a.display_name)) LIKE ")
            .push_bind(pattern)
            .push(")");
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

fn account(row: &PgRow) -> Result<Account, StoreError> {
    Ok(Account {
        account_id: text_column(row, "account_id")?,
        username: text_column(row, "username")?,
        display_name: text_column(row, "display_name")?,
        bio: text_column(row, "bio")?,
        capabilities: texts_column(row, "capabilities")?,
        metadata: json_column(row, "metadata", "metadata_text")?,
        visibility: text_column(row, "visibility")?,
        status: text_column(row, "status")?,
        public_key: opt_text_column(row, "public_key")?,
        signs: Signs::read(&text_column(row, "signs")?),
        created_at: time_column(row, "created_at")?,
        updated_at: time_column(row, "updated_at")?,
    })
}
