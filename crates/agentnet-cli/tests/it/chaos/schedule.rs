//! The schedule of the faults.

use std::fmt;
use std::time::{Duration, Instant};

use crate::chaos::ledger::Try;

/// The length of the run of the test suite.
const MIN_SECONDS: f64 = 20.0;
/// The times below are those of a run of so many seconds; others are scaled.
const NOMINAL_SECONDS: f64 = 60.0;

/// What can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// One of the registries, by SIGKILL.
    Registry,
    /// The database, in order.
    Postgres,
    /// The broker, by SIGKILL.
    Nats,
    /// The agent that is talked to, by SIGKILL.
    Receiver,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registry => "a registry killed",
            Self::Postgres => "PostgreSQL stopped",
            Self::Nats => "nats-server killed",
            Self::Receiver => "the receiver killed",
        })
    }
}

/// A plan: when a part goes and when it is started again, since the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) down: Duration,
    pub(crate) back: Duration,
}

/// The plan of a run.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// How long the agents talk.
    pub(crate) length: Duration,
    /// One after another.
    pub(crate) faults: Vec<Fault>,
}

impl Schedule {
    /// For the time of `AGENTNET_CHAOS_SECONDS`.
    pub(crate) fn from_environment() -> Self {
        let seconds = match std::env::var("AGENTNET_CHAOS_SECONDS") {
            Ok(text) => text
                .trim()
                .parse()
                .unwrap_or_else(|error| panic!("AGENTNET_CHAOS_SECONDS={text}: {error}")),
            Err(_) => MIN_SECONDS,
        };
        assert!(
            (MIN_SECONDS..=3600.0).contains(&seconds),
            "AGENTNET_CHAOS_SECONDS={seconds}: {MIN_SECONDS} to 3600 seconds"
        );
        Self::of(seconds)
    }

    fn of(seconds: f64) -> Self {
        let at = |second: f64| Duration::from_secs_f64(second / NOMINAL_SECONDS * seconds);
        let fault = |part, down, back| Fault {
            part,
            down: at(down),
            back: at(back),
        };
        Self {
            length: at(NOMINAL_SECONDS),
            faults: vec![
                fault(Part::Registry, 5.0, 11.0),
                fault(Part::Postgres, 15.0, 25.0),
                fault(Part::Nats, 30.0, 32.0),
                fault(Part::Receiver, 42.0, 48.0),
            ],
        }
    }
}

/// What happened to a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) part: Part,
    /// Just before it was stopped.
    pub(crate) down: Instant,
    /// It is being started again.
    pub(crate) back: Instant,
    /// It reports that it is ready.
    pub(crate) ready: Instant,
}

impl Outage {
    /// Whether a send was on its way meanwhile.
    pub(crate) fn met(&self, one: &Try) -> bool {
        one.started <= self.ready && one.ended >= self.down
    }
}
