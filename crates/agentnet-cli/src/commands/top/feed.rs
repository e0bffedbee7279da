//! What passes on the network, on one connection of its own.

use std::sync::atomic::Ordering;

use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_REPLIES};
use agentnet_protocol::url::NatsUrl;
use async_nats::connection::State as Connection;
use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};

use crate::connection::observer;
use crate::exit::Failure;

/// What is heard. Receipts come before hellos, whose counters hold them already; a goodbye comes after the hello.
const SUBJECTS: [&str; 6] = [
    "account.*.receipts",
    "registry.hello",
    "registry.goodbye",
    ALL_INBOXES,
    ALL_CAPABILITIES,
    ALL_REPLIES,
];
/// Messages that may wait on each subject.
const WAITING: usize = 8_192;
/// Messages that are taken at once, before keys are looked at again.
const AT_ONCE: usize = 20_000;

/// The subscriptions.
pub(crate) struct NetworkFeed {
    client: Client,
    subscriptions: Vec<Subscriber>,
    taken: u64,
    lost: Lost,
}

impl NetworkFeed {
    /// Connects and subscribes, where another connection was made already: why it cannot be is told by that one.
    pub(crate) async fn open(url: &NatsUrl) -> Result<Self, Failure> {
        let client = observer::connect(url, "agentnet-cli-top", WAITING).await?;
        let lost = |error: &dyn std::fmt::Display| Failure::trouble(format!("cannot watch the network: {error}"));
        let taken = client.statistics().in_messages.load(Ordering::Relaxed);
        let mut subscriptions = Vec::with_capacity(SUBJECTS.len());
        for subject in SUBJECTS {
            subscriptions.push(client.subscribe(subject).await.map_err(|error| lost(&error))?);
        }
        client.flush().await.map_err(|error| lost(&error))?;
        Ok(Self {
            client,
            subscriptions,
            taken,
            lost: Lost::default(),
        })
    }

    /// Whether the connection is lost and not yet back.
    pub(crate) fn is_lost(&self) -> bool {
        self.client.connection_state() != Connection::Connected
    }

    /// How often the connection was made.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Hands over everything that has come; whether there was something.
    pub(crate) fn drain(&mut self, mut hear: impl FnMut(&Message)) -> bool {
        let got = self.client.statistics().in_messages.load(Ordering::Relaxed);
        let mut taken = 0;
        for subscription in &mut self.subscriptions {
            // The scheduler would let a task take a few only.
            while taken < AT_ONCE
                && let Some(Some(message)) = tokio::task::unconstrained(subscription.next()).now_or_never()
            {
                hear(&message);
                taken += 1;
            }
        }
        self.taken += taken as u64;
        // What had come before and was not there to be taken was dropped, unless it was on its way to its queue just then.
        // Where not everything was taken, some may wait.
        let waiting = match taken {
            AT_ONCE.. => (WAITING * SUBJECTS.len()) as u64,
            _ => 0,
        };
        self.lost.note(got.saturating_sub(self.taken + waiting));
        taken > 0
    }

    /// Messages that were dropped since they came faster than they were taken.
    pub(crate) fn dropped(&self) -> u64 {
        self.lost.sure
    }
}

/// How many messages were dropped: as many as were missing at every look for a while.
#[derive(Debug, Default)]
struct Lost {
    sure: u64,
    least: Option<u64>,
    looks: u32,
}

impl Lost {
    /// So many looks make it sure.
    const LOOKS: u32 = 20;

    fn note(&mut self, missing: u64) {
        self.least = Some(self.least.map_or(missing, |least| least.min(missing)));
        self.looks += 1;
        if self.looks == Self::LOOKS {
            self.sure = self.sure.max(self.least.take().unwrap_or(0));
            self.looks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_for_a_while_was_dropped() {
        let mut lost = Lost::default();
        let mut look = |missing: &dyn Fn(u32) -> u64| {
            for n in 0..Lost::LOOKS {
                lost.note(missing(n));
            }
            lost.sure
        };
        assert_eq!(look(&|n| u64::from(n % 2)), 0);
        assert_eq!(look(&|n| 10 + u64::from(n)), 10);
        assert_eq!(look(&|n| u64::from(n == 3)), 10, "it stays");
        assert_eq!(look(&|_| 70), 70);
    }
}
