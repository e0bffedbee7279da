//! The room on the disk of the database, so that a disk that fills up is known before it is full.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentnet_store::model::DiskSpace;
use tokio::time::timeout;

use crate::context::Context;

/// How long the file system may take to answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<Option<DiskSpace>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Option<DiskSpace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if the database is no file here, or nothing is known yet.
    pub(crate) fn space(&self) -> Option<DiskSpace> {
        *self.lock()
    }
}

/// Looks now, and logs when the disk becomes nearly full and when it no longer is.
pub(crate) async fn look(ctx: Arc<Context>) {
    let Ok(found) = timeout(LOOK_TIMEOUT, ctx.store.disk_space()).await else {
        return;
    };
    let before = std::mem::replace(&mut *ctx.disk.lock(), found);
    let was_scarce = before.is_some_and(|space| space.is_scarce());
    let Some(DiskSpace { free, total }) = found.filter(|space| space.is_scarce() != was_scarce) else {
        return;
    };
    if was_scarce {
        tracing::info!(free, total, "the disk of the database has room again");
    } else {
        tracing::warn!(
            free,
            total,
            "the disk of the database is nearly full: make room, or messages cannot be stored soon"
        );
    }
}
