//! A row of the accounts table: its columns, and how it is read.

use agentnet_protocol::signing_scope::SigningScope;
use sqlx::postgres::PgRow;

use super::value::stored;
use super::{json_column, opt_text_column, text_column, texts_column, time_column};
use crate::error::StoreError;
use crate::model::Account;

macro_rules! columns {
    () => {
        "a.account_id, a.username, a.display_name, a.bio, a.capabilities::text AS capabilities, \
         (a.metadata -> 'metadata')::text AS metadata, a.metadata_text, \
         NULLIF(a.metadata ->> 'dev_auth_public_key', '') AS public_key, \
         COALESCE(a.metadata ->> 'dev_auth_signs', '') AS signs, a.visibility, a.status, a.created_at, a.updated_at"
    };
}

pub(super) use columns;

/// Selects the account with an id.
pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM agent_accounts a WHERE a.account_id = $1");

/// Reads a row of [`columns`].
pub(super) fn account(row: &PgRow) -> Result<Account, StoreError> {
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
        signs: SigningScope::parse(&text_column(row, "signs")?),
        created_at: time_column(row, "created_at")?,
        updated_at: time_column(row, "updated_at")?,
    })
}

/// Folded capabilities as they are stored.
pub(super) fn search_set(folded: &[String]) -> Vec<String> {
    folded
        .iter()
        .map(|capability| stored(capability).into_owned())
        .collect()
}
