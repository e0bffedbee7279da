//! Members of a network in secure mode, and their invites, in SQLite.

use agentnet_protocol::Timestamp;
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::accounts::{by_id, by_username, create};
use super::error::failed;
use super::{SqliteStore, texts, texts_column};
use crate::error::StoreError;
use crate::model::{
    Enrolled, Invite, Invited, Member, MemberGrant, MemberQuery, MemberState, NewInvite, NewMember, Page, Void,
    VoidedNkey,
};
use crate::page::{fetch_limit, page};
use crate::store::Members;

const SELECT: &str = "SELECT m.account_id, a.username, m.role, m.state, m.nkey, m.capabilities, m.may_send_to, m.created_at, \
     m.enrolled_at, m.revoked_at FROM agent_members m CROSS JOIN agent_accounts a ON a.account_id = m.account_id WHERE ";

pub(super) const BY_USERNAME: &str = "SELECT m.account_id, a.username, m.role, m.state, m.nkey, m.capabilities, m.may_send_to, \
     m.created_at, m.enrolled_at, m.revoked_at FROM agent_accounts a CROSS JOIN agent_members m \
     ON m.account_id = a.account_id WHERE a.username = ?";

const UPSERT: &str = "INSERT INTO agent_members (account_id, role, state, nkey, capabilities, may_send_to, created_at, \
     enrolled_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id) DO UPDATE SET role = excluded.role, \
     state = excluded.state, nkey = excluded.nkey, capabilities = excluded.capabilities, \
     may_send_to = excluded.may_send_to, enrolled_at = excluded.enrolled_at, revoked_at = excluded.revoked_at";

const INVITE: &str =
    "SELECT invite_id, account_id, secret, join_nkey, expires_at, used_at FROM agent_invites WHERE invite_id = ?";
pub(super) const LIVE_INVITES: &str = "SELECT invite_id, account_id, secret, join_nkey, expires_at, used_at FROM agent_invites \
     WHERE expires_at > ? AND used_at IS NULL";
pub(super) const DELETE_INVITES: &str = "DELETE FROM agent_invites WHERE account_id = ?";
pub(super) const DELETE_UNUSED_INVITES: &str = "DELETE FROM agent_invites WHERE account_id = ? AND used_at IS NULL";
pub(super) const PRUNE_INVITES: &str = "DELETE FROM agent_invites WHERE expires_at < ?";
pub(super) const NKEY_IS_TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM agent_members WHERE nkey = ? AND account_id <> ?)";

const VOID: &str = "INSERT INTO agent_voided_nkeys (nkey, issued_until, voided_at) VALUES (?, ?, ?) ON CONFLICT (nkey) DO UPDATE \
     SET issued_until = max(issued_until, excluded.issued_until), voided_at = excluded.voided_at";
const VOIDED: &str = "SELECT nkey, issued_until FROM agent_voided_nkeys ORDER BY nkey";
const PRUNE_VOIDED: &str = "DELETE FROM agent_voided_nkeys WHERE voided_at < ?";

const BIND_KEY: &str = "UPDATE agent_accounts SET public_key = ?1, updated_at = ?2 WHERE account_id = ?3 \
     AND (public_key IS NULL OR public_key = ?1)";
const UNBIND_KEY: &str = "UPDATE agent_accounts SET public_key = NULL, signs = '', updated_at = ?1 WHERE account_id = ?2 \
     AND public_key IS NOT NULL";

#[async_trait]
impl Members for SqliteStore {
    async fn invite_member(&self, new: &NewMember, invite: &NewInvite) -> Result<Invited, StoreError> {
        new.check()?;
        let mut transaction = self.begin_write().await?;
        let Some((account_id, username)) = account_for(&mut transaction, new).await? else {
            return Ok(Invited::Taken);
        };
        let known = by_account(&mut transaction, &account_id).await?;
        if known.as_ref().is_some_and(|member| member.state == MemberState::Active) {
            return Ok(Invited::Taken);
        }
        let member = new.invited(account_id, username, known.as_ref());
        save(&mut transaction, &member).await?;
        execute(&mut transaction, DELETE_INVITES, &member.account_id).await?;
        sqlx::query(
            "INSERT INTO agent_invites (invite_id, account_id, secret, join_nkey, expires_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&invite.invite_id)
        .bind(&member.account_id)
        .bind(&invite.secret)
        .bind(&invite.join_nkey)
        .bind(invite.expires_at.as_micros())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Invited::Invited(member))
    }

