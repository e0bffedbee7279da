//! Claiming accounts in PostgreSQL.

use std::collections::BTreeMap;

use agentnet_protocol::json::ObjectWriter;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, PgPool, Postgres};

use super::account_row::{BY_ID, account, columns, search_set};
use super::error::{failed, is_taken};
use super::value::{Time, stored};
use super::{lossless_json, retry_on_conflict, text_column, texts};
use crate::case_fold::{fold_case, folded_set};
use crate::error::StoreError;
use crate::model::{Account, AccountClaim, DesiredName, check_claim};
use crate::username_suffix;

const BY_ID_LOCKED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM agent_accounts a WHERE a.account_id = $1 FOR UPDATE"
);

/// Rules 3 and 4 in one statement, for any number of claims with a name each: found by its name, an account is updated; else
/// it is made. Where another key is bound, nothing comes back. In the order of the names, so that two of these do not wait for
/// each other.
const JOIN_OR_CREATE: &str = concat!(
    "INSERT INTO agent_accounts AS a (account_id, username, display_name, display_name_search, capabilities, \
     capabilities_search, metadata, metadata_text, created_at, updated_at) \
     SELECT c.account_id, c.username, c.display_name, c.display_name_search, c.capabilities::jsonb, \
     ARRAY(SELECT jsonb_array_elements_text(c.capabilities_search::jsonb)), c.metadata::jsonb, c.metadata_text, c.at, c.at \
     FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
     $9::timestamptz[]) AS c (account_id, username, display_name, display_name_search, capabilities, capabilities_search, \
     metadata, metadata_text, at) ORDER BY c.username \
     ON CONFLICT (username) DO UPDATE SET display_name = excluded.display_name, \
     display_name_search = excluded.display_name_search, capabilities = excluded.capabilities, \
     capabilities_search = excluded.capabilities_search, metadata = a.metadata || excluded.metadata, \
     metadata_text = excluded.metadata_text, updated_at = excluded.updated_at \
     WHERE excluded.metadata ->> 'dev_auth_public_key' IS NULL \
     OR COALESCE(NULLIF(a.metadata ->> 'dev_auth_public_key', ''), excluded.metadata ->> 'dev_auth_public_key') \
     = excluded.metadata ->> 'dev_auth_public_key' \
     RETURNING ",
    columns!()
);

const CREATE: &str = concat!(
    "INSERT INTO agent_accounts AS a (account_id, username, display_name, display_name_search, capabilities, \
     capabilities_search, metadata, metadata_text, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7::jsonb, $8, $9, $9) ON CONFLICT DO NOTHING RETURNING ",
    columns!()
);

const UPDATE: &str = concat!(
    "UPDATE agent_accounts a SET username = $2, display_name = $3, display_name_search = $4, capabilities = $5::jsonb, \
     capabilities_search = $6, metadata = a.metadata || $7::jsonb, metadata_text = $8, updated_at = $9 \
     WHERE a.account_id = $1 RETURNING ",
    columns!()
);

/// What [`Accounts::claim_accounts`](crate::store::Accounts::claim_accounts) says.
pub(super) async fn claim_accounts(
    pool: &PgPool,
    claims: &[AccountClaim],
) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
    let mut outcomes: Vec<Option<Result<Account, StoreError>>> = Vec::new();
    outcomes.resize_with(claims.len(), || None);
    // Those that a name decides are taken together; of one name, only the first claim.
    let mut named = BTreeMap::new();
    for (at, claim) in claims.iter().enumerate() {
        if let Err(error) = check_claim(claim) {
            outcomes[at] = Some(Err(error));
        } else if let Some(name) = joins(claim) {
            named.entry(stored(name).into_owned()).or_insert(at);
        }
    }
    if !named.is_empty() {
        let profiles: Vec<Profile<'_>> = named.values().map(|at| Profile::of(&claims[*at])).collect();
        let rows = retry_on_conflict!(join_or_create(&profiles).fetch_all(pool))?;
        for row in rows {
            let name: String = text_column(&row, "username")?;
            if let Some(at) = named.remove(stored(&name).as_ref()) {
                outcomes[at] = Some(account(&row));
            }
        }
        for at in named.into_values() {
            outcomes[at] = Some(Err(StoreError::KeyMismatch));
        }
    }
    let mut settled = Vec::with_capacity(claims.len());
    for (claim, outcome) in claims.iter().zip(outcomes) {
        settled.push(match outcome {
            Some(outcome) => outcome,
            None => claim_alone(pool, claim).await?,
        });
    }
    Ok(settled)
}

