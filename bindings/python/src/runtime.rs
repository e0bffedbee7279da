//! The tokio runtime that all nodes of the process share, and who drives it.
//!
//! It has no threads of its own to run tasks on: whoever is in [`Network::drive`] runs them. That is an asyncio loop's thread
//! while the loop waits (see [`crate::host`]), so that a message goes from the network to its handler and back without waking
//! another thread; and the keeper, one thread that steps in when no loop has come by for a moment: because a handler blocks its
//! loop, because there is none, or because it is of a kind that cannot.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::Poll;
use std::thread::Thread;
use std::time::Duration;

use futures::task::AtomicWaker;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyResult, pyfunction};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::host;

/// A host that stays away for longer, and at most for twice as long, is stood in for.
const PATIENCE: Duration = Duration::from_millis(5);

/// The runtime and its keeper.
pub(crate) struct Network {
    runtime: Runtime,
    /// How often the host has come and gone: odd while it drives.
    turns: AtomicU64,
    /// The keeper, and what calls it back from driving.
    keeper: OnceLock<Thread>,
    relief: AtomicWaker,
    keeping: AtomicBool,
    /// Somebody else waits, and not as a host.
    called: AtomicBool,
    /// The keeper sleeps until the host leaves.
    asleep: AtomicBool,
    /// This is a child of the process that started it.
    forked: AtomicBool,
}

static NETWORK: OnceLock<&'static Network> = OnceLock::new();

/// The network, started at first use. It lives until the process ends and never enters the interpreter.
pub(crate) fn network() -> PyResult<&'static Network> {
    static STARTING: Mutex<()> = Mutex::new(());
    let network = match NETWORK.get() {
        Some(network) => network,
        None => {
            let _turn = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
            match NETWORK.get() {
                Some(network) => network,
                None => {
                    let started = Network::start()?;
                    NETWORK.get_or_init(|| started)
                }
            }
        }
    };
    // Threads do not survive a fork: here nothing would ever happen.
    if !network.is_of_this_process() {
        return Err(PyRuntimeError::new_err(
            "agentnet was used before this process was forked, and its threads stayed behind: use agentnet only after the \
             fork, or start processes by the method 'spawn'",
        ));
    }
    Ok(network)
}

/// Python tells it in the child after each fork.
#[pyfunction]
pub(crate) fn forked() {
    if let Some(network) = NETWORK.get() {
        network.forked.store(true, Ordering::Relaxed);
    }
}

impl Network {
    fn start() -> PyResult<&'static Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("agentnet")
            .on_thread_park(host::about_to_park)
            .enable_all()
            .build()
            .map_err(|error| PyRuntimeError::new_err(format!("cannot start agentnet: {error}")))?;
        let network: &'static Self = Box::leak(Box::new(Self {
            runtime,
            turns: AtomicU64::new(0),
            keeper: OnceLock::new(),
            relief: AtomicWaker::new(),
            keeping: AtomicBool::new(false),
            called: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            forked: AtomicBool::new(false),
        }));
        let keeper = std::thread::Builder::new()
            .name("agentnet".to_owned())
            .spawn(move || network.keep())
            .map_err(|error| PyRuntimeError::new_err(format!("cannot start the thread of agentnet: {error}")))?;
        let _ = network.keeper.set(keeper.thread().clone());
        Ok(network)
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        !self.forked.load(Ordering::Relaxed)
    }

    /// Does something that needs the runtime, and does not wait. What it wakes up stays on this thread, if that is free to
    /// drive.
    pub(crate) fn within<T>(&self, act: impl FnOnce() -> T) -> T {
        self.runtime.block_on(async { act() })
    }

    /// Runs the tasks that can run now, unless another thread does.
    pub(crate) fn run_what_is_ready(&self) {
        self.runtime.block_on(tokio::task::yield_now());
    }

    pub(crate) fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.within(|| tokio::spawn(future))
    }

    /// Has the keeper drive now, unless a host does: this thread is about to wait.
    pub(crate) fn call_keeper(&self) {
        self.called.store(true, Ordering::SeqCst);
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    /// Waits for a future, and runs the runtime's tasks meanwhile: the host, which comes again.
    pub(crate) fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let _turn = Turn::begin(self);
        self.runtime.block_on(future)
    }

    /// Drives while no host does.
    fn keep(&self) {
        let mut seen = 0;
        loop {
            let turns = self.turns.load(Ordering::SeqCst);
            let stays = turns == seen;
            seen = turns;
            if turns.is_multiple_of(2) && (stays || self.called.swap(false, Ordering::SeqCst)) {
                self.keeping.store(true, Ordering::SeqCst);
                self.runtime.block_on(poll_fn(|context| {
                    self.relief.register(context.waker());
                    if self.turns.load(Ordering::SeqCst) == turns {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                }));
                self.keeping.store(false, Ordering::SeqCst);
            } else if stays {
                self.asleep.store(true, Ordering::SeqCst);
                // It may have left meanwhile.
                if self.turns.load(Ordering::SeqCst) == turns {
                    std::thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
            } else {
                std::thread::park_timeout(PATIENCE);
            }
        }
    }
}

/// The host's time in the runtime.
struct Turn<'a>(&'a Network);

impl<'a> Turn<'a> {
    fn begin(network: &'a Network) -> Self {
        network.turns.fetch_add(1, Ordering::SeqCst);
        if network.keeping.load(Ordering::SeqCst) {
            network.relief.wake();
        }
        Self(network)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::SeqCst);
        if self.0.asleep.swap(false, Ordering::SeqCst)
            && let Some(keeper) = self.0.keeper.get()
        {
            keeper.unpark();
        }
    }
}