    async fn invite(&self, invite_id: &str) -> Result<Option<Invite>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        invite_by_id(&mut connection, invite_id).await
    }

    async fn use_invite(
        &self,
        invite_id: &str,
        account_id: &str,
        nkey: &str,
        public_key: &str,
        now: Timestamp,
    ) -> Result<Enrolled, StoreError> {
        let mut transaction = self.begin_write().await?;
        let found = invite_by_id(&mut transaction, invite_id).await?;
        let member = by_account(&mut transaction, account_id).await?;
        let is_taken: bool = sqlx::query_scalar(NKEY_IS_TAKEN)
            .bind(nkey)
            .bind(account_id)
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut member = match Member::admit(member, found.as_ref(), account_id, is_taken, now) {
            Ok(member) => member,
            Err(refusal) => return Ok(Enrolled::Invalid(refusal)),
        };
        bind_key(&mut transaction, account_id, public_key, now).await?;
        member.enrol(nkey, now);
        save(&mut transaction, &member).await?;
        sqlx::query("UPDATE agent_invites SET used_at = ? WHERE invite_id = ?")
            .bind(now.as_micros())
            .bind(invite_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Enrolled::Enrolled(member))
    }

    async fn members(&self, query: &MemberQuery) -> Result<Page<Member>, StoreError> {
        let rows = page_query(query).build().fetch_all(&self.read).await.map_err(failed)?;
        page(&rows, query.limit, member)
    }

    async fn member(&self, account_id: &str) -> Result<Option<Member>, StoreError> {
        let mut connection = self.read.acquire().await.map_err(failed)?;
        by_account(&mut connection, account_id).await
    }

    async fn member_by_username(&self, username: &str) -> Result<Option<Member>, StoreError> {
        let row = sqlx::query(BY_USERNAME)
            .bind(username)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        row.as_ref().map(member).transpose()
    }

    async fn revoke_member(&self, account_id: &str, now: Timestamp) -> Result<Option<Member>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let Some(mut member) = by_account(&mut transaction, account_id).await? else {
            return Ok(None);
        };
        member.revoke(now);
        save(&mut transaction, &member).await?;
        void(&mut transaction, &member, Some(Void::all(now))).await?;
        sqlx::query(UNBIND_KEY)
            .bind(now.as_micros())
            .bind(account_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        execute(&mut transaction, DELETE_UNUSED_INVITES, account_id).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(member))
    }

    async fn grant_member(&self, account_id: &str, grant: &MemberGrant) -> Result<Option<Member>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let Some(mut member) = by_account(&mut transaction, account_id).await? else {
            return Ok(None);
        };
        grant.apply(&mut member)?;
        save(&mut transaction, &member).await?;
        void(&mut transaction, &member, grant.void).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(member))
    }

    async fn live_invites(&self, now: Timestamp) -> Result<Vec<Invite>, StoreError> {
        let rows = sqlx::query(LIVE_INVITES)
            .bind(now.as_micros())
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let mut invites = rows.iter().map(invite).collect::<Result<Vec<_>, _>>()?;
        invites.sort_unstable_by(|a, b| a.invite_id.cmp(&b.invite_id));
        Ok(invites)
    }

    async fn voided_nkeys(&self) -> Result<Vec<VoidedNkey>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(VOIDED).fetch_all(&self.read).await.map_err(failed)?;
        let voided = rows.into_iter().map(|(nkey, until)| VoidedNkey {
            nkey,
            issued_until: Timestamp::from_micros(until),
        });
        Ok(voided.collect())
    }

    async fn prune_voided_nkeys(&self, before: Timestamp) -> Result<u64, StoreError> {
        prune(self, PRUNE_VOIDED, before).await
    }

    async fn prune_invites(&self, before: Timestamp) -> Result<u64, StoreError> {
        prune(self, PRUNE_INVITES, before).await
    }
}

/// Deletes what is older than a time.
async fn prune(store: &SqliteStore, sql: &'static str, before: Timestamp) -> Result<u64, StoreError> {
    let mut transaction = store.begin_write().await?;
    let done = sqlx::query(sql)
        .bind(before.as_micros())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(done.rows_affected())
}

