//! Reading a stored blob, checked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use agentnet_protocol::blob::BlobRef;
use agentnet_protocol::hex;
use tokio::io::{AsyncRead, ReadBuf};

use super::error::BlobError;
use super::hashing_reader::{Meter, Progress};

/// What a store has found: the reference as stored, and the bytes, not yet checked.
pub(crate) struct Found {
    pub(crate) blob: BlobRef,
    pub(crate) bytes: Box<dyn AsyncRead + Send + Unpin>,
}

/// The bytes of a blob. Size and SHA-256 are checked on the way: a blob that is not what was stored ends with an error, before
/// its last bytes are given out. [`io::Error::get_ref`] leads to the [`BlobError`].
///
/// Bytes that were read before the end are unchecked: act on them when the end is reached, or use
/// [`get_to_file`](super::BlobStore::get_to_file).
pub struct BlobReader {
    blob: BlobRef,
    bytes: Box<dyn AsyncRead + Send + Unpin>,
    meter: Meter,
    expected: Option<String>,
    checked: bool,
}

impl BlobReader {
    pub(crate) fn new(found: Found, sha256: Option<&str>, progress: Option<Progress>) -> Self {
        let expected = sha256.map(str::to_ascii_lowercase).or(found.blob.sha256.clone());
        Self {
            meter: Meter::new(Some(found.blob.size), progress),
            expected,
            blob: found.blob,
            bytes: found.bytes,
            checked: false,
        }
    }

    /// The blob, as the store knows it.
    #[must_use]
    pub fn blob(&self) -> &BlobRef {
        &self.blob
    }

    fn damaged(&self, what: String) -> io::Error {
        let blob_id = self.blob.blob_id.clone();
        BlobError::Damaged { blob_id, what }.into()
    }

    /// Everything has passed.
    fn check(&mut self) -> io::Result<()> {
        let actual = hex::encode(&self.meter.digest());
        if let Some(expected) = self.expected.as_ref().filter(|expected| **expected != actual) {
            return Err(self.damaged(format!("its sha256 is {actual}, not {expected}")));
        }
        self.checked = true;
        Ok(())
    }
}

impl AsyncRead for BlobReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.checked || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(Pin::new(&mut this.bytes).poll_read(cx, buf)) {
            return Poll::Ready(Err(BlobError::of_reader(error, &this.blob.blob_id).into()));
        }
        let size = this.blob.size;
        this.meter.count(&buf.filled()[before..]);
        let done = this.meter.done();
        let outcome = if done > size {
            Err(this.damaged(format!("it has more than its {size} bytes")))
        } else if done == size {
            this.check()
        } else if buf.filled().len() == before {
            Err(this.damaged(format!("it ends after {done} of {size} bytes")))
        } else {
            Ok(())
        };
        if outcome.is_err() {
            buf.set_filled(before);
        }
        Poll::Ready(outcome)
    }
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("blob", &self.blob)
            .field("done", &self.meter.done())
            .finish_non_exhaustive()
    }
}
