//! Members of a network in secure mode, and their invites, in PostgreSQL.
//!
//! A change locks the rows in one order: the account, the member, the invites. So changes of one member wait for each other, and
//! of two that use one invite the later one finds it used.

use agentnet_protocol::Timestamp;
use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};

use super::claims::create_account;
use super::error::{failed, is_taken};
use super::value::{Time, stored};
use super::{
    PostgresStore, opt_stored, opt_text_column, opt_time_column, retry_on_conflict, text_column, texts, texts_column,
    time_column,
};
use crate::error::StoreError;
use crate::model::{
    Enrolled, Invite, InviteRefusal, Invited, Member, MemberGrant, MemberQuery, MemberState, NewInvite, NewMember,
    Page, Void, VoidedNkey,
};
use crate::page::{fetch_limit, page};
use crate::store::Members;

macro_rules! members {
    ($end:literal) => {
        concat!(
            "SELECT m.account_id, a.username, m.role, m.state, m.nkey, m.capabilities::text AS capabilities, \
             m.may_send_to::text AS may_send_to, m.created_at, m.enrolled_at, m.revoked_at \
             FROM agent_members m JOIN agent_accounts a ON a.account_id = m.account_id WHERE ",
            $end
        )
    };
}

macro_rules! invites {
    ($end:literal) => {
        concat!(
            "SELECT invite_id, account_id, secret, join_nkey, expires_at, used_at FROM agent_invites WHERE ",
            $end
        )
    };
}

const BY_ACCOUNT: &str = members!("m.account_id = $1");
const BY_ACCOUNT_LOCKED: &str = members!("m.account_id = $1 FOR UPDATE OF m");
const BY_USERNAME: &str = members!("a.username = $1");
const LOCK_ACCOUNT: &str = "SELECT 1 FROM agent_accounts WHERE account_id = $1 FOR UPDATE";
const ACCOUNT_BY_USERNAME_LOCKED: &str = "SELECT account_id FROM agent_accounts WHERE username = $1 FOR UPDATE";

const UPSERT: &str = "INSERT INTO agent_members (account_id, role, state, nkey, capabilities, may_send_to, created_at, \
     enrolled_at, revoked_at) VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8, $9) ON CONFLICT (account_id) DO UPDATE \
     SET role = excluded.role, state = excluded.state, nkey = excluded.nkey, capabilities = excluded.capabilities, \
     may_send_to = excluded.may_send_to, enrolled_at = excluded.enrolled_at, revoked_at = excluded.revoked_at";

const INVITE: &str = invites!("invite_id = $1");
const INVITE_LOCKED: &str = invites!("invite_id = $1 FOR UPDATE");
const LIVE_INVITES: &str = invites!("expires_at > $1 AND used_at IS NULL ORDER BY invite_id COLLATE \"C\"");
const ADD_INVITE: &str =
    "INSERT INTO agent_invites (invite_id, account_id, secret, join_nkey, expires_at) VALUES ($1, $2, $3, $4, $5)";
const USE_INVITE: &str = "UPDATE agent_invites SET used_at = $1 WHERE invite_id = $2";
const DELETE_INVITES: &str = "DELETE FROM agent_invites WHERE account_id = $1";
const DELETE_UNUSED_INVITES: &str = "DELETE FROM agent_invites WHERE account_id = $1 AND used_at IS NULL";
const PRUNE_INVITES: &str = "DELETE FROM agent_invites WHERE invite_id IN \
     (SELECT invite_id FROM agent_invites WHERE expires_at < $1 FOR UPDATE SKIP LOCKED)";

const VOID: &str = "INSERT INTO agent_voided_nkeys AS v (nkey, issued_until, voided_at) VALUES ($1, $2, $3) \
     ON CONFLICT (nkey) DO UPDATE SET issued_until = GREATEST(v.issued_until, excluded.issued_until), \
     voided_at = excluded.voided_at";
