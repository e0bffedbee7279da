//! Counting, hashing and reporting the bytes that pass.

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Called with the bytes done and, if known, with all bytes.
pub(crate) type Progress = Box<dyn FnMut(u64, Option<u64>) + Send>;

/// Where the bytes of a new blob come from.
pub(crate) type Source = Box<dyn AsyncRead + Send + Unpin>;

/// Sees every byte of a blob once.
pub(crate) struct Meter {
    hash: Sha256,
    done: u64,
    total: Option<u64>,
    progress: Option<Progress>,
}

impl Meter {
    /// Reports zero bytes done.
    pub(crate) fn new(total: Option<u64>, mut progress: Option<Progress>) -> Self {
        if let Some(progress) = &mut progress {
            progress(0, total);
        }
        Self {
            hash: Sha256::new(),
            done: 0,
            total,
            progress,
        }
    }

    pub(crate) fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.done += bytes.len() as u64;
        if let Some(progress) = &mut self.progress {
            progress(self.done, self.total);
        }
    }

    pub(crate) const fn done(&self) -> u64 {
        self.done
    }

    /// The hash of what has passed so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

/// Reads until the chunk holds `size` bytes or the source ends. The chunk must be empty.
pub(crate) async fn fill(source: &mut Source, chunk: &mut BytesMut, size: usize) -> std::io::Result<()> {
    chunk.reserve(size);
    let mut limited = source.take(size as u64);
    while chunk.len() < size && limited.read_buf(chunk).await? > 0 {}
    Ok(())
}
