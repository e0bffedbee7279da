//! What lies between the task that hears all replies and the reader of one stream: a queue with limits.
//!
//! The listening task never waits for a reader: when the queue is full, that stream fails, and all others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_nats::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A reply, and when it came.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) message: Message,
}

/// How much may wait for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Room {
    capacity: Capacity,
    bytes: AtomicUsize,
    overrun: AtomicBool,
}

/// The listening task's end.
#[derive(Debug)]
pub(crate) struct Inflow {
    sender: mpsc::Sender<Arrived>,
    room: Arc<Room>,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Outflow {
    receiver: mpsc::Receiver<Arrived>,
    room: Arc<Room>,
}

pub(crate) fn feed(capacity: Capacity) -> (Inflow, Outflow) {
    let (sender, receiver) = mpsc::channel(capacity.frames.clamp(1, MOST_FRAMES));
    let room = Arc::new(Room {
        capacity,
        bytes: AtomicUsize::new(0),
        overrun: AtomicBool::new(false),
    });
    let inflow = Inflow {
        sender,
        room: room.clone(),
    };
    (inflow, Outflow { receiver, room })
}

/// More than memory holds, less than the channel refuses.
const MOST_FRAMES: usize = 1 << 30;

impl Inflow {
    /// Queues a reply; false if there is no room, after which the queue must be given up.
    pub(crate) fn push(&self, message: Message) -> bool {
        let size = message.payload.len();
        let before = self.room.bytes.fetch_add(size, Ordering::Relaxed);
        let at = Instant::now();
        // A single message is taken whatever its size: the server has a limit of its own.
        let fits = before == 0 || before.saturating_add(size) <= self.room.capacity.bytes;
        let taken = fits
            && !matches!(
                self.sender.try_send(Arrived { at, message }),
                Err(mpsc::error::TrySendError::Full(_))
            );
        if !taken {
            self.room.overrun.store(true, Ordering::Release);
        }
        taken
    }
}

impl Inflow {
    /// Says that there was no room further up.
    pub(crate) fn give_up(&self) {
        self.room.overrun.store(true, Ordering::Release);
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
            self.room
                .bytes
                .fetch_sub(arrived.message.payload.len(), Ordering::Relaxed);
        }
        arrived
    }

    /// The limits, if it was given up because there was no room.
    pub(crate) fn overrun(&self) -> Option<Capacity> {
        self.room.overrun.load(Ordering::Acquire).then_some(self.room.capacity)
    }
}
