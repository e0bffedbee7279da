//! The standby: completes the history while the stream has no leader.
//!
//! On a NATS cluster the server that leads the stream may die. Until another one leads, no message gets into the stream, and as
//! the stream does not acknowledge (`no_ack`), publishers do not notice. So on a cluster the same messages are also read from
//! plain subscriptions, and kept in memory for a few seconds:
//!
//! 1. `tap`: two connections to two servers, so that either may die.
//! 2. `leader`: asks every half second for the leader of the stream.
//! 3. `replay_buffer`: while the same leader answers, messages are dropped after a few seconds: they are in the stream. While no
//!    leader answers, and until a new one has settled, all of them are stored; the store keeps one of each.
//!
//! Replies on `_INBOX.>`, which no stream can keep, are read from both taps too and stored at once.

mod leader;
mod replay_buffer;
mod tap;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::NatsUrl;
use agentnet_protocol::Timestamp;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ingest::Ingest;
use super::proof::Proof;
use super::stream::Jetstream;
use crate::connect::Connection;
use crate::error::StartError;
use crate::tasks::TaskSet;
use leader::LeaderAnswer;
use replay_buffer::{Change, ReplayBuffer};
use tap::Taps;

/// Events of the taps that may wait for the standby.
const TAP_QUEUE_CAPACITY: usize = 1024;
/// Messages that may wait between the standby and the write queue.
const REPLAY_QUEUE_CAPACITY: usize = 16;
/// How long a registry that stops waits for a leader of the stream: a lost leader is noticed after 3 s, the election takes up to
/// 8 s, and the new leader settles for 2 s.
pub(super) const ELECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A message from a tap.
#[derive(Debug, Clone)]
struct TappedMessage {
    body: Bytes,
    proof: Proof,
    at: Instant,
    received_at: Timestamp,
    /// Whether the stream captures its subject too.
    streamed: bool,
}

/// An event of a tap.
#[derive(Debug)]
enum TapEvent {
    Message(TappedMessage),
    /// The stream has elected a leader.
    Elected,
}

/// The standby with its taps open, ready to run.
pub(super) struct Standby {
    ingest: Ingest,
    jetstream: Jetstream,
    taps: Taps,
    events: mpsc::Receiver<TapEvent>,
    stop_taps: CancellationToken,
}

impl Standby {
    /// Whether the server is one of several.
    pub(super) fn is_needed(connection: &Connection) -> bool {
        connection.client.server_info().cluster.is_some()
    }

    /// When this returns, every message published from then on is read.
    pub(super) async fn open(
        url: &NatsUrl,
        connection: &Connection,
        ingest: Ingest,
        jetstream: Jetstream,
        tasks: &TaskSet,
    ) -> Result<Self, StartError> {
        let (out, events) = mpsc::channel(TAP_QUEUE_CAPACITY);
        let stop_taps = tasks.kill_token();
        let taps = Taps::open(url, connection, out, Arc::clone(&ingest.metrics), stop_taps.clone()).await?;
        Ok(Self {
            ingest,
            jetstream,
            taps,
            events,
            stop_taps,
        })
    }

    /// Runs until the stop; then every message that the stream may lack is in the write queue.
    pub(super) async fn run(self) {
        let Self {
            ingest,
            jetstream,
            taps,
            mut events,
            stop_taps,
        } = self;
        let stop = ingest.stop.clone();
        let (replay, replayed) = mpsc::channel(REPLAY_QUEUE_CAPACITY);
        let (answers, mut answered) = mpsc::channel(1);
        let read = async move {
            let mut buffer = ReplayBuffer::default();
            let mut stopped: Option<Instant> = None;
            loop {
                tokio::select! {
                    biased;
                    Some(answer) = answered.recv() => apply_answer(&mut buffer, answer),
                    Ok(permit) = replay.reserve(), if buffer.has_due() => {
                        if let Some(message) = buffer.next_due() {
                            permit.send(message);
                        }
                    }
                    event = events.recv(), if !buffer.is_full() => match event {
                        Some(TapEvent::Message(message)) => buffer.push(message),
                        Some(TapEvent::Elected) => log(&buffer.lose_leader()),
                        None => break,
                    },
                    () = stop.cancelled(), if stopped.is_none() => stopped = Some(Instant::now()),
                    () = election(stopped), if !stop_taps.is_cancelled() => stop_taps.cancel(),
                }
                log(&buffer.settle(Instant::now(), events.is_empty()));
                if stopped.is_some_and(|stopped| buffer.is_settled(stopped)) {
                    stop_taps.cancel();
                }
            }
            // The stream may lack some of them, and there is no time to wait for its leader.
            for message in buffer.into_rest() {
                if replay.send(message).await.is_err() {
                    return;
                }
            }
        };
        let watch = leader::watch(jetstream, answers);
        let read = async {
            tokio::select! {
                () = read => {}
                () = watch => {}
            }
        };
        tokio::join!(taps.keep(), read, store(ingest, replayed));
    }
}

/// Returns when a registry that stopped at this time has waited long enough for a leader.
async fn election(stopped: Option<Instant>) {
    match stopped {
        Some(stopped) => tokio::time::sleep_until((stopped + ELECTION_TIMEOUT).into()).await,
        None => std::future::pending().await,
    }
}

/// Pushes messages into the write queue, waiting for room there.
async fn store(ingest: Ingest, mut replayed: mpsc::Receiver<TappedMessage>) {
    while let Some(TappedMessage {
        body,
        proof,
        received_at,
        streamed,
        ..
    }) = replayed.recv().await
    {
        if streamed {
            ingest.metrics.recovered.add(1);
        }
        ingest.push(body, proof, received_at, None).await;
    }
}

fn apply_answer(buffer: &mut ReplayBuffer, answer: LeaderAnswer) {
    log(&buffer.leader_answered(answer.asked, Instant::now(), answer.leader));
}

/// Logs a change.
fn log(change: &Change) {
    match change {
        Change::None => {}
        Change::LeaderLost { held } => tracing::warn!(
            held,
            "the message stream may have lost its leader: messages are stored past it until one has settled"
        ),
        Change::LeaderSettled { leader, stored } => tracing::info!(
            leader,
            stored,
            "the message stream has a leader; this many messages were stored past it, those that it has as well among them"
        ),
    }
}
