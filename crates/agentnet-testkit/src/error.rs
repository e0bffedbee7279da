//! The errors of starting a server.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Starting, restarting or setting up a real server for a test failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program was not found; `hint` explains how to get it.
    #[error("{program} was not found ({looked}); {hint}")]
    NotFound {
        /// Name of the executable.
        program: &'static str,
        /// The places that were searched, and the problems of the programs found there.
        looked: String,
        /// How to get the program.
        hint: &'static str,
    },
    /// `AGENTNET_NATS_SERVER` names something that cannot be used.
    #[error("AGENTNET_NATS_SERVER={}: {problem}; correct it, or unset it and run `make tools`", path.display())]
    Unusable {
        /// The path that the variable holds.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The port that was asked for is taken. Ask for port 0 to get a free one.
    #[error("port {port} on 127.0.0.1 is in use by another program")]
    PortInUse {
        /// The port that was asked for.
        port: u16,
    },
    /// The server, or a tool that prepares it, ended before it was ready.
    #[error("{program} ended with {status}; its log ends with:\n{log}")]
    Ended {
        /// Name of the executable.
        program: &'static str,
        /// Exit status in words.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs, but did not accept connections in time.
    #[error("{program} was not ready within {deadline:?}; its log ends with:\n{log}")]
    NotReady {
        /// Name of the executable.
        program: &'static str,
        /// How long the test waited.
        deadline: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// PostgreSQL refuses to run as root, and no unprivileged user was found to run it as.
    #[error("PostgreSQL does not run as root, and /etc/passwd has neither a `postgres` nor a `nobody` user")]
    NoUnprivilegedUser,
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// The failed action.
        doing: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl StartError {
    /// For `map_err`: an I/O failure while `doing` something.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
