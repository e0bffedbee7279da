//! Reading an object with a timeout for each read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use agentnet_protocol::blob::BlobRef;
use async_nats::jetstream::object_store::Object;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::blob_store::error::BlobError;

/// An object as it arrives. The client's reader continues after a lost connection, and would wait for ever for an object that
/// was deleted meanwhile; this one fails with [`BlobError::Stalled`].
pub(crate) struct ReadTimeout {
    object: Object,
    blob_id: String,
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl ReadTimeout {
    pub(crate) fn new(object: Object, blob: &BlobRef, timeout: Duration) -> Self {
        Self {
            object,
            blob_id: blob.blob_id.clone(),
            timeout,
            timer: Box::pin(sleep(timeout)),
            waiting: false,
        }
    }
}

impl AsyncRead for ReadTimeout {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.object).poll_read(cx, buf) {
            Poll::Ready(outcome) => {
                this.waiting = false;
                // The client's own check of the hash.
                Poll::Ready(outcome.map_err(|error| match error.kind() {
                    io::ErrorKind::InvalidData => io::Error::from(BlobError::Damaged {
                        blob_id: this.blob_id.clone(),
                        what: error.to_string(),
                    }),
                    _ => error,
                }))
            }
            Poll::Pending => {
                if !this.waiting {
                    this.waiting = true;
                    this.timer.as_mut().reset(Instant::now() + this.timeout);
                }
                match this.timer.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(BlobError::Stalled(this.timeout).into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}
