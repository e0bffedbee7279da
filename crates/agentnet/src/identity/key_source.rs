//! Where a node's key comes from: a file of its own, or the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentnet_keys::{KeyFileError, load, load_or_create, next_path, remove, replace};
use agentnet_protocol::signature::{DEFAULT_KEY_DIR, SigningKey, key_file_name};
use parking_lot::RwLock;

/// Where a node's key comes from.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    /// A key file, made at the first start.
    File(PathBuf),
    /// A key that the program gave; it is not stored.
    Memory(Arc<RwLock<Arc<SigningKey>>>),
}

/// The key at a start, and the one that an interrupted rotation left beside it.
pub(crate) struct OpenedKeys {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) next: Option<Arc<SigningKey>>,
}

impl KeySource {
    /// The file of an agent in a directory; without one, in `.keys`.
    pub(crate) fn directory(directory: Option<&Path>, username: Option<&str>, agent_id: &str) -> Self {
        let directory = directory.unwrap_or(Path::new(DEFAULT_KEY_DIR));
        Self::File(directory.join(key_file_name(username, agent_id)))
    }

    pub(crate) fn memory(key: SigningKey) -> Self {
        Self::Memory(Arc::new(RwLock::new(Arc::new(key))))
    }

    /// The key; a file is made where there is none.
    pub(crate) async fn open(&self) -> Result<OpenedKeys, KeyFileError> {
        let path = match self {
            Self::Memory(key) => {
                let key = key.read().clone();
                return Ok(OpenedKeys { key, next: None });
            }
            Self::File(path) => path.clone(),
        };
        off_thread(path, |path| {
            let key = load_or_create(path)?;
            let next = load(&next_path(path))?;
            Ok(OpenedKeys {
                key: Arc::new(key),
                next: next.map(Arc::new),
            })
        })
        .await
    }

    /// Puts another key in the place of this one.
    pub(crate) async fn settle(&self, key: Arc<SigningKey>) -> Result<(), KeyFileError> {
        match self {
            Self::Memory(place) => {
                *place.write() = key;
                Ok(())
            }
            Self::File(path) => off_thread(path.clone(), move |path| settle(path, &key)).await,
        }
    }
}

/// Puts a key that the registry has bound in its place.
pub(crate) fn settle(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    replace(path, key)?;
    remove(&next_path(path))
}

/// Runs blocking work on a file on a thread for it.
pub(crate) async fn off_thread<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> Result<T, KeyFileError> + Send + 'static,
) -> Result<T, KeyFileError> {
    let place = path.clone();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    done.unwrap_or_else(|error| {
        Err(KeyFileError::Read {
            path: place,
            source: std::io::Error::other(error),
        })
    })
}
