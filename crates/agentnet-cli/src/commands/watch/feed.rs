//! What passes on the watched subjects, when it came, and how much of it was dropped because it was shown too slowly.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;
use agentnet_protocol::url::NatsUrl;
use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::subjects::overlap;
use crate::connection::observer;
use crate::exit::Failure;
use crate::output::Output;
use crate::output::relative_time::now;

/// Messages that may wait to be shown: a few seconds of a busy network.
const WAITING: usize = 8_192;
/// What was on its way to a queue is there after so long.
const QUIET: Duration = Duration::from_millis(200);

/// A message, with the moment when it came from the connection, however late it is shown.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) message: Message,
    /// By the clock on the wall.
    pub(super) seen_at: Timestamp,
    /// By the stopwatch.
    pub(super) arrived: Instant,
}

/// What was collected and waits to be shown.
pub(super) struct WatchFeed {
    queue: mpsc::Receiver<Taken>,
    lost: Arc<AtomicU64>,
    told: u64,
    collecting: JoinHandle<()>,
}

impl Drop for WatchFeed {
    fn drop(&mut self) {
        self.collecting.abort();
    }
}

impl WatchFeed {
    pub(super) async fn open(url: &NatsUrl, subjects: &[String]) -> Result<Self, Failure> {
        let client = observer::connect(url, "agentnet-cli-watch", WAITING).await?;
        let mut dropped = Dropped {
            taken: got(&client),
            ..Dropped::default()
        };
        let mut subscriptions = Vec::new();
        for subject in subjects {
            let lost = |why: &dyn std::fmt::Display| Failure::trouble(format!("cannot watch {subject}: {why}"));
            let subscribed = client.subscribe(subject.clone()).await.map_err(|error| lost(&error))?;
            subscriptions.push((subject.clone(), subscribed));
            client.flush().await.map_err(|error| lost(&error))?;
            dropped.most_waiting += WAITING as u64;
        }
        let (sender, queue) = mpsc::channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let collector = Collector {
            client,
            subscriptions,
            held: None,
            dropped,
            queue: sender,
            refused: 0,
            lost: Arc::clone(&lost),
        };
        Ok(Self {
            queue,
            lost,
            told: 0,
            collecting: tokio::spawn(collector.run()),
        })
    }

    /// Waits for the next message; `None` when the connection was closed. Tells meanwhile of what was dropped.
    pub(super) async fn next(&mut self, output: Output) -> Option<Taken> {
        loop {
            match tokio::time::timeout(QUIET, self.queue.recv()).await {
                Ok(taken) => return taken,
                Err(_) => self.tell(true, output),
            }
        }
    }

    /// The next message where one waits.
    pub(super) fn ready(&mut self, output: Output) -> Option<Taken> {
        self.tell(false, output);
        self.queue.try_recv().ok()
    }

    /// While messages come, not every one that is dropped is worth a line.
    fn tell(&mut self, quiet: bool, output: Output) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.told + if quiet { 0 } else { self.told / 2 } {
            output.note(format!("note: shown too slowly: {lost} messages were dropped so far"));
            self.told = lost;
        }
    }
}

/// Takes everything off the connection at once and stamps it. What is too much for the queue is counted.
struct Collector {
    client: Client,
    /// Each with its subject. What waits on the first comes before what waits on the next: a receipt after its message.
    subscriptions: Vec<(String, Subscriber)>,
    /// What was taken from a later one, until the earlier ones are empty.
    held: Option<(usize, Option<Message>)>,
    dropped: Dropped,
    queue: mpsc::Sender<Taken>,
    refused: u64,
    lost: Arc<AtomicU64>,
}

impl Collector {
    async fn run(mut self) {
        loop {
            let got = got(&self.client);
            match tokio::time::timeout(QUIET, poll_fn(|cx| self.poll(cx))).await {
                Err(_) => self.look(got, Backlog::Nothing),
                // The connection was closed.
                Ok(None) => return,
                Ok(Some(message)) => {
                    self.keep(message);
                    self.take_all();
                }
            }
        }
    }

    /// Takes what waits already.
    fn take_all(&mut self) {
        for _ in 0..WAITING {
            let got = got(&self.client);
            // The scheduler would let a task take a few only.
            let taking = tokio::task::unconstrained(poll_fn(|cx| self.poll(cx)));
            match taking.now_or_never().flatten() {
                Some(message) => self.keep(message),
                None => return self.look(got, Backlog::Few),
            }
        }
        self.look(got(&self.client), Backlog::Many);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let Poll::Ready((index, message)) = self.poll_first(cx) else {
                return Poll::Pending;
            };
            self.dropped.taken += u64::from(message.is_some());
            let Some(message) = message else {
                return Poll::Ready(None);
            };
            // Where subjects overlap, the server sends a message on each of them.
            let is_of = |(of, _): &(String, Subscriber)| overlap(of, &message.subject);
            if self.subscriptions[..index].iter().any(is_of) {
                continue;
            }
            return Poll::Ready(Some(message));
        }
    }

    /// What waits on the first subscription on which something does.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Option<Message>)> {
        for index in 0..self.subscriptions.len() {
            if let Some(held) = self.held.take_if(|(of, _)| *of == index) {
                return Poll::Ready(held);
            }
            if let Poll::Ready(message) = self.subscriptions[index].1.poll_next_unpin(cx) {
                if index == 0 || self.held.is_some() {
                    return Poll::Ready((index, message));
                }
                // What it follows may have come just behind this look.
                self.held = Some((index, message));
                return self.poll_first(cx);
            }
        }
        Poll::Pending
    }

    fn keep(&mut self, message: Message) {
        let taken = Taken {
            message,
            seen_at: now(),
            arrived: Instant::now(),
        };
        if self.queue.try_send(taken).is_err() {
            self.refused += 1;
        }
    }

    fn look(&mut self, got: u64, waiting: Backlog) {
        self.dropped.look(got, waiting);
        self.lost.store(self.refused + self.dropped.sure, Ordering::Relaxed);
    }
}

/// How many messages the connection has got.
fn got(client: &Client) -> u64 {
    client.statistics().in_messages.load(Ordering::Relaxed)
}

/// What may not have been taken yet of that which was not dropped.
#[derive(Debug, Clone, Copy)]
enum Backlog {
    /// As much as fits.
    Many,
    /// What is just on its way to its queue.
    Few,
    Nothing,
}

/// How many messages the connection dropped for certain: what it has got beyond what was taken and what may wait.
#[derive(Debug, Default)]
struct Dropped {
    most_waiting: u64,
    taken: u64,
    sure: u64,
}

impl Dropped {
    fn look(&mut self, got: u64, waiting: Backlog) {
        let waiting = match waiting {
            Backlog::Many => self.most_waiting,
            Backlog::Few => 16,
            Backlog::Nothing => 0,
        };
        self.sure = self.sure.max(got.saturating_sub(self.taken + waiting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_wait_is_not_dropped() {
        let mut dropped = Dropped {
            most_waiting: 100,
            taken: 10,
            ..Dropped::default()
        };
        for (got, waiting, sure) in [
            (110, Backlog::Many, 0),
            (115, Backlog::Many, 5),
            (26, Backlog::Few, 5),
            (35, Backlog::Few, 9),
            (20, Backlog::Nothing, 10),
            (10, Backlog::Nothing, 10),
        ] {
            dropped.look(got, waiting);
            assert_eq!(dropped.sure, sure, "{got} {waiting:?}");
        }
    }
}
