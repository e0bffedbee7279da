//! Sessions in SQLite.

use agentnet_protocol::Timestamp;
use agentnet_protocol::signing_scope::SigningScope;
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::error::failed;
use super::{SqliteStore, json_column, texts, texts_column};
use crate::error::StoreError;
use crate::model::{Session, check_metadata};
use crate::store::Sessions;

const ONLINE: &str = "online";
const OFFLINE: &str = "offline";

pub(super) const BY_TAG: &str = "SELECT * FROM agent_sessions WHERE session_tag = ?";
pub(super) const ALL_ONLINE: &str = "SELECT * FROM agent_sessions WHERE status = 'online' ORDER BY session_tag";
pub(super) const PRUNE: &str =
    "DELETE FROM agent_sessions WHERE status = 'offline' AND COALESCE(disconnected_at, last_seen) < ?";

#[async_trait]
impl Sessions for SqliteStore {
    async fn upsert_sessions(&self, sessions: &[Session]) -> Result<(), StoreError> {
        sessions
            .iter()
            .try_for_each(|session| check_metadata(&session.metadata))?;
        let mut transaction = self.begin_write().await?;
        for session in sessions {
            sqlx::query(
                "INSERT INTO agent_sessions (session_tag, agent_id, account_id, username, server_id, connected_at, \
                 disconnected_at, last_seen, status, name, capabilities, metadata, signs) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (session_tag) DO UPDATE SET agent_id = excluded.agent_id, \
                 account_id = excluded.account_id, username = excluded.username, server_id = excluded.server_id, \
                 disconnected_at = excluded.disconnected_at, last_seen = excluded.last_seen, \
                 status = excluded.status, name = excluded.name, capabilities = excluded.capabilities, \
                 metadata = excluded.metadata, signs = excluded.signs",
            )
            .bind(&session.session_tag)
            .bind(&session.agent_id)
            .bind(&session.account_id)
            .bind(&session.username)
            .bind(&session.server_id)
            .bind(session.connected_at.as_micros())
            .bind(session.disconnected_at.map(Timestamp::as_micros))
            .bind(session.last_seen.as_micros())
            .bind(if session.online { ONLINE } else { OFFLINE })
            .bind(&session.name)
            .bind(texts(&session.capabilities))
            .bind(session.metadata.get())
            .bind(session.signs.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn touch_sessions(&self, seen: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        for (session_tag, at) in seen {
            sqlx::query("UPDATE agent_sessions SET last_seen = ?1 WHERE session_tag = ?2 AND last_seen < ?1")
                .bind(at.as_micros())
                .bind(session_tag)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn end_sessions(&self, ended: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        for (session_tag, at) in ended {
            sqlx::query(
                "UPDATE agent_sessions SET status = 'offline', last_seen = MAX(last_seen, ?1), \
                 disconnected_at = CASE status WHEN 'offline' THEN COALESCE(disconnected_at, ?1) ELSE ?1 END \
                 WHERE session_tag = ?2",
            )
            .bind(at.as_micros())
            .bind(session_tag)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn session(&self, session_tag: &str) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query(BY_TAG)
            .bind(session_tag)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        row.as_ref().map(session).transpose()
    }

    async fn online_sessions(&self) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query(ALL_ONLINE).fetch_all(&self.read).await.map_err(failed)?;
        rows.iter().map(session).collect()
    }

    async fn prune_sessions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.check_file()?;
        let pruned = sqlx::query(PRUNE)
            .bind(before.as_micros())
            .execute(&self.write)
            .await
            .map_err(failed)?;
        Ok(pruned.rows_affected())
    }
}

fn session(row: &SqliteRow) -> Result<Session, StoreError> {
    let status: &str = row.try_get("status").map_err(failed)?;
    let disconnected_at: Option<i64> = row.try_get("disconnected_at").map_err(failed)?;
    Ok(Session {
        session_tag: row.try_get("session_tag").map_err(failed)?,
        agent_id: row.try_get("agent_id").map_err(failed)?,
        account_id: row.try_get("account_id").map_err(failed)?,
        username: row.try_get("username").map_err(failed)?,
        server_id: row.try_get("server_id").map_err(failed)?,
        connected_at: Timestamp::from_micros(row.try_get("connected_at").map_err(failed)?),
        disconnected_at: disconnected_at.map(Timestamp::from_micros),
        last_seen: Timestamp::from_micros(row.try_get("last_seen").map_err(failed)?),
        online: status == ONLINE,
        name: row.try_get("name").map_err(failed)?,
        capabilities: texts_column(row, "capabilities")?,
        metadata: json_column(row, "metadata")?,
        signs: SigningScope::parse(row.try_get("signs").map_err(failed)?),
    })
}
