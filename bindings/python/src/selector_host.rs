//! Runs the network on an asyncio loop's own thread.
//!
//! A loop waits in its selector. On asyncio's own loops, a [`SelectorHost`] takes the place of the selector's `select`: it waits
//! for the same events and for the same time, but in the runtime, which runs the network's tasks meanwhile. So a message is read
//! from its socket on the thread that handles it. The selector is one more source of events there.
//!
//! One loop at a time does this. When several loops use the network, when a loop is of another kind (uvloop), and while a loop
//! is busy, the network runs on a thread of its own ([`crate::runtime`]), which wakes the loop by its wake socket.

use std::future::poll_fn;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyList;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::asyncio::selector;
use crate::bridge::Bridge;
use crate::loops::{is_sole_loop, remove_loop};
use crate::mailbox::Mailbox;
use crate::park::{end_wait, has_slept};
use crate::runtime::{Network, network};

/// `selectors.EVENT_READ`.
const EVENT_READ: u8 = 1;

/// A waiting loop checks for signals at least this often.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A busy loop polls the network no more often than this.
const MIN_POLL_INTERVAL: Duration = Duration::from_micros(50);
/// A loop that has not polled for this long polls several times in a row.
const LONG_POLL_INTERVAL: Duration = Duration::from_millis(1);
const POLLS_AFTER_LONG_INTERVAL: u32 = 3;

/// Stands for `select` and `close` of a loop's selector.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct SelectorHost {
    network: &'static Network,
    /// The loop's id in [`crate::loops`].
    loop_id: u64,
    selector: Py<PyAny>,
    /// The selector's key of the wake socket.
    wake_key: Py<PyAny>,
    bridge: Py<Bridge>,
    mailbox: Arc<Mailbox>,
    /// When `select` returned last.
    last_poll: Mutex<Option<Instant>>,
    /// The selector's own descriptor, which is readable when something that the selector watches is ready. Absent once the
    /// selector is closed.
    watched: Mutex<Option<Arc<Watched>>>,
}

type Watched = AsyncFd<OwnedFd>;

/// Why a wait ended.
enum WakeReason<'a> {
    /// There are events in the mailbox, or the time is over.
    Finished,
    /// Probably something that the selector watches is ready.
    Ready(AsyncFdReadyGuard<'a, OwnedFd>),
    /// Something else happened, which may be a signal.
    MaybeSignal,
    /// The selector's descriptor cannot be waited for.
    Unwatchable,
}

impl SelectorHost {
    /// Makes the loop run the network while it waits, if its selector can be replaced.
    pub(crate) fn install(event_loop: &Bound<'_, PyAny>, bridge: &Bound<'_, Bridge>, wake_fd: RawFd) -> PyResult<()> {
        let py = event_loop.py();
        let network = network()?;
        let Some(selector) = selector::replaceable(event_loop)? else {
            return Ok(());
        };
        let descriptor: RawFd = selector.call_method0(intern!(py, "fileno"))?.extract()?;
        // SAFETY: the descriptor is open as long as the selector is, which is open here.
        #[expect(unsafe_code, reason = "the descriptor is Python's")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays the same until it is dropped.
        #[expect(unsafe_code, reason = "the safe call is deprecated")]
        let watched = network
            .within(|| unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) })
            .map_err(std::io::Error::from)?;
        let host = Self {
            network,
            loop_id: bridge.get().loop_id(),
            selector: selector.clone().unbind(),
            wake_key: selector.call_method1(intern!(py, "get_key"), (wake_fd,))?.unbind(),
            bridge: bridge.clone().unbind(),
            mailbox: bridge.get().mailbox().clone(),
            last_poll: Mutex::new(None),
            watched: Mutex::new(Some(Arc::new(watched))),
        };
        selector::replace(&selector, Bound::new(py, host)?.as_any())
    }

    fn last_poll(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_poll.lock()
    }

    fn watched(&self) -> MutexGuard<'_, Option<Arc<Watched>>> {
        self.watched.lock()
    }

    fn forget_watched(&self) {
        let watched = self.watched().take();
        // A forked process inherits it, but it belongs to its parent.
        if !self.network.is_of_this_process() {
            std::mem::forget(watched);
        }
    }

    /// Runs the network until there is something for the loop or the time is over, and polls at least `min_polls` times.
    fn wait<'a>(&self, watched: &'a Watched, time: Option<Duration>, min_polls: u32) -> WakeReason<'a> {
        let reason = self.network.drive(async {
            let is_immediate = time.is_some_and(|time| time.is_zero());
            // A signal that arrives after the last check and before the sleep does not end the sleep.
            let is_part = time.is_none_or(|time| time > SIGNAL_CHECK_INTERVAL);
            let part = if is_part { Some(SIGNAL_CHECK_INTERVAL) } else { time };
            let mut ends = pin!(part.filter(|_| !is_immediate).map(tokio::time::sleep));
            let mut polls = 0;
            poll_fn(|context| {
                self.mailbox.set_waker(context.waker());
                let slept_before = has_slept(context.waker());
                let reason = match watched.poll_read_ready(context) {
                    Poll::Ready(Ok(guard)) => Some(WakeReason::Ready(guard)),
                    Poll::Ready(Err(_)) => Some(WakeReason::Unwatchable),
                    Poll::Pending if is_immediate || self.mailbox.is_wake_pending() => Some(WakeReason::Finished),
                    Poll::Pending => match ends.as_mut().as_pin_mut().map(|ends| ends.poll(context)) {
                        Some(Poll::Ready(())) if is_part => Some(WakeReason::MaybeSignal),
                        Some(Poll::Ready(())) => Some(WakeReason::Finished),
                        Some(Poll::Pending) | None => slept_before.then_some(WakeReason::MaybeSignal),
                    },
                };
                let may_end = polls >= min_polls;
                polls += 1;
                match reason {
                    // The network has its turn, whatever else is ready.
                    Some(_) if !may_end => {
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Some(reason) => Poll::Ready(reason),
                    None => Poll::Pending,
                }
            })
            .await
        });
        end_wait();
        reason
    }
}

