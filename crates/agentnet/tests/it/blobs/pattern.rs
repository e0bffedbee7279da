//! Bytes of a known order, files on disk, and readers that fail.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that differ from piece to piece.
pub(crate) fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Every file below a directory, by name.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What a progress callback was told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Step>>>);

/// Bytes done, and all bytes if known.
type Step = (u64, Option<u64>);

impl Told {
    pub(crate) fn callback(&self) -> impl FnMut(u64, Option<u64>) + Send + 'static {
        let told = self.0.clone();
        move |done, total| told.lock().unwrap().push((done, total))
    }

    /// From nothing to everything, never back, in more than one step.
    pub(crate) fn check(&self, size: u64, total: Option<u64>) {
        let told = self.0.lock().unwrap();
        assert_eq!(told.first(), Some(&(0, total)));
        assert_eq!(told.last(), Some(&(size, total)));
        assert!(told.is_sorted_by_key(|(done, _)| *done));
        assert!(told.iter().all(|step| step.1 == total));
        assert!(size == 0 || told.len() > 2, "{} steps", told.len());
    }
}

/// Gives some bytes, then what it is told to.
pub(crate) struct Breaks {
    pub(crate) left: Vec<u8>,
    /// Fails if true, else never gives anything again.
    pub(crate) fails: bool,
}

impl AsyncRead for Breaks {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            return if self.fails {
                Poll::Ready(Err(io::Error::other("the cable is cut")))
            } else {
                Poll::Pending
            };
        }
        let size = buf.remaining().min(self.left.len()).min(10_000);
        buf.put_slice(&self.left[..size]);
        self.left.drain(..size);
        Poll::Ready(Ok(()))
    }
}
