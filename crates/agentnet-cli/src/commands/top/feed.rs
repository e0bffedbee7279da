//! Subscriptions to the network's messages, on a separate connection.

use std::sync::atomic::Ordering;

use agentnet_nats::NatsUrl;
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_MAILBOX_EVENTS, ALL_REPLIES, ALL_TASK_EVENTS};
use async_nats::connection::State as Connection;
use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};

use crate::connection::observer;
use crate::connection::taps::tap;
use crate::exit::Failure;

/// The subjects, in the order in which they are read. Receipts come before hellos, whose counters include them; goodbyes come
/// after hellos.
const SUBJECTS: [&str; 8] = [
    "account.*.receipts",
    "registry.hello",
    "registry.goodbye",
    ALL_INBOXES,
    ALL_CAPABILITIES,
    ALL_REPLIES,
    ALL_MAILBOX_EVENTS,
    ALL_TASK_EVENTS,
];
/// Capacity of the queue of each subscription.
const QUEUE_CAPACITY: usize = 8_192;
/// Maximum number of messages that one call of [`NetworkFeed::drain`] processes, so that keys are handled in between.
const MAX_DRAINED_MESSAGES: usize = 20_000;

/// Subscriptions to the network's messages and presence events.
pub(crate) struct NetworkFeed {
    client: Client,
    subscriptions: Vec<Subscriber>,
    taken: u64,
    dropped: DroppedEstimate,
}

impl NetworkFeed {
    /// Connects and subscribes. Callers connect with the SDK first, which reports why a connection fails.
    pub(crate) async fn open(url: &NatsUrl) -> Result<Self, Failure> {
        let client = observer::connect(url, "agentnet-cli-top", QUEUE_CAPACITY).await?;
        let lost = |error: &dyn std::fmt::Display| Failure::error(format!("cannot watch the network: {error}"));
        let taken = client.statistics().in_messages.load(Ordering::Relaxed);
        let mut subscriptions = Vec::with_capacity(SUBJECTS.len());
        for subject in SUBJECTS {
            let subject = tap(subject, url.issuer());
            subscriptions.push(client.subscribe(subject).await.map_err(|error| lost(&error))?);
        }
        client.flush().await.map_err(|error| lost(&error))?;
        Ok(Self {
            client,
            subscriptions,
            taken,
            dropped: DroppedEstimate::default(),
        })
    }

    /// Whether the connection is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.client.connection_state() != Connection::Connected
    }

    /// Number of connections so far.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Passes all received messages to the handler. Returns whether there were any.
    pub(crate) fn drain(&mut self, mut handler: impl FnMut(&Message)) -> bool {
        let got = self.client.statistics().in_messages.load(Ordering::Relaxed);
        let mut taken = 0;
        for subscription in &mut self.subscriptions {
            // Tokio's cooperative budget would limit this to a few messages.
            while taken < MAX_DRAINED_MESSAGES
                && let Some(Some(message)) = tokio::task::unconstrained(subscription.next()).now_or_never()
            {
                handler(&message);
                taken += 1;
            }
        }
        self.taken += taken as u64;
        // Messages that the connection received and that no queue held were dropped, unless they were just on their way to a
        // queue. If the limit was reached, the queues may hold more.
        let waiting = match taken {
            MAX_DRAINED_MESSAGES.. => (QUEUE_CAPACITY * SUBJECTS.len()) as u64,
            _ => 0,
        };
        self.dropped.sample(got.saturating_sub(self.taken + waiting));
        taken > 0
    }

    /// Number of messages that were dropped because they came too fast.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.dropped
    }
}

/// Estimate of dropped messages: the minimum of the missing messages over several samples.
#[derive(Debug, Default)]
struct DroppedEstimate {
    dropped: u64,
    minimum: Option<u64>,
    samples: u32,
}

impl DroppedEstimate {
    /// Samples of one estimate.
    const SAMPLES: u32 = 20;

    fn sample(&mut self, missing: u64) {
        self.minimum = Some(self.minimum.map_or(missing, |minimum| minimum.min(missing)));
        self.samples += 1;
        if self.samples == Self::SAMPLES {
            self.dropped = self.dropped.max(self.minimum.take().unwrap_or(0));
            self.samples = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_for_a_while_was_dropped() {
        let mut lost = DroppedEstimate::default();
        let mut look = |missing: &dyn Fn(u32) -> u64| {
            for n in 0..DroppedEstimate::SAMPLES {
                lost.sample(missing(n));
            }
            lost.dropped
        };
        assert_eq!(look(&|n| u64::from(n % 2)), 0);
        assert_eq!(look(&|n| 10 + u64::from(n)), 10);
        assert_eq!(look(&|n| u64::from(n == 3)), 10, "it stays");
        assert_eq!(look(&|_| 70), 70);
    }
}
