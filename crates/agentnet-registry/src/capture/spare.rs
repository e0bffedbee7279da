//! The spare: what keeps the history whole while nobody leads the stream.
//!
//! On a NATS cluster the server that leads the stream may die. Until another leads, nobody writes to the stream, and as it
//! cannot acknowledge (`no_ack`), nobody who publishes would notice. So on a cluster the same messages are heard a second
//! time, on plain subscriptions, and held in memory for a few seconds:
//!
//! 1. `tap`: two connections to two servers, so that either may die.
//! 2. `leader`: the stream's leader is asked again and again who it is.
//! 3. `shelf`: while the same one answers, what is a little older is dropped unread, for the stream has it. While nobody
//!    answers, and until a new leader has settled, everything goes on to the store, which keeps one of each message.
//!
//! Replies on `_INBOX.>`, which no stream can keep, are heard on both taps too and stored at once.

mod leader;
mod shelf;
mod tap;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;
use agentnet_protocol::url::NatsUrl;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::listen::Ear;
use super::stream::Jetstream;
use crate::connect::Connection;
use crate::error::StartError;
use leader::Look;
use shelf::{Change, Shelf};
use tap::Taps;

/// Words of the taps that may wait for the spare.
const WORDS: usize = 1024;
/// Messages that may wait between the spare and the queue, beyond the queue's own.
const HANDED: usize = 16;
/// How long a registry that is stopped goes on hearing while nobody leads the stream: until that is noticed it takes 3 s, the
/// election up to 8 s, and the new leader settles for 2 s.
pub(super) const LAST_ELECTION: Duration = Duration::from_secs(15);

/// A message that a tap has heard.
#[derive(Debug, Clone)]
struct Heard {
    body: Bytes,
    at: Instant,
    received_at: Timestamp,
    /// Whether the stream should have it too.
    streamed: bool,
}

/// What a tap says.
#[derive(Debug)]
enum Word {
    Heard(Heard),
    /// The stream has got a leader.
    Elected,
}

/// The spare with its taps open, ready to run.
pub(super) struct Spare {
    ear: Ear,
    jetstream: Jetstream,
    taps: Taps,
    words: mpsc::Receiver<Word>,
    stop_taps: CancellationToken,
}

impl Spare {
    /// Whether the server is one of several.
    pub(super) fn is_needed(connection: &Connection) -> bool {
        connection.client.server_info().cluster.is_some()
    }

    /// Hears everything when this returns.
    pub(super) async fn open(
        url: &NatsUrl,
        connection: &Connection,
        ear: Ear,
        jetstream: Jetstream,
        kill: &CancellationToken,
    ) -> Result<Self, StartError> {
        let (out, words) = mpsc::channel(WORDS);
        let stop_taps = kill.child_token();
        let taps = Taps::open(url, connection, out, Arc::clone(&ear.metrics), stop_taps.clone()).await?;
        Ok(Self {
            ear,
            jetstream,
            taps,
            words,
            stop_taps,
        })
    }

    /// Runs until the stop; then everything that the stream may lack is in the queue.
    pub(super) async fn run(self) {
        let Self {
            ear,
            jetstream,
            taps,
            mut words,
            stop_taps,
        } = self;
        let stop = ear.stop.clone();
        let (hand, handed) = mpsc::channel(HANDED);
        let (saw, mut looks) = mpsc::channel(1);
        let hear = async move {
            let mut shelf = Shelf::default();
            let mut stopped: Option<Instant> = None;
            loop {
                tokio::select! {
                    biased;
                    Some(look) = looks.recv() => judge(&mut shelf, look),
                    Ok(permit) = hand.reserve(), if shelf.has_due() => {
                        if let Some(heard) = shelf.next_due() {
                            permit.send(heard);
                        }
                    }
                    word = words.recv(), if !shelf.is_full() => match word {
                        Some(Word::Heard(heard)) => shelf.hear(heard),
                        Some(Word::Elected) => say(&shelf.doubt()),
                        None => break,
                    },
                    () = stop.cancelled(), if stopped.is_none() => stopped = Some(Instant::now()),
                    () = election(stopped), if !stop_taps.is_cancelled() => stop_taps.cancel(),
                }
                say(&shelf.settle(Instant::now(), words.is_empty()));
                if stopped.is_some_and(|stopped| shelf.is_sure(stopped)) {
                    stop_taps.cancel();
                }
            }
            // Not all of it can be known to be in the stream, and there is no time to wait for that.
            for heard in shelf.into_rest() {
                if hand.send(heard).await.is_err() {
                    return;
                }
            }
        };
        let look = leader::watch(jetstream, saw);
        let hear = async {
            tokio::select! {
                () = hear => {}
                () = look => {}
            }
        };
        tokio::join!(taps.keep(), hear, store(ear, handed));
    }
}

/// Returns when a registry that was stopped then does not wait for a leader any longer.
async fn election(stopped: Option<Instant>) {
    match stopped {
        Some(stopped) => tokio::time::sleep_until((stopped + LAST_ELECTION).into()).await,
        None => std::future::pending().await,
    }
}

/// Hands messages on to the queue, waiting for room there.
async fn store(ear: Ear, mut handed: mpsc::Receiver<Heard>) {
    while let Some(Heard {
        body,
        received_at,
        streamed,
        ..
    }) = handed.recv().await
    {
        if streamed {
            ear.metrics.recovered.add(1);
        }
        ear.hear(body, received_at, None).await;
    }
}

fn judge(shelf: &mut Shelf, look: Look) {
    say(&shelf.look(look.asked, Instant::now(), look.leader));
}

/// Tells people what has changed.
fn say(change: &Change) {
    match change {
        Change::None => {}
        Change::Doubt { held } => tracing::warn!(
            held,
            "the message stream may have lost its leader: messages are stored past it until one has settled"
        ),
        Change::Sure { leader, stored } => tracing::info!(
            leader,
            stored,
            "the message stream has a leader; this many messages were stored past it, those that it has as well among them"
        ),
    }
}
