//! Blobs that a registry keeps for the members of a secure network, in PostgreSQL.

use std::collections::BTreeSet;

use agentnet_protocol::{RawJson, Timestamp};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::error::failed;
use super::value::{Time, stored};
use super::{PostgresStore, opt_text_column, retry_on_conflict, text_column, time_column};
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

const BY_ID: &str = blobs!("blob_id = $1");
const OPEN: &str = blobs!("reference IS NULL AND touched_at < $1 ORDER BY touched_at LIMIT $2");
const COMPLETE: &str = blobs!("reference IS NOT NULL AND created_at < $1 ORDER BY created_at LIMIT $2");
const BEGIN: &str = "INSERT INTO agent_blobs (blob_id, account_id, object, size, chunks, last_sequence, hash, reference, \
     created_at, touched_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (blob_id) DO NOTHING";
const ADVANCE: &str = "UPDATE agent_blobs SET size = $1, chunks = $2, last_sequence = $3, hash = $4, touched_at = $5 \
     WHERE blob_id = $6 AND chunks = $2 - 1 AND reference IS NULL";
const COMPLETE_ONE: &str = "UPDATE agent_blobs SET reference = $1, hash = '', touched_at = $2 \
     WHERE blob_id = $3 AND chunks = $4 AND reference IS NULL";
const DELETE: &str = "DELETE FROM agent_blobs WHERE blob_id = $1 RETURNING blob_id, account_id, object, size, chunks, \
     last_sequence, hash, reference, created_at, touched_at";
const DELETE_SHARES: &str = "DELETE FROM agent_blob_shares WHERE blob_id = $1";
const USAGE: &str = "SELECT count(*) AS blobs, COALESCE(SUM(size), 0)::bigint AS bytes, \
     count(*) FILTER (WHERE reference IS NULL) AS open FROM agent_blobs WHERE account_id = $1";
/// The row of the blob is locked, so that it is not removed meanwhile.
const LOCK: &str = "SELECT 1 FROM agent_blobs WHERE blob_id = $1 FOR SHARE";
const SHARE: &str = "INSERT INTO agent_blob_shares (blob_id, from_account, receiver) SELECT $1, $2, $3 \
     WHERE (SELECT count(*) FROM agent_blob_shares WHERE blob_id = $1 AND from_account = $2) < $4 ON CONFLICT DO NOTHING";
const SHARES: &str = "SELECT blob_id, from_account, receiver FROM agent_blob_shares WHERE blob_id = $1 \
     ORDER BY from_account, receiver LIMIT $2";

#[async_trait]
impl Blobs for PostgresStore {
    async fn begin_blob(&self, blob: &Blob) -> Result<bool, StoreError> {
        let done = sqlx::query(BEGIN)
            .bind(stored(&blob.blob_id).into_owned())
            .bind(stored(&blob.account_id).into_owned())
            .bind(stored(&blob.object).into_owned())
            .bind(blob.size)
            .bind(blob.chunks)
            .bind(blob.last_sequence)
            .bind(&blob.hash)
            .bind(
                blob.reference
                    .as_ref()
                    .map(|reference| stored(reference.get()).into_owned()),
            )
            .bind(Time(blob.created_at))
            .bind(Time(blob.touched_at))
            .execute(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError> {
        let row = sqlx::query(BY_ID)
            .bind(stored(blob_id).into_owned())
            .fetch_optional(self.pool()?)
            .await
            .map_err(failed)?;
        row.as_ref().map(blob).transpose()
    }

    async fn advance_blob(&self, blob: &Blob) -> Result<bool, StoreError> {
        let done = sqlx::query(ADVANCE)
            .bind(blob.size)
            .bind(blob.chunks)
            .bind(blob.last_sequence)
            .bind(&blob.hash)
            .bind(Time(blob.touched_at))
            .bind(stored(&blob.blob_id).into_owned())
            .execute(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn complete_blob(
        &self,
        blob_id: &str,
        chunks: i64,
        reference: &RawJson,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(COMPLETE_ONE)
            .bind(stored(reference.get()).into_owned())
            .bind(Time(at))
            .bind(stored(blob_id).into_owned())
            .bind(chunks)
            .execute(self.pool()?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn delete_blob(&self, blob_id: &str) -> Result<Option<Blob>, StoreError> {
        let (pool, blob_id) = (self.pool()?, stored(blob_id).into_owned());
        let row = retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            let row = sqlx::query(DELETE)
                .bind(&blob_id)
                .fetch_optional(&mut *transaction)
                .await?;
            sqlx::query(DELETE_SHARES)
                .bind(&blob_id)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(row)
        })?;
        row.as_ref().map(blob).transpose()
    }

    async fn blob_usage(&self, account_id: &str) -> Result<BlobUsage, StoreError> {
        let row = sqlx::query(USAGE)
            .bind(stored(account_id).into_owned())
            .fetch_one(self.pool()?)
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
        let pool = self.pool()?;
        // In one order, so that two that share the same blobs do not wait for each other in a circle.
        let shares: BTreeSet<&BlobShare> = shares.iter().collect();
        retry_on_conflict!(async {
            let mut transaction = pool.begin().await?;
            for share in &shares {
                let blob_id = stored(&share.blob_id).into_owned();
                let locked = sqlx::query(LOCK)
                    .bind(&blob_id)
                    .fetch_optional(&mut *transaction)
                    .await?;
                if locked.is_none() {
                    continue;
                }
                sqlx::query(SHARE)
                    .bind(&blob_id)
                    .bind(stored(&share.from_account).into_owned())
                    .bind(stored(&share.receiver).into_owned())
                    .bind(MAX_BLOB_RECEIVERS)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(())
        })
    }

    async fn blob_shares(&self, blob_id: &str, limit: usize) -> Result<Vec<BlobShare>, StoreError> {
        let rows = sqlx::query(SHARES)
            .bind(stored(blob_id).into_owned())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
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
            .bind(Time(before))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await
            .map_err(failed)?;
        rows.iter().map(blob).collect()
    }
}

fn blob(row: &PgRow) -> Result<Blob, StoreError> {
    let reference = opt_text_column(row, "reference")?.map(RawJson::parse).transpose();
    Ok(Blob {
        blob_id: text_column(row, "blob_id")?,
        account_id: text_column(row, "account_id")?,
        object: text_column(row, "object")?,
        size: row.try_get("size").map_err(failed)?,
        chunks: row.try_get("chunks").map_err(failed)?,
        last_sequence: row.try_get("last_sequence").map_err(failed)?,
        hash: row.try_get("hash").map_err(failed)?,
        reference: reference.map_err(|error| StoreError::Corrupt(format!("a blob's reference: {error}")))?,
        created_at: time_column(row, "created_at")?,
        touched_at: time_column(row, "touched_at")?,
    })
}

fn share(row: &PgRow) -> Result<BlobShare, StoreError> {
    Ok(BlobShare {
        blob_id: text_column(row, "blob_id")?,
        from_account: text_column(row, "from_account")?,
        receiver: text_column(row, "receiver")?,
    })
}