const VOIDED: &str = "SELECT nkey, issued_until FROM agent_voided_nkeys ORDER BY nkey COLLATE \"C\"";
const PRUNE_VOIDED: &str = "DELETE FROM agent_voided_nkeys WHERE nkey IN \
     (SELECT nkey FROM agent_voided_nkeys WHERE voided_at < $1 FOR UPDATE SKIP LOCKED)";

const NKEY_IS_TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM agent_members WHERE nkey = $1 AND account_id <> $2)";
const BIND_KEY: &str = "UPDATE agent_accounts SET metadata = jsonb_set(metadata, '{dev_auth_public_key}', \
     to_jsonb($1::text)), updated_at = $2 WHERE account_id = $3 \
     AND COALESCE(NULLIF(metadata ->> 'dev_auth_public_key', ''), $1) = $1";
const UNBIND_KEY: &str = "UPDATE agent_accounts SET metadata = metadata - 'dev_auth_public_key' - 'dev_auth_signs', \
     updated_at = $1 WHERE account_id = $2 AND metadata ? 'dev_auth_public_key'";

#[async_trait]
impl Members for PostgresStore {
    async fn invite_member(&self, new: &NewMember, invite: &NewInvite) -> Result<Invited, StoreError> {
        new.check()?;
        let pool = self.pool()?;
        retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            let invited = add(&mut transaction, new, invite).await?;
            if matches!(invited, Invited::Invited(_)) {
                transaction.commit().await?;
            }
            Ok::<_, sqlx::Error>(invited)
        })
    }

    async fn invite(&self, invite_id: &str) -> Result<Option<Invite>, StoreError> {
        let row = sqlx::query(INVITE)
            .bind(stored(invite_id).into_owned())
            .fetch_optional(self.pool()?)
            .await
            .map_err(failed)?;
        row.as_ref().map(invite).transpose()
    }

    async fn use_invite(
        &self,
        invite_id: &str,
        account_id: &str,
        nkey: &str,
        public_key: &str,
        now: Timestamp,
    ) -> Result<Enrolled, StoreError> {
        let pool = self.pool()?;
        let enrolled = retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            let done = enrol(&mut transaction, invite_id, account_id, nkey, public_key, now).await;
            match done {
                Ok(Some(Enrolled::Enrolled(member))) => {
                    transaction.commit().await?;
                    Ok(Some(Enrolled::Enrolled(member)))
                }
                // Another member got a credential with this key at the same moment.
                Err(error) if is_taken(&error) => Ok(Some(Enrolled::Invalid(InviteRefusal::NkeyTaken))),
                done => done,
            }
        })?;
        enrolled.ok_or(StoreError::KeyMismatch)
    }

    async fn members(&self, query: &MemberQuery) -> Result<Page<Member>, StoreError> {
        let rows = page_query(query)
            .build()
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        page(&rows, query.limit, member)
    }

    async fn member(&self, account_id: &str) -> Result<Option<Member>, StoreError> {
        one(self, BY_ACCOUNT, account_id).await
    }

    async fn member_by_username(&self, username: &str) -> Result<Option<Member>, StoreError> {
        one(self, BY_USERNAME, username).await
    }

    async fn revoke_member(&self, account_id: &str, now: Timestamp) -> Result<Option<Member>, StoreError> {
        let pool = self.pool()?;
        retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            let Some(mut member) = locked(&mut transaction, account_id).await? else {
                return Ok(None);
            };
            member.revoke(now);
            save(&mut transaction, &member).await?;
            void(&mut transaction, &member, Some(Void::all(now))).await?;
            sqlx::query(UNBIND_KEY)
                .bind(Time(now))
                .bind(stored(account_id).into_owned())
                .execute(&mut *transaction)
                .await?;
            execute(&mut transaction, DELETE_UNUSED_INVITES, account_id).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Some(member))
        })
    }

    async fn grant_member(&self, account_id: &str, grant: &MemberGrant) -> Result<Option<Member>, StoreError> {
        let pool = self.pool()?;
        let granted = retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            let Some(mut member) = locked(&mut transaction, account_id).await? else {
                return Ok(None);
            };
            if let Err(error) = grant.apply(&mut member) {
                return Ok(Some(Err(error)));
            }
            save(&mut transaction, &member).await?;
            void(&mut transaction, &member, grant.void).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Some(Ok(member)))
        })?;
        granted.transpose()
    }

    async fn live_invites(&self, now: Timestamp) -> Result<Vec<Invite>, StoreError> {
        let rows = sqlx::query(LIVE_INVITES)
            .bind(Time(now))
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        rows.iter().map(invite).collect()
    }

    async fn voided_nkeys(&self) -> Result<Vec<VoidedNkey>, StoreError> {
        let rows = sqlx::query(VOIDED).fetch_all(self.pool()?).await.map_err(failed)?;
        let voided = rows.iter().map(|row| {
            Ok(VoidedNkey {
                nkey: text_column(row, "nkey")?,
                issued_until: time_column(row, "issued_until")?,
            })
        });
        voided.collect()
    }

    async fn prune_voided_nkeys(&self, before: Timestamp) -> Result<u64, StoreError> {
        prune(self, PRUNE_VOIDED, before).await
    }

    async fn prune_invites(&self, before: Timestamp) -> Result<u64, StoreError> {
        prune(self, PRUNE_INVITES, before).await
    }
}

