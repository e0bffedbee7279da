//! Messages of the stream that this registry holds and has not stored yet.
//!
//! The server gives a message to another registry when nothing is heard of it for [`ACK_WAIT`]: after a crash that has to be
//! soon. So while a slow store makes messages wait here longer, the server is told now and then that they are in work; else
//! they would come again and again and make the store slower still.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::connect::is_up;

/// After this time without a word a message is given to another registry, or again to the same.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(10);
/// A message that is held for so long is told to be in work, with a good margin.
const REMIND: Duration = Duration::from_secs(4);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Stored, or nothing to store.
const ACK: Bytes = Bytes::from_static(b"+ACK");
/// In work.
const PROGRESS: Bytes = Bytes::from_static(b"+WPI");
/// Not here: whoever asks for messages again in a second may have it.
const BACK: Bytes = Bytes::from_static(b"-NAK {\"delay\":1000000000}");

/// Stands for a message that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// The messages that are held, and where each is acknowledged. Each costs the same however many there are.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    taken: u64,
    held: HashMap<Ticket, Subject>,
    /// When the server wants to hear of each at the latest; those that were let go meanwhile are passed over.
    remind: VecDeque<(Instant, Ticket)>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message has come.
    pub(super) fn take(&self, ack: Subject, now: Instant) -> Ticket {
        let mut inner = self.lock();
        inner.taken += 1;
        let ticket = Ticket(inner.taken);
        inner.remind.push_back((now + REMIND, ticket));
        inner.held.insert(ticket, ack);
        ticket
    }

    /// Those that the server has to be reminded of now.
    fn due(&self, now: Instant) -> Vec<Subject> {
        let mut inner = self.lock();
        let mut due = Vec::new();
        while inner.remind.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, ticket)) = inner.remind.pop_front() else {
                break;
            };
            if let Some(ack) = inner.held.get(&ticket) {
                due.push(ack.clone());
                inner.remind.push_back((now + REMIND, ticket));
            }
        }
        due
    }

    fn let_go(&self, tickets: impl IntoIterator<Item = Ticket>) -> Vec<Subject> {
        let mut inner = self.lock();
        tickets
            .into_iter()
            .filter_map(|ticket| inner.held.remove(&ticket))
            .collect()
    }

    /// They are stored.
    pub(super) async fn stored(&self, client: &Client, tickets: impl IntoIterator<Item = Ticket>) {
        say(client, self.let_go(tickets), &ACK).await;
    }

    /// They cannot be stored now: another registry may be able to, or this one later.
    pub(super) async fn give_back(&self, client: &Client, tickets: impl IntoIterator<Item = Ticket>) {
        say(client, self.let_go(tickets), &BACK).await;
    }
}

/// A word that is lost only means that the message comes again, which changes nothing.
async fn say(client: &Client, acks: Vec<Subject>, word: &Bytes) {
    for ack in acks {
        if !is_up(client) || client.publish(ack, word.clone()).await.is_err() {
            return;
        }
    }
}

/// Reminds the server of what is held until `stop`.
pub(super) async fn remind(held: Arc<Held>, client: Client, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        say(&client, held.due(Instant::now()), &PROGRESS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_long_is_reminded_of_again_and_again() {
        let held = Held::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = held.take("a".into(), at(0));
        held.take("b".into(), at(1));
        assert_eq!(held.due(at(3)), Vec::<Subject>::new());
        assert_eq!(held.due(at(4)), ["a".into()]);
        assert_eq!(held.due(at(7)), ["b".into()]);
        assert_eq!(held.let_go([first]), ["a".into()]);
        assert_eq!(held.let_go([first]), Vec::<Subject>::new());
        assert_eq!(held.due(at(60)), ["b".into()], "what was let go is forgotten");
        assert_eq!(held.lock().remind.len(), 1);
    }

    #[test]
    fn the_server_hears_of_a_message_before_its_time_is_over() {
        assert!(REMIND + 2 * LOOK < ACK_WAIT);
    }
}
