//! Removing what puts of killed processes have left in the bucket.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::stream::DirectGetErrorKind;
use futures::TryStreamExt;

use super::{Bucket, NetworkStore};
use crate::blob_store::error::BlobError;

impl NetworkStore {
    /// Removes the pieces that belong to no object and whose last one is older than this. How many objects' worth were there.
    pub(crate) async fn sweep(&self, older_than: Duration) -> Result<u64, BlobError> {
        let Some(bucket) = self.bucket(false).await? else {
            return Ok(0);
        };
        let doing = "look for unfinished blobs";
        // In this order: an object that is finished meanwhile is seen by the second look.
        let all = bucket.stream.info_with_subjects(bucket.chunk_subject(">")).await;
        let pieces: Vec<(String, usize)> = all
            .map_err(|error| self.failed(doing, &error))?
            .try_collect()
            .await
            .map_err(|error| self.failed(doing, &error))?;
        let objects = bucket
            .objects
            .list()
            .await
            .map_err(|error| self.failed(doing, &error))?;
        let whole: HashSet<String> = objects
            .map_ok(|object| bucket.chunk_subject(&object.nuid))
            .try_collect()
            .await
            .map_err(|error| self.failed(doing, &error))?;
        let mut swept = 0;
        for (subject, _) in pieces {
            if !whole.contains(&subject) && self.is_older(&bucket, &subject, older_than).await? {
                let purged = bucket.stream.purge().filter(&subject).await;
                purged.map_err(|error| self.failed("remove an unfinished blob", &error))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Whether nothing has come on the subject for this long.
    async fn is_older(&self, bucket: &Bucket, subject: &str, than: Duration) -> Result<bool, BlobError> {
        match bucket.stream.direct_get_last_for_subject(subject).await {
            Ok(last) => {
                let age = SystemTime::now().duration_since(SystemTime::from(last.time));
                Ok(age.is_ok_and(|age| age >= than))
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("look for unfinished blobs", &error)),
        }
    }
}
