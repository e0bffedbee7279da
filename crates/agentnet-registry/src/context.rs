//! The parts of a running registry, put together. Only modules on top of the parts import this one; the parts themselves take
//! what they use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_nats::{Issuer, is_up};
use agentnet_store::Store;
use async_nats::Client;
use tokio_util::sync::CancellationToken;

use crate::batch_lookup::{AccountIdLoader, AccountLoader, ClaimLoader};
use crate::blobs::Blobs;
use crate::capture::Capture;
use crate::config::RegistryConfig;
use crate::database::Database;
use crate::disk::Disk;
use crate::identity::Identity;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::new_accounts::NewAccounts;
use crate::nonces::Nonces;
use crate::oversized::OversizedAccounts;
use crate::peer_events::{PeerEvents, UnprovenLimit};
use crate::peers::Peers;
use crate::presence::Presence;
use crate::presence::pending_lookups::PendingLookups;
use crate::presence::writer::FlushSignal;
use crate::registry_receipts::RegistryReceipts;
use crate::secure::members::Members;
use crate::task_ledger::TaskLedger;
use crate::tasks::TaskSet;

/// The parts of a running registry.
pub(crate) struct Context {
    pub(crate) config: RegistryConfig,
    /// The registry's own key, under signed identity.
    pub(crate) identity: Option<Arc<Identity>>,
    /// The other registries.
    pub(crate) peers: Arc<Peers>,
    /// Announcements to the other registries.
    pub(crate) peer_events: PeerEvents,
    /// How many announcements without proof may be read.
    pub(crate) unproven: UnprovenLimit,
    pub(crate) client: Client,
    /// The account that this registry publishes as, in secure mode (PROTOCOL.md section 23).
    pub(crate) issuer: Issuer,
    /// The members of the network, in secure mode.
    pub(crate) members: Option<Arc<Members>>,
    /// The store for requests: calls fail at once while the database is down.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) account_ids: AccountIdLoader,
    pub(crate) claims: ClaimLoader,
    /// The keys of senders that leave messages in mailboxes.
    pub(crate) senders: AccountLoader,
    pub(crate) mailbox: Mailbox,
    pub(crate) task_ledger: TaskLedger,
    /// The blobs of members, in secure mode.
    pub(crate) blobs: Option<Blobs>,
    /// Receipts that this registry sends in the place of receivers.
    pub(crate) receipts: Arc<RegistryReceipts>,
    pub(crate) database: Database,
    /// The free space on the disk of the database.
    pub(crate) disk: Disk,
    pub(crate) presence: Arc<Presence>,
    pub(crate) flush: Arc<FlushSignal>,
    pub(crate) pending_lookups: Arc<PendingLookups>,
    pub(crate) nonces: Nonces,
    pub(crate) new_accounts: NewAccounts,
    pub(crate) oversized: OversizedAccounts,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) capture: Arc<Capture>,
    /// Messages that the client dropped because a subscription was full.
    pub(crate) dropped: Arc<AtomicU64>,
    /// Cancelled when the NATS client has ended for good.
    pub(crate) client_ended: CancellationToken,
    pub(crate) tasks: TaskSet,
}

impl Context {
    /// Whether the broker proves who publishes each message (PROTOCOL.md section 23).
    pub(crate) fn is_secure(&self) -> bool {
        self.issuer.account_id().is_some()
    }

    /// The largest body that the server takes, in bytes.
    pub(crate) fn max_reply(&self) -> usize {
        self.client.max_payload()
    }

    /// Whether there is a connection to NATS now.
    pub(crate) fn is_connected(&self) -> bool {
        // A client that has ended keeps its last state.
        is_up(&self.client) && !self.client_ended.is_cancelled()
    }

    /// Messages that the client dropped because a subscription was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
