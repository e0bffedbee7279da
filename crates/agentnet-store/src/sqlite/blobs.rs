//! Blobs that a registry keeps for the members of a secure network, in SQLite.

use agentnet_protocol::{RawJson, Timestamp};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::error::failed;
use crate::error::StoreError;
use crate::model::{Blob, BlobShare, BlobUsage, MAX_BLOB_RECEIVERS, OldBlobs};
use crate::store::Blobs;

macro_rules! blobs {
    ($end:literal) => {
        concat!(
            "SELECT blob_id, account_id, object, size, chunks, last_sequence, hash, reference, created_at, touched_at \
             FROM agent_blobs WHERE ",
            $end
        )
    };
}

const BY_ID: &str = blobs!("blob_id = ?");
pub(super) const OPEN: &str = blobs!("reference IS NULL AND touched_at < ? ORDER BY touched_at LIMIT ?");
pub(super) const COMPLETE: &str = blobs!("reference IS NOT NULL AND created_at < ? ORDER BY created_at LIMIT ?");
const BEGIN: &str = "INSERT INTO agent_blobs (blob_id, account_id, object, size, chunks, last_sequence, hash, reference, \
     created_at, touched_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (blob_id) DO NOTHING";
const ADVANCE: &str = "UPDATE agent_blobs SET size = ?, chunks = ?, last_sequence = ?, hash = ?, touched_at = ? \
     WHERE blob_id = ? AND chunks = ? AND reference IS NULL";
const COMPLETE_ONE: &str = "UPDATE agent_blobs SET reference = ?, hash = x'', touched_at = ? \
     WHERE blob_id = ? AND chunks = ? AND reference IS NULL";
pub(super) const USAGE: &str = "SELECT count(*) AS blobs, COALESCE(SUM(size), 0) AS bytes, \
     COUNT(*) FILTER (WHERE reference IS NULL) AS open FROM agent_blobs WHERE account_id = ?";
const SHARE: &str = "INSERT INTO agent_blob_shares (blob_id, from_account, receiver) SELECT ?1, ?2, ?3 \
     WHERE EXISTS (SELECT 1 FROM agent_blobs WHERE blob_id = ?1) \
     AND (SELECT count(*) FROM agent_blob_shares WHERE blob_id = ?1 AND from_account = ?2) < ?4 \
     ON CONFLICT DO NOTHING";
pub(super) const SHARES: &str = "SELECT blob_id, from_account, receiver FROM agent_blob_shares WHERE blob_id = ? ORDER BY from_account, receiver LIMIT ?";

#[async_trait]
impl Blobs for SqliteStore {
    async fn begin_blob(&self, blob: &Blob) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let done = sqlx::query(BEGIN)
            .bind(&blob.blob_id)
            .bind(&blob.account_id)
            .bind(&blob.object)
            .bind(blob.size)
            .bind(blob.chunks)
            .bind(blob.last_sequence)
            .bind(&blob.hash)
            .bind(blob.reference.as_ref().map(RawJson::get))
            .bind(blob.created_at.as_micros())
            .bind(blob.touched_at.as_micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError> {
        let row = sqlx::query(BY_ID)
            .bind(blob_id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        row.as_ref().map(blob).transpose()
    }

    async fn advance_blob(&self, blob: &Blob) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let done = sqlx::query(ADVANCE)
            .bind(blob.size)
            .bind(blob.chunks)
            .bind(blob.last_sequence)
            .bind(&blob.hash)
            .bind(blob.touched_at.as_micros())
            .bind(&blob.blob_id)
            .bind(blob.chunks - 1)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn complete_blob(
        &self,
        blob_id: &str,
        chunks: i64,
        reference: &RawJson,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin_write().await?;
        let done = sqlx::query(COMPLETE_ONE)
            .bind(reference.get())
            .bind(at.as_micros())
            .bind(blob_id)
            .bind(chunks)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn delete_blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError> {
        let mut transaction = self.begin_write().await?;
        let row = sqlx::query(BY_ID)
            .bind(blob_id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        for statement in [
            "DELETE FROM agent_blobs WHERE blob_id = ?",
            "DELETE FROM agent_blob_shares WHERE blob_id = ?",
        ] {
            sqlx::query(statement)
                .bind(blob_id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        row.as_ref().map(blob).transpose()
    }

    async fn blob_usage(&self, account_id: &str) -> Result<BlobUsage, StoreError> {
        let row = sqlx::query(USAGE)
            .bind(account_id)
            .fetch_one(&self.read)
            .await
            .map_err(failed)?;
        Ok(BlobUsage {
            blobs: row.try_get("blobs").map_err(failed)?,
            open: row.try_get("open").map_err(failed)?,
            bytes: row.try_get("bytes").map_err(failed)?,
        })
    }

    async fn share_blobs(&self, shares: &[BlobShare]) -> Result<(), StoreError> {
        if shares.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin_write().await?;
        for share in shares {
            sqlx::query(SHARE)
                .bind(&share.blob_id)
                .bind(&share.from_account)
                .bind(&share.receiver)
                .bind(MAX_BLOB_RECEIVERS)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn blob_shares(&self, blob_id: &str, limit: usize) -> Result<Vec<BlobShare>, StoreError> {
        let rows = sqlx::query(SHARES)
            .bind(blob_id)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter().map(share).collect()
    }

    async fn old_blobs(&self, which: OldBlobs, limit: usize) -> Result<Vec<Blob>, StoreError> {
        let (statement, before) = match which {
            OldBlobs::Open(before) => (OPEN, before),
            OldBlobs::Complete(before) => (COMPLETE, before),
        };
        let rows = sqlx::query(statement)
            .bind(before.as_micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter().map(blob).collect()
    }
}

fn blob(row: &SqliteRow) -> Result<Blob, StoreError> {
    let reference: Option<String> = row.try_get("reference").map_err(failed)?;
    let reference = reference.map(RawJson::parse).transpose();
    Ok(Blob {
        blob_id: row.try_get("blob_id").map_err(failed)?,
        account_id: row.try_get("account_id").map_err(failed)?,
        object: row.try_get("object").map_err(failed)?,
        size: row.try_get("size").map_err(failed)?,
        chunks: row.try_get("chunks").map_err(failed)?,
        last_sequence: row.try_get("last_sequence").map_err(failed)?,
        hash: row.try_get("hash").map_err(failed)?,
        reference: reference.map_err(|error| StoreError::Corrupt(format!("a blob's reference: {error}")))?,
        created_at: Timestamp::from_micros(row.try_get("created_at").map_err(failed)?),
        touched_at: Timestamp::from_micros(row.try_get("touched_at").map_err(failed)?),
    })
}

fn share(row: &SqliteRow) -> Result<BlobShare, StoreError> {
    Ok(BlobShare {
        blob_id: row.try_get("blob_id").map_err(failed)?,
        from_account: row.try_get("from_account").map_err(failed)?,
        receiver: row.try_get("receiver").map_err(failed)?,
    })
}
