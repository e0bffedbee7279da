//! The free space on the disk of the database, so that operators learn of a disk that fills up before it is full.

use std::time::Duration;

use agentnet_store::Store;
use agentnet_store::model::DiskSpace;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::timeout;

/// How long the file system may take to answer.
const DISK_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of the last check.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<Option<DiskSpace>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Option<DiskSpace>> {
        self.0.lock()
    }

    /// `None` if the database is not a local file, or before the first check.
    pub(crate) fn space(&self) -> Option<DiskSpace> {
        *self.lock()
    }

    /// Checks now, and logs when the disk becomes nearly full and when it no longer is.
    pub(crate) async fn check(&self, store: &dyn Store) {
        let Ok(found) = timeout(DISK_TIMEOUT, store.disk_space()).await else {
            return;
        };
        let before = std::mem::replace(&mut *self.lock(), found);
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
}
