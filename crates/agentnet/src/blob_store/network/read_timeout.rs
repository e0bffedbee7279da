//! Reading an object with a timeout for each read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use agentnet_protocol::blob::BlobRef;
use async_nats::jetstream::consumer::StreamError;
use async_nats::jetstream::object_store::Object;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::blob_store::error::BlobError;

/// How long a read waits before it tries again after the client's reader has lost its consumer.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// An object as it arrives. The client's reader continues after a lost connection, and would wait for ever for an object that
/// was deleted meanwhile; this one fails with [`BlobError::Stalled`]. A consumer that is gone (its server restarted, or nothing
/// was heard of it for a while) is no failure: the client's reader makes another at the next read, which goes on behind the last
/// piece.
pub(crate) struct ReadTimeout {
    object: Object,
    blob_id: String,
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    /// Runs while a read waits to try again.
    retry: Option<Pin<Box<Sleep>>>,
}

impl ReadTimeout {
    pub(crate) fn new(object: Object, blob: &BlobRef, timeout: Duration) -> Self {
        Self {
            object,
            blob_id: blob.blob_id.clone(),
            timeout,
            timer: Box::pin(sleep(timeout)),
            waiting: false,
            retry: None,
        }
    }

    /// One read of the object; pending after an error that the next read overcomes.
    fn poll_object(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(retry) = &mut self.retry {
                ready!(retry.as_mut().poll(cx));
                self.retry = None;
            }
            match ready!(Pin::new(&mut self.object).poll_read(cx, buf)) {
                Err(error) if consumer_lost(&error) => self.retry = Some(Box::pin(sleep(RETRY_DELAY))),
                // The client's own check of the hash.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Err(io::Error::from(BlobError::Damaged {
                        blob_id: self.blob_id.clone(),
                        what: error.to_string(),
                    })));
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// Whether messages stopped coming to a consumer that was there. A consumer that could not be created is a [`StreamError`].
fn consumer_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && !error.get_ref().is_some_and(|source| source.is::<StreamError>())
}

impl AsyncRead for ReadTimeout {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.poll_object(cx, buf) {
            Poll::Ready(outcome) => {
                this.waiting = false;
                Poll::Ready(outcome)
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
