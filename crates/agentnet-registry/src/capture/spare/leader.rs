//! Who leads the stream.

use std::time::{Duration, Instant};

use async_nats::jetstream::{Context, ContextBuilder};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::super::stream::{Jetstream, STREAM};

/// How often the leader is asked.
const LOOK: Duration = Duration::from_millis(500);
/// A leader that takes longer to answer is taken for dead.
const ANSWER: Duration = Duration::from_secs(3);

/// A leader of the stream; the same server that has been elected again is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) name: String,
    /// When it was elected, and when the stream was made, as text; the former since nats-server 2.12.
    pub(super) term: String,
}

/// A question and its answer.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) asked: Instant,
    pub(super) leader: Option<Leader>,
}

/// Asks again and again, until nobody wants to know.
pub(super) async fn watch(jetstream: Jetstream, saw: mpsc::Sender<Look>) {
    let context = ContextBuilder::new().timeout(ANSWER).build(jetstream.context.client());
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let asked = Instant::now();
        let leader = ask(&context).await;
        if saw.send(Look { asked, leader }).await.is_err() {
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
