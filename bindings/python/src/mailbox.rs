//! Events that the runtime's tasks have for an event loop.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use agentnet::{Context, Message, TaskFailure, TaskOutput};
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use pyo3::prelude::*;
use tokio::sync::oneshot;

/// Makes the Python value of a result or of an argument, on the loop's thread.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// An event for the loop.
pub(crate) enum Event {
    /// An operation is complete.
    Done { operation: OperationKey, finish: Finish },
    /// An operation reports its progress, in bytes; the total may be unknown.
    Progress {
        operation: OperationKey,
        done: u64,
        total: Option<u64>,
    },
    /// A message or a task for a handler.
    Call(Box<HandlerCall>),
    /// The worker no longer waits for the handler call of this id.
    Cancel(u64),
}

/// An operation that Python waits for.
#[derive(Clone, Copy)]
pub(crate) struct OperationKey {
    /// The address of the Python object that is awaited.
    pub(crate) address: usize,
    /// Differs from that of an earlier operation with the same address.
    pub(crate) id: u64,
}

/// A call of a handler.
pub(crate) struct HandlerCall {
    pub(crate) id: u64,
    pub(crate) handler: u64,
    pub(crate) input: HandlerInput,
}

/// What a handler is called with, and how its outcome gets to the worker that waits for it.
pub(crate) enum HandlerInput {
    Message {
        message: Message,
        context: Context,
        answer: oneshot::Sender<Result<(), String>>,
    },
    Task {
        /// Makes the argument: the task and its context.
        argument: Finish,
        answer: oneshot::Sender<TaskAnswer>,
    },
}

/// How the handler of a task has ended: with the result of the task, or not.
pub(crate) type TaskAnswer = Result<TaskOutput, TaskFailure>;

/// The failure of a task whose handler did not run.
pub(crate) fn failed_call(detail: impl Into<String>) -> TaskFailure {
    TaskFailure::retryable("handler_error", detail)
}

impl HandlerInput {
    /// Whether the worker waits no more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Message { answer, .. } => answer.is_closed(),
            Self::Task { answer, .. } => answer.is_closed(),
        }
    }
}

/// Events for one loop. Their number is bounded by the calls that Python has made, the progress of their blobs, and for each node
/// the number of messages and tasks that it handles at a time.
pub(crate) struct Mailbox {
    events: Mutex<Vec<Event>>,
    /// The loop was woken and has not taken the events yet.
    wake_pending: AtomicBool,
    closed: AtomicBool,
    /// The loop runs the network and is woken by its waker, otherwise by a byte in its wake socket.
    is_hosting: AtomicBool,
    host_waker: AtomicWaker,
    wake_writer: UnixStream,
    /// The wake socket has bytes to read.
    wake_fd_written: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(wake_writer: UnixStream) -> Self {
        Self {
            events: Mutex::default(),
            wake_pending: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            is_hosting: AtomicBool::new(false),
            host_waker: AtomicWaker::new(),
            wake_writer,
            wake_fd_written: AtomicBool::new(false),
        }
    }

    /// Adds an event and wakes the loop; false if the loop is closed.
    pub(crate) fn post(&self, event: Event) -> bool {
        let added = self.add(event);
        if added {
            self.wake();
        }
        added
    }

    /// Adds an event, for a loop that is woken later; false if the loop is closed.
    pub(crate) fn add(&self, event: Event) -> bool {
        let mut events = self.events.lock();
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        events.push(event);
        true
    }

    /// Wakes the loop, once until it takes the events.
    pub(crate) fn wake(&self) {
        if self.wake_pending.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.is_hosting.load(Ordering::SeqCst) {
            self.host_waker.wake();
        } else {
            self.write_wake_fd();
        }
    }

    fn write_wake_fd(&self) {
        // The socket cannot be full: it holds at most one byte for each time that the loop takes the events.
        let _ = (&self.wake_writer).write(&[1]);
        self.wake_fd_written.store(true, Ordering::Release);
    }

    /// The loop was woken, and there are events to take.
    pub(crate) fn is_wake_pending(&self) -> bool {
        self.wake_pending.load(Ordering::SeqCst)
    }

    /// From now on the loop runs the network while it waits.
    pub(crate) fn begin_hosting(&self) {
        self.is_hosting.store(true, Ordering::SeqCst);
    }

    /// From now on the loop waits for its wake socket.
    pub(crate) fn end_hosting(&self) {
        if self.is_hosting.swap(false, Ordering::SeqCst) && self.is_wake_pending() {
            self.write_wake_fd();
        }
    }

    /// Sets the waker of the loop that runs the network.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.host_waker.register(waker);
    }

    /// Whether the wake socket has bytes to read; true for the first caller only.
    pub(crate) fn take_wake_fd_written(&self) -> bool {
        self.wake_fd_written.swap(false, Ordering::AcqRel)
    }

    /// Takes all events.
    pub(crate) fn take(&self) -> Vec<Event> {
        // First, so that an event that is added from here on wakes the loop again.
        self.wake_pending.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.events.lock())
    }

    /// Puts events back in front of those added since. The loop, which is awake, takes them in this turn or the next.
    pub(crate) fn give_back(&self, mut taken: Vec<Event>) {
        let mut events = self.events.lock();
        if !self.closed.load(Ordering::Acquire) {
            taken.append(&mut events);
            *events = taken;
            self.wake_pending.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Accepts no more events and drops those that are left.
    pub(crate) fn close(&self) {
        let left = {
            let mut events = self.events.lock();
            self.closed.store(true, Ordering::Release);
            std::mem::take(&mut *events)
        };
        drop(left);
    }
}
