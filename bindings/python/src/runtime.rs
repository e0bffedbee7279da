//! The tokio runtime that all nodes of the process share, and the threads that run it.
//!
//! The runtime has no worker threads: a thread runs its tasks while it is in [`Network::drive`]. That is the thread of an
//! asyncio loop while the loop waits ([`crate::selector_host`]), so that a message goes from the network to its handler and back
//! without waking another thread. The standby thread takes over when no loop has come for a moment: because a handler blocks its
//! loop, because there is no loop, or because the loop is of a kind that cannot run the network.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread::Thread;
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyResult, pyfunction};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::park;

/// The standby thread takes over when no loop has come for this long, and at most for twice as long.
const STANDBY_DELAY: Duration = Duration::from_millis(5);

/// The runtime and its standby thread.
pub(crate) struct Network {
    runtime: Runtime,
    /// Counts each begin and each end of a loop's turn: odd while a loop runs the network.
    turns: AtomicU64,
    standby: OnceLock<Thread>,
    /// Wakes the standby thread out of the runtime when a loop comes back.
    hand_back: AtomicWaker,
    is_standby_running: AtomicBool,
    /// A thread that runs no loop waits for the network.
    is_standby_requested: AtomicBool,
    /// The standby thread sleeps until the loop's turn ends.
    is_standby_asleep: AtomicBool,
    /// This process is a child of the process that started the network.
    is_forked: AtomicBool,
}

static NETWORK: OnceLock<&'static Network> = OnceLock::new();

/// The network, started at first use. It lives until the process ends and never enters the interpreter.
pub(crate) fn network() -> PyResult<&'static Network> {
    static STARTING: Mutex<()> = Mutex::new(());
    let network = match NETWORK.get() {
        Some(network) => network,
        None => {
            let _guard = STARTING.lock();
            match NETWORK.get() {
                Some(network) => network,
                None => {
                    let started = Network::start()?;
                    NETWORK.get_or_init(|| started)
                }
            }
        }
    };
    // Threads do not survive a fork: no call would ever complete here.
    if !network.is_of_this_process() {
        return Err(PyRuntimeError::new_err(
            "agentnet was used before this process was forked, and its threads stayed behind: use agentnet only after the \
             fork, or start processes by the method 'spawn'",
        ));
    }
    Ok(network)
}

/// Python calls this in the child after each fork.
#[pyfunction]
pub(crate) fn forked() {
    if let Some(network) = NETWORK.get() {
        network.is_forked.store(true, Ordering::Relaxed);
    }
}

impl Network {
    fn start() -> PyResult<&'static Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("agentnet")
            .on_thread_park(park::about_to_park)
            .enable_all()
            .build()
            .map_err(|error| PyRuntimeError::new_err(format!("cannot start agentnet: {error}")))?;
        let network: &'static Self = Box::leak(Box::new(Self {
            runtime,
            turns: AtomicU64::new(0),
            standby: OnceLock::new(),
            hand_back: AtomicWaker::new(),
            is_standby_running: AtomicBool::new(false),
            is_standby_requested: AtomicBool::new(false),
            is_standby_asleep: AtomicBool::new(false),
            is_forked: AtomicBool::new(false),
        }));
        let standby = std::thread::Builder::new()
            .name("agentnet".to_owned())
            .spawn(move || network.run_standby())
            .map_err(|error| PyRuntimeError::new_err(format!("cannot start the thread of agentnet: {error}")))?;
        let _ = network.standby.set(standby.thread().clone());
        Ok(network)
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        !self.is_forked.load(Ordering::Relaxed)
    }

    /// Does something that needs the runtime and does not wait. Tasks that it wakes stay on this thread, if it can run the
    /// network.
    pub(crate) fn within<T>(&self, act: impl FnOnce() -> T) -> T {
        self.runtime.block_on(async { act() })
    }

    /// Runs the tasks that are ready, unless another thread runs the network.
    pub(crate) fn run_ready_tasks(&self) {
        self.runtime.block_on(tokio::task::yield_now());
    }

    pub(crate) fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.within(|| tokio::spawn(future))
    }

    /// Makes the standby thread run the network now, unless a loop does: this thread is about to wait.
    pub(crate) fn request_standby(&self) {
        self.is_standby_requested.store(true, Ordering::SeqCst);
        if let Some(standby) = self.standby.get() {
            standby.unpark();
        }
    }

    /// Waits for a future and runs the network's tasks meanwhile: one turn of a loop.
    pub(crate) fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let _turn = LoopTurn::begin(self);
        self.runtime.block_on(future)
    }

    /// The standby thread: runs the network while no loop does.
    fn run_standby(&self) {
        let mut seen = 0;
        loop {
            let turns = self.turns.load(Ordering::SeqCst);
            let is_unchanged = turns == seen;
            seen = turns;
            if turns.is_multiple_of(2) && (is_unchanged || self.is_standby_requested.swap(false, Ordering::SeqCst)) {
                self.is_standby_running.store(true, Ordering::SeqCst);
                self.runtime.block_on(poll_fn(|context| {
                    self.hand_back.register(context.waker());
                    if self.turns.load(Ordering::SeqCst) == turns {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                }));
                self.is_standby_running.store(false, Ordering::SeqCst);
            } else if is_unchanged {
                self.is_standby_asleep.store(true, Ordering::SeqCst);
                // The loop's turn may have ended in the meantime.
                if self.turns.load(Ordering::SeqCst) == turns {
                    std::thread::park();
                }
                self.is_standby_asleep.store(false, Ordering::SeqCst);
            } else {
                std::thread::park_timeout(STANDBY_DELAY);
            }
        }
    }
}

/// The time in which a loop runs the network.
struct LoopTurn<'a>(&'a Network);

impl<'a> LoopTurn<'a> {
    fn begin(network: &'a Network) -> Self {
        network.turns.fetch_add(1, Ordering::SeqCst);
        if network.is_standby_running.load(Ordering::SeqCst) {
            network.hand_back.wake();
        }
        Self(network)
    }
}

impl Drop for LoopTurn<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::SeqCst);
        if self.0.is_standby_asleep.swap(false, Ordering::SeqCst)
            && let Some(standby) = self.0.standby.get()
        {
            standby.unpark();
        }
    }
}
