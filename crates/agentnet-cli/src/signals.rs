//! Ctrl-C, SIGTERM, and SIGHUP: the terminal has gone.

use std::future::{Future, pending};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// The signals that ask the program to stop.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where whoever started the program had it ignored, as `nohup` does: it goes on without a terminal.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open = |kind| signal(kind).map_err(|error| Failure::trouble(format!("cannot listen for signals: {error}")));
        Ok(Self {
            hangup: (!hangup_is_ignored()).then(|| open(SignalKind::hangup())).transpose()?,
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub(crate) async fn wait(&mut self) -> Exit {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            _ = hangup => Exit::HungUp,
        }
    }

    /// Runs the work to its end or to a signal, whichever comes first.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
        tokio::select! {
            result = work => result,
            ended = self.wait() => Err(ended),
        }
    }
}

/// Whether SIGHUP is ignored, as it is from the start for a program that `nohup` runs.
#[allow(unsafe_code, reason = "no safe interface tells how a signal is handled")]
fn hangup_is_ignored() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action the call changes nothing; it fills in the old one, for which zeroes are a valid value.
    let (asked, action) = unsafe {
        let asked = libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr());
        (asked, action.assume_init())
    };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
