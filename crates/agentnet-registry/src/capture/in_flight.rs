//! Messages in flight: delivered by the stream, and not acknowledged because they are not stored yet.
//!
//! The server redelivers a message that is neither acknowledged nor reported to be in progress within [`ACK_WAIT`]: after a
//! crash that has to be soon. So while a slow store keeps messages waiting for longer, their progress is reported; else they
//! would be redelivered again and again, and make the store slower still.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::is_up;
use async_nats::{Client, Subject};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// Without a report for so long, the server redelivers a message, to this registry or another one.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(10);
/// The time between two progress reports of a message, with a good margin to [`ACK_WAIT`].
const PROGRESS_INTERVAL: Duration = Duration::from_secs(4);
/// How often is checked which reports are due.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The message is stored, or has nothing to store.
const ACK: Bytes = Bytes::from_static(b"+ACK");
/// The message is in progress.
const PROGRESS: Bytes = Bytes::from_static(b"+WPI");
/// The message is not stored here: it may be delivered again in a second.
const NAK: Bytes = Bytes::from_static(b"-NAK {\"delay\":1000000000}");

/// Identifies a message in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// The messages in flight, and the subject on which each is acknowledged. Each costs the same, however many there are.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last_ticket: u64,
    acks: HashMap<Ticket, Subject>,
    /// When the next report of each is due. Tickets without an entry in `acks` are skipped.
    reports: VecDeque<(Instant, Ticket)>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// A message was delivered.
    pub(super) fn add(&self, ack: Subject, now: Instant) -> Ticket {
        let mut inner = self.lock();
        inner.last_ticket += 1;
        let ticket = Ticket(inner.last_ticket);
        inner.reports.push_back((now + PROGRESS_INTERVAL, ticket));
        inner.acks.insert(ticket, ack);
        ticket
    }

    /// The messages whose progress has to be reported now.
    fn due(&self, now: Instant) -> Vec<Subject> {
        let mut inner = self.lock();
        let mut due = Vec::new();
        while inner.reports.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, ticket)) = inner.reports.pop_front() else {
                break;
            };
            if let Some(ack) = inner.acks.get(&ticket) {
                due.push(ack.clone());
                inner.reports.push_back((now + PROGRESS_INTERVAL, ticket));
            }
        }
        due
    }

    fn remove(&self, tickets: impl IntoIterator<Item = Ticket>) -> Vec<Subject> {
        let mut inner = self.lock();
        tickets
            .into_iter()
            .filter_map(|ticket| inner.acks.remove(&ticket))
            .collect()
    }

    /// Acknowledges messages: they are stored.
    pub(super) async fn ack(&self, client: &Client, tickets: impl IntoIterator<Item = Ticket>) {
        publish(client, self.remove(tickets), &ACK).await;
    }

    /// Gives messages back: they cannot be stored now, but perhaps by another registry, or later.
    pub(super) async fn nak(&self, client: &Client, tickets: impl IntoIterator<Item = Ticket>) {
        publish(client, self.remove(tickets), &NAK).await;
    }
}

/// If one is lost, the message is redelivered and found in the store.
async fn publish(client: &Client, acks: Vec<Subject>, body: &Bytes) {
    for ack in acks {
        if !is_up(client) || client.publish(ack, body.clone()).await.is_err() {
            return;
        }
    }
}

/// Reports the progress of messages until `stop`.
pub(super) async fn report_progress(in_flight: Arc<InFlight>, client: Client, stop: CancellationToken) {
    let mut tick = tokio::time::interval(CHECK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        publish(&client, in_flight.due(Instant::now()), &PROGRESS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_reported_again_and_again() {
        let in_flight = InFlight::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = in_flight.add("a".into(), at(0));
        in_flight.add("b".into(), at(1));
        assert_eq!(in_flight.due(at(3)), Vec::<Subject>::new());
        assert_eq!(in_flight.due(at(4)), ["a".into()]);
        assert_eq!(in_flight.due(at(7)), ["b".into()]);
        assert_eq!(in_flight.remove([first]), ["a".into()]);
        assert_eq!(in_flight.remove([first]), Vec::<Subject>::new());
        assert_eq!(in_flight.due(at(60)), ["b".into()], "what was removed is forgotten");
        assert_eq!(in_flight.lock().reports.len(), 1);
    }

    #[test]
    fn the_server_gets_a_report_before_it_redelivers() {
        assert!(PROGRESS_INTERVAL + 2 * CHECK_INTERVAL < ACK_WAIT);
    }
}
