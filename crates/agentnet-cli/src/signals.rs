//! Ctrl-C and SIGTERM.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::ended::{Ended, Failure};

/// The signals that ask the program to stop.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open = |kind| signal(kind).map_err(|error| Failure::trouble(format!("cannot listen for signals: {error}")));
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub(crate) async fn wait(&mut self) -> Ended {
        tokio::select! {
            _ = self.interrupt.recv() => Ended::Interrupted,
            _ = self.terminate.recv() => Ended::Terminated,
        }
    }

    /// Runs the work to its end or to a signal, whichever comes first.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
        tokio::select! {
            result = work => result,
            ended = self.wait() => Err(ended),
        }
    }
}