/// Deletes what is older than a time.
async fn prune(store: &PostgresStore, sql: &'static str, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query(sql)
        .bind(Time(before))
        .execute(store.pool()?)
        .await
        .map_err(failed)?;
    Ok(done.rows_affected())
}

/// Notes that credentials of a member are void.
async fn void(connection: &mut PgConnection, member: &Member, void: Option<Void>) -> Result<(), sqlx::Error> {
    let (Some(nkey), Some(void)) = (&member.nkey, void) else {
        return Ok(());
    };
    sqlx::query(VOID)
        .bind(stored(nkey).into_owned())
        .bind(Time(void.issued_until))
        .bind(Time(void.at))
        .execute(connection)
        .await?;
    Ok(())
}

/// The statement of one page.
pub(super) fn page_query(query: &MemberQuery) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(members!("m.account_id COLLATE \"C\" > "));
    sql.push_bind(stored(query.after_account_id.as_deref().unwrap_or_default()).into_owned());
    if let Some(state) = query.state {
        sql.push(" AND m.state = ").push_bind(state.as_str());
    }
    sql.push(" ORDER BY m.account_id COLLATE \"C\" LIMIT ")
        .push_bind(fetch_limit(query.limit));
    sql
}

async fn one(store: &PostgresStore, sql: &'static str, key: &str) -> Result<Option<Member>, StoreError> {
    let row = sqlx::query(sql)
        .bind(stored(key).into_owned())
        .fetch_optional(store.pool()?)
        .await
        .map_err(failed)?;
    row.as_ref().map(member).transpose()
}

/// Makes an account a member that has an invite.
async fn add(connection: &mut PgConnection, new: &NewMember, invite: &NewInvite) -> Result<Invited, sqlx::Error> {
    create_account(connection, &new.account()).await?;
    let account_id: Option<String> = sqlx::query_scalar(ACCOUNT_BY_USERNAME_LOCKED)
        .bind(stored(&new.username).into_owned())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(account_id) = account_id.map(super::value::read) else {
        return Ok(Invited::Taken);
    };
    let known = locked(connection, &account_id).await?;
    if known.as_ref().is_some_and(|member| member.state == MemberState::Active) {
        return Ok(Invited::Taken);
    }
    let member = new.invited(account_id, new.username.clone(), known.as_ref());
    save(connection, &member).await?;
    execute(connection, DELETE_INVITES, &member.account_id).await?;
    sqlx::query(ADD_INVITE)
        .bind(stored(&invite.invite_id).into_owned())
        .bind(stored(&member.account_id).into_owned())
        .bind(&invite.secret)
        .bind(stored(&invite.join_nkey).into_owned())
        .bind(Time(invite.expires_at))
        .execute(connection)
        .await?;
    Ok(Invited::Invited(member))
}

