//! What the senders tried, and what came of it.

use std::time::{Duration, Instant};

use crate::chaos::schedule::{Outage, Part};
use crate::chaos::sessions::Look;

/// A message that was accepted within this time before nats-server was killed may be lost.
const LOSS_WINDOW: Duration = Duration::from_secs(1);

/// A message by who sent it and by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) sender: usize,
    pub(crate) n: u64,
}

impl Name {
    /// The message's payload as the Python implementation would store it, so that its length is what it adds to `byte_count`
    /// (PROTOCOL.md section 4.5).
    pub(crate) fn payload(self) -> String {
        let Self { sender, n } = self;
        let filling = "x".repeat(usize::try_from(n * 7 % 200).unwrap());
        let odd = if n % 10 == 0 { r"\u00f6" } else { "" };
        format!(r#"{{"sender": {sender}, "n": {n}, "text": "{odd}{filling}"}}"#)
    }

    /// Reads a payload.
    pub(crate) fn of(payload: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(payload).ok()?;
        let name = Self {
            sender: usize::try_from(value["sender"].as_u64()?).ok()?,
            n: value["n"].as_u64()?,
        };
        let sent: serde_json::Value = serde_json::from_str(&name.payload()).ok()?;
        (value == sent).then_some(name)
    }

    /// One thread for all senders, and three for each sender.
    pub(crate) fn thread(self) -> String {
        match self.n % 4 {
            0 => "chaos_shared".to_owned(),
            k => format!("chaos_{}_{k}", self.sender),
        }
    }
}

/// How a send ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// With this message id.
    Sent(String),
    /// With an error, which may name the message id.
    Failed { error: String, message_id: Option<String> },
}

/// One send of a message, its start, end and outcome.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) name: Name,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

impl Try {
    pub(crate) fn succeeded(&self) -> bool {
        matches!(self.outcome, Outcome::Sent(_))
    }

    pub(crate) fn message_id(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Sent(id) => Some(id),
            Outcome::Failed { message_id, .. } => message_id.as_deref(),
        }
    }
}

/// Everything that happened.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) start: Instant,
    pub(crate) tries: Vec<Try>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) looks: Vec<Look>,
}

impl Ledger {
    /// When, in seconds since the start.
    pub(crate) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    pub(crate) fn outage(&self, part: Part) -> &Outage {
        self.outages
            .iter()
            .find(|outage| outage.part == part)
            .expect("every part had its outage")
    }

    /// Whether a success came so shortly before nats-server was killed that it may be lost with it. While the server is gone no
    /// receipt comes: what its sender noticed only then came before.
    pub(crate) fn apart(&self, one: &Try) -> bool {
        let broker = self.outage(Part::Nats);
        one.succeeded() && one.ended + LOSS_WINDOW >= broker.down && one.ended <= broker.back
    }

    /// The last outage that had begun at that time, for those who look for a cause.
    pub(crate) fn near(&self, at: Instant) -> String {
        match self.outages.iter().rev().find(|outage| outage.down <= at) {
            Some(outage) => format!(
                "{:.3} s after: {}",
                at.duration_since(outage.down).as_secs_f64(),
                outage.part
            ),
            None => "before the first outage".to_owned(),
        }
    }

    /// A send in one line.
    pub(crate) fn describe(&self, one: &Try) -> String {
        format!(
            "message {} ({}/{}, thread {}) sent at {:.3} s, ended at {:.3} s ({}): {:?}",
            one.message_id().unwrap_or("?"),
            one.name.sender,
            one.name.n,
            one.name.thread(),
            self.seconds(one.started),
            self.seconds(one.ended),
            self.near(one.ended),
            one.outcome,
        )
    }
}