#[pymethods]
impl SelectorHost {
    /// As the selector's `select`: waits at most `timeout` seconds, without a limit for None, and returns the keys that are
    /// ready.
    #[pyo3(signature = (timeout = None))]
    fn select<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let selector = self.selector.bind(py);
        let original = selector::original(selector, intern!(py, "select"))?;
        if !self.network.is_of_this_process() {
            return original.call1((selector, timeout));
        }
        let watched = self.watched().clone();
        let Some(watched) = watched.filter(|_| is_sole_loop(self.loop_id)) else {
            self.mailbox.end_hosting();
            return original.call1((selector, timeout));
        };
        self.mailbox.begin_hosting();
        let start = Instant::now();
        let time = timeout.map(whole_milliseconds);
        let since_poll = self
            .last_poll()
            .map_or(Duration::MAX, |polled| start.duration_since(polled));
        let is_immediate = time.is_some_and(|time| time.is_zero());
        if is_immediate && !self.mailbox.is_wake_pending() && since_poll < MIN_POLL_INTERVAL {
            return Ok(PyList::empty(py).into_any());
        }
        // A loop that polls rarely does more for the network: what one poll reads, the next one works on.
        let min_polls = if since_poll < LONG_POLL_INTERVAL {
            1
        } else {
            POLLS_AFTER_LONG_INTERVAL
        };
        loop {
            let left = time.map(|time| time.saturating_sub(start.elapsed()));
            let events = match py.detach(|| self.wait(&watched, left, min_polls)) {
                WakeReason::Finished => PyList::empty(py),
                WakeReason::Ready(mut guard) => {
                    let events = original.call1((selector, 0))?.cast_into::<PyList>()?;
                    if events.is_empty() {
                        guard.clear_ready();
                        if !self.mailbox.is_wake_pending() && left.is_none_or(|left| !left.is_zero()) {
                            continue;
                        }
                    }
                    events
                }
                WakeReason::MaybeSignal => {
                    py.check_signals()?;
                    continue;
                }
                WakeReason::Unwatchable => {
                    self.mailbox.end_hosting();
                    return original.call1((selector, timeout));
                }
            };
            // Handlers begin in the turn of the loop that follows; its callback takes all other events in that turn.
            if self.mailbox.is_wake_pending() && !self.bridge.get().start_handlers(py)? {
                events.append((&self.wake_key, EVENT_READ))?;
            }
            *self.last_poll() = Some(Instant::now());
            return Ok(events.into_any());
        }
    }

    /// As the selector's `close`, which the loop calls when it is closed.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        remove_loop(self.loop_id);
        // Also if something still refers to the loop's callback, such as a traceback.
        self.bridge.get().end();
        // It is closed together with the loop, not at the next garbage collection.
        self.forget_watched();
        let selector = self.selector.bind(py);
        selector::restore(selector)?;
        selector::original(selector, intern!(py, "close"))?.call1((selector,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.selector)?;
        visit.call(&self.wake_key)?;
        visit.call(&self.bridge)
    }
}

impl Drop for SelectorHost {
    fn drop(&mut self) {
        self.forget_watched();
    }
}

/// A timeout in whole milliseconds, rounded up, as the selector's own.
fn whole_milliseconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64((seconds.max(0.0) * 1e3).ceil() / 1e3).unwrap_or(Duration::MAX)
}