/// Uses an invite; `None` if the account is bound to another message key.
async fn enrol(
    connection: &mut PgConnection,
    invite_id: &str,
    account_id: &str,
    nkey: &str,
    public_key: &str,
    now: Timestamp,
) -> Result<Option<Enrolled>, sqlx::Error> {
    let member = locked(connection, account_id).await?;
    let row = sqlx::query(INVITE_LOCKED)
        .bind(stored(invite_id).into_owned())
        .fetch_optional(&mut *connection)
        .await?;
    let found = row.as_ref().map(invite).transpose().map_err(unreadable)?;
    let is_taken: bool = sqlx::query_scalar(NKEY_IS_TAKEN)
        .bind(stored(nkey).into_owned())
        .bind(stored(account_id).into_owned())
        .fetch_one(&mut *connection)
        .await?;
    let mut member = match Member::admit(member, found.as_ref(), account_id, is_taken, now) {
        Ok(member) => member,
        Err(refusal) => return Ok(Some(Enrolled::Invalid(refusal))),
    };
    let bound = sqlx::query(BIND_KEY)
        .bind(stored(public_key).into_owned())
        .bind(Time(now))
        .bind(stored(account_id).into_owned())
        .execute(&mut *connection)
        .await?;
    if bound.rows_affected() == 0 {
        return Ok(None);
    }
    member.enrol(nkey, now);
    save(connection, &member).await?;
    sqlx::query(USE_INVITE)
        .bind(Time(now))
        .bind(stored(invite_id).into_owned())
        .execute(connection)
        .await?;
    Ok(Some(Enrolled::Enrolled(member)))
}

/// The member with this account, locked with its account.
async fn locked(connection: &mut PgConnection, account_id: &str) -> Result<Option<Member>, sqlx::Error> {
    let account_id = stored(account_id).into_owned();
    sqlx::query(LOCK_ACCOUNT)
        .bind(&account_id)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(BY_ACCOUNT_LOCKED)
        .bind(&account_id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(member).transpose().map_err(unreadable)
}

async fn save(connection: &mut PgConnection, member: &Member) -> Result<(), sqlx::Error> {
    sqlx::query(UPSERT)
        .bind(stored(&member.account_id).into_owned())
        .bind(stored(&member.role).into_owned())
        .bind(member.state.as_str())
        .bind(opt_stored(member.nkey.as_deref()))
        .bind(texts(&member.capabilities))
        .bind(member.may_send_to.as_ref().map(texts))
        .bind(Time(member.created_at))
        .bind(member.enrolled_at.map(Time))
        .bind(member.revoked_at.map(Time))
        .execute(connection)
        .await?;
    Ok(())
}

/// Runs a statement about one account.
async fn execute(connection: &mut PgConnection, sql: &'static str, account_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query(sql)
        .bind(stored(account_id).into_owned())
        .execute(connection)
        .await?;
    Ok(())
}

fn unreadable(error: StoreError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn member(row: &PgRow) -> Result<Member, StoreError> {
    let may_send_to: Option<&str> = row.try_get("may_send_to").map_err(failed)?;
    Ok(Member {
        account_id: text_column(row, "account_id")?,
        username: text_column(row, "username")?,
        role: text_column(row, "role")?,
        state: MemberState::read(row.try_get("state").map_err(failed)?)?,
        nkey: opt_text_column(row, "nkey")?,
        capabilities: texts_column(row, "capabilities")?,
        may_send_to: may_send_to.map(|_| texts_column(row, "may_send_to")).transpose()?,
        created_at: time_column(row, "created_at")?,
        enrolled_at: opt_time_column(row, "enrolled_at")?,
        revoked_at: opt_time_column(row, "revoked_at")?,
    })
}

fn invite(row: &PgRow) -> Result<Invite, StoreError> {
    Ok(Invite {
        invite_id: text_column(row, "invite_id")?,
        account_id: text_column(row, "account_id")?,
        secret: row.try_get("secret").map_err(failed)?,
        join_nkey: text_column(row, "join_nkey")?,
        expires_at: time_column(row, "expires_at")?,
        used_at: opt_time_column(row, "used_at")?,
    })
}
