//! What can go wrong with a blob.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a blob was not stored, found or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The id cannot be one: it might be a path, or it is empty or too long. The text is cut to 64 characters.
    #[error("`{0}` is no blob id: use 1 to 128 of A-Z a-z 0-9 _ -")]
    Id(String),
    /// The store has no such blob.
    #[error("no blob `{blob_id}` in {place}")]
    NotFound {
        /// The id of the blob.
        blob_id: String,
        /// The directory or bucket that was looked in.
        place: String,
    },
    /// The reference names a store that this SDK does not know.
    #[error("the blob is kept in `{0}`, which is neither local_fs nor nats_object")]
    Storage(String),
    /// What was read is not what was stored.
    #[error("blob `{blob_id}` is damaged: {what}")]
    Damaged {
        /// The id of the blob.
        blob_id: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store failed while the blob was being read.
    #[error("blob `{blob_id}` cannot be read: {source}")]
    Read {
        /// The id of the blob.
        blob_id: String,
        /// The error of the system or of the client.
        source: io::Error,
    },
    /// The blob is larger than what is read into memory.
    #[error("blob `{blob_id}` of {size} bytes exceeds memory_limit={limit}: read it with `get_to_file` or `open`")]
    TooLarge {
        /// The id of the blob.
        blob_id: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The blob is no UTF-8 text.
    #[error("blob `{blob_id}` is not valid UTF-8")]
    NotText {
        /// The id of the blob.
        blob_id: String,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// What was to be stored could not be read to its end.
    #[error("the source of the blob failed: {0}")]
    Source(#[source] io::Error),
    /// The blob is in the network's object store, and this store has no connection.
    #[error("the network's object store needs a connection: start the node first")]
    NotConnected,
    /// The connection delivers into `_INBOX`, where registries would take the pieces of blobs for messages.
    #[error(
        "this connection cannot carry blobs: make it with agentnet::connect, which gives it an inbox prefix of its own"
    )]
    InboxPrefix,
    /// The server keeps no streams.
    #[error(
        "the NATS server has no JetStream, which the object store needs: start it with JetStream, or use storage `local`"
    )]
    NoJetStream,
    /// The connection was lost while a blob was on its way to the server.
    #[error("the connection to NATS was lost while the blob was being stored: nothing is stored, put it again")]
    ConnectionLost,
    /// Nothing came from the server for this long.
    #[error("nothing more of the blob came within {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// The object store refused something.
    #[error("cannot {doing} in bucket `{bucket}`: {why}")]
    Network {
        /// What was tried.
        doing: &'static str,
        /// The name of the bucket.
        bucket: String,
        /// The error of the client or of the server.
        why: String,
    },
}

impl BlobError {
    pub(crate) fn id(id: &str) -> Self {
        Self::Id(id.chars().take(64).collect())
    }

    /// For `map_err`.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// The error inside an error of a reader of blobs.
    pub(crate) fn of_reader(error: io::Error, blob_id: &str) -> Self {
        error.downcast::<Self>().unwrap_or_else(|source| Self::Read {
            blob_id: blob_id.to_owned(),
            source,
        })
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::File { source, .. } | Self::Read { source, .. } | Self::Source(source) => source.kind(),
            Self::NotFound { .. } => io::ErrorKind::NotFound,
            Self::Damaged { .. } | Self::NotText { .. } => io::ErrorKind::InvalidData,
            Self::Stalled(_) => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        }
    }
}

/// The form in which [`BlobReader`](super::BlobReader) reports it; [`io::Error::get_ref`] gives the [`BlobError`].
impl From<BlobError> for io::Error {
    fn from(error: BlobError) -> Self {
        io::Error::new(error.kind(), error)
    }
}
