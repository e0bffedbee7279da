//! Ctrl-C, SIGTERM and SIGHUP.

use std::future::{Future, pending};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// The signals that stop the program.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP is ignored, as under `nohup`: the program runs on without a terminal.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Installs the handlers: the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open = |kind| signal(kind).map_err(|error| Failure::error(format!("cannot listen for signals: {error}")));
        Ok(Self {
            hangup: (!hangup_is_ignored()).then(|| open(SignalKind::hangup())).transpose()?,
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    /// As [`listen`](Self::listen), with SIGHUP apart: a service reloads its configuration then.
    #[cfg(feature = "mesh")]
    pub(crate) fn listen_with_reload() -> Result<(Self, ReloadSignal), Failure> {
        let signals = Self::listen()?;
        let hangup = signals.hangup;
        Ok((
            Self {
                hangup: None,
                ..signals
            },
            ReloadSignal { hangup },
        ))
    }

    /// Waits for a signal.
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

    /// Runs the work until it ends or a signal comes.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
        tokio::select! {
            result = work => result,
            ended = self.wait() => Err(ended),
        }
    }
}

/// SIGHUP of a service.
#[cfg(feature = "mesh")]
pub(crate) struct ReloadSignal {
    hangup: Option<Signal>,
}

#[cfg(feature = "mesh")]
impl ReloadSignal {
    /// Waits for the signal.
    pub(crate) async fn wait(&mut self) {
        match &mut self.hangup {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => pending().await,
        }
    }
}

/// Whether SIGHUP is ignored, as under `nohup`.
#[allow(unsafe_code, reason = "there is no safe interface to read a signal's disposition")]
fn hangup_is_ignored() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call changes nothing; it writes the old action, for which zeroes are a valid value.
    let (asked, action) = unsafe {
        let asked = libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr());
        (asked, action.assume_init())
    };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
