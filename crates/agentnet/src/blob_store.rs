//! Blobs: bytes too large for a message, kept in a store and referred to by a small payload (PROTOCOL.md section 5.5).
//!
//! ```no_run
//! use agentnet::{AgentNode, BlobStorage};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let node = AgentNode::builder("painter")
//!     .blob_storage(BlobStorage::NatsObject)
//!     .on_message(|message, context| async move {
//!         if let Some(blob) = message.blob_ref()? {
//!             context.node().blobs().get_to_file(&blob, format!("in/{}", blob.blob_id)).await?;
//!         }
//!         Ok(())
//!     })
//!     .start()
//!     .await?;
//! let blob = node.blobs().put_file("/tmp/chart.png").progress(|done, _| eprintln!("{done} bytes")).await?;
//! node.send_blob_ref("@vision_agent", &blob).thread("media_ops_1").await?;
//! # Ok(()) }
//! ```
//!
//! `local`, `network` and (in secure mode) `registry` are the stores, `put` and `get` the calls; `hashing_reader` and `reader` count, hash and report
//! progress, `atomic_file` writes files that appear whole, `sweep` removes what a crash has left.

mod agent;
mod atomic_file;
mod error;
mod get;
mod hashing_reader;
mod key;
mod local;
mod names;
mod network;
mod put;
mod reader;
mod registry;
mod settings;
mod sweep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::blob::BlobRef;
use async_nats::Client;
use bytes::Bytes;
use tokio::io::AsyncRead;

use crate::config::error::ConfigError;
use crate::registry::RegistryClient;
use hashing_reader::{Meter, Source};
use local::LocalStore;
use network::NetworkStore;
use put::Origin;
use reader::Found;
use registry::RegistryStore;

pub use error::BlobError;
pub use get::GetBlob;
pub use key::BlobKey;
pub use put::PutBlob;
pub use reader::BlobReader;
pub use settings::{BlobSettings, BlobStorage, UnknownStorage};

/// Stores blobs and reads them, in a directory or in the network's object store. Cloning gives another handle to the same
/// store.
///
/// New blobs go where the settings say. Reading follows the reference: a blob that says `local_fs` is read from the directory,
/// one that says `nats_object` from the network, whatever the settings say. An id alone is looked for where new blobs go.
///
/// Transfers of any size need little memory; only [`get_bytes`](Self::get_bytes) and [`get_text`](Self::get_text) hold a whole
/// blob, up to [`memory_limit`](BlobSettings::memory_limit).
///
/// ```no_run
/// # async fn run(node: agentnet::AgentNode) -> Result<(), Box<dyn std::error::Error>> {
/// let blobs = node.blobs();
/// let chart = blobs.put_file("chart.png").await?;
/// node.send_blob_ref("@vision_agent", &chart).thread("media_ops_1").await?;
/// let bytes = blobs.get_bytes(&chart).await?;
/// # drop(bytes);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BlobStore {
    shared: Arc<Shared>,
}

struct Shared {
    settings: BlobSettings,
    local: LocalStore,
    network: Option<Network>,
}

/// How the network's store is reached.
enum Network {
    /// By the object store of JetStream.
    Bucket(NetworkStore),
    /// In secure mode, by the registry.
    Registry(Box<RegistryStore>),
}

impl Network {
    async fn put(&self, blob: BlobRef, source: Source, meter: Meter) -> Result<BlobRef, BlobError> {
        match self {
            Self::Bucket(bucket) => bucket.put(blob, source, meter).await,
            Self::Registry(registry) => registry.put(blob, source, meter).await,
        }
    }

    async fn head(&self, id: &str) -> Result<Option<BlobRef>, BlobError> {
        match self {
            Self::Bucket(bucket) => bucket.head(id).await,
            Self::Registry(registry) => registry.head(id).await,
        }
    }

    async fn get(&self, id: &str) -> Result<Found, BlobError> {
        match self {
            Self::Bucket(bucket) => bucket.get(id).await,
            Self::Registry(registry) => registry.get(id).await,
        }
    }

