//! What the runtime's threads have for a loop.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use agentnet::{Context, Message};
use pyo3::prelude::*;
use tokio::sync::oneshot;

/// Makes the Python value of an outcome, on the loop's thread.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Something for the loop to do.
pub(crate) enum Event {
    /// A call is complete.
    Done {
        /// Which future: its address.
        place: usize,
        /// Which call.
        number: u64,
        /// Its result.
        finish: Finish,
    },
    /// A call says how far it is.
    Progress {
        /// Which future: its address.
        place: usize,
        /// Which call.
        number: u64,
        /// What is done.
        done: u64,
        /// Of how much, if that is known.
        total: Option<u64>,
    },
    /// A message is to be handled.
    Call(Box<Call>),
    /// Nobody waits for the handling of this call any more.
    Cancel(u64),
}

/// A message for a handler.
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) handler: u64,
    pub(crate) message: Message,
    pub(crate) context: Context,
    /// Where the worker waits.
    pub(crate) answer: oneshot::Sender<Result<(), String>>,
}

/// Events for one loop. It is bounded by what it answers: calls that Python has made, the pieces of the blobs that they move,
/// and messages of which every node handles so many at a time.
pub(crate) struct Mailbox {
    events: Mutex<Vec<Event>>,
    /// The bell was rung and not heard yet.
    rung: AtomicBool,
    closed: AtomicBool,
    bell: UnixStream,
}

impl Mailbox {
    pub(crate) fn new(bell: UnixStream) -> Self {
        Self {
            events: Mutex::default(),
            rung: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bell,
        }
    }

    /// Adds an event and wakes the loop; false if the loop is gone.
    pub(crate) fn post(&self, event: Event) -> bool {
        let added = self.add(event);
        if added {
            self.ring();
        }
        added
    }

    /// Adds an event in its place, for a loop that is woken later; false if the loop is gone.
    pub(crate) fn add(&self, event: Event) -> bool {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        events.push(event);
        true
    }

    /// Wakes the loop.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It cannot be full: a byte is written only after the one before was read.
            let _ = (&self.bell).write(&[1]);
        }
    }

    /// Takes all events there are.
    pub(crate) fn take(&self) -> Vec<Event> {
        // First this: what is added from here on rings again.
        self.rung.store(false, Ordering::Release);
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes no more events and drops those there are.
    pub(crate) fn close(&self) {
        let left = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            self.closed.store(true, Ordering::Release);
            std::mem::take(&mut *events)
        };
        drop(left);
    }
}
