//! Asks for the leader of the stream.

use std::time::{Duration, Instant};

use async_nats::jetstream::{Context, ContextBuilder};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::super::stream::{Jetstream, STREAM};

/// How often the leader is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A leader that takes longer to answer counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// A leader of the stream; a server that is elected again counts as another leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) name: String,
    /// When it was elected (since nats-server 2.12), and when the stream was created, as text.
    pub(super) term: String,
}

/// The answer to one question.
#[derive(Debug)]
pub(super) struct LeaderAnswer {
    pub(super) asked: Instant,
    pub(super) leader: Option<Leader>,
}

/// Asks again and again, until the receiver is dropped.
pub(super) async fn watch(jetstream: Jetstream, answers: mpsc::Sender<LeaderAnswer>) {
    let context = ContextBuilder::new()
        .timeout(ANSWER_TIMEOUT)
        .build(jetstream.context.client());
    let mut tick = tokio::time::interval(POLL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let asked = Instant::now();
        let leader = ask(&context).await;
        if answers.send(LeaderAnswer { asked, leader }).await.is_err() {
            return;
        }
    }
}

async fn ask(context: &Context) -> Option<Leader> {
    let stream = context.get_stream(STREAM).await.ok()?;
    let info = stream.cached_info();
    let cluster = info.cluster.as_ref()?;
    let name = cluster.leader.clone().filter(|name| !name.is_empty())?;
    Some(Leader {
        name,
        term: format!("{:?} {:?}", cluster.leader_since, info.created),
    })
}
