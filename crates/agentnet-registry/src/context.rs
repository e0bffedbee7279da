//! What every part of a running registry shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_store::Store;
use async_nats::Client;
use futures::FutureExt as _;
use tokio_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::announce::UnprovenLimit;
use crate::capture::Capture;
use crate::config::RegistryConfig;
use crate::connect::is_up;
use crate::database::Database;
use crate::disk::Disk;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::new_accounts::NewAccounts;
use crate::oversized::OversizedAccounts;
use crate::peers::Peers;
use crate::presence::Presence;
use crate::presence::hear::Adoptions;
use crate::presence::writer::WriterBell;
use crate::register_auth::Nonces;
use crate::together::{Claims, Lookups};

/// What every part of a running registry shares.
pub(crate) struct Context {
    pub(crate) config: RegistryConfig,
    /// Its own key, under signed identity.
    pub(crate) identity: Option<Identity>,
    /// Tells this registry from every other, even from one with its name.
    pub(crate) number: u64,
    /// The other registries.
    pub(crate) peers: Peers,
    /// What may be read of those who only say that they are some.
    pub(crate) unproven: UnprovenLimit,
    pub(crate) client: Client,
    /// The store for requests: nobody waits for it while it is down.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lookups: Lookups,
    pub(crate) claims: Claims,
    pub(crate) database: Database,
    /// The room on its disk.
    pub(crate) disk: Disk,
    pub(crate) presence: Arc<Presence>,
    pub(crate) bell: Arc<WriterBell>,
    pub(crate) adoptions: Arc<Adoptions>,
    pub(crate) nonces: Nonces,
    pub(crate) new_accounts: NewAccounts,
    pub(crate) oversized: OversizedAccounts,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) capture: Arc<Capture>,
    /// Messages that the client dropped because nobody took them in time.
    pub(crate) dropped: Arc<AtomicU64>,
    /// The client of NATS has ended for good.
    pub(crate) client_ended: CancellationToken,
    /// Requests and lookups that run now.
    pub(crate) tasks: Tasks,
}

impl Context {
    /// The largest body that the server takes, in bytes.
    pub(crate) fn max_reply(&self) -> usize {
        self.client.max_payload()
    }

    /// Whether the connection to NATS stands now.
    pub(crate) fn is_connected(&self) -> bool {
        // A client that has ended goes on saying what it said last.
        is_up(&self.client) && !self.client_ended.is_cancelled()
    }

    /// Messages that were lost because nobody took them in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Short tasks that can be waited for and, when the registry is dropped, ended at once.
#[derive(Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    kill: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(kill: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            kill,
        }
    }

    /// Runs a task until it is done or the registry is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // No async block or function around it: that would keep room for the task twice.
        self.tracker
            .spawn(task.with_cancellation_token_owned(self.kill.clone()).map(drop));
    }

    /// Waits until nothing runs.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
