//! Registries that run on a database in PostgreSQL.

use agentnet_protocol::Timestamp;
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::error::failed;
use super::value::{Time, stored};
use super::{PostgresStore, opt_text_column, text_column, time_column};
use crate::error::StoreError;
use crate::model::Registry;
use crate::store::Registries;

#[async_trait]
impl Registries for PostgresStore {
    async fn database_id(&self) -> Result<String, StoreError> {
        sqlx::query_scalar("SELECT id FROM agentnet_database ORDER BY id LIMIT 1")
            .fetch_one(self.pool()?)
            .await
            .map_err(failed)
    }

    async fn put_registry(&self, registry: &Registry) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO agentnet_registries (number, server_id, announce_key, nkey, beat_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (number) DO UPDATE SET server_id = excluded.server_id, announce_key = excluded.announce_key, \
             nkey = excluded.nkey, beat_at = excluded.beat_at",
        )
        .bind(Registry::number_text(registry.number))
        .bind(stored(&registry.server_id).into_owned())
        .bind(&registry.announce_key)
        .bind(&registry.nkey)
        .bind(Time(registry.beat_at))
        .execute(self.pool()?)
        .await
        .map_err(failed)?;
        Ok(())
    }

    async fn remove_registry(&self, number: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agentnet_registries WHERE number = $1")
            .bind(Registry::number_text(number))
            .execute(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn registry_nkeys(&self, since: Timestamp) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT server_id COLLATE \"C\" AS server_id, nkey COLLATE \"C\" AS nkey FROM agentnet_registries \
             WHERE nkey IS NOT NULL AND beat_at >= $1 ORDER BY 1, 2",
        )
        .bind(Time(since))
        .fetch_all(self.pool()?)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| Ok((text_column(row, "server_id")?, text_column(row, "nkey")?)))
            .collect()
    }

    async fn registries(&self, since: Timestamp) -> Result<Vec<Registry>, StoreError> {
        let pool = self.pool()?;
        // One statement each: two registries that remove the same rows do not wait for each other in a circle.
        sqlx::query(
            "DELETE FROM agentnet_registries WHERE number IN \
             (SELECT number FROM agentnet_registries WHERE beat_at < $1 FOR UPDATE SKIP LOCKED)",
        )
        .bind(Time(since))
        .execute(pool)
        .await
        .map_err(failed)?;
        let rows = sqlx::query(
            "SELECT number, server_id, announce_key, nkey, beat_at FROM agentnet_registries WHERE beat_at >= $1 \
             ORDER BY number",
        )
        .bind(Time(since))
        .fetch_all(pool)
        .await
        .map_err(failed)?;
        rows.iter().map(registry).collect()
    }
}

fn registry(row: &PgRow) -> Result<Registry, StoreError> {
    let number: &str = row.try_get("number").map_err(failed)?;
    Ok(Registry {
        number: Registry::read_number(number)?,
        server_id: text_column(row, "server_id")?,
        announce_key: text_column(row, "announce_key")?,
        nkey: opt_text_column(row, "nkey")?,
        beat_at: time_column(row, "beat_at")?,
    })
}
