//! What the runtime's threads have for a loop.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use agentnet::{Context, Message};
use futures::task::AtomicWaker;
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
    /// The loop was called and has not come yet.
    rung: AtomicBool,
    closed: AtomicBool,
    /// The loop is a host: it is called by its waker, otherwise by the bell.
    hosts: AtomicBool,
    host: AtomicWaker,
    bell: UnixStream,
    /// The bell has bytes to read.
    belled: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(bell: UnixStream) -> Self {
        Self {
            events: Mutex::default(),
            rung: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            hosts: AtomicBool::new(false),
            host: AtomicWaker::new(),
            bell,
            belled: AtomicBool::new(false),
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
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.hosts.load(Ordering::SeqCst) {
            self.host.wake();
        } else {
            self.ring_bell();
        }
    }

    fn ring_bell(&self) {
        // It cannot be full: there is a byte for each time that the loop takes the events, at most.
        let _ = (&self.bell).write(&[1]);
        self.belled.store(true, Ordering::Release);
    }

    /// The loop was called, and there is something to take.
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// From now on the loop waits as a host.
    pub(crate) fn begin_hosting(&self) {
        self.hosts.store(true, Ordering::SeqCst);
    }

    /// From now on the loop waits for the bell.
    pub(crate) fn end_hosting(&self) {
        if self.hosts.swap(false, Ordering::SeqCst) && self.is_rung() {
            self.ring_bell();
        }
    }

    /// What wakes the host.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.host.register(waker);
    }

    /// There are bytes of the bell to read, for whoever asks first.
    pub(crate) fn was_belled(&self) -> bool {
        self.belled.swap(false, Ordering::AcqRel)
    }

    /// Takes all events there are.
    pub(crate) fn take(&self) -> Vec<Event> {
        // First this: what is added from here on rings again.
        self.rung.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts events back in front of what came meanwhile; the loop, which is awake, takes them in this turn or the next.
    pub(crate) fn give_back(&self, mut taken: Vec<Event>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.closed.load(Ordering::Acquire) {
            taken.append(&mut events);
            *events = taken;
            self.rung.store(true, Ordering::SeqCst);
        }
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
