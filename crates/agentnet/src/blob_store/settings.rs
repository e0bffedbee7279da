//! Which store keeps new blobs, and where.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use agentnet_protocol::blob::{DEFAULT_BUCKET, LOCAL_STORAGE, NATS_OBJECT_STORAGE};

use crate::config::error::ConfigError;

/// Which store keeps a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BlobStorage {
    /// A directory of this host (`storage: "local_fs"`).
    #[default]
    Local,
    /// The object store of the NATS servers (`storage: "nats_object"`): every agent of the network can read it.
    NatsObject,
}

impl BlobStorage {
    /// As references name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => LOCAL_STORAGE,
            Self::NatsObject => NATS_OBJECT_STORAGE,
        }
    }
}

/// The text is neither `local` (or `local_fs`) nor `nats_object`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use local or nats_object")]
pub struct UnknownStorage;

impl FromStr for BlobStorage {
    type Err = UnknownStorage;

    fn from_str(text: &str) -> Result<Self, UnknownStorage> {
        match text {
            "local" | LOCAL_STORAGE => Ok(Self::Local),
            NATS_OBJECT_STORAGE => Ok(Self::NatsObject),
            _ => Err(UnknownStorage),
        }
    }
}

/// Settings of a [`BlobStore`](super::BlobStore).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobSettings {
    /// The directory of the local store. Default `.agentnet_blobs` or `AGENTNET_BLOB_DIR`.
    pub dir: PathBuf,
    /// Which store keeps new blobs, and is looked in for an id alone. Default [`BlobStorage::Local`] or
    /// `AGENTNET_BLOB_STORAGE`.
    pub storage: BlobStorage,
    /// The bucket of the network's object store, the same for all agents that exchange blobs. Default `agentnet_blobs` or
    /// `AGENTNET_BLOB_BUCKET`.
    pub bucket: String,
    /// How many servers of a cluster keep each blob, if the bucket has yet to be created. Default 1 or
    /// `AGENTNET_BLOB_REPLICAS`.
    pub replicas: usize,
    /// The largest blob that is read into memory, in bytes. Default 64 MiB.
    pub memory_limit: u64,
    /// How long a read waits for the next piece from the network. Default 30 s.
    pub stall_timeout: Duration,
}

impl Default for BlobSettings {
    fn default() -> Self {
        Self {
            dir: PathBuf::from(".agentnet_blobs"),
            storage: BlobStorage::default(),
            bucket: DEFAULT_BUCKET.to_owned(),
            replicas: 1,
            memory_limit: 64 << 20,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl BlobSettings {
    /// The defaults, overridden by the environment.
    ///
    /// # Errors
    /// [`ConfigError`] where a variable holds no such value.
    pub fn from_env() -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        settings.fill(|name| std::env::var(name).ok())?;
        Ok(settings)
    }

    /// Takes from the environment what is still the default.
    pub(crate) fn fill(&mut self, read: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let default = Self::default();
        let read = |name| read(name).filter(|value| !value.trim().is_empty());
        if self.dir == default.dir
            && let Some(dir) = read("AGENTNET_BLOB_DIR")
        {
            self.dir = PathBuf::from(dir);
        }
        if self.storage == default.storage
            && let Some(value) = read("AGENTNET_BLOB_STORAGE")
        {
            self.storage = value
                .trim()
                .parse()
                .map_err(|UnknownStorage| ConfigError::BlobStorage(value))?;
        }
        if self.bucket == default.bucket
            && let Some(bucket) = read("AGENTNET_BLOB_BUCKET")
        {
            self.bucket = bucket.trim().to_owned();
        }
        if self.replicas == default.replicas
            && let Some(value) = read("AGENTNET_BLOB_REPLICAS")
        {
            let name = "AGENTNET_BLOB_REPLICAS";
            self.replicas = value
                .trim()
                .parse()
                .map_err(|_| ConfigError::Environment { name, value })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_fills_defaults_only() {
        let read = |name: &str| match name {
            "AGENTNET_BLOB_DIR" => Some("/blobs".to_owned()),
            "AGENTNET_BLOB_STORAGE" => Some(" nats_object ".to_owned()),
            "AGENTNET_BLOB_REPLICAS" => Some("3".to_owned()),
            _ => Some(" ".to_owned()),
        };
        let mut settings = BlobSettings::default();
        settings.fill(read).unwrap();
        let expected = BlobSettings {
            dir: PathBuf::from("/blobs"),
            storage: BlobStorage::NatsObject,
            replicas: 3,
            ..BlobSettings::default()
        };
        assert_eq!(settings, expected);
        let mut chosen = BlobSettings {
            dir: PathBuf::from("here"),
            ..BlobSettings::default()
        };
        chosen.fill(read).unwrap();
        assert_eq!(chosen.dir, PathBuf::from("here"));
        let error = |name: &'static str| {
            let read = move |asked: &str| (asked == name).then(|| "s3".to_owned());
            BlobSettings::default().fill(read).unwrap_err().to_string()
        };
        assert_eq!(
            error("AGENTNET_BLOB_STORAGE"),
            "AGENTNET_BLOB_STORAGE=s3 is no blob storage: use local or nats_object"
        );
        assert_eq!(
            error("AGENTNET_BLOB_REPLICAS"),
            "AGENTNET_BLOB_REPLICAS=s3 is not a number"
        );
    }
}
