//! Registries that run on a database in SQLite.

use agentnet_protocol::Timestamp;
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::error::failed;
use crate::error::StoreError;
use crate::model::Registry;
use crate::store::Registries;

#[async_trait]
impl Registries for SqliteStore {
    async fn database_id(&self) -> Result<String, StoreError> {
        sqlx::query_scalar("SELECT id FROM agentnet_database ORDER BY id LIMIT 1")
            .fetch_one(&self.read)
            .await
            .map_err(failed)
    }

    async fn put_registry(&self, registry: &Registry) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO agentnet_registries (number, server_id, announce_key, nkey, beat_at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (number) DO UPDATE SET server_id = excluded.server_id, announce_key = excluded.announce_key, \
             nkey = excluded.nkey, beat_at = excluded.beat_at",
        )
        .bind(Registry::number_text(registry.number))
        .bind(&registry.server_id)
        .bind(&registry.announce_key)
        .bind(&registry.nkey)
        .bind(registry.beat_at.as_micros())
        .execute(&self.write)
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn remove_registry(&self, number: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agentnet_registries WHERE number = ?")
            .bind(Registry::number_text(number))
            .execute(&self.write)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn registry_nkeys(&self, since: Timestamp) -> Result<Vec<(String, String)>, StoreError> {
        sqlx::query_as(
            "SELECT DISTINCT server_id, nkey FROM agentnet_registries WHERE nkey IS NOT NULL AND beat_at >= ? \
             ORDER BY server_id, nkey",
        )
        .bind(since.as_micros())
        .fetch_all(&self.read)
        .await
        .map_err(failed)
    }

    async fn registries(&self, since: Timestamp) -> Result<Vec<Registry>, StoreError> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("DELETE FROM agentnet_registries WHERE beat_at < ?")
            .bind(since.as_micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let rows = sqlx::query(
            "SELECT number, server_id, announce_key, nkey, beat_at FROM agentnet_registries ORDER BY number",
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        rows.iter().map(registry).collect()
    }
}

fn registry(row: &SqliteRow) -> Result<Registry, StoreError> {
    Ok(Registry {
        number: Registry::read_number(row.try_get("number").map_err(failed)?)?,
        server_id: row.try_get("server_id").map_err(failed)?,
        announce_key: row.try_get("announce_key").map_err(failed)?,
        nkey: row.try_get("nkey").map_err(failed)?,
        beat_at: Timestamp::from_micros(row.try_get("beat_at").map_err(failed)?),
    })
}