/// Creates the account that a claim with a new name means, unless its name or id is taken.
pub(super) async fn create_account(connection: &mut PgConnection, claim: &AccountClaim) -> Result<(), sqlx::Error> {
    let name = joins(claim).unwrap_or_default();
    Profile::of(claim)
        .bound(CREATE, &claim.new_account_id, name)
        .fetch_optional(connection)
        .await?;
    Ok(())
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
    fn of(claim: &'a AccountClaim) -> Self {
        let metadata = lossless_json::columns(&claim.metadata);
        Self {
            claim,
            display_name_search: stored(&fold_case(&claim.display_name)).into_owned(),
            capabilities: texts(&claim.capabilities),
            capabilities_search: search_set(&folded_set(&claim.capabilities)),
            metadata: stored_metadata(claim, metadata.jsonb),
            metadata_text: metadata.text,
        }
    }

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

/// The Python implementation's metadata column: the agent's metadata, its agent id, and the key once one is bound.
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

/// The name that decides which account a claim without an account id means: rules 3 and 4.
fn joins(claim: &AccountClaim) -> Option<&str> {
    match (&claim.account_id, &claim.name) {
        (None, DesiredName::Requested(name) | DesiredName::Derived(name)) => Some(name),
        _ => None,
    }
}

fn join_or_create<'q>(profiles: &'q [Profile<'_>]) -> Query<'q, Postgres, PgArguments> {
    let column = |of: fn(&Profile<'_>) -> String| profiles.iter().map(of).collect::<Vec<_>>();
    sqlx::query(JOIN_OR_CREATE)
        .bind(column(|profile| stored(&profile.claim.new_account_id).into_owned()))
        .bind(column(|profile| {
            stored(joins(profile.claim).unwrap_or_default()).into_owned()
        }))
        .bind(column(|profile| stored(&profile.claim.display_name).into_owned()))
        .bind(column(|profile| profile.display_name_search.clone()))
        .bind(column(|profile| profile.capabilities.clone()))
        .bind(column(|profile| {
            serde_json::Value::from(profile.capabilities_search.clone()).to_string()
        }))
        .bind(column(|profile| profile.metadata.clone()))
        .bind(profiles.iter().map(|profile| profile.metadata_text).collect::<Vec<_>>())
        .bind(
            profiles
                .iter()
                .map(|profile| Time(profile.claim.at))
                .collect::<Vec<_>>(),
        )
}

/// A claim that is not decided together with others.
async fn claim_alone(pool: &PgPool, claim: &AccountClaim) -> Result<Result<Account, StoreError>, StoreError> {
    let profile = Profile::of(claim);
    let row = match (&claim.account_id, &claim.name) {
        (None, DesiredName::Requested(_) | DesiredName::Derived(_)) => {
            let profiles = [profile];
            retry_on_conflict!(join_or_create(&profiles).fetch_optional(pool))?
        }
        (None, DesiredName::Generated(name)) => {
            let mut connection = pool.acquire().await.map_err(failed)?;
            retry_on_conflict!(create(&mut connection, &profile, &claim.new_account_id, name))?
        }
        (Some(id), DesiredName::Requested(name) | DesiredName::Derived(name) | DesiredName::Generated(name)) => {
            let mut connection = pool.acquire().await.map_err(failed)?;
            // Another registry may create the account between the query and the insert.
            loop {
                match retry_on_conflict!(update(&mut connection, &profile, id))? {
                    Known::Updated(row) => break Some(row),
                    Known::OtherKey => break None,
                    Known::No => {
                        if let Some(row) = retry_on_conflict!(create(&mut connection, &profile, id, name))? {
                            break Some(row);
                        }
                    }
                }
            }
        }
    };
    Ok(row.as_ref().map_or(Err(StoreError::KeyMismatch), account))
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
    for attempt in 0..=username_suffix::MAX_ATTEMPTS {
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
        variant = username_suffix::with_suffix(name, attempt);
    }
    Err(sqlx::Error::Configuration(
        format!("no free variant of the username {name} was found").into(),
    ))
}