    async fn delete(&self, id: &str) -> Result<bool, BlobError> {
        match self {
            Self::Bucket(bucket) => bucket.delete(id).await,
            Self::Registry(registry) => registry.delete(id).await,
        }
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64, BlobError> {
        match self {
            Self::Bucket(bucket) => bucket.sweep(older_than).await,
            // The registry sweeps by itself.
            Self::Registry(_) => Ok(0),
        }
    }
}

impl BlobStore {
    /// A store with these settings, without a connection: what is in the network's store cannot be reached.
    #[must_use]
    pub fn new(settings: BlobSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                local: LocalStore::new(settings.dir.clone()),
                network: None,
                settings,
            }),
        }
    }

    /// A store in this directory.
    #[must_use]
    pub fn local(dir: impl Into<PathBuf>) -> Self {
        Self::new(BlobSettings {
            dir: dir.into(),
            ..BlobSettings::default()
        })
    }

    /// A store as `AGENTNET_BLOB_DIR`, `AGENTNET_BLOB_STORAGE`, `AGENTNET_BLOB_BUCKET` and `AGENTNET_BLOB_REPLICAS` describe it.
    ///
    /// # Errors
    /// [`ConfigError`] where one of them holds no such value.
    pub fn from_env() -> Result<Self, ConfigError> {
        BlobSettings::from_env().map(Self::new)
    }

    /// The network's store, with default settings. The connection must be one of [`connect`](crate::connect()), whose inbox
    /// prefix keeps the traffic of blobs out of the history.
    #[must_use]
    pub fn network(client: &Client) -> Self {
        let settings = BlobSettings {
            storage: BlobStorage::NatsObject,
            ..BlobSettings::default()
        };
        Self::new(settings).connected_to(client)
    }

    /// The same store with this connection to the network's. In secure mode, members reach it by their nodes
    /// ([`AgentNode::blobs`](crate::AgentNode::blobs)), or by [`by_registry`](Self::by_registry).
    #[must_use]
    pub fn connected_to(&self, client: &Client) -> Self {
        let network = NetworkStore::new(client, self.shared.settings.clone());
        self.with_network(Network::Bucket(network))
    }

    /// The same store, whose network's blobs the registry keeps: so it is in secure mode (PROTOCOL.md section 23.13).
    #[must_use]
    pub fn by_registry(&self, registry: &RegistryClient) -> Self {
        let network = RegistryStore::new(registry.clone(), &self.shared.settings);
        self.with_network(Network::Registry(Box::new(network)))
    }

    fn with_network(&self, network: Network) -> Self {
        Self {
            shared: Arc::new(Shared {
                local: self.shared.local.clone(),
                network: Some(network),
                settings: self.shared.settings.clone(),
            }),
        }
    }

    /// The settings of this store.
    #[must_use]
    pub fn settings(&self) -> &BlobSettings {
        &self.shared.settings
    }

    /// Stores bytes.
    pub fn put_bytes(&self, bytes: impl Into<Bytes>) -> PutBlob {
        PutBlob::new(self, Origin::Bytes(bytes.into()))
    }

    /// Stores a file, under its own name by default.
    pub fn put_file(&self, path: impl Into<PathBuf>) -> PutBlob {
        PutBlob::new(self, Origin::File(path.into()))
    }

    /// Stores what a reader gives until its end.
    pub fn put_reader(&self, reader: impl AsyncRead + Send + Unpin + 'static) -> PutBlob {
        PutBlob::new(self, Origin::Reader(Box::new(reader)))
    }

    /// Reads a blob into memory, up to [`memory_limit`](BlobSettings::memory_limit).
    pub fn get_bytes(&self, blob: impl Into<BlobKey>) -> GetBlob<Bytes> {
        get::bytes(self, blob.into())
    }

    /// Reads a blob of UTF-8 text into memory, up to [`memory_limit`](BlobSettings::memory_limit).
    pub fn get_text(&self, blob: impl Into<BlobKey>) -> GetBlob<String> {
        get::text(self, blob.into())
    }

    /// Writes a blob to a file, which appears (or is replaced) when all of the blob is there and checked. The directory must
    /// exist. The result is the blob as its store knows it.
    pub fn get_to_file(&self, blob: impl Into<BlobKey>, path: impl Into<PathBuf>) -> GetBlob<BlobRef> {
        get::to_file(self, blob.into(), path.into())
    }

    /// Opens a blob to be read piece by piece.
    pub fn open(&self, blob: impl Into<BlobKey>) -> GetBlob<BlobReader> {
        get::open(self, blob.into())
    }

    /// What the store knows of a blob; `None` if it has no such blob.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn head(&self, blob: impl Into<BlobKey>) -> Result<Option<BlobRef>, BlobError> {
        let key = blob.into();
        let id = key.id()?;
        match key.storage(self.shared.settings.storage)? {
            BlobStorage::Local => self.shared.local.head(id).await,
            BlobStorage::NatsObject => self.connected()?.head(id).await,
        }
    }

    /// Removes a blob; false if there was none.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn delete(&self, blob: impl Into<BlobKey>) -> Result<bool, BlobError> {
        let key = blob.into();
        let id = key.id()?;
        match key.storage(self.shared.settings.storage)? {
            BlobStorage::Local => self.shared.local.delete(id).await,
            BlobStorage::NatsObject => self.connected()?.delete(id).await,
        }
    }

    /// Removes what processes that were killed in the middle of a put have left in the store where new blobs go, if nothing was
    /// written to it for at least this long. How many unfinished blobs there were. They are not listed, but take space; a put
    /// that only failed has removed its own.
    ///
    /// Choose a time longer than any put pauses: an hour is usual.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn sweep(&self, older_than: Duration) -> Result<u64, BlobError> {
        match self.shared.settings.storage {
            BlobStorage::Local => self.shared.local.sweep(older_than).await,
            BlobStorage::NatsObject => self.connected()?.sweep(older_than).await,
        }
    }

    async fn find(&self, key: &BlobKey) -> Result<Found, BlobError> {
        let id = key.id()?;
        match key.storage(self.shared.settings.storage)? {
            BlobStorage::Local => self.shared.local.get(id).await,
            BlobStorage::NatsObject => self.connected()?.get(id).await,
        }
    }

    fn connected(&self) -> Result<&Network, BlobError> {
        self.shared.network.as_ref().ok_or(BlobError::NotConnected)
    }
}

impl std::fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStore")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
