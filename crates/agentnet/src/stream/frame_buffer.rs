//! The bounded buffer between the task that receives all replies and the reader of one stream.
//!
//! The receiving task does not wait for a reader: when the buffer is full, that stream fails, and all others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_nats::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A reply and the time of its arrival.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) message: Message,
}

/// The limits of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct BufferState {
    capacity: Capacity,
    bytes: AtomicUsize,
    overrun: AtomicBool,
}

/// The receiving task's end.
#[derive(Debug)]
pub(crate) struct Inflow {
    sender: mpsc::Sender<Arrived>,
    state: Arc<BufferState>,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Outflow {
    receiver: mpsc::Receiver<Arrived>,
    state: Arc<BufferState>,
}

/// A buffer between the task that receives all replies and the reader of one stream.
pub(crate) fn frame_buffer(capacity: Capacity) -> (Inflow, Outflow) {
    let (sender, receiver) = mpsc::channel(capacity.frames.clamp(1, MAX_FRAMES));
    let state = Arc::new(BufferState {
        capacity,
        bytes: AtomicUsize::new(0),
        overrun: AtomicBool::new(false),
    });
    let inflow = Inflow {
        sender,
        state: state.clone(),
    };
    (inflow, Outflow { receiver, state })
}

/// More than memory holds, and not too many for the channel.
const MAX_FRAMES: usize = 1 << 30;

impl Inflow {
    /// Queues a reply; false if there is no room, after which the queue must be given up.
    pub(crate) fn push(&self, message: Message) -> bool {
        let size = message.payload.len();
        let before = self.state.bytes.fetch_add(size, Ordering::Relaxed);
        let at = Instant::now();
        // A single message is taken whatever its size: the server has a limit of its own.
        let fits = before == 0 || before.saturating_add(size) <= self.state.capacity.bytes;
        let taken = fits
            && !matches!(
                self.sender.try_send(Arrived { at, message }),
                Err(mpsc::error::TrySendError::Full(_))
            );
        if !taken {
            self.state.overrun.store(true, Ordering::Release);
        }
        taken
    }

    /// Marks the buffer as overrun: an earlier buffer was full.
    pub(crate) fn give_up(&self) {
        self.state.overrun.store(true, Ordering::Release);
    }
}

impl Outflow {
    /// The next reply; `None` once the queue was given up and is empty.
    pub(crate) async fn next(&mut self) -> Option<Arrived> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next reply; `None` once the queue was given up and is empty.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arrived>> {
        let arrived = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(arrived)) = &arrived {
            self.state
                .bytes
                .fetch_sub(arrived.message.payload.len(), Ordering::Relaxed);
        }
        arrived
    }

    /// The limits, if it was given up because there was no room.
    pub(crate) fn overrun(&self) -> Option<Capacity> {
        self.state
            .overrun
            .load(Ordering::Acquire)
            .then_some(self.state.capacity)
    }
}
