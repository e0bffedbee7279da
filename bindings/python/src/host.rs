//! The network on an asyncio loop's own thread.
//!
//! A loop waits in its selector. On the loops of asyncio itself, a [`Host`] takes the place of the selector's `select`: it
//! waits for the same events, for the same time, but in the runtime, and so runs the network's tasks meanwhile: a message is
//! read from its socket on the thread that handles it. What the selector watches is one more source of events there.
//!
//! One loop at a time does this. When there are several, when a loop is of another kind (uvloop), and while a loop is busy, the
//! network runs on a thread of its own ([`crate::runtime`]), which rings the loop's bell.

use std::cell::RefCell;
use std::future::poll_fn;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyList, PyString};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::bridge::{Bridge, Mailbox, fresh_number};
use crate::runtime::{Network, network};

/// What a selector says of something to read: `selectors.EVENT_READ`.
const EVENT_READ: u8 = 1;

/// A waiting loop checks for signals at least this often.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A loop that has other things to do looks for events no more often than this.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// One that was away for longer looks several times.
const RARELY: Duration = Duration::from_millis(1);
const LOOKS: u32 = 3;

/// The selectors that can be waited for as one file, and that do what their own code says.
const KINDS: [&str; 2] = ["EpollSelector", "KqueueSelector"];

/// While this is set in the environment, the network always has a thread of its own.
const OWN_THREAD: &str = "AGENTNET_NETWORK_THREAD";

/// The loops that use the network, and the only one of them, if there is one.
static LOOPS: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static SOLE: AtomicU64 = AtomicU64::new(0);

/// One loop that uses the network, until it is closed or this is dropped.
pub(crate) struct Presence(u64);

impl Presence {
    pub(crate) fn new() -> Self {
        let number = fresh_number();
        change_loops(|loops| loops.push(number));
        Self(number)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        change_loops(|loops| loops.retain(|number| *number != self.0));
    }
}

fn change_loops(change: impl FnOnce(&mut Vec<u64>)) {
    let mut loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
    change(&mut loops);
    let sole = if let [number] = loops[..] { number } else { 0 };
    SOLE.store(sole, Ordering::Release);
}

/// Stands for `select` and `close` of a loop's selector.
#[pyclass(frozen, weakref, module = "agentnet._native")]
pub(crate) struct Host {
    network: &'static Network,
    /// Its loop's [`Presence`].
    number: u64,
    selector: Py<PyAny>,
    /// What the selector says when the bell was rung.
    bell: Py<PyAny>,
    bridge: Py<Bridge>,
    mailbox: Arc<Mailbox>,
    /// When this returned last from waiting or looking.
    looked: Mutex<Option<Instant>>,
    /// The selector's own descriptor, readable when something that it watches is ready. Absent once it is closed.
    watched: Mutex<Option<Arc<Watched>>>,
}

type Watched = AsyncFd<OwnedFd>;

/// Why a wait ended.
enum Woken<'a> {
    /// There is mail, or the time is over.
    Enough,
    /// So it seems: something that the selector watches is ready.
    Ready(AsyncFdReadyGuard<'a, OwnedFd>),
    /// Something else happened: it may have been a signal.
    Signal,
    /// What the selector watches cannot be waited for.
    Deaf,
}

impl Host {
    /// Has the loop run the network while it waits, if it is of a kind that can.
    pub(crate) fn install(
        event_loop: &Bound<'_, PyAny>,
        bridge: &Bound<'_, Bridge>,
        presence: &Presence,
        ear: RawFd,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let network = network()?;
        let Some(selector) = event_loop.getattr_opt(intern!(py, "_selector"))? else {
            return Ok(());
        };
        let selectors = py.import(intern!(py, "selectors"))?;
        let mut kinds = KINDS
            .iter()
            .filter_map(|kind| selectors.getattr_opt(*kind).ok().flatten());
        if std::env::var_os(OWN_THREAD).is_some() || !kinds.any(|kind| selector.get_type().is(&kind)) {
            return Ok(());
        }
        let descriptor: RawFd = selector.call_method0(intern!(py, "fileno"))?.extract()?;
        // SAFETY: it is open as long as the selector is, which is here.
        #[expect(unsafe_code, reason = "the descriptor is Python's")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays the same until it is dropped.
        #[expect(unsafe_code, reason = "so it is registered without a deprecated call")]
        let watched = network
            .within(|| unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) })
            .map_err(std::io::Error::from)?;
        let host = Self {
            network,
            number: presence.0,
            selector: selector.clone().unbind(),
            bell: selector.call_method1(intern!(py, "get_key"), (ear,))?.unbind(),
            bridge: bridge.clone().unbind(),
            mailbox: bridge.get().mailbox().clone(),
            looked: Mutex::new(None),
            watched: Mutex::new(Some(Arc::new(watched))),
        };
        let host = Bound::new(py, host)?;
        selector.setattr(intern!(py, "select"), host.getattr(intern!(py, "select"))?)?;
        selector.setattr(intern!(py, "close"), host.getattr(intern!(py, "close"))?)
    }

    /// What the selector's own code says.
    fn own<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.selector.bind(py).get_type().getattr(name)
    }

    fn looked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_watched(&self) {
        let watched = self.watched().take();
        // What a forked process inherits is the other's still.
        if !self.network.is_of_this_process() {
            std::mem::forget(watched);
        }
    }

    fn watched(&self) -> MutexGuard<'_, Option<Arc<Watched>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the network until there is something for the loop, or for so long, and at least for so many looks at it.
    fn wait<'a>(&self, watched: &'a Watched, time: Option<Duration>, looks: u32) -> Woken<'a> {
        let woken = self.network.drive(async {
            let at_once = time.is_some_and(|time| time.is_zero());
            // A signal that arrives after the last check and before the sleep does not end the sleep.
            let is_part = time.is_none_or(|time| time > SIGNAL_CHECK_INTERVAL);
            let part = if is_part { Some(SIGNAL_CHECK_INTERVAL) } else { time };
            let mut ends = pin!(part.filter(|_| !at_once).map(tokio::time::sleep));
            let mut looked = 0;
            poll_fn(|context| {
                self.mailbox.listen(context.waker());
                let slept_before = has_slept(context.waker());
                let woken = match watched.poll_read_ready(context) {
                    Poll::Ready(Ok(guard)) => Some(Woken::Ready(guard)),
                    Poll::Ready(Err(_)) => Some(Woken::Deaf),
                    Poll::Pending if at_once || self.mailbox.is_rung() => Some(Woken::Enough),
                    Poll::Pending => match ends.as_mut().as_pin_mut().map(|ends| ends.poll(context)) {
                        Some(Poll::Ready(())) if is_part => Some(Woken::Signal),
                        Some(Poll::Ready(())) => Some(Woken::Enough),
                        Some(Poll::Pending) | None => slept_before.then_some(Woken::Signal),
                    },
                };
                let has_had_its_turn = looked >= looks;
                looked += 1;
                match woken {
                    // Whatever else is ready, the network has its turn.
                    Some(_) if !has_had_its_turn => {
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Some(woken) => Poll::Ready(woken),
                    None => Poll::Pending,
                }
            })
            .await
        });
        end_waiting();
        woken
    }
}

