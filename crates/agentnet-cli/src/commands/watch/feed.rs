//! What passes on the watched subjects, and how much of it was dropped because it was shown too slowly.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use agentnet_protocol::url::NatsUrl;
use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};

use crate::connection::onlooker;
use crate::ended::Failure;
use crate::output::Output;

/// Messages that may wait on each subject: a few seconds of a busy network.
const WAITING: usize = 8_192;
/// What was on its way to a queue is there after so long.
const QUIET: Duration = Duration::from_millis(200);

/// The subscriptions.
pub(super) struct Feed {
    client: Client,
    /// What waits on the first comes before what waits on the next: a receipt after its message.
    subscriptions: Vec<Subscriber>,
    dropped: Dropped,
}

impl Feed {
    pub(super) async fn open(url: &NatsUrl, subjects: impl Iterator<Item = &str>) -> Result<Self, Failure> {
        let client = onlooker::connect(url, "agentnet-cli-watch", WAITING).await?;
        let mut dropped = Dropped {
            taken: got(&client),
            ..Dropped::default()
        };
        let mut subscriptions = Vec::new();
        for subject in subjects {
            let lost = |why: &dyn std::fmt::Display| Failure::trouble(format!("cannot watch {subject}: {why}"));
            let subscribed = client.subscribe(subject.to_owned()).await;
            subscriptions.push(subscribed.map_err(|error| lost(&error))?);
            client.flush().await.map_err(|error| lost(&error))?;
            dropped.most_waiting += WAITING as u64;
        }
        Ok(Self {
            client,
            subscriptions,
            dropped,
        })
    }

    /// Waits for the next message; `None` when the connection was closed. Tells meanwhile of what was dropped.
    pub(super) async fn next(&mut self, output: Output) -> Option<Message> {
        loop {
            let got = got(&self.client);
            let Ok(message) = tokio::time::timeout(QUIET, poll_fn(|cx| self.poll(cx))).await else {
                self.dropped.look(got, Waiting::Nothing);
                self.dropped.tell(true, output);
                continue;
            };
            self.dropped.taken += u64::from(message.is_some());
            return message;
        }
    }

    /// The next message where one waits.
    pub(super) fn ready(&mut self, output: Output) -> Option<Message> {
        let got = got(&self.client);
        // The scheduler would let a task take a few only.
        let taking = tokio::task::unconstrained(poll_fn(|cx| self.poll(cx)));
        let message = taking.now_or_never().flatten();
        self.dropped.taken += u64::from(message.is_some());
        let waiting = message.as_ref().map_or(Waiting::Few, |_| Waiting::Many);
        self.dropped.look(got, waiting);
        self.dropped.tell(false, output);
        message
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        for subscription in &mut self.subscriptions {
            if let Poll::Ready(message) = subscription.poll_next_unpin(cx) {
                return Poll::Ready(message);
            }
        }
        Poll::Pending
    }
}

/// How many messages the connection has got.
fn got(client: &Client) -> u64 {
    client.statistics().in_messages.load(Ordering::Relaxed)
}

/// What may not have been taken yet of that which was not dropped.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    /// As much as fits.
    Many,
    /// What is just on its way to its queue.
    Few,
    Nothing,
}

/// How many messages were dropped for certain: what the connection has got beyond what was taken and what may wait.
#[derive(Debug, Default)]
struct Dropped {
    most_waiting: u64,
    taken: u64,
    sure: u64,
    told: u64,
}

impl Dropped {
    fn look(&mut self, got: u64, waiting: Waiting) {
        let waiting = match waiting {
            Waiting::Many => self.most_waiting,
            Waiting::Few => 16,
            Waiting::Nothing => 0,
        };
        self.sure = self.sure.max(got.saturating_sub(self.taken + waiting));
    }

    /// While messages come, not every one that is dropped is worth a line.
    fn tell(&mut self, quiet: bool, output: Output) {
        if self.sure > self.told + if quiet { 0 } else { self.told / 2 } {
            output.note(format!(
                "note: shown too slowly: {} messages were dropped so far",
                self.sure
            ));
            self.told = self.sure;
        }
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
            (110, Waiting::Many, 0),
            (115, Waiting::Many, 5),
            (26, Waiting::Few, 5),
            (35, Waiting::Few, 9),
            (20, Waiting::Nothing, 10),
            (10, Waiting::Nothing, 10),
        ] {
            dropped.look(got, waiting);
            assert_eq!(dropped.sure, sure, "{got} {waiting:?}");
        }
    }
}
