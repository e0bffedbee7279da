//! Messages of the watched subjects with their arrival times, and the number that was dropped because output was too slow.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use agentnet_nats::NatsUrl;
use agentnet_protocol::Timestamp;
use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::subjects::overlap;
use crate::connection::observer;
use crate::exit::Failure;
use crate::output::Output;
use crate::output::relative_time::now;

/// Capacity of the queue of messages to show: a few seconds of a busy network.
const QUEUE_CAPACITY: usize = 8_192;
/// After this time without messages, all received ones have reached their queues.
const QUIET_PERIOD: Duration = Duration::from_millis(200);

/// A message with its arrival time, which does not depend on when it is shown.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) message: Message,
    /// Arrival by the wall clock.
    pub(super) seen_at: Timestamp,
    /// Arrival by the monotonic clock.
    pub(super) arrived: Instant,
}

/// The queue of messages to show.
pub(super) struct WatchFeed {
    queue: mpsc::Receiver<Taken>,
    lost: Arc<AtomicU64>,
    noted: u64,
    collecting: JoinHandle<()>,
}

impl Drop for WatchFeed {
    fn drop(&mut self) {
        self.collecting.abort();
    }
}

impl WatchFeed {
    pub(super) async fn open(url: &NatsUrl, subjects: &[String]) -> Result<Self, Failure> {
        let client = observer::connect(url, "agentnet-cli-watch", QUEUE_CAPACITY).await?;
        let mut dropped = Dropped {
            taken: received(&client),
            ..Dropped::default()
        };
        let mut subscriptions = Vec::new();
        for subject in subjects {
            let lost = |why: &dyn std::fmt::Display| Failure::error(format!("cannot watch {subject}: {why}"));
            let subscribed = client.subscribe(subject.clone()).await.map_err(|error| lost(&error))?;
            subscriptions.push((subject.clone(), subscribed));
            client.flush().await.map_err(|error| lost(&error))?;
            dropped.max_backlog += QUEUE_CAPACITY as u64;
        }
        let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
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
            noted: 0,
            collecting: tokio::spawn(collector.run()),
        })
    }

    /// Waits for the next message; `None` if the connection was closed. Prints notes about dropped messages.
    pub(super) async fn next(&mut self, output: Output) -> Option<Taken> {
        loop {
            match tokio::time::timeout(QUIET_PERIOD, self.queue.recv()).await {
                Ok(taken) => return taken,
                Err(_) => self.note_dropped(true, output),
            }
        }
    }

    /// The next message of the queue, without waiting.
    pub(super) fn ready(&mut self, output: Output) -> Option<Taken> {
        self.note_dropped(false, output);
        self.queue.try_recv().ok()
    }

    /// Prints a note about dropped messages; while messages come, not for each of them.
    fn note_dropped(&mut self, quiet: bool, output: Output) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.noted + if quiet { 0 } else { self.noted / 2 } {
            output.note(format!("note: shown too slowly: {lost} messages were dropped so far"));
            self.noted = lost;
        }
    }
}

/// Moves messages from the connection to the queue at once, with their arrival times. Counts those for which the queue has no
/// room.
struct Collector {
    client: Client,
    /// The subscriptions with their subjects. Messages of earlier ones come first: a receipt comes after its message.
    subscriptions: Vec<(String, Subscriber)>,
    /// A message of a later subscription, held until the earlier ones are empty.
    held: Option<(usize, Option<Message>)>,
    dropped: Dropped,
    queue: mpsc::Sender<Taken>,
    refused: u64,
    lost: Arc<AtomicU64>,
}

impl Collector {
    async fn run(mut self) {
        loop {
            let got = received(&self.client);
            match tokio::time::timeout(QUIET_PERIOD, poll_fn(|cx| self.poll(cx))).await {
                Err(_) => self.count_dropped(got, Backlog::Nothing),
                // The connection was closed.
                Ok(None) => return,
                Ok(Some(message)) => {
                    self.keep(message);
                    self.take_all();
                }
            }
        }
    }

    /// Moves all messages that wait.
    fn take_all(&mut self) {
        for _ in 0..QUEUE_CAPACITY {
            let got = received(&self.client);
            // Tokio's cooperative budget would limit this to a few messages.
            let taking = tokio::task::unconstrained(poll_fn(|cx| self.poll(cx)));
            match taking.now_or_never().flatten() {
                Some(message) => self.keep(message),
                None => return self.count_dropped(got, Backlog::Few),
            }
        }
        self.count_dropped(received(&self.client), Backlog::Many);
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
            // If subjects overlap, the server delivers a message for each of them.
            let is_of = |(of, _): &(String, Subscriber)| overlap(of, &message.subject);
            if self.subscriptions[..index].iter().any(is_of) {
                continue;
            }
            return Poll::Ready(Some(message));
        }
    }

    /// The first message of the earliest subscription that has one.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Option<Message>)> {
        for index in 0..self.subscriptions.len() {
            if let Some(held) = self.held.take_if(|(of, _)| *of == index) {
                return Poll::Ready(held);
            }
            if let Poll::Ready(message) = self.subscriptions[index].1.poll_next_unpin(cx) {
                if index == 0 || self.held.is_some() {
                    return Poll::Ready((index, message));
                }
                // An earlier message may have arrived since that subscription was polled.
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

    fn count_dropped(&mut self, got: u64, waiting: Backlog) {
        self.dropped.update(got, waiting);
        self.lost.store(self.refused + self.dropped.certain, Ordering::Relaxed);
    }
}

/// Number of messages that the connection has received.
fn received(client: &Client) -> u64 {
    client.statistics().in_messages.load(Ordering::Relaxed)
}

/// How many messages may still wait in queues.
#[derive(Debug, Clone, Copy)]
enum Backlog {
    /// As many as fit.
    Many,
    /// Those just on their way to a queue.
    Few,
    Nothing,
}

/// Counts messages that were certainly dropped: received, but neither taken nor possibly waiting.
#[derive(Debug, Default)]
struct Dropped {
    max_backlog: u64,
    taken: u64,
    certain: u64,
}

impl Dropped {
    fn update(&mut self, got: u64, waiting: Backlog) {
        let waiting = match waiting {
            Backlog::Many => self.max_backlog,
            Backlog::Few => 16,
            Backlog::Nothing => 0,
        };
        self.certain = self.certain.max(got.saturating_sub(self.taken + waiting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_wait_is_not_dropped() {
        let mut dropped = Dropped {
            max_backlog: 100,
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
            dropped.update(got, waiting);
            assert_eq!(dropped.certain, sure, "{got} {waiting:?}");
        }
    }
}