#[pymethods]
impl Host {
    /// As the selector's: the keys of what is ready, waiting for it for so many seconds, or without an end.
    #[pyo3(signature = (timeout = None))]
    fn select<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let own = self.own(py, intern!(py, "select"))?;
        let selector = self.selector.bind(py);
        if !self.network.is_of_this_process() {
            return own.call1((selector, timeout));
        }
        let watched = self.watched().clone();
        let Some(watched) = watched.filter(|_| SOLE.load(Ordering::Acquire) == self.number) else {
            self.mailbox.end_hosting();
            return own.call1((selector, timeout));
        };
        self.mailbox.begin_hosting();
        let start = Instant::now();
        let time = timeout.map(milliseconds);
        let since_look = self
            .looked()
            .map_or(Duration::MAX, |looked| start.duration_since(looked));
        if time.is_some_and(|time| time.is_zero()) && !self.mailbox.is_rung() && since_look < LOOK_EVERY {
            return Ok(PyList::empty(py).into_any());
        }
        // A loop that comes rarely does more for the network: what it reads is worked on in the next look.
        let looks = if since_look < RARELY { 1 } else { LOOKS };
        loop {
            let left = time.map(|time| time.saturating_sub(start.elapsed()));
            let events = match py.detach(|| self.wait(&watched, left, looks)) {
                Woken::Enough => PyList::empty(py),
                Woken::Ready(mut guard) => {
                    let events = own.call1((selector, 0))?.cast_into::<PyList>()?;
                    if events.is_empty() {
                        guard.clear_ready();
                        if !self.mailbox.is_rung() && left.is_none_or(|left| !left.is_zero()) {
                            continue;
                        }
                    }
                    events
                }
                Woken::Signal => {
                    py.check_signals()?;
                    continue;
                }
                Woken::Deaf => {
                    self.mailbox.end_hosting();
                    return own.call1((selector, timeout));
                }
            };
            // Handlers begin in the loop's turn that follows; what else there is, its callback takes in that turn.
            if self.mailbox.is_rung() && !self.bridge.get().begin_calls(py)? {
                events.append((&self.bell, EVENT_READ))?;
            }
            *self.looked() = Some(Instant::now());
            return Ok(events.into_any());
        }
    }

    /// As the selector's, when the loop is closed.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        change_loops(|loops| loops.retain(|number| *number != self.number));
        // Whatever still refers to the callback of the loop, such as a traceback.
        self.bridge.get().end();
        // What belongs to the loop goes with it, and does not wait for a collection.
        self.forget_watched();
        let selector = self.selector.bind(py);
        selector.delattr(intern!(py, "select"))?;
        selector.delattr(intern!(py, "close"))?;
        self.own(py, intern!(py, "close"))?.call1((selector,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.selector)?;
        visit.call(&self.bell)?;
        visit.call(&self.bridge)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.forget_watched();
    }
}

/// In whole milliseconds, as the selector has it.
fn milliseconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64((seconds.max(0.0) * 1e3).ceil() / 1e3).unwrap_or(Duration::MAX)
}

/// The wait of this thread, if it is a host's.
struct Waiting {
    waker: Waker,
    /// How often the thread went to sleep in it.
    parks: u32,
}

thread_local! {
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Begins a wait of this thread, or goes on with it; whether the thread has slept in it before, and is about to again. If
/// nothing came that a host waits for, it may have been woken by a signal, of which Python must be asked.
fn has_slept(waker: &Waker) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        let waiting = waiting.get_or_insert_with(|| Waiting {
            waker: waker.clone(),
            parks: 0,
        });
        // Another one, once the thread drives what another thread has driven so far.
        waiting.waker.clone_from(waker);
        waiting.parks > 1
    })
}

fn end_waiting() {
    WAITING.set(None);
}

/// The runtime has nothing to do on this thread.
pub(crate) fn about_to_park() {
    WAITING.with_borrow_mut(|waiting| {
        if let Some(waiting) = waiting {
            waiting.parks += 1;
            if waiting.parks > 1 {
                waiting.waker.wake_by_ref();
            }
        }
    });
}
