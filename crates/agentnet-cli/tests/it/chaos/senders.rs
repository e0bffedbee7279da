//! Four agents that send on, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet::{AgentNode, RawJson, SendError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::chaos::ledger::{Name, Outcome, Try};
use crate::chaos::network::RECEIVER;
use crate::chaos::sessions::Agent;
use crate::harness::WAIT_TIMEOUT;

const SENDERS: usize = 4;
/// Time between two messages of one sender: 125 a second.
const SEND_INTERVAL: Duration = Duration::from_millis(8);
/// Sends of one sender that may be on their way. Unanswered ones take up to five seconds.
const MAX_IN_FLIGHT: usize = 1000;

/// Agents that send messages to the receiver.
pub(crate) struct Senders(Vec<AgentNode>);

impl Senders {
    pub(crate) async fn join(url: &str) -> Self {
        let mut nodes = Vec::new();
        for sender in 0..SENDERS {
            let name = format!("sender_{sender}");
            let agent = AgentNode::builder(&name)
                .username(&name)
                .nats_url(url)
                .ignore_environment();
            nodes.push(agent.start().await.unwrap());
        }
        Self(nodes)
    }

    pub(crate) fn session_tags(&self) -> Vec<String> {
        self.0.iter().map(|node| node.session_tag().unwrap()).collect()
    }

    /// The agents that are to be online: these, and one session of the receiver.
    pub(crate) fn agents(&self) -> Vec<Agent> {
        let receiver = Agent {
            username: RECEIVER.to_owned(),
            session_tag: None,
        };
        let senders = self.0.iter().map(|node| Agent {
            username: node.username().unwrap(),
            session_tag: node.session_tag(),
        });
        senders.chain([receiver]).collect()
    }

    /// The accounts: each sender's by its number, and the receiver's.
    pub(crate) fn parties(&self, receiver: &str) -> Parties {
        Parties {
            senders: self.0.iter().map(|node| node.account_id().unwrap()).collect(),
            receiver: receiver.to_owned(),
        }
    }

    /// Sends for so long, and returns when every send has ended.
    pub(crate) async fn talk(&self, start: Instant, length: Duration) -> Vec<Try> {
        let mut talkers = JoinSet::new();
        for (sender, node) in self.0.iter().enumerate() {
            talkers.spawn(talk(node.clone(), sender, start + length));
        }
        let mut tries = talkers.join_all().await.concat();
        tries.sort_by_key(|one| one.ended);
        tries
    }

    /// Sends that were repeated, and receipts that did not come in time, of all senders.
    pub(crate) fn retries(&self) -> (u64, u64) {
        let snapshots = self.0.iter().map(AgentNode::metrics_snapshot);
        snapshots.fold((0, 0), |(retries, timeouts), metrics| {
            (retries + metrics.retry_count, timeouts + metrics.receipt_timeout_count)
        })
    }

    pub(crate) async fn leave(self) {
        for node in &self.0 {
            node.close().await;
        }
    }
}

/// Senders and receivers of the traffic.
#[derive(Debug)]
pub(crate) struct Parties {
    pub(crate) senders: Vec<String>,
    pub(crate) receiver: String,
}

async fn talk(node: AgentNode, sender: usize, end: Instant) -> Vec<Try> {
    let room = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut pace = interval(SEND_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sends = JoinSet::new();
    let mut tries = Vec::new();
    for n in 0.. {
        pace.tick().await;
        if Instant::now() >= end {
            break;
        }
        let permit = Arc::clone(&room).acquire_owned().await.unwrap();
        let node = node.clone();
        sends.spawn(async move {
            let _permit = permit;
            send(&node, Name { sender, n }).await
        });
        while let Some(ended) = sends.try_join_next() {
            tries.push(ended.unwrap());
        }
    }
    tries.extend(sends.join_all().await);
    tries
}

async fn send(node: &AgentNode, name: Name) -> Try {
    let started = Instant::now();
    let payload = RawJson::parse(name.payload()).unwrap();
    let sending = node.send(format!("@{RECEIVER}"), payload).thread(name.thread());
    let outcome = match timeout(WAIT_TIMEOUT, sending.into_future()).await {
        Ok(Ok(sent)) => Outcome::Sent(sent.message_id),
        Ok(Err(error)) => failed(&error),
        Err(_) => Outcome::Failed {
            error: format!("HANGS: no end within {WAIT_TIMEOUT:?}"),
            message_id: None,
        },
    };
    Try {
        name,
        started,
        ended: Instant::now(),
        outcome,
    }
}

fn failed(error: &SendError) -> Outcome {
    let (text, id) = match error {
        SendError::AckTimeout { message_id, attempts } => (format!("AckTimeout after {attempts} attempts"), message_id),
        SendError::Rejected {
            code,
            detail,
            message_id,
        } => (format!("Rejected {code}: {detail}"), message_id),
        other => {
            return Outcome::Failed {
                error: other.to_string(),
                message_id: None,
            };
        }
    };
    Outcome::Failed {
        error: text,
        message_id: Some(id.clone()),
    }
}

/// How often each error was met.
pub(crate) fn errors<'a>(tries: impl IntoIterator<Item = &'a Try>) -> BTreeMap<&'a str, usize> {
    let mut errors = BTreeMap::new();
    for one in tries {
        if let Outcome::Failed { error, .. } = &one.outcome {
            *errors.entry(error.as_str()).or_default() += 1;
        }
    }
    errors
}