/// Notes that credentials of a member are void.
async fn void(connection: &mut SqliteConnection, member: &Member, void: Option<Void>) -> Result<(), StoreError> {
    let (Some(nkey), Some(void)) = (&member.nkey, void) else {
        return Ok(());
    };
    sqlx::query(VOID)
        .bind(nkey)
        .bind(void.issued_until.as_micros())
        .bind(void.at.as_micros())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// The statement of one page.
pub(super) fn page_query(query: &MemberQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("m.account_id > ")
        .push_bind(query.after_account_id.clone().unwrap_or_default());
    if let Some(state) = query.state {
        sql.push(" AND m.state = ").push_bind(state.as_str());
    }
    sql.push(" ORDER BY m.account_id LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}

async fn by_account(connection: &mut SqliteConnection, account_id: &str) -> Result<Option<Member>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SELECT);
    sql.push("m.account_id = ").push_bind(account_id.to_owned());
    let row = sql.build().fetch_optional(connection).await.map_err(failed)?;
    row.as_ref().map(member).transpose()
}

async fn invite_by_id(connection: &mut SqliteConnection, invite_id: &str) -> Result<Option<Invite>, StoreError> {
    let row = sqlx::query(INVITE)
        .bind(invite_id)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    row.as_ref().map(invite).transpose()
}

/// Id and username of the account that is invited, created if there is none; `None` if the new account's id is taken.
async fn account_for(
    connection: &mut SqliteConnection,
    new: &NewMember,
) -> Result<Option<(String, String)>, StoreError> {
    let account = match by_username(connection, &new.username).await? {
        Some(account) => account,
        None if by_id(connection, &new.new_account_id).await?.is_some() => return Ok(None),
        None => create(connection, &new.account()).await?,
    };
    Ok(Some((account.account_id, account.username)))
}

/// Binds the account to a key, unless it is bound to another one.
async fn bind_key(
    connection: &mut SqliteConnection,
    account_id: &str,
    public_key: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let done = sqlx::query(BIND_KEY)
        .bind(public_key)
        .bind(at.as_micros())
        .bind(account_id)
        .execute(connection)
        .await
        .map_err(failed)?;
    match done.rows_affected() {
        0 => Err(StoreError::KeyMismatch),
        _ => Ok(()),
    }
}

async fn save(connection: &mut SqliteConnection, member: &Member) -> Result<(), StoreError> {
    sqlx::query(UPSERT)
        .bind(&member.account_id)
        .bind(&member.role)
        .bind(member.state.as_str())
        .bind(&member.nkey)
        .bind(texts(&member.capabilities))
        .bind(member.may_send_to.as_deref().map(texts))
        .bind(member.created_at.as_micros())
        .bind(member.enrolled_at.map(Timestamp::as_micros))
        .bind(member.revoked_at.map(Timestamp::as_micros))
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Runs a statement about one account.
async fn execute(connection: &mut SqliteConnection, sql: &'static str, account_id: &str) -> Result<(), StoreError> {
    sqlx::query(sql)
        .bind(account_id)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

fn member(row: &SqliteRow) -> Result<Member, StoreError> {
    let may_send_to: Option<&str> = row.try_get("may_send_to").map_err(failed)?;
    Ok(Member {
        account_id: row.try_get("account_id").map_err(failed)?,
        username: row.try_get("username").map_err(failed)?,
        role: row.try_get("role").map_err(failed)?,
        state: MemberState::read(row.try_get("state").map_err(failed)?)?,
        nkey: row.try_get("nkey").map_err(failed)?,
        capabilities: texts_column(row, "capabilities")?,
        may_send_to: may_send_to.map(|_| texts_column(row, "may_send_to")).transpose()?,
        created_at: Timestamp::from_micros(row.try_get("created_at").map_err(failed)?),
        enrolled_at: opt_time(row, "enrolled_at")?,
        revoked_at: opt_time(row, "revoked_at")?,
    })
}

fn invite(row: &SqliteRow) -> Result<Invite, StoreError> {
    Ok(Invite {
        invite_id: row.try_get("invite_id").map_err(failed)?,
        account_id: row.try_get("account_id").map_err(failed)?,
        secret: row.try_get("secret").map_err(failed)?,
        join_nkey: row.try_get("join_nkey").map_err(failed)?,
        expires_at: Timestamp::from_micros(row.try_get("expires_at").map_err(failed)?),
        used_at: opt_time(row, "used_at")?,
    })
}

fn opt_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let micros: Option<i64> = row.try_get(column).map_err(failed)?;
    Ok(micros.map(Timestamp::from_micros))
}
